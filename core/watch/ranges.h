/*
 * Ranges of keys: the sets that watches have, and an index that tells which of many sets have a
 * key.
 *
 * Promises
 *  - A set is kept in order and without overlaps, so each set is found at most once for a key.
 *    Whoever may read each of the ranges that it was made of, by a prefix of keys, may read each of
 *    those that it has: prefixes with a key in common are one within the other.
 *  - Finding all sets with a key costs O(log n) for n ranges, and as much for each set found; the
 *    others are not looked at. Adding and removing a range costs O(log n).
 *
 * The index is a treap ordered by where ranges begin, in which each node has the highest end below
 * it (the interval tree of Cormen et al., "Introduction to Algorithms", 14.3; treaps by Seidel and
 * Aragon, "Randomized search trees", 1996).
 *
 * Threads: one at a time for an index and the sets in it.
 */
#ifndef KV_RANGES_H
#define KV_RANGES_H

#include "core/support/key_range.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_range_set;

/* A set that has all keys of the ranges, which are copied, but none that begins with NUL. `owner`
 * is given back when it is found. NULL when memory runs out. */
struct kv_range_set *kv_range_set_create(const struct kv_key_range *ranges, size_t count,
                                         void *owner);
/* It must not be in an index. */
void kv_range_set_destroy(struct kv_range_set *set);
/* What it takes in memory. */
size_t kv_range_set_size(const struct kv_range_set *set);
bool kv_range_set_has(const struct kv_range_set *set, struct kv_slice key);
/* Its ranges, in ascending order and disjoint; they live as long as the set. */
size_t kv_range_set_count(const struct kv_range_set *set);
struct kv_key_range kv_range_set_at(const struct kv_range_set *set, size_t index);

struct kv_range_node;

struct kv_range_index {
   struct kv_range_node *root;
   uint64_t random; /* state of a generator */
};

void kv_range_index_init(struct kv_range_index *index);
void kv_range_index_add(struct kv_range_index *index, struct kv_range_set *set);
void kv_range_index_remove(struct kv_range_index *index, struct kv_range_set *set);
/* Calls found(context, owner) for each set that has the key. */
void kv_range_index_find(const struct kv_range_index *index, struct kv_slice key,
                         void (*found)(void *context, void *owner), void *context);
/* The same for all of the sets; one may be found several times. */
void kv_range_index_each(const struct kv_range_index *index,
                         void (*found)(void *context, void *owner), void *context);

#endif
