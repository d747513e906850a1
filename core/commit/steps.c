#include "core/commit/steps.h"

/* Of a step: about a millisecond, and what a disk writes in one. */
#define STEP_KEYS 1000
#define STEP_BYTES ((size_t)1024 * 1024)
/* At how many entries a step looks for each that it may find. */
#define LOOKS_PER_KEY 10

/* The end of a range: all keys from there on are above its bytes. */
static bool is_beyond(const struct kv_entry *entry, struct kv_slice end)
{
   return end.size > 0 && kv_slice_compare(kv_entry_key(entry), end) >= 0;
}

/* What deleting an entry copies. */
static size_t size_of_copies(const struct kv_effects *effects, const struct kv_entry *entry)
{
   const size_t value = kv_entry_value(entry).size;
   return kv_entry_key(entry).size +
          (effects->keeps_replaced && value < KV_ENTRY_KEEP_MIN ? value : 0);
}

/* Copies the keys of the range from operation->key on, as many as a step has; SIZE_MAX when memory
 * runs out. */
static size_t take_keys(const struct kv_evaluation *evaluation,
                        const struct kv_operation *operation, struct kv_slice keys[STEP_KEYS],
                        bool *more)
{
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   size_t count = 0, bytes = 0;
   kv_cursor_seek(&cursor, kv_transaction_version(evaluation->transaction), operation->key);
   *more = false;
   while ((entry = kv_cursor_next(&cursor)) && !is_beyond(entry, operation->value)) {
      if (count == STEP_KEYS || bytes > STEP_BYTES) {
         *more = true;
         break;
      }
      keys[count] = kv_effects_copy(evaluation->effects, kv_entry_key(entry));
      if (!keys[count].data)
         return SIZE_MAX;
      count++;
      bytes += size_of_copies(evaluation->effects, entry);
   }
   return count;
}

/* From the key that comes directly after `last` on. */
static bool go_on_after(struct kv_slice last, struct kv_submission *submission)
{
   char *next = kv_arena_alloc(submission->arena, last.size + 1);
   if (!next)
      return false;
   memcpy(next, last.data, last.size);
   next[last.size] = '\0';
   submission->next_key = kv_slice(next, last.size + 1);
   submission->unfinished = true;
   return true;
}

bool kv_delete_range_step(const struct kv_evaluation *evaluation, struct kv_submission *submission)
{
   struct kv_operation *operation = &submission->operations[0];
   struct kv_slice keys[STEP_KEYS];
   bool more, existed;
   const size_t first = evaluation->effects->count;
   const size_t count = take_keys(evaluation, operation, keys, &more);
   submission->step_count = 0;
   if (count == SIZE_MAX)
      return false;
   for (size_t i = 0; i < count; i++) {
      const struct kv_entry *entry = kv_evaluation_find(evaluation, keys[i]);
      const bool is_live = kv_entry_is_live(entry, evaluation->now_ms);
      if (!kv_effects_delete(evaluation->effects, keys[i], is_live ? 0 : KVS_RECORD_EXPIRED,
                             entry) ||
          !kv_transaction_delete(evaluation->transaction, keys[i], &existed))
         return false;
      submission->step_count += is_live;
      operation->version = evaluation->effects->last_sequence;
   }
   kv_effects_join(evaluation->effects, first);
   if (more && !go_on_after(keys[count - 1], submission))
      kv_operation_refuse(operation, KV_RESOURCE_EXHAUSTED, NULL); /* the rest of it */
   return true;
}

bool kv_expire_step(const struct kv_evaluation *evaluation, size_t max, size_t *count)
{
   const struct kv_entry *entry;
   size_t bytes = 0, looks = max * LOOKS_PER_KEY;
   *count = 0;
   while (
       *count < max && bytes < STEP_BYTES &&
       (entry = kv_transaction_find_expired(evaluation->transaction, evaluation->now_ms, &looks))) {
      bytes += size_of_copies(evaluation->effects, entry);
      if (!kv_evaluation_remove(evaluation, entry, KVS_RECORD_EXPIRED))
         return false;
      ++*count;
   }
   return true;
}
