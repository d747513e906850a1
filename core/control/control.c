#include "core/control/control.h"

#include "core/control/mode.h"
#include "core/control/seal.h"
#include "core/control/start.h"
#include "core/control/versions.h"
#include "core/host/sync_timing.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#define TICK_INTERVAL_MS 1000
#define NS_PER_MS ((uint64_t)1000000)

struct kv_control {
   struct kv_control_parts parts;
   struct kv_changes changes;
   struct kv_versions versions;
   pthread_t thread;
   bool running; /* the thread does */

   /* Owned by the control thread, while it runs. */
   struct kv_shadow shadow;
   struct kv_mode mode;
};

/* ---- What the commit pipeline reports ---- */

/* What is refused, the control thread repairs. */
static void note_read_only(void *context, bool read_only)
{
   struct kv_control *control = context;
   const struct kv_control_observer *observer = &control->parts.config.observer;
   if (observer->writable_changed)
      observer->writable_changed(observer->context, !read_only);
   if (read_only)
      kv_inbox_want_tick(control->parts.inbox);
}

static void note_refusal(void *context, const struct kv_status *status, size_t changes)
{
   struct kv_control *control = context;
   kv_shared_state_note_refusal(control->parts.state, status, changes);
}

static void note_changes(void *context, const kvs_record *records,
                         const struct kv_replaced *previous, size_t count)
{
   struct kv_control *control = context;
   kv_changes_publish(&control->changes, records, previous, count);
}

/* ---- Life ---- */

struct kv_control *kv_control_create(const struct kv_control_config *config,
                                     struct kv_status *status)
{
   struct kv_control *control = calloc(1, sizeof *control);
   if (!control) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the control plane");
      return NULL;
   }
   control->parts = (struct kv_control_parts){
       .config = *config,
       .inbox = kv_inbox_create(),
       .state = kv_shared_state_create(),
       .load_report = kv_load_report_create(),
       .changes = &control->changes,
   };
   if (!kv_changes_init(&control->changes, config->watchers, config->store) ||
       !control->parts.inbox || !control->parts.state || !control->parts.load_report)
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the control plane");
   else
      control->parts.watchdog = kv_watchdog_create(config->hook_budget_ms * NS_PER_MS, status);
   if (!control->parts.watchdog) {
      kv_control_destroy(control);
      return NULL;
   }
   control->shadow = (struct kv_shadow){.parts = &control->parts};
   control->mode = (struct kv_mode){.parts = &control->parts, .shadow = &control->shadow};
   const struct kv_commit_observer observer = {.context = control,
                                               .read_only_changed = note_read_only,
                                               .refused = note_refusal,
                                               .published = config->watchers ? note_changes : NULL};
   kv_commit_observe(config->commit, &observer);
   return control;
}

void kv_control_close(struct kv_control *control)
{
   KV_INVARIANT(!control->running);
   if (control->mode.active)
      kv_managed_close(control->mode.active);
   control->mode.active = NULL;
}

void kv_control_destroy(struct kv_control *control)
{
   kv_control_close(control);
   if (control->parts.watchdog)
      kv_watchdog_destroy(control->parts.watchdog);
   if (control->parts.load_report)
      kv_load_report_destroy(control->parts.load_report);
   if (control->parts.state)
      kv_shared_state_destroy(control->parts.state);
   if (control->parts.inbox)
      kv_inbox_destroy(control->parts.inbox);
   kv_changes_deinit(&control->changes);
   free(control);
}

/* ---- The thread ---- */

static void *run(void *argument)
{
   struct kv_control *control = argument;
   uint64_t tick_ms = kv_clock_monotonic_ms() + TICK_INTERVAL_MS;
   for (;;) {
      struct kv_inbox_wishes wishes = kv_inbox_wait(control->parts.inbox, tick_ms);
      if (wishes.task)
         kv_inbox_run(control->parts.inbox, wishes.task);
      kv_shadow_attend(&control->shadow);
      if (wishes.end)
         return NULL;
      if (wishes.tick) {
         kv_mode_tick(&control->mode);
         kv_shadow_tick(&control->shadow);
         tick_ms = kv_clock_monotonic_ms() + TICK_INTERVAL_MS;
      }
   }
}

enum kv_code kv_control_load(struct kv_control *control, const struct kv_control_request *choice,
                             struct kv_status *status)
{
   return kv_start(&control->parts, choice, &control->mode.active, status);
}

enum kv_code kv_control_start(struct kv_control *control, const struct kv_control_request *choice,
                              struct kv_status *status)
{
   struct kv_commit *commit = control->parts.config.commit;
   control->parts.versions = &control->versions;
   enum kv_code code = kv_control_load(control, choice, status);
   if (code != KV_OK)
      return code;
   kv_commit_reserve_with(commit, kv_versions_reserve, &control->versions);
   kv_commit_set_active(commit, control->mode.active->instance);
   int error = pthread_create(&control->thread, NULL, run, control);
   control->running = error == 0;
   if (control->running)
      return KV_OK;
   kv_commit_set_active(commit, NULL);
   return kv_fail_errno(status, error, "cannot start the control thread");
}

void kv_control_wind_down(struct kv_control *control)
{
   kv_inbox_wind_down(control->parts.inbox, false);
}

enum kv_code kv_control_stop(struct kv_control *control, struct kv_status *status)
{
   kv_inbox_wind_down(control->parts.inbox, true);
   pthread_join(control->thread, NULL);
   control->running = false;
   kv_commit_set_active(control->parts.config.commit, NULL);
   enum kv_code code = kv_mode_shut_down(&control->mode, status);
   if (code != KV_OK)
      return code;
   return kv_versions_end(&control->versions, control->parts.config.store, status);
}

/* ---- For other threads ---- */

const struct kv_load_report *kv_control_load_report(const struct kv_control *control)
{
   return control->parts.load_report;
}

void kv_control_hooks(struct kv_control *control, bool all,
                      void (*visit)(void *context, const char *text), void *context)
{
   kv_watchdog_visit(control->parts.watchdog, all, visit, context);
}

void kv_control_inspect(struct kv_control *control,
                        void (*visit)(void *context, const struct kv_control_state *state),
                        void *context)
{
   kv_shared_state_inspect(control->parts.state, visit, context);
}

static void see_durability(void *context, const struct kv_control_state *state)
{
   struct kv_control_durability *durability = context;
   *durability = (struct kv_control_durability){.promise = state->plugin ? state->plugin->promise
                                                                         : KVS_VOLATILE,
                                                .synced = state->last_save_sequence};
   if (!state->timing)
      return;
   struct kv_sync_timing *timing = kv_hook_timing_syncs(state->timing);
   struct kv_sync_figures figures;
   kv_sync_timing_read(timing, &figures);
   durability->lag_ns = figures.known ? figures.lag_ns : 0;
   const uint64_t synced = kv_sync_timing_durable(timing);
   if (synced > durability->synced)
      durability->synced = synced;
}

void kv_control_read_durability(struct kv_control *control,
                                struct kv_control_durability *durability)
{
   kv_control_inspect(control, see_durability, durability);
}

void kv_control_post(struct kv_control *control, struct kv_control_task *task)
{
   kv_inbox_post(control->parts.inbox, task);
}

enum kv_code kv_control_refuse_replacing(uint64_t keys, struct kv_status *status)
{
   return kv_fail_reason(status, KV_FAILED_PRECONDITION, "STORE_NOT_EMPTY",
                         "the store has %" PRIu64
                         " keys, which would be replaced; to replace them, set "
                         "replace_existing (kvstore-cli restore FILE --replace-existing)",
                         keys);
}

/* ---- For tasks ---- */

/* What only a task may use. */
static struct kv_mode *mode_of(struct kv_control *control)
{
   KV_INVARIANT(pthread_equal(pthread_self(), control->thread));
   return &control->mode;
}

struct kv_plugin_library *kv_control_library(struct kv_control *control)
{
   return mode_of(control)->parts->config.library;
}

enum kv_code kv_control_try(struct kv_control *control, const struct kv_control_request *request,
                            struct kv_settings **settings, struct kv_status *status)
{
   return kv_mode_try(mode_of(control), request, settings, status);
}

enum kv_code kv_control_configure(struct kv_control *control,
                                  const struct kv_control_request *request,
                                  struct kv_status *status)
{
   return kv_mode_configure(mode_of(control), request, status);
}

enum kv_code kv_control_replace(struct kv_control *control,
                                struct kv_control_replacement *replacement,
                                struct kv_status *status)
{
   return kv_mode_replace(mode_of(control), replacement, status);
}

enum kv_code kv_control_seal(struct kv_control *control, const struct kv_store_view *view,
                             const struct kv_inner *inner, struct kv_status *status)
{
   return kv_seal(mode_of(control)->active, view, inner, status);
}

enum kv_code kv_control_unseal(struct kv_control *control, const struct kv_control_sealed *sealed,
                               struct kv_transaction *transaction, struct kv_status *status)
{
   return kv_unseal(mode_of(control)->active, sealed, transaction, status);
}

enum kv_code kv_control_save(struct kv_control *control, uint64_t *sequence,
                             struct kv_status *status)
{
   return kv_mode_save(mode_of(control), sequence, status);
}

void kv_control_shadow(struct kv_control *control, struct kv_shadow_request *request)
{
   kv_shadow_begin(&control->shadow, mode_of(control)->active, request);
}
