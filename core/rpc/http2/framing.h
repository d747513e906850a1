/* gRPC's framing of messages: a byte that says whether it is compressed, and its size, big-endian
 * (PROTOCOL-HTTP2, "Length-Prefixed-Message"). */
#ifndef KV_HTTP2_FRAMING_H
#define KV_HTTP2_FRAMING_H

#include <stddef.h>
#include <stdint.h>

#define KV_FRAMING_PREFIX_SIZE 5

static inline void kv_framing_put_prefix(uint8_t *to, size_t size)
{
   to[0] = 0;
   to[1] = (uint8_t)(size >> 24);
   to[2] = (uint8_t)(size >> 16);
   to[3] = (uint8_t)(size >> 8);
   to[4] = (uint8_t)size;
}

static inline size_t kv_framing_size(const uint8_t *prefix)
{
   return (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
}

#endif
