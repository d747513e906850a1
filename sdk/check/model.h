/*
 * What the plug-in must have kept: states in the server's own store, and their comparison.
 *
 * Threads: one writer; reading beside it is what the store allows.
 */
#ifndef SDK_CHECK_MODEL_H
#define SDK_CHECK_MODEL_H

#include "core/store/store.h"
#include "kvstore/plugin.h"
#include "sdk/check/workload.h"

#include <stdbool.h>
#include <stddef.h>

struct kv_store *model_create(void);
/* Applies the records and publishes the state at the sequence of the last one. */
void model_apply(struct kv_store *store, const kvs_record *records, size_t count);
uint64_t model_sequence(struct kv_store *store);
struct kv_store *model_copy(struct kv_store *store);
/* False, and the first difference in words. Versions of `found` must be those of `expected`; where
 * the plug-in that gave it back keeps none through a checkpoint (KVS_PLUGIN_VERSIONS), they may be
 * above, up to the sequence of the whole. */
bool model_equal(const kvs_plugin *plugin, struct kv_store *expected, struct kv_store *found,
                 char *difference, size_t size);

/* The state that a workload has made after some number of groups. */
struct model {
   const struct workload *workload;
   struct kv_store *store;
   uint64_t groups; /* applied: those with the numbers 0 to groups - 1 */
};

void model_begin(struct model *model, const struct workload *workload);
/* Moves to the state at `sequence`, forwards or back. False when no state of the workload has this
 * sequence. */
bool model_move_to(struct model *model, uint64_t sequence);
void model_end(struct model *model);

#endif
