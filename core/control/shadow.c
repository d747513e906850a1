/*
 * The shadow run. In order:
 *
 * 1. Open the shadow in a fresh generation directory, attach it between two batches as a standby,
 *    and checkpoint the view of that moment in it: as a switch does.
 *
 * 2. Let it have every batch, and a periodic tick as often as the active plug-in, for as long as
 *    was asked for.
 *
 * 3. Between two batches: detach it, and take a view of the data, which is what it must have.
 *
 * 4. Close it. One that promises to keep each write is abandoned, as a crash would do it; one that
 *    keeps checkpoints is given its tick of a shutdown first.
 *
 * 5. Open it again over its files, let it load into a store of its own, and compare.
 *
 * 6. Close it, remove its generation, and report.
 *
 * ACTIVE is never touched: a crash at any moment comes back in the active mode, and removes the
 * generation as it does that of an interrupted switch.
 */
#include "core/control/shadow_run.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdlib.h>

struct kv_shadow_run {
   const struct kv_control_parts *parts;
   struct kv_shadow_request *request;
   struct kv_settings *settings;
   struct kv_managed *managed; /* NULL: not open */
   uint64_t generation;
   struct kv_commit_point from; /* when it was attached; its view only until the checkpoint */
   uint64_t attached_sequence;
   uint64_t mirror_ms;         /* monotonic; when the checkpoint was done; 0: never attached */
   struct kv_store_view *view; /* when it was detached; NULL: it was not, or memory was out */
   struct kv_status early;     /* why it ends without a report; KV_OK: it does not */
   struct kv_shadow_report report;
};

/* ---- Why it ends early ---- */

static void abandon(struct kv_shadow_run *run, enum kv_code code, const char *reason)
{
   kv_fail(&run->early, code, "the shadow run was abandoned: %s", reason);
}

/* Whether the report is of no use any more. */
static bool is_abandoned(void *context)
{
   struct kv_shadow_run *run = context;
   if (run->early.code != KV_OK)
      return true;
   if (kv_inbox_is_winding_down(run->parts->inbox))
      abandon(run, KV_UNAVAILABLE, "the server is stopping");
   else if (run->request->is_cancelled(run->request))
      abandon(run, KV_CANCELLED, "its call was cancelled");
   return run->early.code != KV_OK;
}

/* ---- Up ---- */

static enum kv_code open_instance(struct kv_shadow_run *run, bool resumed)
{
   const struct kv_managed_use use = {
       .resumed = resumed, .give_up = is_abandoned, .give_up_context = run};
   return kv_managed_open(run->parts, &run->request->plugin, run->generation, &use, &run->managed,
                          &run->report.failure);
}

static enum kv_code begin(struct kv_shadow_run *run)
{
   struct kv_status *failure = &run->report.failure;
   uint64_t sequence;
   enum kv_code code = open_instance(run, false);
   if (code == KV_OK)
      code = kv_instance_load(run->managed->instance, NULL, &sequence, failure);
   if (code == KV_OK)
      code = kv_commit_attach(run->parts->config.commit, run->managed->instance, KV_STANDBY_SHADOW,
                              &run->from, failure);
   if (code != KV_OK)
      return code;
   run->attached_sequence = kv_version_sequence(kv_store_view_version(run->from.view));
   uint64_t began_ms = kv_clock_monotonic_ms();
   code = kv_instance_tick(run->managed->instance, KVS_TICK_CHECKPOINT, run->from.view, failure);
   run->mirror_ms = kv_clock_monotonic_ms();
   run->report.checkpoint_ms = run->mirror_ms - began_ms;
   kv_inbox_set_due(run->parts->inbox, run->mirror_ms + run->request->seconds * 1000);
   /* The view would keep in memory what is replaced during the run. */
   kv_store_view_destroy(run->from.view);
   return code;
}

/* ---- Reading back ---- */

static enum kv_code compare(struct kv_shadow_run *run, struct kv_store *second)
{
   struct kv_shadow_report *report = &run->report;
   const bool versions = kv_instance_plugin(run->managed->instance)->flags & KVS_PLUGIN_VERSIONS;
   struct kv_store_view *loaded = kv_store_view_create(second);
   uint64_t began_ms = kv_clock_monotonic_ms();
   bool compared =
       loaded && kv_compare(kv_store_view_version(run->view), kv_store_view_version(loaded),
                            versions, &report->comparison);
   report->compare_ms = kv_clock_monotonic_ms() - began_ms;
   if (loaded) {
      const struct kv_version *version = kv_store_view_version(loaded);
      report->loaded_sequence = kv_version_sequence(version);
      report->loaded_keys = kv_version_client_count(version);
      report->loaded_bytes = kv_version_bytes(version);
      kv_store_view_destroy(loaded);
   }
   if (!compared)
      return kv_fail(&report->failure, KV_RESOURCE_EXHAUSTED, "out of memory for the comparison");
   report->outcome =
       report->comparison.difference == KV_DIFFERENCE_NONE ? KV_SHADOW_EQUAL : KV_SHADOW_DIFFERENT;
   return KV_OK;
}

static enum kv_code load_into(struct kv_shadow_run *run, struct kv_store *second)
{
   struct kv_status *failure = &run->report.failure;
   struct kv_transaction *transaction = kv_store_begin(second);
   if (!transaction)
      return kv_fail(failure, KV_RESOURCE_EXHAUSTED, "out of memory for a second copy of the data");
   uint64_t sequence;
   enum kv_code code = kv_instance_load(run->managed->instance, transaction, &sequence, failure);
   if (code == KV_OK)
      kv_transaction_commit(transaction, sequence);
   else
      kv_transaction_abort(transaction);
   return code;
}

static void read_back(struct kv_shadow_run *run)
{
   uint64_t began_ms = kv_clock_monotonic_ms();
   if (open_instance(run, true) != KV_OK)
      return;
   struct kv_store *second = kv_store_create();
   if (!second) {
      kv_fail(&run->report.failure, KV_RESOURCE_EXHAUSTED,
              "out of memory for a second copy of the data");
      return;
   }
   enum kv_code code = load_into(run, second);
   run->report.reload_ms = kv_clock_monotonic_ms() - began_ms;
   if (code == KV_OK)
      compare(run, second);
   kv_store_destroy(second);
}

/* ---- Down ---- */

static void close_instance(struct kv_shadow_run *run)
{
   if (run->managed)
      kv_managed_close(run->managed);
   run->managed = NULL;
}

/* Detaches the shadow; from here on it costs the writes nothing. */
static void end_mirror(struct kv_shadow_run *run)
{
   struct kv_shadow_report *report = &run->report;
   struct kv_commit_point point;
   struct kv_status failure;
   if (run->mirror_ms == 0)
      return;
   if (kv_commit_detach(run->parts->config.commit, &point, &failure) != KV_OK &&
       report->failure.code == KV_OK)
      report->failure = failure;
   run->view = point.view;
   report->active_writes = point.writes;
   kv_hook_figures_since(&report->active_writes, &run->from.writes);
   kv_hook_timing_read(kv_instance_timing(run->managed->instance), KV_HOOK_WRITE,
                       &report->shadow_writes);
   report->mirrored_ms = kv_clock_monotonic_ms() - run->mirror_ms;
   if (!run->view)
      return;
   const struct kv_version *version = kv_store_view_version(run->view);
   report->sequence = kv_version_sequence(version);
   report->keys = kv_version_client_count(version);
   report->bytes = kv_version_bytes(version);
   report->records = report->sequence - run->attached_sequence;
}

/* Has the shadow give back what it was given. */
static void verify(struct kv_shadow_run *run)
{
   struct kv_shadow_report *report = &run->report;
   uint32_t promise = kv_instance_plugin(run->managed->instance)->promise;
   enum kv_code code = report->failure.code;
   if (code == KV_OK && promise != KVS_DURABLE)
      code =
          kv_instance_tick(run->managed->instance, KVS_TICK_SHUTDOWN, run->view, &report->failure);
   if (code != KV_OK)
      return;
   if (promise == KVS_VOLATILE) {
      report->outcome = KV_SHADOW_NOTHING_KEPT;
      return;
   }
   close_instance(run);
   read_back(run);
}

static void log_outcome(const struct kv_shadow_report *report)
{
   static const char *const outcomes[] = {
       [KV_SHADOW_EQUAL] = "what it kept equals the live data",
       [KV_SHADOW_DIFFERENT] = "what it kept DIFFERS from the live data",
       [KV_SHADOW_NOTHING_KEPT] = "it keeps nothing to compare",
   };
   if (report->outcome == KV_SHADOW_FAILED)
      kv_log_event(KV_LOG_WARNING, "the shadow run of %s failed: %s", report->plugin,
                   report->failure.text);
   else
      kv_log_event(report->outcome == KV_SHADOW_DIFFERENT ? KV_LOG_WARNING : KV_LOG_INFO,
                   "the shadow run of %s has ended: %s, %" PRIu64 " keys at sequence %" PRIu64,
                   report->plugin, outcomes[report->outcome], report->keys, report->sequence);
}

/* The end of every run. */
static void finish(struct kv_shadow *shadow)
{
   struct kv_shadow_run *run = shadow->run;
   end_mirror(run);
   if (run->early.code == KV_OK && run->managed && run->view)
      verify(run);
   close_instance(run);
   kv_managed_discard(run->parts, run->generation, "a shadow run");
   bool early = run->early.code != KV_OK;
   if (early)
      kv_log(KV_LOG_WARNING, "%s (%s)", run->early.text, run->report.plugin);
   else
      log_outcome(&run->report);
   shadow->run = NULL;
   kv_inbox_set_due(run->parts->inbox, UINT64_MAX);
   run->request->done(run->request, early ? NULL : &run->report, early ? &run->early : NULL);
   if (run->view)
      kv_store_view_destroy(run->view);
   kv_settings_destroy(run->settings);
   free(run);
}

/* ---- Interface ---- */

/* Whether a run may begin now. */
static enum kv_code check(const struct kv_shadow *shadow, struct kv_status *status)
{
   struct kv_status failure;
   if (shadow->run)
      return kv_fail_reason(
          status, KV_FAILED_PRECONDITION, "SHADOW_RUN_IN_PROGRESS",
          "a shadow run of %s is in progress; wait until it ends, or cancel its call",
          shadow->run->report.plugin);
   if (kv_inbox_is_winding_down(shadow->parts->inbox))
      return kv_fail_reason(status, KV_UNAVAILABLE, "STOPPING", "the server is stopping");
   if (kv_commit_read_only(shadow->parts->config.commit, &failure))
      return kv_fail_reason(status, KV_FAILED_PRECONDITION, "READ_ONLY",
                            "no plug-in can be tried now: %s", failure.text);
   return KV_OK;
}

/* With a generation of its own above `generation`, but not open yet. NULL with `status`. */
static struct kv_shadow_run *create_run(const struct kv_control_parts *parts, uint64_t generation,
                                        struct kv_shadow_request *request, struct kv_status *status)
{
   struct kv_shadow_run *run = calloc(1, sizeof *run);
   if (!run) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a shadow run");
      return NULL;
   }
   run->parts = parts;
   run->request = request;
   const kvs_plugin *plugin;
   enum kv_code code =
       kv_managed_settings(parts, &request->plugin, &plugin, &run->settings, status);
   if (code == KV_OK)
      code = kv_data_directory_create_generation(parts->config.directory, generation,
                                                 &run->generation, status);
   if (code == KV_OK) {
      run->report.plugin = request->plugin.plugin;
      run->report.settings = run->settings;
      run->report.generation = run->generation;
      return run;
   }
   if (run->settings)
      kv_settings_destroy(run->settings);
   free(run);
   return NULL;
}

void kv_shadow_begin(struct kv_shadow *shadow, const struct kv_managed *active,
                     struct kv_shadow_request *request)
{
   struct kv_status status;
   struct kv_shadow_run *run = check(shadow, &status) == KV_OK
                                   ? create_run(shadow->parts, active->generation, request, &status)
                                   : NULL;
   if (!run) {
      request->done(request, NULL, &status);
      return;
   }
   kv_log_event(KV_LOG_INFO, "began a shadow run of %s (generation %" PRIu64 ") beside %s",
                request->plugin.plugin, run->generation,
                kv_instance_plugin(active->instance)->name);
   shadow->run = run;
   if (is_abandoned(run) || begin(run) != KV_OK)
      finish(shadow);
}

void kv_shadow_abandon(struct kv_shadow *shadow, enum kv_code code, const char *reason)
{
   if (!shadow->run)
      return;
   abandon(shadow->run, code, reason);
   finish(shadow);
}

void kv_shadow_attend(struct kv_shadow *shadow)
{
   struct kv_shadow_run *run = shadow->run;
   struct kv_hook_figures writes;
   if (!run)
      return;
   kv_hook_timing_read(kv_instance_timing(run->managed->instance), KV_HOOK_WRITE, &writes);
   if (kv_commit_read_only(run->parts->config.commit, NULL))
      kv_shadow_abandon(shadow, KV_UNAVAILABLE, "the active plug-in failed");
   else if (is_abandoned(run) || writes.errors > 0 || run->report.failure.code != KV_OK ||
            kv_inbox_is_due(run->parts->inbox))
      finish(shadow);
}

void kv_shadow_tick(struct kv_shadow *shadow)
{
   struct kv_shadow_run *run = shadow->run;
   if (!run || run->report.failure.code != KV_OK)
      return;
   struct kv_store_view *view = kv_store_view_create(run->parts->config.store);
   if (!view)
      return; /* the next one finds memory, or the run fails for other reasons */
   kv_instance_tick(run->managed->instance, KVS_TICK_PERIODIC, view, &run->report.failure);
   kv_store_view_destroy(view);
}
