/*
 * Hands every change of the data on to those who watch: as the commit pipeline publishes it, and as
 * the load of a start finds it.
 *
 * Threads: the committer's, or the control thread's while nothing is committed.
 */
#ifndef KV_CHANGES_H
#define KV_CHANGES_H

#include "core/commit/targets.h"
#include "core/control/versions.h"
#include "core/watch/watchers.h"

struct kv_changes {
   struct kv_watchers *watchers; /* NULL: nobody can watch */
   bool has_history;             /* the load has told one */
   struct kv_reader *reader;     /* of the store: large values are kept from where they lie */
};

/* False when memory runs out. */
bool kv_changes_init(struct kv_changes *changes, struct kv_watchers *watchers,
                     struct kv_store *store);
void kv_changes_deinit(struct kv_changes *changes);

/* As kv_commit_observer.published. */
void kv_changes_publish(struct kv_changes *changes, const kvs_record *records,
                        const struct kv_replaced *previous, size_t count);
/* As kv_instance_observer.complete_above and .loaded. */
void kv_changes_begin(struct kv_changes *changes, uint64_t sequence);
void kv_changes_load(struct kv_changes *changes, const kvs_record *record,
                     const struct kv_entry *previous);
/* All is loaded. */
void kv_changes_loaded(struct kv_changes *changes, const struct kv_versions_start *start);
/* Other data took the place of all. */
void kv_changes_replaced(struct kv_changes *changes, uint64_t sequence);

#endif
