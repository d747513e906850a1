/*
 * A node of the tree: slots in ascending order. In a leaf (level 0) a slot holds an entry; in an
 * inner node slot i holds the separator below child i: all keys under child i-1 are below it, all
 * under child i are not. Slot 0 of an inner node has no separator.
 *
 * Each slot caches the head of its key, so that most comparisons stay within the node. A leaf has
 * only about the slots it uses; an inner node always has all, with the children behind them.
 *
 * These functions keep one node in shape and own nothing: who frees what, and when, is the tree's
 * and the retired lists' affair. Only a node born in the running transaction may be changed, by the
 * writer; all others are immutable and may be read by any thread.
 */
#ifndef KV_STORE_NODE_H
#define KV_STORE_NODE_H

#include "core/store/entry.h"

#include <stdbool.h>

/* A full leaf is 1,024 bytes. */
#define KV_NODE_FANOUT 63u

struct kv_slot {
   uint64_t head; /* of the key */
   struct kv_entry *key;
};

struct kv_node {
   struct kv_object object;
   uint16_t level; /* 0: leaf */
   uint16_t count;
   uint16_t capacity; /* in slots */
   struct kv_slot slots[];
};

/* A key on its way down the tree. */
struct kv_probe {
   struct kv_bytes key;
   uint64_t head;
};

static inline struct kv_probe kv_probe(struct kv_bytes key)
{
   return (struct kv_probe){.key = key, .head = kv_key_head(key)};
}

/* The children of an inner node. Writable, as C cannot pass constness on: readers must not. */
static inline struct kv_node **kv_node_children(const struct kv_node *node)
{
   return (struct kv_node **)(uintptr_t)(node->slots + KV_NODE_FANOUT);
}

/* Without slots in use, with room for at least `room` of them; NULL when memory is out. */
struct kv_node *kv_node_create(uint64_t birth, uint16_t level, uint32_t room);
/* The same node, born in `birth`, with room for at least `room` >= count slots; or NULL. */
struct kv_node *kv_node_copy(const struct kv_node *node, uint64_t birth, uint32_t room);
/* Moves a leaf into a block with room for about `room` >= count slots. NULL when memory is out:
 * then the leaf is as it was. */
struct kv_node *kv_node_resize(struct kv_node *leaf, uint32_t room);

/* The first slot whose key is not below the probe's (count: none), in an inner node without regard
 * of slot 0. *equal tells whether its key is the probe's. */
uint32_t kv_node_find(const struct kv_node *node, const struct kv_probe *probe, bool *equal);
/* The child of an inner node under which the probe's key belongs. */
uint32_t kv_node_child(const struct kv_node *node, const struct kv_probe *probe);

/* Opens slot `index` and fills it; there must be room. The child counts in an inner node only. */
void kv_node_insert(struct kv_node *node, uint32_t index, struct kv_slot slot,
                    struct kv_node *child);
/* Closes slot `index`, in an inner node with its child. */
void kv_node_remove(struct kv_node *node, uint32_t index);
/* Adds the slots of `from` beginning with `first` at the end of `node`, which has room for them. */
void kv_node_append(struct kv_node *node, const struct kv_node *from, uint32_t first);

#endif
