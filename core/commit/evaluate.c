#include "core/commit/evaluate.h"

#include <stdlib.h>

void kv_effects_reset(struct kv_effects *effects, uint64_t sequence)
{
   effects->count = 0;
   effects->last_sequence = sequence;
}

void kv_effects_deinit(struct kv_effects *effects)
{
   free(effects->records);
}

static bool append_effect(struct kv_effects *effects, uint32_t kind,
                          const struct kv_operation *operation)
{
   if (effects->count == effects->capacity) {
      size_t capacity = effects->capacity ? effects->capacity * 2 : 256;
      kvs_record *records = reallocarray(effects->records, capacity, sizeof *records);
      if (!records)
         return false;
      effects->records = records;
      effects->capacity = capacity;
   }
   kvs_record *record = &effects->records[effects->count++];
   *record = (kvs_record){
       .sequence = ++effects->last_sequence,
       .kind = kind,
       .key = {operation->key.data, operation->key.size},
   };
   if (kind == KVS_SET)
      record->value = (kvs_bytes){operation->value.data, operation->value.size};
   return true;
}

/* By how much a set makes the data grow; 0 when it does not. */
static uint64_t growth_of(const struct kv_operation *operation,
                          const struct kv_transaction *transaction, uint64_t key_cost)
{
   if (operation->kind != KV_OPERATION_SET)
      return 0;
   const struct kv_entry *old = kv_transaction_find(transaction, operation->key);
   if (!old)
      return operation->key.size + operation->value.size + key_cost;
   const size_t old_size = kv_entry_value(old).size;
   return operation->value.size > old_size ? operation->value.size - old_size : 0;
}

static bool exceeds(struct kv_data_limit limit, uint64_t growth,
                    const struct kv_transaction *transaction)
{
   uint64_t keys = limit.key_cost * kv_transaction_count(transaction);
   return growth > 0 && kv_transaction_bytes(transaction) + keys + growth > limit.bytes;
}

/* Whether an atomic submission does not fit as a whole. A key that it sets twice counts twice:
 * close to the limit it may be refused although it would just have fitted. */
static bool atomic_exceeds(const struct kv_submission *submission,
                           const struct kv_transaction *transaction, struct kv_data_limit limit)
{
   uint64_t growth = 0;
   for (size_t i = 0; i < submission->count; i++)
      growth += growth_of(&submission->operations[i], transaction, limit.key_cost);
   return exceeds(limit, growth, transaction);
}

/* A value that the submission has no memory for is refused: it is nobody else's failure. */
static void evaluate_get(struct kv_operation *operation, const struct kv_transaction *transaction,
                         struct kv_submission *submission)
{
   const struct kv_entry *entry = kv_transaction_find(transaction, operation->key);
   operation->found = entry;
   if (!entry)
      return;
   const struct kv_slice value = kv_entry_value(entry);
   if (value.size > submission->result_max) {
      operation->code = KV_RESOURCE_EXHAUSTED;
      return;
   }
   /* A later write of the same batch may free the value. */
   void *copy = kv_arena_copy(submission->arena, value.data, value.size);
   if (copy) {
      submission->result_max -= value.size;
      operation->value = kv_slice(copy, value.size);
   } else {
      operation->code = KV_RESOURCE_EXHAUSTED;
   }
}

static void drop_prepared(struct kv_operation *operation)
{
   kv_entry_release(operation->entry);
   operation->entry = NULL;
}

static bool evaluate_set(struct kv_operation *operation, struct kv_transaction *transaction,
                         struct kv_effects *effects)
{
   if (!append_effect(effects, KVS_SET, operation))
      return false;
   struct kv_entry *entry = operation->entry;
   operation->entry = NULL;
   const uint64_t sequence = effects->last_sequence;
   return entry ? kv_transaction_put(transaction, entry, sequence)
                : kv_transaction_set(transaction, operation->key, operation->value, 0, sequence);
}

static bool evaluate_operation(struct kv_operation *operation, struct kv_transaction *transaction,
                               struct kv_data_limit limit, struct kv_submission *submission,
                               struct kv_effects *effects)
{
   operation->code = KV_OK;
   switch (operation->kind) {
   case KV_OPERATION_GET:
      evaluate_get(operation, transaction, submission);
      return true;
   case KV_OPERATION_DELETE:
      if (!kv_transaction_delete(transaction, operation->key, &operation->found))
         return false;
      return !operation->found || append_effect(effects, KVS_DELETE, operation);
   case KV_OPERATION_SET:
      if (limit.bytes > 0 &&
          exceeds(limit, growth_of(operation, transaction, limit.key_cost), transaction)) {
         operation->code = KV_RESOURCE_EXHAUSTED;
         drop_prepared(operation);
         return true;
      }
      return evaluate_set(operation, transaction, effects);
   }
   return true;
}

void kv_prepare(struct kv_submission *submission)
{
   for (size_t i = 0; i < submission->count; i++) {
      struct kv_operation *operation = &submission->operations[i];
      operation->entry = operation->kind == KV_OPERATION_SET
                             ? kv_entry_create(operation->key, operation->value, 0)
                             : NULL;
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

static void join_effects(kvs_record *records, size_t count)
{
   for (size_t i = 0; i + 1 < count; i++)
      records[i].flags |= KVS_RECORD_JOINED;
}

bool kv_evaluate(struct kv_submission *submission, struct kv_transaction *transaction,
                 struct kv_data_limit limit, struct kv_effects *effects)
{
   if (submission->atomic && limit.bytes > 0 && atomic_exceeds(submission, transaction, limit)) {
      submission->refused = true;
      kv_drop_prepared(submission);
      return true;
   }
   /* What fitted as a whole is not weighed again one by one. */
   if (submission->atomic)
      limit.bytes = 0;
   size_t before = effects->count;
   struct kv_slice keys[KV_PREFETCH_KEYS_MAX];
   for (size_t i = submission->committed; i < submission->batch_end; i++) {
      if (submission->count > 1 && (i - submission->committed) % KV_PREFETCH_KEYS_MAX == 0)
         kv_transaction_prefetch(
             transaction, keys,
             kv_operations_keys(&submission->operations[i], submission->batch_end - i, keys));
      if (!evaluate_operation(&submission->operations[i], transaction, limit, submission, effects))
         return false;
   }
   if (submission->atomic)
      join_effects(effects->records + before, effects->count - before);
   return true;
}

void kv_evaluate_again(struct kv_submission *submission)
{
   submission->refused = false;
   for (size_t i = submission->committed; i < submission->batch_end; i++) {
      struct kv_operation *operation = &submission->operations[i];
      if (operation->kind != KV_OPERATION_GET || operation->code != KV_OK || !operation->found)
         continue;
      submission->result_max += operation->value.size;
      operation->value = kv_slice(NULL, 0);
   }
}
