#include "core/commit/pipeline.h"

#include "core/support/invariant.h"

bool kv_pipeline_init(struct kv_pipeline *pipeline, struct kv_store *store,
                      struct kv_data_limit limit)
{
   *pipeline =
       (struct kv_pipeline){.store = store, .limit = limit, .reader = kv_reader_create(store)};
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

static enum kv_code evaluate_all(struct kv_pipeline *pipeline, struct kv_submission *batch,
                                 struct kv_transaction *transaction, struct kv_status *status)
{
   const uint64_t before = kv_version_sequence(kv_reader_pin(pipeline->reader));
   kv_reader_unpin(pipeline->reader);
   kv_effects_reset(&pipeline->effects, before);
   for (; batch; batch = batch->next)
      if (!kv_evaluate(batch, transaction, pipeline->limit, &pipeline->effects))
         return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                        "the server is out of memory; nothing was changed");
   KV_INVARIANT(pipeline->effects.last_sequence == before + pipeline->effects.count);
   return KV_OK;
}

/* The active instance has no space for a batch. One of several may be too large for what is left:
 * it must not keep the others, least of all deletes, from being committed. True when each is to be
 * tried. */
static bool try_separately(struct kv_pipeline *pipeline, struct kv_submission *batch,
                           const struct kv_status *status)
{
   if (!batch->next) {
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
   add(&pipeline->buckets[kv_histogram_bucket(KV_BATCH_SHAPE, changes - 1)], 1);
}

void kv_pipeline_read_figures(const struct kv_pipeline *pipeline,
                              struct kv_commit_statistics *statistics)
{
   statistics->failed_batches =
       atomic_load_explicit(&pipeline->failed_batches, memory_order_relaxed);
   statistics->changes = atomic_load_explicit(&pipeline->changes, memory_order_relaxed);
   for (size_t i = 0; i < KV_BATCH_BUCKETS; i++)
      statistics->buckets[i] = atomic_load_explicit(&pipeline->buckets[i], memory_order_relaxed);
}

enum kv_code kv_pipeline_commit(struct kv_pipeline *pipeline, struct kv_submission *batch,
                                bool *separate, struct kv_status *status)
{
   const struct kv_effects *effects = &pipeline->effects;
   *separate = false;
   if (kv_targets_check(&pipeline->targets, status) != KV_OK)
      return status->code;
   struct kv_transaction *transaction = kv_store_begin(pipeline->store);
   if (!transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                     "the server is out of memory; nothing was changed");

   enum kv_code code = evaluate_all(pipeline, batch, transaction, status);
   if (code == KV_OK && effects->count > 0) {
      code = kv_targets_write(&pipeline->targets, effects, status);
      *separate = code == KV_RESOURCE_EXHAUSTED && try_separately(pipeline, batch, status);
   }
   if (code == KV_OK && effects->count > 0)
      kv_transaction_publish(transaction, effects->last_sequence);
   else
      kv_transaction_abort(transaction);
   count(pipeline, code, *separate);
   return code;
}
