/*
 * Evaluation: turns submissions into changes of a working version and the records that describe
 * them. Committer only, but for preparing; no I/O.
 */
#ifndef KV_EVALUATE_H
#define KV_EVALUATE_H

#include "core/commit/commit.h"
#include "core/store/store.h"
#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the data may take, see kv_commit_options. */
struct kv_data_limit {
   uint64_t bytes; /* 0: no limit */
   uint64_t key_cost;
};

/* The effects of one batch. Keys and values point into the submissions. */
struct kv_effects {
   kvs_record *records;
   size_t count, capacity;
   uint64_t last_sequence; /* of the newest record, or of the state before the batch */
};

/* `sequence`: of the state that the batch builds on. Keeps the memory of earlier batches. */
void kv_effects_reset(struct kv_effects *effects, uint64_t sequence);
void kv_effects_deinit(struct kv_effects *effects);

/* Makes the entries to be set ahead of evaluation, as far as memory allows. Any thread. */
void kv_prepare(struct kv_submission *submission);
/* Frees what was prepared and has not been evaluated. */
void kv_drop_prepared(struct kv_submission *submission);
/* Evaluates one submission's part of the batch (backlog.h) in order, results into its operations.
 * False when memory runs out: the transaction must be aborted and all its submissions refused. */
bool kv_evaluate(struct kv_submission *submission, struct kv_transaction *transaction,
                 struct kv_data_limit limit, struct kv_effects *effects);
/* Takes back what kv_evaluate has counted, as the same part will be evaluated once more. */
void kv_evaluate_again(struct kv_submission *submission);

#endif
