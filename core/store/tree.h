/*
 * A version, which is a B+tree, and its change into the next: nodes of older versions are copied,
 * and what they replace is retired; nodes of the running transaction are changed in place, and what
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

#include <sys/queue.h>

/* The working version of a transaction belongs to the writer; published, it never changes, and any
 * thread may read it for as long as it is pinned or held. */
struct kv_version {
   /* Born in its own version, retired by the next one; its number is its sequence + 1. */
   struct kv_object object;
   struct kv_node *root; /* NULL: empty */
   uint64_t count;       /* keys */
   uint64_t hidden;      /* of them */
   uint64_t bytes;       /* sum of key and value sizes */
};

/* The change of a version into the next. */
struct kv_transaction {
   struct kv_store *store;
   STAILQ_ENTRY(kv_transaction) queued; /* once committed (reclaim.h) */
   struct kv_version *version;          /* the working one */
   uint64_t birth;  /* the number after the current one: what is born from then on is its own */
   uint64_t since;  /* the same, and 0 when it is a replacement: all is its own */
   uint64_t newest; /* birth of the newest entry; at most the number it is published with */
   struct kv_node *last_leaf; /* of the working version, if known and born in it; or NULL */
   struct kv_retired retired; /* what older versions still use and this one does not */
};

/* Frees what was born in version `since` or later (0: everything). */
void kv_tree_free(struct kv_version *version, uint64_t since);
/* Puts every node, entry and separator on the list. False when memory runs out: then the list is of
 * no use. */
bool kv_tree_retire(const struct kv_version *version, struct kv_retired *list);

#endif
