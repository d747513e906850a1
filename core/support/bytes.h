/* A run of bytes that somebody else owns. */
#ifndef KV_BYTES_H
#define KV_BYTES_H

#include <stddef.h>
#include <string.h>

struct kv_bytes {
   const void *data; /* may be NULL when size is 0 */
   size_t size;
};

static inline struct kv_bytes kv_bytes(const void *data, size_t size)
{
   return (struct kv_bytes){.data = data, .size = size};
}

static inline struct kv_bytes kv_bytes_of(const char *text)
{
   return kv_bytes(text, strlen(text));
}

#endif
