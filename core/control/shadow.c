/*
 * The shadow run. In order:
 *
 *   1. Open the candidate in a fresh generation directory, attach it between two batches as a
 *      standby, and checkpoint the view of that moment in it: as a switch does.
 *   2. Let it have every batch, and a periodic tick as often as the active plug-in, for as long as
 *      was asked for.
 *   3. Between two batches: detach it, and take a view of the data, which is what it has to have.
 *   4. Close it. One that promises to keep each write is abandoned, as a crash would do it; one
 *      that keeps checkpoints is given its tick of a shutdown before.
 *   5. Open it again over its files, let it load into a store of its own, and compare.
 *   6. Close it, remove its generation, and report.
 *
 * ACTIVE is never touched: a crash at any moment comes back in the active mode, and removes the
 * generation as it does that of an interrupted switch.
 */
#include "core/control/internal.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdlib.h>

struct kv_shadow {
   struct kv_control *control;
   struct kv_shadow_request *request;
   struct kv_settings *settings;
   struct kv_instance *instance;
   uint64_t generation;
   struct kv_commit_point from; /* when it was attached; its view only until the checkpoint */
   uint64_t attached_sequence;
   uint64_t mirror_ms;         /* monotonic; when the checkpoint was done; 0: never attached */
   struct kv_store_view *view; /* when it was detached; NULL: it was not, or memory was out */
   struct kv_status early;     /* why it ends without a report; KV_OK: it does not */
   struct kv_shadow_report report;
};

/* ---- Up ---- */

static enum kv_code begin(struct kv_shadow *shadow)
{
   struct kv_control *control = shadow->control;
   struct kv_status *failure = &shadow->report.failure;
   enum kv_code code =
       kv_control_open_instance(control, &shadow->request->candidate, shadow->generation,
                                KV_INSTANCE_ASIDE, &shadow->instance, failure);
   uint64_t sequence;
   if (code == KV_OK)
      code = kv_instance_load(shadow->instance, NULL, &sequence, failure);
   if (code != KV_OK)
      return code;
   code = kv_commit_attach(control->config.commit, shadow->instance, KV_STANDBY_SHADOW,
                           &shadow->from, failure);
   if (code != KV_OK)
      return code;
   shadow->attached_sequence = kv_version_sequence(kv_store_view_version(shadow->from.view));
   uint64_t began_ms = kv_clock_monotonic_ms();
   code = kv_instance_tick(shadow->instance, KVS_TICK_CHECKPOINT, shadow->from.view, failure);
   shadow->mirror_ms = kv_clock_monotonic_ms();
   shadow->report.checkpoint_ms = shadow->mirror_ms - began_ms;
   atomic_store(&control->shadow_end_ms, shadow->mirror_ms + shadow->request->seconds * 1000);
   /* The view would keep in memory what is replaced during the run. */
   kv_store_view_destroy(shadow->from.view);
   return code;
}

/* ---- Reading back ---- */

static enum kv_code compare(struct kv_shadow *shadow, struct kv_store *aside)
{
   struct kv_shadow_report *report = &shadow->report;
   struct kv_store_view *loaded = kv_store_view_create(aside);
   uint64_t began_ms = kv_clock_monotonic_ms();
   bool compared = loaded && kv_compare(kv_store_view_version(shadow->view),
                                        kv_store_view_version(loaded), &report->comparison);
   report->compare_ms = kv_clock_monotonic_ms() - began_ms;
   if (loaded) {
      const struct kv_version *version = kv_store_view_version(loaded);
      report->loaded_sequence = kv_version_sequence(version);
      report->loaded_keys = kv_version_count(version);
      report->loaded_bytes = kv_version_bytes(version);
      kv_store_view_destroy(loaded);
   }
   if (!compared)
      return kv_fail(&report->failure, KV_RESOURCE_EXHAUSTED, "out of memory for the comparison");
   report->outcome =
       report->comparison.difference == KV_DIFFERENCE_NONE ? KV_SHADOW_EQUAL : KV_SHADOW_DIFFERENT;
   return KV_OK;
}

static enum kv_code load_into(struct kv_shadow *shadow, struct kv_store *aside)
{
   struct kv_status *failure = &shadow->report.failure;
   struct kv_transaction *transaction = kv_store_begin(aside);
   if (!transaction)
      return kv_fail(failure, KV_RESOURCE_EXHAUSTED, "out of memory for a second copy of the data");
   uint64_t sequence;
   enum kv_code code = kv_instance_load(shadow->instance, transaction, &sequence, failure);
   if (code == KV_OK)
      kv_transaction_commit(transaction, sequence);
   else
      kv_transaction_abort(transaction);
   return code;
}

static enum kv_code read_back(struct kv_shadow *shadow)
{
   struct kv_status *failure = &shadow->report.failure;
   uint64_t began_ms = kv_clock_monotonic_ms();
   enum kv_code code = kv_control_open_instance(
       shadow->control, &shadow->request->candidate, shadow->generation,
       KV_INSTANCE_ASIDE | KV_INSTANCE_RESUMED, &shadow->instance, failure);
   if (code != KV_OK)
      return code;
   struct kv_store *aside = kv_store_create();
   if (!aside)
      return kv_fail(failure, KV_RESOURCE_EXHAUSTED, "out of memory for a second copy of the data");
   code = load_into(shadow, aside);
   shadow->report.reload_ms = kv_clock_monotonic_ms() - began_ms;
   if (code == KV_OK)
      code = compare(shadow, aside);
   kv_store_destroy(aside);
   return code;
}

/* ---- Down ---- */

static void close_instance(struct kv_shadow *shadow)
{
   if (shadow->instance)
      kv_control_close_instance(shadow->control, shadow->instance);
   shadow->instance = NULL;
}

/* Detaches the candidate; from here on it costs the writes nothing. */
static void end_mirror(struct kv_shadow *shadow)
{
   struct kv_shadow_report *report = &shadow->report;
   struct kv_commit_point point;
   struct kv_status failure;
   if (shadow->mirror_ms == 0)
      return;
   if (kv_commit_detach(shadow->control->config.commit, &point, &failure) != KV_OK &&
       report->failure.code == KV_OK)
      report->failure = failure;
   shadow->view = point.view;
   report->active_writes = point.writes;
   kv_hook_figures_since(&report->active_writes, &shadow->from.writes);
   kv_hook_timing_read(kv_instance_timing(shadow->instance), KV_HOOK_WRITE,
                       &report->candidate_writes);
   report->mirrored_ms = kv_clock_monotonic_ms() - shadow->mirror_ms;
   if (!shadow->view)
      return;
   const struct kv_version *version = kv_store_view_version(shadow->view);
   report->sequence = kv_version_sequence(version);
   report->keys = kv_version_count(version);
   report->bytes = kv_version_bytes(version);
   report->records = report->sequence - shadow->attached_sequence;
}

static void prove(struct kv_shadow *shadow)
{
   struct kv_shadow_report *report = &shadow->report;
   uint32_t promise = kv_instance_plugin(shadow->instance)->promise;
   enum kv_code code = report->failure.code;
   if (code == KV_OK && promise != KVS_DURABLE)
      code = kv_instance_tick(shadow->instance, KVS_TICK_SHUTDOWN, shadow->view, &report->failure);
   if (code != KV_OK)
      return;
   if (promise == KVS_VOLATILE) {
      report->outcome = KV_SHADOW_NOTHING_KEPT;
      return;
   }
   close_instance(shadow);
   read_back(shadow);
}

static void log_outcome(const struct kv_shadow_report *report)
{
   static const char *const outcomes[] = {
       [KV_SHADOW_EQUAL] = "what it kept equals the live data",
       [KV_SHADOW_DIFFERENT] = "what it kept DIFFERS from the live data",
       [KV_SHADOW_NOTHING_KEPT] = "it keeps nothing to compare",
   };
   if (report->outcome == KV_SHADOW_FAILED)
      kv_log(KV_LOG_WARNING, "the shadow run of %s failed: %s", report->plugin,
             report->failure.text);
   else
      kv_log(report->outcome == KV_SHADOW_DIFFERENT ? KV_LOG_WARNING : KV_LOG_INFO,
             "the shadow run of %s has ended: %s, %" PRIu64 " keys at sequence %" PRIu64,
             report->plugin, outcomes[report->outcome], report->keys, report->sequence);
}

static void give_up(struct kv_shadow *shadow, enum kv_code code, const char *reason)
{
   kv_fail(&shadow->early, code, "the shadow run was abandoned: %s", reason);
}

/* The end of every run. */
static void finish(struct kv_shadow *shadow)
{
   struct kv_control *control = shadow->control;
   struct kv_status status;
   end_mirror(shadow);
   if (shadow->early.code == KV_OK && shadow->instance && shadow->view)
      prove(shadow);
   close_instance(shadow);
   if (kv_data_directory_remove_generation(control->config.directory, shadow->generation,
                                           &status) != KV_OK)
      kv_log(KV_LOG_WARNING, "cannot remove what a shadow run left behind: %s", status.text);
   bool early = shadow->early.code != KV_OK;
   if (early)
      kv_log(KV_LOG_WARNING, "%s (%s)", shadow->early.text, shadow->report.plugin);
   else
      log_outcome(&shadow->report);
   control->shadow = NULL;
   atomic_store(&control->shadow_end_ms, UINT64_MAX);
   shadow->request->done(shadow->request, early ? NULL : &shadow->report,
                         early ? &shadow->early : NULL);
   if (shadow->view)
      kv_store_view_destroy(shadow->view);
   kv_settings_destroy(shadow->settings);
   free(shadow);
}

/* ---- Interface ---- */

/* Whether a run may begin now. */
static enum kv_code check(struct kv_control *control, struct kv_status *status)
{
   struct kv_status failure;
   if (control->shadow)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "a shadow run of %s is in progress; wait until it ends, or cancel its call",
                     control->shadow->report.plugin);
   if (kv_control_winding_down(control))
      return kv_fail(status, KV_UNAVAILABLE, "the server is stopping");
   if (kv_commit_read_only(control->config.commit, &failure))
      return kv_fail(status, KV_FAILED_PRECONDITION, "no plug-in can be tried now: %s",
                     failure.text);
   return KV_OK;
}

/* With a generation of its own, but not open yet. NULL with `status`. */
static struct kv_shadow *create(struct kv_control *control, struct kv_shadow_request *request,
                                struct kv_status *status)
{
   if (check(control, status) != KV_OK)
      return NULL;
   struct kv_shadow *shadow = calloc(1, sizeof *shadow);
   if (!shadow) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a shadow run");
      return NULL;
   }
   shadow->control = control;
   shadow->request = request;
   enum kv_code code = kv_control_validate(control, &request->candidate, &shadow->settings, status);
   if (code == KV_OK)
      code = kv_data_directory_create_generation(
          control->config.directory, control->state.generation, &shadow->generation, status);
   if (code == KV_OK) {
      shadow->report.plugin = request->candidate.plugin;
      shadow->report.settings = shadow->settings;
      shadow->report.generation = shadow->generation;
      return shadow;
   }
   if (shadow->settings)
      kv_settings_destroy(shadow->settings);
   free(shadow);
   return NULL;
}

void kv_control_shadow(struct kv_control *control, struct kv_shadow_request *request)
{
   struct kv_status status;
   struct kv_shadow *shadow = create(control, request, &status);
   if (!shadow) {
      request->done(request, NULL, &status);
      return;
   }
   kv_log(KV_LOG_INFO, "began a shadow run of %s (generation %" PRIu64 ") beside %s",
          request->candidate.plugin, shadow->generation, kv_instance_plugin(control->active)->name);
   control->shadow = shadow;
   if (kv_control_shadow_must_end(control) || begin(shadow) != KV_OK)
      finish(shadow);
}

bool kv_control_shadow_must_end(void *context)
{
   struct kv_control *control = context;
   struct kv_shadow *shadow = control->shadow;
   if (!shadow)
      return false; /* an instance that is only opened, to see whether it can be */
   if (shadow->early.code != KV_OK)
      return true;
   if (kv_control_winding_down(control))
      give_up(shadow, KV_UNAVAILABLE, "the server is stopping");
   else if (shadow->request->gone(shadow->request))
      give_up(shadow, KV_CANCELLED, "its client is gone");
   return shadow->early.code != KV_OK;
}

void kv_control_end_shadow(struct kv_control *control, enum kv_code code, const char *reason)
{
   if (!control->shadow)
      return;
   give_up(control->shadow, code, reason);
   finish(control->shadow);
}

void kv_control_attend_shadow(struct kv_control *control)
{
   struct kv_shadow *shadow = control->shadow;
   struct kv_status failure;
   struct kv_hook_figures writes;
   if (!shadow)
      return;
   kv_hook_timing_read(kv_instance_timing(shadow->instance), KV_HOOK_WRITE, &writes);
   if (kv_commit_read_only(control->config.commit, &failure))
      kv_control_end_shadow(control, KV_UNAVAILABLE, "the active plug-in failed");
   else if (kv_control_shadow_must_end(control) || writes.errors > 0 ||
            shadow->report.failure.code != KV_OK ||
            kv_clock_monotonic_ms() >= kv_control_shadow_end_ms(control))
      finish(shadow);
}

void kv_control_tick_shadow(struct kv_control *control)
{
   struct kv_shadow *shadow = control->shadow;
   if (!shadow || shadow->report.failure.code != KV_OK)
      return;
   struct kv_store_view *view = kv_store_view_create(control->config.store);
   if (!view)
      return; /* the next one finds memory, or the run fails for other reasons */
   kv_instance_tick(shadow->instance, KVS_TICK_PERIODIC, view, &shadow->report.failure);
   kv_store_view_destroy(view);
}

uint64_t kv_control_shadow_end_ms(const struct kv_control *control)
{
   return atomic_load(&control->shadow_end_ms);
}
