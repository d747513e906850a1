/*
 * The live switch. In order:
 *
 * 1. Open the candidate in a fresh generation directory.
 *
 * 2. Between two batches: attach it, so that it is given every batch from then on, and take a view
 *    of the state so far (sequence S).
 *
 * 3. Checkpoint the view in the candidate. Writes go on meanwhile; the old mode decides their
 *    acknowledgement. A candidate with a log has the batches above S on stable storage too, since a
 *    candidate has to sync each.
 *
 * 4. Between two batches: promote it. A candidate that keeps only checkpoints lacks the batches
 *    above S that a durable old mode has promised to keep, so it makes a second checkpoint while
 *    writes wait. Then it is recorded in ACTIVE, durably, and decides from then on.
 *
 * 5. Close the old instance and remove its generation.
 *
 * A switch that is cancelled before it is recorded ends the candidate's view of the data early, and
 * fails like any other.
 *
 * Where other data takes the place of the store's, the candidate is not attached: step 3 is a
 * checkpoint of that data, at a sequence which leaves some space above the live one for what is
 * written meanwhile. If more is written, step 4 makes another checkpoint, as above. It publishes
 * the data when that is recorded.
 *
 * A crash before the record is durable comes back in the old mode, which has every batch; after it
 * in the new one. A failure before that detaches and removes the candidate.
 */
#include "core/control/switch.h"

#include "core/control/versions.h"
#include "core/support/log.h"

#include <inttypes.h>

/* Sequences between the live data and what replaces it, beside twice of what was written while that
 * was loaded: its checkpoint takes about as long. */
#define SPARE_SEQUENCES 1024

struct candidate {
   const struct kv_control_parts *parts;
   struct kv_control_replacement *replacement; /* NULL: the data stays */
   struct kv_managed *old;
   struct kv_managed *managed; /* NULL: not open */
   uint64_t generation;
   struct kv_commit_point from; /* when it was attached */
   bool may_be_recorded;        /* its record failed halfway: a restart may come back to it */
   struct kv_status *status;
};

static bool is_cancelled(void *inbox)
{
   return kv_inbox_is_cancelled(inbox);
}

/* ---- Opening ---- */

/* While a record is in doubt each attempt may leave a generation behind, so none is made before the
 * record of the active mode can be written. */
static enum kv_code settle_record(const struct kv_managed *active, struct kv_status *status)
{
   if (!kv_data_directory_active_in_doubt(active->parts->config.directory))
      return KV_OK;
   return kv_managed_record(active, status);
}

static enum kv_code open_candidate(struct candidate *candidate,
                                   const struct kv_control_request *request)
{
   const struct kv_control_parts *parts = candidate->parts;
   const struct kv_managed_use use = {.give_up = is_cancelled, .give_up_context = parts->inbox};
   enum kv_code code = settle_record(candidate->old, candidate->status);
   if (code == KV_OK)
      code =
          kv_data_directory_create_generation(parts->config.directory, candidate->old->generation,
                                              &candidate->generation, candidate->status);
   if (code == KV_OK)
      code = kv_managed_open(parts, request, candidate->generation, &use, &candidate->managed,
                             candidate->status);
   uint64_t sequence;
   if (code == KV_OK)
      code = kv_instance_load(candidate->managed->instance, NULL, &sequence, candidate->status);
   return code;
}

/* ---- Taking over ---- */

static enum kv_code checkpoint(struct candidate *candidate)
{
   return kv_instance_tick(candidate->managed->instance, KVS_TICK_CHECKPOINT, candidate->from.view,
                           candidate->status);
}

/* Whether the old mode keeps each write, and the new one only what a checkpoint holds. */
static bool promises_less(const struct candidate *candidate)
{
   return kv_instance_plugin(candidate->old->instance)->promise == KVS_DURABLE &&
          kv_instance_plugin(candidate->managed->instance)->promise == KVS_PERIODIC;
}

/* Brings the candidate up to the last write; no further one is committed meanwhile. */
static enum kv_code catch_up(struct candidate *candidate)
{
   struct kv_store_view *view = kv_store_view_create(candidate->parts->config.store);
   if (!view)
      return kv_fail(candidate->status, KV_RESOURCE_EXHAUSTED,
                     "out of memory for a view of the data");
   uint64_t before = kv_version_sequence(kv_store_view_version(candidate->from.view));
   kv_store_view_destroy(candidate->from.view);
   candidate->from.view = view;
   return kv_version_sequence(kv_store_view_version(view)) > before ? checkpoint(candidate) : KV_OK;
}

/* What was cut off midway has its own text; this one says why. */
static enum kv_code fail_cancelled(struct candidate *candidate)
{
   if (kv_inbox_is_winding_down(candidate->parts->inbox))
      return kv_fail_reason(
          candidate->status, KV_UNAVAILABLE, "STOPPING",
          "the server is stopping; the switch was cancelled, and the mode is unchanged");
   return kv_fail(candidate->status, KV_CANCELLED,
                  "the switch was cancelled by its callers, and the mode is unchanged");
}

/* A record whose rename or sync failed may or may not be on disk. Writing the old one again settles
 * it; where that fails too, both generations are kept as they are, and nothing may be acknowledged
 * that one of them would lack: that is `doubt`. */
static void withdraw_record(struct candidate *candidate, struct kv_status *doubt)
{
   struct kv_status status;
   if (settle_record(candidate->old, &status) == KV_OK)
      return;
   candidate->may_be_recorded = true;
   kv_fail_reason(
       doubt, KV_UNAVAILABLE, "READ_ONLY",
       "writes are refused because the record of the active mode could not be written (%s); "
       "reads go on; repair the disk, then use Save or Configure",
       status.text);
}

/* It is recorded. GetStatus shows the new mode before a write is acknowledged in it. */
static void note_taken_over(struct candidate *candidate, uint64_t sequence)
{
   struct kv_managed *managed = candidate->managed;
   if (kv_instance_plugin(managed->instance)->promise != KVS_VOLATILE)
      kv_shared_state_note_save(candidate->parts->state, sequence);
   kv_managed_become_active(managed, candidate->old);
}

/* Between two batches: nothing is written meanwhile. */
static enum kv_code record(void *context, struct kv_status *doubt, struct kv_status *status)
{
   struct candidate *candidate = context;
   enum kv_code code = promises_less(candidate) ? catch_up(candidate) : KV_OK;
   if (kv_inbox_is_cancelled(candidate->parts->inbox))
      return fail_cancelled(candidate);
   if (code != KV_OK)
      return code;
   code = kv_managed_record(candidate->managed, status);
   if (code != KV_OK) {
      withdraw_record(candidate, doubt);
      return code;
   }
   note_taken_over(candidate, kv_version_sequence(kv_store_view_version(candidate->from.view)));
   return KV_OK;
}

static enum kv_code take_over(struct candidate *candidate)
{
   struct kv_commit *commit = candidate->parts->config.commit;
   enum kv_code code = kv_commit_attach(commit, candidate->managed->instance, KV_STANDBY_CANDIDATE,
                                        &candidate->from, candidate->status);
   if (code == KV_OK)
      code = checkpoint(candidate);
   if (kv_inbox_is_cancelled(candidate->parts->inbox))
      return fail_cancelled(candidate);
   if (code != KV_OK)
      return code;
   return kv_commit_promote(commit, record, candidate, candidate->status);
}

/* ---- With other data ---- */

static enum kv_code look_at(struct kv_store *store, uint64_t *sequence, uint64_t *keys,
                            struct kv_status *status)
{
   struct kv_store_view *view = kv_store_view_create(store);
   if (!view)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   *sequence = kv_version_sequence(kv_store_view_version(view));
   *keys = kv_version_client_count(kv_store_view_version(view));
   kv_store_view_destroy(view);
   return KV_OK;
}

/* What the live data is now, and whether it may be replaced. */
static enum kv_code look_at_live(const struct candidate *candidate, uint64_t *sequence)
{
   struct kv_control_replacement *replacement = candidate->replacement;
   uint64_t *keys = &replacement->replaced_keys;
   enum kv_code code = look_at(candidate->parts->config.store, sequence, keys, candidate->status);
   if (code == KV_OK && *keys > 0 && !replacement->over_existing)
      code = kv_control_refuse_replacing(*keys, candidate->status);
   return code;
}

/* A checkpoint of the new data, at `sequence` or what it has already. */
static enum kv_code checkpoint_replacement(struct candidate *candidate, uint64_t sequence)
{
   struct kv_control_replacement *replacement = candidate->replacement;
   if (candidate->from.view)
      kv_store_view_destroy(candidate->from.view);
   candidate->from.view = NULL;
   struct kv_transaction *lift = kv_store_begin(replacement->data);
   if (!lift)
      return kv_fail(candidate->status, KV_RESOURCE_EXHAUSTED, "out of memory for the new data");
   kv_transaction_commit(lift, sequence);
   replacement->sequence = sequence;
   candidate->from.view = kv_store_view_create(replacement->data);
   return candidate->from.view ? checkpoint(candidate)
                               : kv_fail(candidate->status, KV_RESOURCE_EXHAUSTED,
                                         "out of memory for a view of the new data");
}

/* Between two batches. What can fail comes before the record, which is the point of no return. */
static enum kv_code record_replacement(void *context, struct kv_status *doubt,
                                       struct kv_status *status)
{
   struct candidate *candidate = context;
   struct kv_control_replacement *replacement = candidate->replacement;
   struct kv_store *store = candidate->parts->config.store;
   uint64_t live = 0;
   enum kv_code code = look_at_live(candidate, &live);
   if (code == KV_OK && live >= replacement->sequence)
      code = checkpoint_replacement(candidate, live + 1);
   if (kv_inbox_is_cancelled(candidate->parts->inbox))
      return fail_cancelled(candidate);
   if (code != KV_OK)
      return code;
   kv_store_view_destroy(candidate->from.view);
   candidate->from.view = NULL;
   struct kv_transaction *transaction = kv_store_begin_replacement(store, replacement->data);
   if (!transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory to replace the data");
   code = kv_managed_record(candidate->managed, status);
   if (code != KV_OK) {
      withdraw_record(candidate, doubt);
      kv_transaction_abort(transaction);
      return code;
   }
   if (candidate->parts->versions)
      (void)kv_versions_reserve(candidate->parts->versions, replacement->sequence);
   kv_transaction_publish(transaction, replacement->sequence);
   kv_changes_replaced(candidate->parts->changes, replacement->sequence);
   note_taken_over(candidate, replacement->sequence);
   return KV_OK;
}

/* Who reclaims the old data is busy for a while; the pin sees to it that no committer does. */
static enum kv_code exchange(struct candidate *candidate)
{
   const struct kv_control_config *config = &candidate->parts->config;
   struct kv_reader *reader = kv_reader_create(config->store);
   if (!reader)
      return kv_fail(candidate->status, KV_RESOURCE_EXHAUSTED, "out of memory for the new data");
   (void)kv_reader_pin(reader);
   enum kv_code code = kv_commit_replace(config->commit, candidate->managed->instance,
                                         record_replacement, candidate, candidate->status);
   kv_reader_unpin(reader);
   kv_store_reclaim(config->store);
   kv_reader_destroy(reader);
   return code;
}

static enum kv_code take_over_with_data(struct candidate *candidate)
{
   struct kv_control_replacement *replacement = candidate->replacement;
   uint64_t live = 0, own = 0, keys;
   enum kv_code code = look_at_live(candidate, &live);
   if (code == KV_OK)
      code = look_at(replacement->data, &own, &keys, candidate->status);
   if (code != KV_OK)
      return code;
   uint64_t above = live + 2 * (live - replacement->began) + SPARE_SEQUENCES;
   code = checkpoint_replacement(candidate, above > own ? above : own + 1);
   if (kv_inbox_is_cancelled(candidate->parts->inbox))
      return fail_cancelled(candidate);
   if (code != KV_OK)
      return code;
   return exchange(candidate);
}

/* ---- The end ---- */

/* Leaves the old mode as it was. */
static void give_up(struct candidate *candidate)
{
   struct kv_status status;
   (void)kv_commit_detach(candidate->parts->config.commit, NULL,
                          &status); /* it has failed anyway */
   if (candidate->managed)
      kv_managed_close(candidate->managed);
   if (candidate->generation != 0 && !candidate->may_be_recorded)
      kv_managed_discard(candidate->parts, candidate->generation, "a switch that failed");
}

static void retire_old(struct candidate *candidate)
{
   const struct kv_managed *new = candidate->managed;
   struct kv_managed *old = candidate->old;
   struct kv_status status;
   kv_log_event(KV_LOG_INFO,
                "switched from %s (generation %" PRIu64 ") to %s (generation %" PRIu64 ")",
                kv_instance_plugin(old->instance)->name, old->generation,
                kv_instance_plugin(new->instance)->name, new->generation);
   kv_managed_close(old);
   /* This also removes what earlier attempts have left because it might have been recorded. */
   const struct kv_active active = {.generation = new->generation};
   if (kv_data_directory_remove_stale(candidate->parts->config.directory, &active, &status) !=
       KV_OK)
      kv_log(KV_LOG_WARNING, "cannot remove the files of the old mode: %s", status.text);
}

enum kv_code kv_switch(const struct kv_control_parts *parts,
                       const struct kv_control_request *request,
                       struct kv_control_replacement *replacement, struct kv_managed **active,
                       struct kv_status *status)
{
   struct candidate candidate = {
       .parts = parts, .replacement = replacement, .old = *active, .status = status};
   enum kv_code code = open_candidate(&candidate, request);
   if (code == KV_OK)
      code = replacement ? take_over_with_data(&candidate) : take_over(&candidate);
   if (code == KV_OK) {
      *active = candidate.managed;
      retire_old(&candidate);
   } else {
      give_up(&candidate);
   }
   if (candidate.from.view)
      kv_store_view_destroy(candidate.from.view);
   return code;
}

enum kv_code kv_switch_try(const struct kv_control_parts *parts,
                           const struct kv_control_request *request,
                           const struct kv_managed *active, struct kv_status *status)
{
   uint64_t generation;
   struct kv_managed *managed;
   const struct kv_managed_use use = {0};
   enum kv_code code = kv_data_directory_create_generation(parts->config.directory,
                                                           active->generation, &generation, status);
   if (code != KV_OK)
      return code;
   code = kv_managed_open(parts, request, generation, &use, &managed, status);
   if (code == KV_OK)
      kv_managed_close(managed);
   kv_managed_discard(parts, generation, "a validation");
   return code;
}
