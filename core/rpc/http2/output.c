#include "core/rpc/http2/output.h"

#include "core/support/invariant.h"

#include <string.h>

/* From here on a part of its own costs less than copying. */
#define REFER_SIZE ((size_t)4096)

static void add_part(struct kv_http2_output *output, const void *data, size_t size)
{
   struct iovec *last = output->part_count > 0 ? &output->parts[output->part_count - 1] : NULL;
   output->size += size;
   if (last && (const uint8_t *)last->iov_base + last->iov_len == data) {
      last->iov_len += size;
      return;
   }
   KV_INVARIANT(output->part_count < KV_HTTP2_OUTPUT_PARTS);
   output->parts[output->part_count++] = (struct iovec){(void *)data, size};
}

void kv_http2_output_add(struct kv_http2_output *output, const void *data, size_t size)
{
   KV_INVARIANT(size <= sizeof output->buffer - output->gathered);
   uint8_t *to = output->buffer + output->gathered;
   memcpy(to, data, size);
   output->gathered += size;
   add_part(output, to, size);
}

void kv_http2_output_refer(struct kv_http2_output *output, const void *data, size_t size)
{
   if (size < REFER_SIZE)
      kv_http2_output_add(output, data, size);
   else
      add_part(output, data, size);
}

void kv_http2_output_copy(const struct kv_http2_output *output, size_t from, uint8_t *to)
{
   for (unsigned i = 0; i < output->part_count; i++) {
      const struct iovec *part = &output->parts[i];
      size_t skipped = from < part->iov_len ? from : part->iov_len;
      memcpy(to, (const uint8_t *)part->iov_base + skipped, part->iov_len - skipped);
      to += part->iov_len - skipped;
      from -= skipped;
   }
}
