#include "core/rpc/inflate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>

/* For zlib: take the header of gzip, or that of zlib, as the algorithm says. */
#define WINDOW_BITS 15
#define WITH_GZIP_HEADER 16

#define FIRST_CAPACITY ((size_t)16 * 1024)

struct output {
   char *data;
   size_t size, capacity, size_max;
};

/* Makes room for at least a byte more; false when memory or the limit does not allow it. One byte
 * beyond the limit is room enough to see that there is too much. */
static bool grow(struct output *output)
{
   size_t capacity = output->capacity ? 2 * output->capacity : FIRST_CAPACITY;
   if (capacity > output->size_max + 1)
      capacity = output->size_max + 1;
   char *data = realloc(output->data, capacity);
   if (!data)
      return false;
   output->data = data;
   output->capacity = capacity;
   return true;
}

static enum kv_code too_large(size_t size_max, struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                  "the request unpacks to more than %zu bytes (server setting max-message-size)",
                  size_max);
}

/* Takes all of the stream's input. *state is Z_OK, or Z_STREAM_END at the end. */
static enum kv_code inflate_input(z_stream *stream, struct output *output, int *state,
                                  struct kv_status *status)
{
   do {
      if (output->size > output->size_max)
         return too_large(output->size_max, status);
      if (output->size == output->capacity && !grow(output))
         return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                        "the server is out of memory for this request");
      size_t room = output->capacity - output->size;
      stream->next_out = (Bytef *)output->data + output->size;
      stream->avail_out = (uInt)room;
      *state = inflate(stream, Z_NO_FLUSH);
      output->size += room - stream->avail_out;
      /* What fills the room may go on without further input. */
   } while (*state == Z_OK && (stream->avail_in > 0 || stream->avail_out == 0));
   if (*state == Z_BUF_ERROR && stream->avail_in == 0)
      *state = Z_OK; /* it did not go on */
   if (*state == Z_OK || (*state == Z_STREAM_END && stream->avail_in == 0))
      return KV_OK;
   return kv_fail(status, KV_INTERNAL, "the request's compressed bytes are damaged");
}

enum kv_code kv_rpc_inflate(const grpc_slice_buffer *packed, grpc_compression_algorithm algorithm,
                            size_t size_max, char **data, size_t *size, struct kv_status *status)
{
   z_stream stream = {0};
   struct output output = {.size_max = size_max};
   int bits = WINDOW_BITS + (algorithm == GRPC_COMPRESS_GZIP ? WITH_GZIP_HEADER : 0);
   int state = inflateInit2(&stream, bits);
   if (state != Z_OK)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this request");
   enum kv_code code = KV_OK;
   for (size_t i = 0; i < packed->count && code == KV_OK; i++) {
      stream.next_in = GRPC_SLICE_START_PTR(packed->slices[i]);
      stream.avail_in = (uInt)GRPC_SLICE_LENGTH(packed->slices[i]);
      if (state == Z_STREAM_END && stream.avail_in > 0)
         code = kv_fail(status, KV_INTERNAL, "bytes follow the request's compressed ones");
      else if (state == Z_OK)
         code = inflate_input(&stream, &output, &state, status);
   }
   inflateEnd(&stream);
   if (code == KV_OK && state != Z_STREAM_END)
      code = kv_fail(status, KV_INTERNAL, "the request's compressed bytes end too early");
   if (code == KV_OK && output.size > size_max)
      code = too_large(size_max, status);
   if (code != KV_OK) {
      free(output.data);
      return code;
   }
   *data = output.data;
   *size = output.size;
   return KV_OK;
}
