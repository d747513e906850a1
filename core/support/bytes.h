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

/* Below 0, 0 or above 0 as `a` comes before, is equal to or comes after `b`, compared as unsigned
 * bytes. */
static inline int kv_bytes_compare(struct kv_bytes a, struct kv_bytes b)
{
   size_t shorter = a.size < b.size ? a.size : b.size;
   int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
   return order ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
