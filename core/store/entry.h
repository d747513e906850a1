/*
 * A key with its value, or a separator between two subtrees: a key without a value. Key and value
 * lie in the one block behind a head of 12 bytes, so that a key of 16 and a value of 100 bytes fill
 * the 128 byte class of the common allocators. Only an entry that expires has its time, behind
 * them.
 *
 * The birth of an entry says which change made it: it is the number of that change's sequence.
 *
 * Immutable once created, but for its birth (kv_transaction_put). Any thread.
 */
#ifndef KV_STORE_ENTRY_H
#define KV_STORE_ENTRY_H

#include "core/store/object.h"
#include "core/store/store.h"
#include "core/support/cache_line.h"
#include "core/support/slice.h"

#include <endian.h>
#include <stdint.h>

struct kv_entry {
   struct kv_object object; /* own 16 bits: key size - 1 */
   uint32_t value_size;     /* and the top bit: whether it expires */
   uint8_t bytes[];         /* key, value, and the 6 bytes of the time */
};

#define KV_ENTRY_EXPIRES (UINT32_C(1) << 31)

static inline uint32_t kv_entry_value_size(const struct kv_entry *entry)
{
   return entry->value_size & ~KV_ENTRY_EXPIRES;
}

/* For finding the first of many: INT64_MAX when it never expires. */
static inline int64_t kv_entry_expiry(const struct kv_entry *entry)
{
   return entry->value_size & KV_ENTRY_EXPIRES ? kv_entry_expires_at(entry) : INT64_MAX;
}

/* Prefetches a small entry that is about to be read. */
static inline void kv_entry_prefetch(const struct kv_entry *entry)
{
   __builtin_prefetch(entry);
   __builtin_prefetch((const char *)entry + KV_CACHE_LINE);
}

/* Four bytes of a key from `skip` on, as a number that orders as they do; a short key is padded
 * with zeros, so equal heads decide nothing. */
static inline uint32_t kv_key_head(struct kv_slice key, size_t skip)
{
   uint32_t head = 0;
   const char *bytes = key.data;       /* NULL in an empty one: nothing is added to it */
   if (key.size >= skip + sizeof head) /* a copy of fixed size is one load */
      memcpy(&head, bytes + skip, sizeof head);
   else if (key.size > skip)
      memcpy(&head, bytes + skip, key.size - skip);
   return be32toh(head);
}

/* The shortest key that is above `left` and not above `right`, where `left` is below `right`. NULL
 * when memory runs out. */
struct kv_entry *kv_entry_separator(uint64_t birth, const struct kv_entry *left,
                                    const struct kv_entry *right);
/* How many bytes both keys begin with; 0 when either is NULL. */
size_t kv_entry_common(const struct kv_entry *a, const struct kv_entry *b);
/* Below 0, 0 or above 0 as the entry's key is below, equal to or above `key`. */
int kv_entry_compare(const struct kv_entry *entry, struct kv_slice key);

#endif
