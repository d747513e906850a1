/*
 * The B+tree of one version, and its change into the next: nodes of older versions are copied, and
 * what they replace is retired; nodes of the running transaction are changed in place, and what
 * they replace is freed at once.
 *
 * Leaves filled in ascending order stay full. Neighbours that together would fill no more than
 * three quarters of a node are merged when one of them shrinks.
 *
 * Reading: any thread, any tree that is not being edited. Editing: the writer.
 */
#ifndef KV_STORE_TREE_H
#define KV_STORE_TREE_H

#include "core/store/node.h"
#include "core/store/retired.h"
#include "core/store/store.h"

struct kv_tree {
   struct kv_node *root; /* NULL: empty */
   uint64_t count;       /* keys */
   uint64_t bytes;       /* sum of key and value sizes */
};

/* A change in progress. */
struct kv_tree_edit {
   struct kv_tree *tree;      /* the working version */
   uint64_t birth;            /* its number */
   struct kv_node *last_leaf; /* of the working version, if known and born in it; or NULL */
   struct kv_retired retired; /* what older versions still use and this one does not */
};

/* The entry of `key`, or NULL. */
const struct kv_entry *kv_tree_find(const struct kv_tree *tree, struct kv_slice key);
/* As kv_version_prefetch. */
void kv_tree_prefetch(const struct kv_tree *tree, const struct kv_slice *keys, size_t count);
/* Both return false when memory runs out: the tree is then consistent, but the edit must be undone.
 * kv_tree_set owns the entry from now on, whatever it returns. */
bool kv_tree_set(struct kv_tree_edit *edit, struct kv_entry *entry);
bool kv_tree_delete(struct kv_tree_edit *edit, struct kv_slice key, bool *existed);
/* Frees what was born in version `since` or later (0: everything). */
void kv_tree_free(struct kv_tree *tree, uint64_t since);

#endif
