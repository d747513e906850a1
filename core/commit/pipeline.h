/*
 * What a batch goes through: evaluated, given to the instances, published.
 *
 * Threads: the committer alone, but for kv_pipeline_read_figures: any.
 */
#ifndef KV_PIPELINE_H
#define KV_PIPELINE_H

#include "core/commit/commit.h"
#include "core/commit/evaluate.h"
#include "core/commit/internal.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct kv_pipeline {
   struct kv_store *store;
   struct kv_data_limit limit;
   struct kv_reader *reader;
   struct kv_effects effects; /* of the last batch */
   int64_t expires_first;     /* no key's time comes before; Unix ms, INT64_MAX: no key's does */
   struct kv_targets targets;
   uint64_t (*reserve)(void *context, uint64_t sequence); /* NULL: not needed */
   void *reserve_context;
   uint64_t reserved; /* up to which sequence */
   /* As kv_commit_statistics; written by the committer, read by any thread. */
   atomic_bool keep_replaced; /* for the observer */
   _Atomic uint64_t failed_batches, changes, expired, buckets[KV_BATCH_BUCKETS];
};

/* False when memory runs out. To be undone in either case. */
bool kv_pipeline_init(struct kv_pipeline *pipeline, struct kv_store *store,
                      struct kv_data_limit limit);
void kv_pipeline_deinit(struct kv_pipeline *pipeline);

/* Commits a batch, or changes nothing and says why; `batch` may be NULL. With it at most `expire`
 * of the keys whose time has come are deleted. *separate: the active instance has no space for all
 * of it, and each submission is to be tried as a batch of its own. */
enum kv_code kv_pipeline_commit(struct kv_pipeline *pipeline, struct kv_submission *batch,
                                size_t expire, bool *separate, struct kv_status *status);
/* Looks at the store, which others may have filled: between two batches. */
void kv_pipeline_look(struct kv_pipeline *pipeline);

/* Fills in what it counts. */
void kv_pipeline_read_figures(const struct kv_pipeline *pipeline,
                              struct kv_commit_statistics *statistics);

#endif
