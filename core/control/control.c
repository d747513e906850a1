#include "core/control/internal.h"

#include "core/support/clock.h"
#include "core/support/invariant.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_INTERVAL_MS 1000
#define NS_PER_MS ((uint64_t)1000000)
#define REPAIR_DELAY_MIN_MS 1000
#define REPAIR_DELAY_MAX_MS 60000

/* ---- What other threads see ---- */

void kv_control_show(struct kv_control *control, struct kv_instance *instance, uint64_t generation)
{
   pthread_mutex_lock(&control->lock);
   control->state.plugin = kv_instance_plugin(instance);
   control->state.settings = kv_settings_array(kv_instance_settings(instance));
   control->state.generation = generation;
   control->state.timing = kv_instance_timing(instance);
   pthread_mutex_unlock(&control->lock);
}

void kv_control_note_save(struct kv_control *control, uint64_t sequence)
{
   pthread_mutex_lock(&control->lock);
   control->state.last_save_sequence = sequence;
   control->state.last_save_ms = kv_clock_unix_ms();
   pthread_mutex_unlock(&control->lock);
}

void kv_control_inspect(struct kv_control *control,
                        void (*visit)(void *context, const struct kv_control_state *state),
                        void *context)
{
   pthread_mutex_lock(&control->lock);
   visit(context, &control->state);
   pthread_mutex_unlock(&control->lock);
}

void kv_control_want_tick(void *context)
{
   struct kv_control *control = context;
   pthread_mutex_lock(&control->lock);
   control->tick_wanted = true;
   pthread_cond_signal(&control->changed);
   pthread_mutex_unlock(&control->lock);
}

/* The control thread repairs what failed. */
static void note_read_only(void *context, bool read_only)
{
   struct kv_control *control = context;
   control->config.writable_changed(control->config.writable_context, !read_only);
   if (read_only)
      kv_control_want_tick(control);
}

/* ---- Tasks ---- */

/* Whether `request` asks for just what is in force. */
static bool in_force(struct kv_control *control, const struct kv_control_request *request,
                     const struct kv_settings *settings)
{
   if (strcmp(request->plugin, kv_instance_plugin(control->active)->name) != 0)
      return false;
   const kvs_setting *wanted = kv_settings_array(settings);
   const kvs_setting *present = kv_settings_array(kv_instance_settings(control->active));
   for (size_t i = 0; i < kv_settings_count(settings); i++)
      if (strcmp(wanted[i].text, present[i].text) != 0)
         return false;
   return true;
}

enum kv_code kv_control_try(struct kv_control *control, const struct kv_control_request *request,
                            struct kv_settings **settings, struct kv_status *status)
{
   enum kv_code code = kv_control_validate(control, request, settings, status);
   if (code != KV_OK || in_force(control, request, *settings))
      return code;
   code = kv_control_open_briefly(control, request, status);
   if (code != KV_OK)
      kv_settings_destroy(*settings);
   return code;
}

/* That is no failure of the server. */
static bool was_cancelled(struct kv_control *control, enum kv_code code)
{
   return code == KV_CANCELLED || kv_control_winding_down(control);
}

enum kv_code kv_control_configure(struct kv_control *control,
                                  const struct kv_control_request *request,
                                  struct kv_status *status)
{
   struct kv_settings *settings;
   enum kv_code code = kv_control_validate(control, request, &settings, status);
   if (code != KV_OK)
      return code;
   struct kv_status failure;
   bool done = in_force(control, request, settings) &&
               !kv_commit_read_only(control->config.commit, &failure);
   kv_settings_destroy(settings);
   if (done)
      return KV_OK;
   if (control->shadow)
      return kv_fail(
          status, KV_FAILED_PRECONDITION,
          "a shadow run is in progress, and nothing can be switched meanwhile; wait until "
          "it ends, or cancel its call");
   code = kv_control_switch(control, request, status);
   if (code != KV_OK && !was_cancelled(control, code))
      kv_control_note_error(control, status);
   return code;
}

static enum kv_code tick(struct kv_control *control, uint32_t reason, uint64_t *sequence,
                         struct kv_status *status)
{
   struct kv_store_view *view = kv_store_view_create(control->config.store);
   if (!view)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   *sequence = kv_version_sequence(kv_store_view_version(view));
   enum kv_code code = kv_instance_tick(control->active, reason, view, status);
   kv_store_view_destroy(view);
   return code;
}

/* Whether what is written now is there after a restart; when not, writes are refused from now on,
 * until a fresh generation is durable where a restart looks for it. */
static enum kv_code check_directory(struct kv_control *control, struct kv_status *status)
{
   enum kv_code code =
       kv_data_directory_check(control->config.directory, control->state.generation, status);
   struct kv_status already;
   if (code == KV_OK || kv_commit_read_only(control->config.commit, &already))
      return code;
   struct kv_status refusal;
   kv_fail(&refusal, KV_UNAVAILABLE,
           "writes are refused because a restart would not find them (%s); reads go on",
           status->text);
   kv_commit_refuse_writes(control->config.commit, &refusal);
   return code;
}

enum kv_code kv_control_save(struct kv_control *control, uint64_t *sequence,
                             struct kv_status *status)
{
   const kvs_plugin *plugin = kv_instance_plugin(control->active);
   if (plugin->promise == KVS_VOLATILE)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "mode \"%s\" keeps nothing on disk; switch to another mode first, for example "
                     "with: kvstore-cli configure hybrid",
                     plugin->name);
   struct kv_status failure;
   enum kv_code code;
   (void)check_directory(control, &failure); /* what it finds makes writes refused */
   if (kv_commit_read_only(control->config.commit, &failure)) {
      code = kv_control_renew(control, status);
      *sequence = control->state.last_save_sequence;
   } else {
      code = tick(control, KVS_TICK_CHECKPOINT, sequence, status);
      if (code == KV_OK)
         kv_control_note_save(control, *sequence);
   }
   if (code != KV_OK)
      kv_control_note_error(control, status);
   return code;
}

const struct kv_load_report *kv_control_load_report(const struct kv_control *control)
{
   return control->load_report;
}

void kv_control_hooks(struct kv_control *control, bool all,
                      void (*visit)(void *context, const char *text), void *context)
{
   kv_watchdog_visit(control->watchdog, all, visit, context);
}

struct kv_plugin_library *kv_control_library(struct kv_control *control)
{
   return control->config.library;
}

/* ---- The thread ---- */

/* After the active plug-in failed: tries a fresh generation, at growing intervals. */
static void try_repair(struct kv_control *control)
{
   uint64_t now_ms = kv_clock_monotonic_ms();
   if (now_ms < control->next_repair_ms)
      return;
   struct kv_status status;
   /* Looking costs nothing, and before it is back nothing can be repaired. */
   if (kv_data_directory_check_hold(control->config.directory, &status) != KV_OK)
      return;
   enum kv_code code = kv_control_renew(control, &status);
   if (code == KV_OK) {
      kv_log(KV_LOG_INFO, "a fresh generation is durable; writes are accepted again");
      control->repair_delay_ms = REPAIR_DELAY_MIN_MS;
      return;
   }
   if (!was_cancelled(control, code))
      kv_control_note_error(control, &status);
   control->next_repair_ms = now_ms + control->repair_delay_ms;
   control->repair_delay_ms = control->repair_delay_ms * 2 < REPAIR_DELAY_MAX_MS
                                  ? control->repair_delay_ms * 2
                                  : REPAIR_DELAY_MAX_MS;
}

static void periodic_tick(struct kv_control *control)
{
   struct kv_status status;
   (void)check_directory(control, &status);
   if (kv_commit_read_only(control->config.commit, &status)) {
      kv_control_note_error(control, &status);
      try_repair(control);
      return;
   }
   uint64_t sequence;
   if (tick(control, KVS_TICK_PERIODIC, &sequence, &status) != KV_OK)
      kv_control_note_error(control, &status);
   kv_control_tick_shadow(control);
}

static bool due(uint64_t deadline_ms)
{
   return kv_clock_monotonic_ms() >= deadline_ms;
}

/* Waits until there is something to do; returns a task, or NULL with *tick_due or *stop. */
static struct kv_control_task *next_task(struct kv_control *control, uint64_t tick_ms,
                                         bool *tick_due, bool *stop)
{
   uint64_t shadow_ms = kv_control_shadow_end_ms(control);
   uint64_t wake_ms = tick_ms < shadow_ms ? tick_ms : shadow_ms;
   const struct timespec deadline = {
       .tv_sec = (time_t)(wake_ms / 1000),
       .tv_nsec = (long)(wake_ms % 1000) * 1000000,
   };
   pthread_mutex_lock(&control->lock);
   while (control->queue.count == 0 && !control->stopping && !control->tick_wanted &&
          !(control->shadow && control->winding_down) && !due(wake_ms))
      pthread_cond_timedwait(&control->changed, &control->lock, &deadline);
   struct kv_control_task *task = kv_control_queue_take(&control->queue);
   *stop = !task && control->stopping;
   *tick_due = control->tick_wanted || due(tick_ms);
   if (*tick_due)
      control->tick_wanted = false;
   pthread_mutex_unlock(&control->lock);
   return task;
}

static void *run(void *argument)
{
   struct kv_control *control = argument;
   uint64_t tick_ms = kv_clock_monotonic_ms() + TICK_INTERVAL_MS;
   for (;;) {
      bool tick_due, stop;
      struct kv_control_task *task = next_task(control, tick_ms, &tick_due, &stop);
      if (task)
         kv_control_run_task(control, task);
      kv_control_attend_shadow(control);
      if (stop)
         return NULL;
      if (tick_due) {
         periodic_tick(control);
         tick_ms = kv_clock_monotonic_ms() + TICK_INTERVAL_MS;
      }
   }
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
   control->load_report = kv_load_report_create();
   if (!control->load_report) {
      free(control);
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the control plane");
      return NULL;
   }
   control->watchdog = kv_watchdog_create(config->hook_budget_ms * NS_PER_MS, status);
   if (!control->watchdog) {
      kv_load_report_destroy(control->load_report);
      free(control);
      return NULL;
   }
   control->config = *config;
   control->state.last_error = control->last_error;
   control->repair_delay_ms = REPAIR_DELAY_MIN_MS;
   atomic_store(&control->shadow_end_ms, UINT64_MAX);
   pthread_mutex_init(&control->lock, NULL);
   kv_clock_init_condition(&control->changed);
   const struct kv_commit_observer observer = {
       .context = control, .read_only_changed = note_read_only, .refused = kv_control_note_refusal};
   kv_commit_observe(config->commit, &observer);
   return control;
}

enum kv_code kv_control_start(struct kv_control *control,
                              const struct kv_control_first_choice *choice,
                              struct kv_status *status)
{
   control->cancellable = KV_CONTROL_LOAD;
   enum kv_code code = kv_control_recover(control, choice, status);
   control->cancellable = KV_CONTROL_NOTHING;
   if (code != KV_OK)
      return code;
   kv_commit_set_active(control->config.commit, control->active);
   control->running = true; /* what the thread itself opens asks for it */
   int error = pthread_create(&control->thread, NULL, run, control);
   if (error == 0)
      return KV_OK;
   control->running = false;
   kv_commit_set_active(control->config.commit, NULL);
   return kv_fail_errno(status, error, "cannot start the control thread");
}

enum kv_code kv_control_stop(struct kv_control *control, struct kv_status *status)
{
   kv_control_wind_down(control);
   pthread_mutex_lock(&control->lock);
   control->stopping = true;
   pthread_cond_signal(&control->changed);
   pthread_mutex_unlock(&control->lock);
   pthread_join(control->thread, NULL);
   control->running = false;

   kv_commit_set_active(control->config.commit, NULL);
   uint64_t sequence;
   struct kv_status unreachable;
   enum kv_code code = tick(control, KVS_TICK_SHUTDOWN, &sequence, status);
   if (code == KV_OK && kv_data_directory_check(control->config.directory,
                                                control->state.generation, &unreachable) != KV_OK) {
      *status = unreachable;
      code = status->code;
   }
   return code;
}

void kv_control_close(struct kv_control *control)
{
   KV_INVARIANT(!control->running);
   if (control->active)
      kv_control_close_instance(control, control->active);
   control->active = NULL;
}

void kv_control_destroy(struct kv_control *control)
{
   kv_control_close(control);
   pthread_cond_destroy(&control->changed);
   pthread_mutex_destroy(&control->lock);
   kv_watchdog_destroy(control->watchdog);
   kv_load_report_destroy(control->load_report);
   free(control);
}
