/*
 * What a batch goes through: evaluated, given to the instances, published.
 *
 * Threads: the committer alone.
 */
#ifndef KV_PIPELINE_H
#define KV_PIPELINE_H

#include "core/commit/internal.h"

#include <stdbool.h>
#include <stdint.h>

struct kv_pipeline {
   struct kv_store *store;
   struct kv_data_limit limit;
   struct kv_reader *reader;
   struct kv_effects effects; /* of the last batch */
   struct kv_targets targets;
};

/* False when memory runs out. To be undone in either case. */
bool kv_pipeline_init(struct kv_pipeline *pipeline, struct kv_store *store,
                      struct kv_data_limit limit);
void kv_pipeline_deinit(struct kv_pipeline *pipeline);

/* Commits a batch, or changes nothing and says why. *separate: the active instance has no space for
 * all of it, and each submission is to be tried as a batch of its own. */
enum kv_code kv_pipeline_commit(struct kv_pipeline *pipeline, struct kv_submission *batch,
                                bool *separate, struct kv_status *status);

#endif
