#include "core/control/mode.h"

#include "core/control/switch.h"
#include "core/support/clock.h"
#include "core/support/log.h"

#include <string.h>

#define REPAIR_DELAY_MIN_MS 1000
#define REPAIR_DELAY_MAX_MS 60000

/* ---- Ticks ---- */

static enum kv_code tick(struct kv_mode *mode, uint32_t reason, uint64_t *sequence,
                         struct kv_status *status)
{
   struct kv_store_view *view = kv_store_view_create(mode->parts->config.store);
   if (!view)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   *sequence = kv_version_sequence(kv_store_view_version(view));
   enum kv_code code = kv_instance_tick(mode->active->instance, reason, view, status);
   kv_store_view_destroy(view);
   return code;
}

/* Whether writes are refused; they are from now on, when a restart would not find them. */
static bool is_read_only(struct kv_mode *mode, struct kv_status *status)
{
   const struct kv_control_config *config = &mode->parts->config;
   if (kv_commit_read_only(config->commit, status))
      return true;
   struct kv_status cause;
   if (kv_data_directory_check(config->directory, mode->active->generation, &cause) == KV_OK)
      return false;
   kv_fail_reason(status, KV_UNAVAILABLE, "READ_ONLY",
                  "writes are refused because a restart would not find them (%s); reads go on",
                  cause.text);
   kv_commit_refuse_writes(config->commit, status);
   return true;
}

enum kv_code kv_mode_shut_down(struct kv_mode *mode, struct kv_status *status)
{
   uint64_t sequence;
   enum kv_code code = tick(mode, KVS_TICK_SHUTDOWN, &sequence, status);
   if (code == KV_OK)
      code =
          kv_data_directory_check(mode->parts->config.directory, mode->active->generation, status);
   return code;
}

/* ---- Repairs ---- */

/* Moves to a fresh generation of the same mode. */
static enum kv_code renew(struct kv_mode *mode, struct kv_status *status)
{
   kv_shadow_abandon(mode->shadow, KV_UNAVAILABLE, "the active plug-in failed");
   const struct kv_control_request request = kv_managed_request(mode->active);
   return kv_switch(mode->parts, &request, NULL, &mode->active, status);
}

/* A cancelled switch is no failure of the server. */
static enum kv_code note_failure(struct kv_mode *mode, enum kv_code code,
                                 const struct kv_status *status)
{
   if (code != KV_OK && code != KV_CANCELLED && !kv_inbox_is_winding_down(mode->parts->inbox))
      kv_shared_state_note_error(mode->parts->state, status);
   return code;
}

static void try_repair(struct kv_mode *mode)
{
   uint64_t now_ms = kv_clock_monotonic_ms();
   if (now_ms < mode->next_repair_ms)
      return;
   struct kv_status status;
   /* Looking costs nothing, and before it is back nothing can be repaired. */
   if (kv_data_directory_check_hold(mode->parts->config.directory, &status) != KV_OK)
      return;
   if (note_failure(mode, renew(mode, &status), &status) == KV_OK) {
      kv_log_event(KV_LOG_INFO, "a fresh generation is durable; writes are accepted again");
      mode->repair_delay_ms = 0;
      return;
   }
   mode->repair_delay_ms = mode->repair_delay_ms ? mode->repair_delay_ms * 2 : REPAIR_DELAY_MIN_MS;
   if (mode->repair_delay_ms > REPAIR_DELAY_MAX_MS)
      mode->repair_delay_ms = REPAIR_DELAY_MAX_MS;
   mode->next_repair_ms = now_ms + mode->repair_delay_ms;
}

void kv_mode_tick(struct kv_mode *mode)
{
   struct kv_status status;
   uint64_t sequence;
   if (is_read_only(mode, &status)) {
      kv_shared_state_note_error(mode->parts->state, &status);
      try_repair(mode);
   } else if (tick(mode, KVS_TICK_PERIODIC, &sequence, &status) != KV_OK) {
      kv_shared_state_note_error(mode->parts->state, &status);
   }
}

/* ---- Tasks ---- */

enum kv_code kv_mode_save(struct kv_mode *mode, uint64_t *sequence, struct kv_status *status)
{
   struct kv_shared_state *state = mode->parts->state;
   const kvs_plugin *plugin = kv_instance_plugin(mode->active->instance);
   if (plugin->promise == KVS_VOLATILE)
      return kv_fail_reason(
          status, KV_FAILED_PRECONDITION, "MODE_KEEPS_NOTHING",
          "mode \"%s\" keeps nothing on disk; switch to another mode first, for example "
          "with: kvstore-cli configure hybrid",
          plugin->name);
   struct kv_status failure;
   enum kv_code code;
   if (is_read_only(mode, &failure)) {
      code = renew(mode, status);
      *sequence = kv_shared_state_last_save(state);
   } else {
      code = tick(mode, KVS_TICK_CHECKPOINT, sequence, status);
      if (code == KV_OK)
         kv_shared_state_note_save(state, *sequence);
   }
   if (code != KV_OK)
      kv_shared_state_note_error(state, status);
   return code;
}

/* Whether `request` asks for just what is in force. */
static bool is_in_force(const struct kv_mode *mode, const struct kv_control_request *request,
                        const struct kv_settings *settings)
{
   const struct kv_instance *instance = mode->active->instance;
   if (strcmp(request->plugin, kv_instance_plugin(instance)->name) != 0)
      return false;
   const kvs_setting *wanted = kv_settings_array(settings);
   const kvs_setting *present = kv_settings_array(kv_instance_settings(instance));
   for (size_t i = 0; i < kv_settings_count(settings); i++)
      if (strcmp(wanted[i].text, present[i].text) != 0)
         return false;
   return true;
}

enum kv_code kv_mode_try(struct kv_mode *mode, const struct kv_control_request *request,
                         struct kv_settings **settings, struct kv_status *status)
{
   const kvs_plugin *plugin;
   enum kv_code code = kv_managed_settings(mode->parts, request, &plugin, settings, status);
   if (code != KV_OK || is_in_force(mode, request, *settings))
      return code;
   code = kv_switch_try(mode->parts, request, mode->active, status);
   if (code != KV_OK)
      kv_settings_destroy(*settings);
   return code;
}

static enum kv_code refuse_beside_shadow(struct kv_status *status)
{
   return kv_fail_reason(
       status, KV_FAILED_PRECONDITION, "SHADOW_RUN_IN_PROGRESS",
       "a shadow run is in progress, and nothing can be switched meanwhile; wait until "
       "it ends, or cancel its call");
}

enum kv_code kv_mode_configure(struct kv_mode *mode, const struct kv_control_request *request,
                               struct kv_status *status)
{
   const kvs_plugin *plugin;
   struct kv_settings *settings;
   enum kv_code code = kv_managed_settings(mode->parts, request, &plugin, &settings, status);
   if (code != KV_OK)
      return code;
   bool done = is_in_force(mode, request, settings) &&
               !kv_commit_read_only(mode->parts->config.commit, NULL);
   kv_settings_destroy(settings);
   if (done)
      return KV_OK;
   if (mode->shadow->run)
      return refuse_beside_shadow(status);
   return note_failure(mode, kv_switch(mode->parts, request, NULL, &mode->active, status), status);
}

enum kv_code kv_mode_replace(struct kv_mode *mode, struct kv_control_replacement *replacement,
                             struct kv_status *status)
{
   if (mode->shadow->run)
      return refuse_beside_shadow(status);
   const struct kv_control_request request = kv_managed_request(mode->active);
   return kv_switch(mode->parts, &request, replacement, &mode->active, status);
}
