/*
 * Evaluation: turns submissions into changes of a working version and the records that describe
 * them. Committer only, but for preparing; no I/O.
 */
#ifndef KV_EVALUATE_H
#define KV_EVALUATE_H

#include "core/commit/commit.h"
#include "core/commit/decide.h"
#include "core/commit/effects.h"
#include "core/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the data may take, see kv_commit_options. */
struct kv_data_limit {
   uint64_t bytes; /* 0: no limit */
   uint64_t key_cost;
};

/* What a batch is evaluated against. */
struct kv_evaluation {
   struct kv_transaction *transaction;
   struct kv_effects *effects;
   struct kv_data_limit limit;
   int64_t now_ms;             /* Unix time of the batch, by which keys expire in it */
   enum kv_durability offered; /* by the active instance, at best */
};

/* Makes the entries to be set ahead of evaluation, as far as memory allows. Any thread. */
void kv_prepare(struct kv_submission *submission);
/* Frees what was prepared and has not been evaluated. */
void kv_drop_prepared(struct kv_submission *submission);
/* Evaluates one submission's part of the batch (backlog.h) in order, results into its operations.
 * False when memory runs out: the transaction must be aborted and all its submissions refused. */
bool kv_evaluate(const struct kv_evaluation *evaluation, struct kv_submission *submission);
/* Takes back what kv_evaluate has counted, as the same part will be evaluated once more. */
void kv_evaluate_again(struct kv_submission *submission);

/* ---- For those that evaluate operations of some kind (compound.h, steps.h) ---- */

/* The entry of a key, whether or not its time has come. */
const struct kv_entry *kv_evaluation_find(const struct kv_evaluation *evaluation,
                                          struct kv_slice key);
/* By how much an entry in place of `old` (NULL: of none) makes the data grow; below 0: shrink. */
int64_t kv_evaluation_growth(const struct kv_evaluation *evaluation, const struct kv_entry *old,
                             struct kv_slice key, size_t value_size);
/* Whether the limit has no space for so much more. */
bool kv_evaluation_exceeds(const struct kv_evaluation *evaluation, int64_t growth);
/* Carries out what was decided of a key whose entry is `old`, which is deleted first where its time
 * has come. `prepared` is the entry to put, or NULL, and is owned from then on. *version is that of
 * the change. False as kv_evaluate. */
bool kv_evaluation_apply(const struct kv_evaluation *evaluation, struct kv_slice key,
                         const struct kv_entry *old, const struct kv_decision *decision,
                         struct kv_entry *prepared, uint64_t *version);
/* Deletes an entry, with a copy of its key in the record; `flags` as kv_effects_delete. */
bool kv_evaluation_remove(const struct kv_evaluation *evaluation, const struct kv_entry *entry,
                          uint32_t flags);

#endif
