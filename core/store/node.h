/*
 * A node of the tree: slots in ascending order. In a leaf (level 0) a slot holds an entry; in an
 * inner node slot i holds the separator below child i: all keys under child i-1 are below it, all
 * under child i are not. Slot 0 of an inner node has no separator.
 *
 * Each slot caches the head of its key, so that most comparisons stay within the node, and all
 * heads lie side by side, so that they fill few cache lines. Keys with a long beginning in common
 * would all have the same head; therefore heads begin behind what all keys that can be in the node
 * share: what the separators on both sides of it have in common. A leaf has only about the slots it
 * uses; an inner node always has all.
 *
 * A node knows a lower bound of the times at which entries below it expire, so that those whose
 * time has come are found without an index of their own. No change of a node raises it.
 *
 * These functions change one node and own nothing: the tree and the retired lists decide who frees
 * what, and when. Only a node born in the running transaction may be changed, by the
 * writer; all others are immutable and may be read by any thread. The bound alone is the writer's,
 * whoever uses the node.
 */
#ifndef KV_STORE_NODE_H
#define KV_STORE_NODE_H

#include "core/store/entry.h"

#include <stdbool.h>

/* A full leaf fills the 768 byte class of the common allocators. */
#define KV_NODE_FANOUT 62u

struct kv_node {
   struct kv_object object;
   uint16_t level; /* 0: leaf */
   uint16_t count;
   uint16_t capacity; /* in slots; even, so that what follows the heads is aligned */
   uint16_t skip;     /* bytes; every key that can be in the node shares them */
   int64_t expiry;    /* no entry below expires before; INT64_MAX: none expires */
   uint32_t heads[]; /* of the keys, from `skip` on; then the keys, then an inner node's children */
};

/* The keys of the slots, and the children of an inner node. Writable, as C cannot pass constness
 * on: readers must not. */
static inline struct kv_entry **kv_node_keys(const struct kv_node *node)
{
   return (struct kv_entry **)(uintptr_t)(node->heads + node->capacity);
}

static inline struct kv_node **kv_node_children(const struct kv_node *node)
{
   return (struct kv_node **)(kv_node_keys(node) + node->capacity);
}

/* Prefetches a node that is about to be searched, all of it at once: a search that fetches one line
 * after the other waits for each. With the keys, or the heads alone where many nodes are
 * prefetched. Prefetching beyond a small leaf does no harm. */
static inline void kv_node_prefetch(const struct kv_node *node, bool keys)
{
   const size_t slot_size = sizeof node->heads[0] + (keys ? sizeof(struct kv_entry *) : 0);
   for (size_t offset = 0; offset < sizeof *node + KV_NODE_FANOUT * slot_size;
        offset += KV_CACHE_LINE)
      __builtin_prefetch((const char *)node + offset);
}
/* Prefetches the place where the key probably is among the keys of a leaf, and returns it for
 * kv_entry_prefetch. NULL when the key cannot be in the leaf. */
struct kv_entry *const *kv_node_prefetch_place(const struct kv_node *leaf, struct kv_slice key);

/* No slots are in use, the skip is 0, and there is space for at least `slots`. NULL when memory
 * runs out. */
struct kv_node *kv_node_create(uint64_t birth, uint16_t level, uint32_t slots);
/* The same node, born in `birth`, with space for at least `slots` >= count slots. NULL when memory
 * runs out. */
struct kv_node *kv_node_copy(const struct kv_node *node, uint64_t birth, uint32_t slots);
/* Moves a leaf into a block with space for about `slots` >= count slots. NULL when memory runs out:
 * the leaf is unchanged. */
struct kv_node *kv_node_resize(struct kv_node *leaf, uint32_t slots);

/* The first slot whose key is not below `key` (count: none); slot 0 of an inner node is ignored.
 * *equal says whether it is that key. `key` must be one that can be in the node. */
uint32_t kv_node_find(const struct kv_node *node, struct kv_slice key, bool *equal);
/* The child of an inner node under which `key` belongs. */
uint32_t kv_node_child(const struct kv_node *node, struct kv_slice key);

/* Opens slot `index`, for which there must be space, and fills it. The key is NULL for slot 0 of an
 * inner node; `child` is used in an inner node only. */
void kv_node_insert(struct kv_node *node, uint32_t index, struct kv_entry *key,
                    struct kv_node *child);
/* Puts a key into a slot in use. */
void kv_node_set_key(struct kv_node *node, uint32_t index, struct kv_entry *key);
/* Closes slot `index`, in an inner node with its child. */
void kv_node_remove(struct kv_node *node, uint32_t index);
/* Adds the slots of `from` from `first` on at the end of `node`, which has space for them. */
void kv_node_append(struct kv_node *node, const struct kv_node *from, uint32_t first);
/* Changes what all keys in the node share. */
void kv_node_set_skip(struct kv_node *node, size_t skip);
/* Lowers the bound to `expiry`, if it is above. */
static inline void kv_node_lower_expiry(struct kv_node *node, int64_t expiry)
{
   if (node->expiry > expiry)
      node->expiry = expiry;
}

#endif
