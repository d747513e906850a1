#include "core/commit/pipeline.h"

#include "core/commit/compound.h"
#include "core/commit/steps.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

bool kv_pipeline_init(struct kv_pipeline *pipeline, struct kv_store *store,
                      struct kv_data_limit limit)
{
   *pipeline = (struct kv_pipeline){.store = store,
                                    .limit = limit,
                                    .expires_first = INT64_MAX,
                                    .reader = kv_reader_create(store)};
   kv_effects_init(&pipeline->effects);
   kv_targets_init(&pipeline->targets, store);
   return pipeline->reader;
}

void kv_pipeline_deinit(struct kv_pipeline *pipeline)
{
   if (pipeline->reader)
      kv_reader_destroy(pipeline->reader);
   kv_effects_deinit(&pipeline->effects);
   kv_targets_deinit(&pipeline->targets);
}

static enum kv_code out_of_memory(struct kv_status *status)
{
   return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                  "the server is out of memory; nothing was changed");
}

static bool wants_sync(const struct kv_submission *batch, enum kv_durability offered)
{
   for (; batch; batch = batch->next)
      if (batch->durability == KV_DURABILITY_SYNCED && offered == KV_DURABILITY_SYNCED)
         return true;
   return false;
}

/* Up to where the answer needs what is kept: to the end, but for what was remembered long ago. */
static uint64_t sequence_of(const struct kv_submission *submission, uint64_t last_sequence)
{
   const struct kv_compound *compound = submission->compound;
   return compound && compound->repeated ? compound->version : last_sequence;
}

/* Whether any of it will be answered with success. */
static bool has_succeeded(const struct kv_submission *submission)
{
   if (submission->compound)
      return submission->compound->code == KV_OK;
   for (size_t i = submission->committed; i < submission->batch_end; i++)
      if (submission->operations[i].code == KV_OK)
         return true;
   return submission->count == 0;
}

/* A batch that changes nothing may still be the repetition of one that did, and whoever asks for
 * SYNCED gets it: what is there is synced together with a record of the server's own. */
static bool needs_mark(const struct kv_pipeline *pipeline, const struct kv_submission *batch,
                       enum kv_durability offered)
{
   const uint64_t sequence = pipeline->effects.last_sequence;
   if (pipeline->effects.count > 0 || offered < KV_DURABILITY_SYNCED)
      return false;
   for (; batch; batch = batch->next)
      if (batch->durability == KV_DURABILITY_SYNCED && has_succeeded(batch) &&
          kv_targets_reached(&pipeline->targets, sequence_of(batch, sequence), false) <
              KV_DURABILITY_SYNCED)
         return true;
   return false;
}

static bool mark(const struct kv_evaluation *evaluation)
{
   const struct kv_slice key = kv_slice(KV_SYNC_MARK, sizeof KV_SYNC_MARK - 1);
   const struct kv_decision decision = {.change = KV_CHANGE_PUT, .value = kv_slice("", 0)};
   uint64_t version;
   return kv_evaluation_apply(evaluation, key, kv_evaluation_find(evaluation, key), &decision, NULL,
                              &version);
}

/* *expired says how many keys were deleted as their time has come. */
static enum kv_code evaluate_all(struct kv_pipeline *pipeline, struct kv_submission *first,
                                 struct kv_transaction *transaction, size_t expire, size_t *expired,
                                 struct kv_status *status)
{
   const struct kv_evaluation evaluation = {.transaction = transaction,
                                            .effects = &pipeline->effects,
                                            .limit = pipeline->limit,
                                            .now_ms = kv_clock_unix_ms(),
                                            .offered = kv_targets_offer(&pipeline->targets)};
   const uint64_t before = kv_version_sequence(kv_reader_pin(pipeline->reader));
   kv_reader_unpin(pipeline->reader);
   kv_effects_reset(&pipeline->effects, before,
                    atomic_load_explicit(&pipeline->keep_replaced, memory_order_relaxed));
   for (struct kv_submission *next = first; next; next = next->next)
      if (!kv_evaluate(&evaluation, next))
         return out_of_memory(status);
   if (!kv_expire_step(&evaluation, expire, expired))
      return out_of_memory(status);
   if (needs_mark(pipeline, first, evaluation.offered) && !mark(&evaluation))
      return out_of_memory(status);
   KV_INVARIANT(pipeline->effects.last_sequence == before + pipeline->effects.count);
   return KV_OK;
}

/* The active instance has no space for a batch. One of several may be too large for what is left:
 * it must not keep the others, least of all deletes, from being committed. True when each is to be
 * tried. */
static bool try_separately(struct kv_pipeline *pipeline, struct kv_submission *batch,
                           size_t expired, const struct kv_status *status)
{
   if (!batch || (!batch->next && expired == 0)) {
      kv_targets_refused(&pipeline->targets, status, pipeline->effects.count);
      return false;
   }
   for (; batch; batch = batch->next)
      kv_evaluate_again(batch);
   return true;
}

/* One committer at a time: nothing else adds to it. */
static void add(_Atomic uint64_t *counter, uint64_t value)
{
   atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                         memory_order_relaxed);
}

static void count(struct kv_pipeline *pipeline, enum kv_code code, bool separate)
{
   uint64_t changes = pipeline->effects.count;
   if (code != KV_OK && !separate)
      add(&pipeline->failed_batches, 1);
   if (code != KV_OK || changes == 0)
      return;
   add(&pipeline->changes, changes);
   add(&pipeline->expired, pipeline->effects.expired);
   add(&pipeline->buckets[kv_histogram_bucket(KV_BATCH_SHAPE, changes - 1)], 1);
}

void kv_pipeline_read_figures(const struct kv_pipeline *pipeline,
                              struct kv_commit_statistics *statistics)
{
   statistics->failed_batches =
       atomic_load_explicit(&pipeline->failed_batches, memory_order_relaxed);
   statistics->expired = atomic_load_explicit(&pipeline->expired, memory_order_relaxed);
   statistics->changes = atomic_load_explicit(&pipeline->changes, memory_order_relaxed);
   for (size_t i = 0; i < KV_BATCH_BUCKETS; i++)
      statistics->buckets[i] = atomic_load_explicit(&pipeline->buckets[i], memory_order_relaxed);
}

static void tell_reached(const struct kv_pipeline *pipeline, struct kv_submission *batch,
                         bool synced)
{
   const uint64_t sequence = pipeline->effects.last_sequence;
   const enum kv_durability reached = kv_targets_reached(&pipeline->targets, sequence, synced);
   for (; batch; batch = batch->next) {
      const uint64_t needed = sequence_of(batch, sequence);
      batch->reached =
          needed == sequence ? reached : kv_targets_reached(&pipeline->targets, needed, synced);
   }
}

/* Nothing of a batch has happened; but what repeats a request that was carried out gets the answer
 * of that, by what is published. */
static void answer_repetitions(struct kv_pipeline *pipeline, struct kv_submission *batch)
{
   const struct kv_version *version = kv_reader_pin(pipeline->reader);
   const int64_t now_ms = kv_clock_unix_ms();
   for (; batch; batch = batch->next)
      if (kv_compound_is_remembered(version, now_ms, batch) && batch->compound->repeated)
         batch->reached = kv_targets_reached(&pipeline->targets, batch->compound->version, false);
   kv_reader_unpin(pipeline->reader);
}

/* The batch has been evaluated: has it kept, and publishes it. */
static enum kv_code write_and_publish(struct kv_pipeline *pipeline, struct kv_submission *batch,
                                      struct kv_transaction *transaction, struct kv_status *status)
{
   const struct kv_effects *effects = &pipeline->effects;
   const bool synced = wants_sync(batch, kv_targets_offer(&pipeline->targets));
   if (pipeline->reserve && effects->last_sequence > pipeline->reserved)
      pipeline->reserved = pipeline->reserve(pipeline->reserve_context, effects->last_sequence);
   enum kv_code code = kv_targets_write(&pipeline->targets, effects, synced, status);
   if (code != KV_OK) {
      kv_transaction_abort(transaction);
      return code;
   }
   pipeline->expires_first = kv_transaction_expires_first(transaction);
   kv_transaction_publish(transaction, effects->last_sequence);
   kv_targets_published(&pipeline->targets, effects);
   tell_reached(pipeline, batch, synced);
   return KV_OK;
}

static enum kv_code commit(struct kv_pipeline *pipeline, struct kv_submission *batch, size_t expire,
                           bool *separate, struct kv_status *status)
{
   const struct kv_effects *effects = &pipeline->effects;
   size_t expired = 0;
   *separate = false;
   if (kv_targets_check(&pipeline->targets, status) != KV_OK)
      return status->code;
   struct kv_transaction *transaction = kv_store_begin(pipeline->store);
   if (!transaction)
      return out_of_memory(status);

   enum kv_code code = evaluate_all(pipeline, batch, transaction, expire, &expired, status);
   if (code == KV_OK && effects->count > 0) {
      code = write_and_publish(pipeline, batch, transaction, status);
      *separate = code == KV_RESOURCE_EXHAUSTED && try_separately(pipeline, batch, expired, status);
   } else {
      pipeline->expires_first = kv_transaction_expires_first(transaction);
      kv_transaction_abort(transaction);
      if (code == KV_OK)
         tell_reached(pipeline, batch, false);
   }
   count(pipeline, code, *separate);
   kv_effects_drop(&pipeline->effects); /* large values would stay until the next batch */
   return code;
}

enum kv_code kv_pipeline_commit(struct kv_pipeline *pipeline, struct kv_submission *batch,
                                size_t expire, bool *separate, struct kv_status *status)
{
   enum kv_code code = commit(pipeline, batch, expire, separate, status);
   if (code != KV_OK && !*separate && pipeline->targets.active)
      answer_repetitions(pipeline, batch);
   return code;
}

void kv_pipeline_look(struct kv_pipeline *pipeline)
{
   struct kv_transaction *transaction = kv_store_begin(pipeline->store);
   pipeline->expires_first = transaction ? kv_transaction_expires_first(transaction) : 0;
   if (transaction)
      kv_transaction_abort(transaction);
}
