/*
 * One state of the store: a tree and what is known of it as a whole. The working version of a
 * transaction belongs to the writer; published, it never changes and any thread may read it for as
 * long as it is pinned or held.
 */
#ifndef KV_STORE_VERSION_H
#define KV_STORE_VERSION_H

#include "core/store/tree.h"

struct kv_version {
   struct kv_object object; /* born in its own version, retired by the next one */
   uint64_t sequence;
   struct kv_tree tree;
};

#endif
