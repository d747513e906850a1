#include "core/commit/evaluate.h"

#include "core/commit/compound.h"
#include "core/commit/steps.h"

#include <stdlib.h>

/* ---- What all kinds share ---- */

const struct kv_entry *kv_evaluation_find(const struct kv_evaluation *evaluation,
                                          struct kv_slice key)
{
   return kv_transaction_find(evaluation->transaction, key);
}

int64_t kv_evaluation_growth(const struct kv_evaluation *evaluation, const struct kv_entry *old,
                             struct kv_slice key, size_t value_size)
{
   if (!old)
      return (int64_t)(key.size + value_size + evaluation->limit.key_cost);
   return (int64_t)value_size - (int64_t)kv_entry_value(old).size;
}

bool kv_evaluation_exceeds(const struct kv_evaluation *evaluation, int64_t growth)
{
   const struct kv_data_limit limit = evaluation->limit;
   if (limit.bytes == 0 || growth <= 0)
      return false;
   uint64_t keys = limit.key_cost * kv_transaction_count(evaluation->transaction);
   return kv_transaction_bytes(evaluation->transaction) + keys + (uint64_t)growth > limit.bytes;
}

bool kv_evaluation_remove(const struct kv_evaluation *evaluation, const struct kv_entry *entry,
                          uint32_t flags)
{
   /* The entry may have been made in this batch; then it is freed here. */
   const struct kv_slice key = kv_effects_copy(evaluation->effects, kv_entry_key(entry));
   bool existed;
   return key.data && kv_effects_delete(evaluation->effects, key, flags, entry) &&
          kv_transaction_delete(evaluation->transaction, key, &existed);
}

static bool put(const struct kv_evaluation *evaluation, struct kv_slice key,
                const struct kv_entry *old, const struct kv_decision *decision,
                struct kv_entry *prepared)
{
   struct kv_effects *effects = evaluation->effects;
   struct kv_slice value = decision->value;
   if (decision->value_is_old) {
      value = kv_effects_keep_value(effects, old);
      if (!value.data)
         return false;
   }
   if (!kv_effects_set(effects, key, value, decision->expires_at, old)) {
      kv_entry_release(prepared);
      return false;
   }
   if (prepared)
      return kv_transaction_put(evaluation->transaction, prepared, effects->last_sequence);
   return kv_transaction_set(evaluation->transaction, key, value, decision->expires_at,
                             effects->last_sequence);
}

bool kv_evaluation_apply(const struct kv_evaluation *evaluation, struct kv_slice key,
                         const struct kv_entry *old, const struct kv_decision *decision,
                         struct kv_entry *prepared, uint64_t *version)
{
   struct kv_effects *effects = evaluation->effects;
   bool existed;
   if (old && !kv_entry_is_live(old, evaluation->now_ms)) {
      if (!kv_effects_delete(effects, key, KVS_RECORD_EXPIRED, old) ||
          !kv_transaction_delete(evaluation->transaction, key, &existed)) {
         kv_entry_release(prepared);
         return false;
      }
      old = NULL;
   }
   if (decision->change == KV_CHANGE_PUT
           ? !put(evaluation, key, old, decision, prepared)
           : !kv_effects_delete(effects, key, 0, old) ||
                 !kv_transaction_delete(evaluation->transaction, key, &existed))
      return false;
   *version = effects->last_sequence;
   return true;
}

/* ---- Single operations ---- */

static void drop_prepared(struct kv_operation *operation)
{
   kv_entry_release(operation->entry);
   operation->entry = NULL;
}

/* A set without terms need not look at what is there, unless somebody else wants it. */
static bool is_blind(const struct kv_evaluation *evaluation, const struct kv_operation *operation)
{
   return operation->kind == KV_OPERATION_SET && !operation->terms &&
          evaluation->limit.bytes == 0 && !evaluation->effects->keeps_replaced &&
          kv_transaction_expires_first(evaluation->transaction) > evaluation->now_ms;
}

static void reset_results(struct kv_operation *operation)
{
   operation->code = KV_OK;
   operation->reason = NULL;
   operation->version = 0;
   operation->expires_at = 0;
   operation->previous = NULL;
   operation->found = false;
}

static bool evaluate_operation(const struct kv_evaluation *evaluation,
                               struct kv_submission *submission, struct kv_operation *operation)
{
   if (operation->kind == KV_OPERATION_DELETE_RANGE)
      return kv_delete_range_step(evaluation, submission);
   reset_results(operation);
   const struct kv_entry *old =
       is_blind(evaluation, operation) ? NULL : kv_evaluation_find(evaluation, operation->key);
   const struct kv_state state =
       kv_state_of(kv_entry_is_live(old, evaluation->now_ms) ? old : NULL);
   const struct kv_decision decision = kv_decide(operation, &state, submission);
   if (decision.change == KV_CHANGE_PUT &&
       kv_evaluation_exceeds(
           evaluation, kv_evaluation_growth(evaluation, old, operation->key, decision.value.size)))
      kv_operation_refuse(operation, KV_RESOURCE_EXHAUSTED, KV_REASON_MEMORY_FULL);
   if (decision.change == KV_CHANGE_NONE || operation->code != KV_OK) {
      drop_prepared(operation);
      return true;
   }
   struct kv_entry *prepared = operation->entry;
   operation->entry = NULL;
   return kv_evaluation_apply(evaluation, operation->key, old, &decision, prepared,
                              &operation->version);
}

/* ---- Submissions ---- */

/* Only where the expiry is known before the key has been looked at. */
static bool may_prepare(const struct kv_operation *operation)
{
   return operation->kind == KV_OPERATION_SET &&
          (!operation->terms || operation->terms->expiry.kind != KV_EXPIRY_KEEP);
}

void kv_prepare(struct kv_submission *submission)
{
   for (size_t i = 0; i < submission->count; i++) {
      struct kv_operation *operation = &submission->operations[i];
      const struct kv_terms *terms = operation->terms;
      operation->entry = NULL;
      if (may_prepare(operation) && !submission->compound)
         operation->entry =
             kv_entry_create(operation->key, operation->value,
                             terms && terms->expiry.kind == KV_EXPIRY_AT ? terms->expiry.at_ms : 0);
   }
}

void kv_drop_prepared(struct kv_submission *submission)
{
   for (size_t i = 0; i < submission->count; i++)
      drop_prepared(&submission->operations[i]);
}

size_t kv_operations_keys(const struct kv_operation *operations, size_t count,
                          struct kv_slice keys[KV_PREFETCH_KEYS_MAX])
{
   if (count > KV_PREFETCH_KEYS_MAX)
      count = KV_PREFETCH_KEYS_MAX;
   for (size_t i = 0; i < count; i++)
      keys[i] = operations[i].key;
   return count;
}

static void refuse_all(struct kv_submission *submission, enum kv_code code, const char *reason)
{
   for (size_t i = submission->committed; i < submission->batch_end; i++) {
      reset_results(&submission->operations[i]);
      kv_operation_refuse(&submission->operations[i], code, reason);
      drop_prepared(&submission->operations[i]);
   }
   submission->step_count = 0;
   if (submission->compound) {
      submission->compound->code = code;
      submission->compound->reason = reason;
      submission->compound->failed = SIZE_MAX;
   }
}

bool kv_evaluate(const struct kv_evaluation *evaluation, struct kv_submission *submission)
{
   submission->result_before = submission->result_max;
   if (submission->compound &&
       kv_compound_is_remembered(kv_transaction_version(evaluation->transaction),
                                 evaluation->now_ms, submission))
      return true;
   if (submission->durability > evaluation->offered) {
      refuse_all(submission, KV_FAILED_PRECONDITION, KV_REASON_DURABILITY_NOT_OFFERED);
      return true;
   }
   if (submission->compound)
      return kv_compound_evaluate(evaluation, submission);
   struct kv_slice keys[KV_PREFETCH_KEYS_MAX];
   for (size_t i = submission->committed; i < submission->batch_end; i++) {
      if (submission->count > 1 && (i - submission->committed) % KV_PREFETCH_KEYS_MAX == 0)
         kv_transaction_prefetch(
             evaluation->transaction, keys,
             kv_operations_keys(&submission->operations[i], submission->batch_end - i, keys));
      if (!evaluate_operation(evaluation, submission, &submission->operations[i]))
         return false;
   }
   return true;
}

void kv_evaluate_again(struct kv_submission *submission)
{
   submission->unfinished = false;
   submission->result_max = submission->result_before;
}
