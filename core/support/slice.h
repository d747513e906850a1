/* A run of bytes that somebody else owns. */
#ifndef KV_SLICE_H
#define KV_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct kv_slice {
   const void *data; /* may be NULL when size is 0 */
   size_t size;
};

static inline struct kv_slice kv_slice(const void *data, size_t size)
{
   return (struct kv_slice){.data = data, .size = size};
}

static inline struct kv_slice kv_slice_of(const char *text)
{
   return kv_slice(text, strlen(text));
}

/* Below 0, 0 or above 0 as `a` comes before, is equal to or comes after `b`, compared as unsigned
 * bytes. */
static inline int kv_slice_compare(struct kv_slice a, struct kv_slice b)
{
   size_t shorter = a.size < b.size ? a.size : b.size;
   int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
   return order ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool kv_slice_begins_with(struct kv_slice bytes, struct kv_slice prefix)
{
   return bytes.size >= prefix.size &&
          (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

#endif
