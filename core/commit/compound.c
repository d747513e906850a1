#include "core/commit/compound.h"

#include "core/support/invariant.h"

#include <xxhash.h>

/* An operation that has been decided and not carried out yet. */
struct planned {
   struct kv_decision decision;
   struct kv_state after; /* of its key */
};

/* What the operations of a compound will do. */
struct plan {
   const struct kv_evaluation *evaluation;
   struct kv_submission *submission;
   struct kv_operation *operations; /* those to be carried out */
   size_t count;
   struct planned *planned; /* of each */
   /* By the hash of the key, the last operation that changes it, from 1; 0: free. */
   uint32_t *table;
   size_t mask;
   uint64_t sequence; /* of the last record so far */
   int64_t growth;
};

static bool refuse(struct kv_submission *submission, enum kv_code code, const char *reason,
                   size_t failed)
{
   struct kv_compound *compound = submission->compound;
   compound->code = code;
   compound->reason = reason;
   compound->failed = failed;
   return false;
}

/* ---- What has been decided so far ---- */

/* The place of a key in the table, or where it would be. */
static uint32_t *place_of(const struct plan *plan, struct kv_slice key)
{
   for (size_t i = XXH3_64bits(key.data, key.size);; i++) {
      uint32_t *place = &plan->table[i & plan->mask];
      if (*place == 0 || kv_slice_compare(plan->operations[*place - 1].key, key) == 0)
         return place;
   }
}

static bool plan_init(struct plan *plan)
{
   size_t slots = 8;
   while (slots < plan->count * 2)
      slots *= 2;
   struct kv_arena *arena = plan->submission->arena;
   plan->planned = kv_arena_alloc(arena, plan->count * sizeof *plan->planned + 1);
   plan->table = kv_arena_alloc(arena, slots * sizeof *plan->table);
   if (!plan->planned || !plan->table)
      return refuse(plan->submission, KV_RESOURCE_EXHAUSTED, NULL, SIZE_MAX);
   memset(plan->table, 0, slots * sizeof *plan->table);
   plan->mask = slots - 1;
   return true;
}

/* ---- Comparisons ---- */

static bool comparisons_hold(const struct kv_evaluation *evaluation,
                             const struct kv_compound *compound)
{
   for (size_t i = 0; i < compound->comparison_count; i++) {
      const struct kv_requirement *comparison = &compound->comparisons[i];
      const struct kv_entry *entry = kv_evaluation_find(evaluation, comparison->key);
      if (!kv_requirement_holds(comparison, entry, evaluation->now_ms))
         return false;
   }
   return true;
}

/* ---- Planning ---- */

/* The value of an entry that may be gone when it is put again. */
static bool keep_value(struct plan *plan, struct kv_decision *decision)
{
   if (!decision->value_is_old)
      return true;
   decision->value = kv_effects_copy(plan->evaluation->effects, decision->value);
   decision->value_is_old = false;
   return decision->value.data;
}

static void note_change(struct plan *plan, size_t index, uint32_t *place,
                        const struct kv_decision *decision)
{
   struct kv_operation *operation = &plan->operations[index];
   struct planned *planned = &plan->planned[index];
   operation->version = ++plan->sequence;
   planned->after = (struct kv_state){0};
   if (decision->change == KV_CHANGE_PUT)
      planned->after = (struct kv_state){.exists = true,
                                         .value = decision->value,
                                         .version = operation->version,
                                         .expires_at = decision->expires_at};
   *place = (uint32_t)index + 1;
}

static int64_t growth_of(const struct plan *plan, const struct kv_operation *operation,
                         const struct kv_state *before, const struct kv_decision *decision)
{
   const int64_t cost = (int64_t)(operation->key.size + plan->evaluation->limit.key_cost);
   const int64_t was = before->exists ? cost + (int64_t)before->value.size : 0;
   const int64_t is = decision->change == KV_CHANGE_PUT ? cost + (int64_t)decision->value.size : 0;
   return is - was;
}

/* What is there of a key whose place that is; *is_due: its time has come, so that it is missing. */
static struct kv_state stored_of(const struct plan *plan, struct kv_slice key, uint32_t place,
                                 bool *is_due)
{
   const struct kv_state stored = place != 0
                                      ? plan->planned[place - 1].after
                                      : kv_state_of(kv_evaluation_find(plan->evaluation, key));
   *is_due =
       stored.exists && stored.expires_at != 0 && stored.expires_at <= plan->evaluation->now_ms;
   return stored;
}

/* Tells of the key of an operation whose condition does not hold what is so when nothing of the
 * compound has happened. */
static void tell_as_it_stands(const struct plan *plan, struct kv_operation *operation)
{
   const struct kv_entry *entry = kv_evaluation_find(plan->evaluation, operation->key);
   operation->found = kv_entry_is_live(entry, plan->evaluation->now_ms);
   operation->version = operation->found ? kv_entry_version(entry) : 0;
}

/* False when it is refused. */
static bool plan_operation(struct plan *plan, size_t index)
{
   static const struct kv_state missing;
   struct kv_operation *operation = &plan->operations[index];
   uint32_t *place = place_of(plan, operation->key);
   bool is_due;
   const struct kv_state stored = stored_of(plan, operation->key, *place, &is_due);
   operation->code = KV_OK;
   operation->reason = NULL;
   operation->version = 0;
   operation->previous = NULL;
   struct kv_decision decision =
       kv_decide(operation, is_due ? &missing : &stored, plan->submission);
   if (operation->code != KV_OK) {
      tell_as_it_stands(plan, operation);
      return refuse(plan->submission, operation->code, operation->reason, index);
   }
   if (!keep_value(plan, &decision))
      return refuse(plan->submission, KV_RESOURCE_EXHAUSTED, NULL, index);
   plan->planned[index].decision = decision;
   if (decision.change == KV_CHANGE_NONE)
      return true;
   plan->growth += growth_of(plan, operation, &stored, &decision);
   plan->sequence += is_due; /* that it is deleted is a record of its own */
   note_change(plan, index, place, &decision);
   return true;
}

/* ---- Remembered requests ---- */

static void reset_results(struct kv_compound *compound)
{
   compound->code = KV_OK;
   compound->reason = NULL;
   compound->failed = SIZE_MAX;
   compound->repeated = false;
}

/* What is stored: the digest of the request, then the answer. */
bool kv_compound_is_remembered(const struct kv_version *version, int64_t now_ms,
                               struct kv_submission *submission)
{
   struct kv_compound *compound = submission->compound;
   if (!compound || !compound->request)
      return false;
   reset_results(compound);
   const struct kv_remembered *request = compound->request;
   const struct kv_entry *entry = kv_version_find(version, request->key);
   if (!kv_entry_is_live(entry, now_ms))
      return false;
   const struct kv_slice stored = kv_entry_value(entry);
   if (!kv_slice_begins_with(stored, request->digest)) {
      refuse(submission, KV_INVALID_ARGUMENT, KV_REASON_REQUEST_ID_REUSED, SIZE_MAX);
      return true;
   }
   const size_t skip = request->digest.size, size = stored.size - skip;
   void *copy = kv_arena_copy(submission->arena, (const char *)stored.data + skip, size);
   if (!copy) {
      refuse(submission, KV_RESOURCE_EXHAUSTED, NULL, SIZE_MAX);
      return true;
   }
   compound->repeated = true;
   compound->answer = kv_slice(copy, size);
   compound->version = kv_entry_version(entry);
   return true;
}

/* What is to be stored, in the memory of the effects; false when it is refused. */
static bool plan_memory(struct plan *plan, struct kv_slice *stored)
{
   struct kv_submission *submission = plan->submission;
   const struct kv_remembered *request = submission->compound->request;
   const struct kv_slice answer = request->encode(submission);
   if (!answer.data)
      return refuse(submission, KV_RESOURCE_EXHAUSTED, NULL, SIZE_MAX);
   if (answer.size > KV_REMEMBERED_ANSWER_MAX)
      return refuse(submission, KV_RESOURCE_EXHAUSTED, KV_REASON_ANSWER_TOO_LARGE, SIZE_MAX);
   const size_t size = request->digest.size + answer.size;
   char *copy = kv_arena_alloc(&plan->evaluation->effects->arena, size);
   if (!copy)
      return refuse(submission, KV_RESOURCE_EXHAUSTED, NULL, SIZE_MAX);
   memcpy(copy, request->digest.data, request->digest.size);
   memcpy(copy + request->digest.size, answer.data, answer.size);
   *stored = kv_slice(copy, size);
   const struct kv_entry *old = kv_evaluation_find(plan->evaluation, request->key);
   plan->growth += kv_evaluation_growth(plan->evaluation, old, request->key, size);
   return true;
}

static bool remember(const struct plan *plan, struct kv_slice stored)
{
   const struct kv_remembered *request = plan->submission->compound->request;
   const struct kv_decision decision = {
       .change = KV_CHANGE_PUT, .value = stored, .expires_at = request->expires_at};
   uint64_t version;
   return kv_evaluation_apply(plan->evaluation, request->key,
                              kv_evaluation_find(plan->evaluation, request->key), &decision, NULL,
                              &version);
}

/* ---- The whole ---- */

static bool carry_out(const struct plan *plan)
{
   for (size_t i = 0; i < plan->count; i++) {
      struct kv_operation *operation = &plan->operations[i];
      const struct kv_decision *decision = &plan->planned[i].decision;
      uint64_t version;
      if (decision->change == KV_CHANGE_NONE)
         continue;
      if (!kv_evaluation_apply(plan->evaluation, operation->key,
                               kv_evaluation_find(plan->evaluation, operation->key), decision, NULL,
                               &version))
         return false;
      KV_INVARIANT(version == operation->version);
   }
   return true;
}

/* False when nothing is to be carried out. */
static bool plan_all(struct plan *plan, struct kv_slice *stored)
{
   struct kv_submission *submission = plan->submission;
   struct kv_compound *compound = submission->compound;
   const size_t from = compound->succeeded ? 0 : compound->otherwise;
   plan->operations = submission->operations + from;
   plan->count = (compound->succeeded ? compound->otherwise : submission->count) - from;
   if (!plan_init(plan))
      return false;
   for (size_t i = 0; i < plan->count; i++) {
      if (!plan_operation(plan, i)) {
         compound->failed += compound->failed != SIZE_MAX ? from : 0;
         return false;
      }
   }
   compound->version = plan->sequence;
   if (compound->request && !plan_memory(plan, stored))
      return false;
   if (kv_evaluation_exceeds(plan->evaluation, plan->growth))
      return refuse(submission, KV_RESOURCE_EXHAUSTED, KV_REASON_MEMORY_FULL, SIZE_MAX);
   return true;
}

bool kv_compound_evaluate(const struct kv_evaluation *evaluation, struct kv_submission *submission)
{
   struct kv_compound *compound = submission->compound;
   struct plan plan = {.evaluation = evaluation,
                       .submission = submission,
                       .sequence = evaluation->effects->last_sequence};
   reset_results(compound);
   compound->succeeded = comparisons_hold(evaluation, compound);
   const size_t first = evaluation->effects->count;
   struct kv_slice stored = {0};
   if (!plan_all(&plan, &stored))
      return true;
   if (!carry_out(&plan) || (compound->request && !remember(&plan, stored)))
      return false;
   kv_effects_join(evaluation->effects, first);
   return true;
}
