#include "core/rpc/http2/sieve.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

static uint32_t number(const uint8_t *bytes, size_t size)
{
   uint32_t value = 0;
   for (size_t i = 0; i < size; i++)
      value = value << 8 | bytes[i];
   return value;
}

/* A frame begins: whether it is left out. */
static bool begin(struct kv_http2_sieve *sieve, const uint8_t head[KV_HTTP2_FRAME_HEAD])
{
   const uint8_t type = head[3];
   const uint32_t stream = number(head + 5, 4) & INT32_MAX;
   const bool is_new = stream % 2 == 1 && stream > sieve->newest;
   sieve->payload = number(head, 3);
   sieve->dropping = is_new && type == NGHTTP2_RST_STREAM && sieve->payload == 4;
   if (is_new && type == NGHTTP2_HEADERS)
      sieve->newest = stream;
   return sieve->dropping;
}

/* How many of the bytes that are there belong to the payload. */
static size_t pass(struct kv_http2_sieve *sieve, size_t there)
{
   const size_t size = there < sieve->payload ? there : sieve->payload;
   sieve->payload -= (uint32_t)size;
   return size;
}

/* Takes `size` bytes of `arrived` for handed on or left out. */
static void take(struct kv_slice *arrived, size_t size)
{
   *arrived = kv_slice((const uint8_t *)arrived->data + size, arrived->size - size);
}

/* A header of which a part has not arrived, or had not. */
static struct kv_slice next_head(struct kv_http2_sieve *sieve, struct kv_slice *arrived,
                                 bool *dropped)
{
   const size_t missing = KV_HTTP2_FRAME_HEAD - sieve->head_size;
   const size_t size = arrived->size < missing ? arrived->size : missing;
   memcpy(sieve->head + sieve->head_size, arrived->data, size);
   take(arrived, size);
   sieve->head_size += (uint8_t)size;
   if (size < missing)
      return kv_slice(NULL, 0);
   sieve->head_size = 0;
   *dropped = begin(sieve, sieve->head);
   return kv_slice(sieve->head, *dropped ? 0 : KV_HTTP2_FRAME_HEAD);
}

struct kv_slice kv_http2_sieve_next(struct kv_http2_sieve *sieve, struct kv_slice *arrived,
                                    bool *dropped)
{
   *dropped = false;
   if (!sieve->greeted)
      sieve->payload = NGHTTP2_CLIENT_MAGIC_LEN;
   sieve->greeted = true;
   if (sieve->dropping)
      take(arrived, pass(sieve, arrived->size));
   const uint8_t *data = arrived->data;
   size_t at = pass(sieve, arrived->size);
   while (sieve->head_size == 0 && arrived->size - at >= KV_HTTP2_FRAME_HEAD && !*dropped) {
      *dropped = begin(sieve, data + at);
      if (!*dropped)
         at += KV_HTTP2_FRAME_HEAD + pass(sieve, arrived->size - at - KV_HTTP2_FRAME_HEAD);
   }
   if (at == 0 && !*dropped && arrived->size > 0)
      return next_head(sieve, arrived, dropped);
   take(arrived, at + (*dropped ? KV_HTTP2_FRAME_HEAD : 0));
   return kv_slice(data, at);
}
