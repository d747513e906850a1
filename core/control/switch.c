/*
 * The live switch. In order:
 *
 *   1. Open the candidate in a fresh generation directory.
 *   2. Between two batches: attach it, so that it is given every batch from then on, and take a
 * view of the state so far (sequence S).
 *   3. Checkpoint the view in the candidate. Writes go on meanwhile; the old mode decides their
 *      acknowledgement. A candidate with a log has the batches above S on stable storage too, since
 *      a standby is told to sync each. One that keeps nothing but checkpoints lacks those that the
 *      old mode has promised to keep: where there were any, hold the writes until a second
 *      checkpoint has them.
 *   4. Between two batches: record the candidate as active, durably, and let it decide from then
 * on.
 *   5. Close the old instance and remove its generation.
 *
 * A switch that is cancelled (its callers are gone, or the server stops) before step 4 ends the
 * candidate's view of the data early, and is a failure like others.
 *
 * A crash before the record is durable comes back in the old mode, which has every batch; after it
 * in the new one. A failure before step 4 detaches and removes the candidate.
 */
#include "core/control/internal.h"

#include "core/support/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
   struct kv_control *control;
   struct kv_instance *instance;
   uint64_t generation;
   uint64_t old_generation;     /* that it took over from */
   struct kv_commit_point from; /* when it was attached */
   bool may_be_recorded;        /* its record failed halfway: a restart may come back to it */
   struct kv_status *status;
};

/* While a record is in doubt each attempt may leave a generation behind, so none is made before the
 * record of the active mode can be written. */
static enum kv_code settle_record(struct candidate *candidate)
{
   struct kv_control *control = candidate->control;
   if (!kv_data_directory_active_in_doubt(control->config.directory))
      return KV_OK;
   return kv_control_record(control, control->active, control->state.generation, candidate->status);
}

static enum kv_code open_candidate(struct candidate *candidate,
                                   const struct kv_control_request *request)
{
   struct kv_control *control = candidate->control;
   enum kv_code code = settle_record(candidate);
   if (code == KV_OK)
      code =
          kv_data_directory_create_generation(control->config.directory, control->state.generation,
                                              &candidate->generation, candidate->status);
   if (code != KV_OK)
      return code;
   code = kv_control_open_instance(control, request, candidate->generation, 0, &candidate->instance,
                                   candidate->status);
   uint64_t sequence;
   if (code == KV_OK)
      code = kv_instance_load(candidate->instance, NULL, &sequence, candidate->status);
   return code;
}

static void set_proving(struct kv_control *control, bool proving)
{
   pthread_mutex_lock(&control->lock);
   control->proving = proving;
   pthread_mutex_unlock(&control->lock);
}

static enum kv_code checkpoint(struct candidate *candidate)
{
   struct kv_control *control = candidate->control;
   set_proving(control, true);
   enum kv_code code = kv_instance_tick(candidate->instance, KVS_TICK_CHECKPOINT,
                                        candidate->from.view, candidate->status);
   set_proving(control, false);
   return code;
}

/* Whether the old mode keeps each write, and the new one only what a checkpoint holds. */
static bool promises_less(const struct candidate *candidate)
{
   return kv_instance_plugin(candidate->control->active)->promise == KVS_DURABLE &&
          kv_instance_plugin(candidate->instance)->promise == KVS_PERIODIC;
}

/* Brings the candidate up to the last write; no further one is committed meanwhile. */
static enum kv_code catch_up(struct candidate *candidate)
{
   struct kv_control *control = candidate->control;
   struct kv_store_view *view = kv_store_view_create(control->config.store);
   if (!view)
      return kv_fail(candidate->status, KV_RESOURCE_EXHAUSTED,
                     "out of memory for a view of the data");
   uint64_t before = kv_version_sequence(kv_store_view_version(candidate->from.view));
   kv_store_view_destroy(candidate->from.view);
   candidate->from.view = view;
   return kv_version_sequence(kv_store_view_version(view)) > before ? checkpoint(candidate) : KV_OK;
}

bool kv_control_switch_must_end(void *context)
{
   struct kv_control *control = context;
   return control->cancellable == KV_CONTROL_SWITCH &&
          (kv_control_winding_down(control) ||
           (control->task && kv_control_task_is_gone(control->task)));
}

/* What was cut off midway has its own text; this one says why. */
static enum kv_code fail_cancelled(struct candidate *candidate)
{
   if (kv_control_winding_down(candidate->control))
      return kv_fail(candidate->status, KV_UNAVAILABLE,
                     "the server is stopping; the switch was cancelled, and the mode is unchanged");
   return kv_fail(candidate->status, KV_CANCELLED,
                  "its callers are gone; the switch was cancelled, and the mode is unchanged");
}

/* A record whose rename or sync failed may or may not be on disk. Writing the old one again settles
 * it; where that fails too, both generations are kept as they are, and nothing may be acknowledged
 * that one of them would lack: that is `doubt`. */
static void withdraw_record(struct candidate *candidate, struct kv_status *doubt)
{
   struct kv_control *control = candidate->control;
   struct kv_status status;
   if (!kv_data_directory_active_in_doubt(control->config.directory) ||
       kv_control_record(control, control->active, control->state.generation, &status) == KV_OK)
      return;
   candidate->may_be_recorded = true;
   kv_fail(doubt, KV_UNAVAILABLE,
           "writes are refused because the record of the active mode could not be written (%s); "
           "reads go on; repair the disk, then use Save or Configure",
           status.text);
}

/* Between two batches: nothing is written meanwhile. */
static enum kv_code record(void *context, struct kv_status *doubt, struct kv_status *status)
{
   struct candidate *candidate = context;
   struct kv_control *control = candidate->control;
   enum kv_code code = promises_less(candidate) ? catch_up(candidate) : KV_OK;
   if (kv_control_switch_must_end(control))
      return fail_cancelled(candidate);
   if (code != KV_OK)
      return code;
   code = kv_control_record(control, candidate->instance, candidate->generation, status);
   if (code != KV_OK) {
      withdraw_record(candidate, doubt);
      return code;
   }
   /* Status shows the new mode before a write is acknowledged in it. */
   candidate->old_generation = control->state.generation;
   kv_control_show(control, candidate->instance, candidate->generation);
   return KV_OK;
}

static enum kv_code take_over(struct candidate *candidate)
{
   struct kv_commit *commit = candidate->control->config.commit;
   enum kv_code code = kv_commit_attach(commit, candidate->instance, KV_STANDBY_CANDIDATE,
                                        &candidate->from, candidate->status);
   if (code == KV_OK)
      code = checkpoint(candidate);
   if (kv_control_switch_must_end(candidate->control))
      return fail_cancelled(candidate);
   if (code != KV_OK)
      return code;
   return kv_commit_promote(commit, record, candidate, candidate->status);
}

/* Leaves the old mode as it was. */
static void give_up(struct candidate *candidate)
{
   struct kv_control *control = candidate->control;
   struct kv_status status;
   (void)kv_commit_detach(control->config.commit, NULL, &status); /* it has failed anyway */
   if (candidate->instance)
      kv_control_close_instance(control, candidate->instance);
   if (candidate->generation != 0 && !candidate->may_be_recorded &&
       kv_data_directory_remove_generation(control->config.directory, candidate->generation,
                                           &status) != KV_OK)
      kv_log(KV_LOG_WARNING, "cannot remove what a failed switch left behind: %s", status.text);
}

static void retire_old(struct candidate *candidate)
{
   struct kv_control *control = candidate->control;
   struct kv_instance *old = control->active;
   struct kv_status status;

   kv_log(KV_LOG_INFO, "switched from %s (generation %" PRIu64 ") to %s (generation %" PRIu64 ")",
          kv_instance_plugin(old)->name, candidate->old_generation,
          kv_instance_plugin(candidate->instance)->name, candidate->generation);
   control->active = candidate->instance;
   kv_control_close_instance(control, old);
   /* With the old one goes what attempts left behind that may have been recorded. */
   const struct kv_active active = {.generation = candidate->generation};
   if (kv_data_directory_remove_stale(control->config.directory, &active, &status) != KV_OK)
      kv_log(KV_LOG_WARNING, "cannot remove the files of the old mode: %s", status.text);
}

enum kv_code kv_control_switch(struct kv_control *control, const struct kv_control_request *request,
                               struct kv_status *status)
{
   struct candidate candidate = {.control = control, .status = status};
   control->cancellable = KV_CONTROL_SWITCH;
   enum kv_code code = open_candidate(&candidate, request);
   if (code == KV_OK)
      code = take_over(&candidate);
   control->cancellable = KV_CONTROL_NOTHING;
   if (code == KV_OK) {
      if (kv_instance_plugin(candidate.instance)->promise != KVS_VOLATILE)
         kv_control_note_save(control,
                              kv_version_sequence(kv_store_view_version(candidate.from.view)));
      retire_old(&candidate);
   } else {
      give_up(&candidate);
   }
   if (candidate.from.view)
      kv_store_view_destroy(candidate.from.view);
   return code;
}

enum kv_code kv_control_open_briefly(struct kv_control *control,
                                     const struct kv_control_request *request,
                                     struct kv_status *status)
{
   uint64_t generation;
   struct kv_instance *instance;
   struct kv_status leftover;
   enum kv_code code = kv_data_directory_create_generation(
       control->config.directory, control->state.generation, &generation, status);
   if (code != KV_OK)
      return code;
   code =
       kv_control_open_instance(control, request, generation, KV_INSTANCE_ASIDE, &instance, status);
   if (code == KV_OK)
      kv_control_close_instance(control, instance);
   if (kv_data_directory_remove_generation(control->config.directory, generation, &leftover) !=
       KV_OK)
      kv_log(KV_LOG_WARNING, "cannot remove what a validation left behind: %s", leftover.text);
   return code;
}

enum kv_code kv_control_renew(struct kv_control *control, struct kv_status *status)
{
   kv_control_end_shadow(control, KV_UNAVAILABLE, "the active plug-in failed");
   const struct kv_settings *settings = kv_instance_settings(control->active);
   struct kv_mode_option *options = kv_control_options_of(settings, status);
   if (!options)
      return status->code;
   const struct kv_control_request request = {kv_instance_plugin(control->active)->name, options,
                                              kv_settings_count(settings)};
   enum kv_code code = kv_control_switch(control, &request, status);
   free(options);
   return code;
}
