#include "core/telemetry/snapshot.h"

#include "core/commit/targets.h"
#include "core/support/clock.h"
#include "core/support/text.h"

#include <stdio.h>

/* ---- The active plug-in ---- */

static void hide_paths(const struct kv_telemetry *telemetry, const char *text, char *to,
                       size_t size)
{
   kv_text_hide_paths(text, telemetry->config.private_paths, KV_RPC_PRIVATE_PATH_SHOWN, to, size);
   kv_text_clean(to);
}

static void take_options(struct kv_telemetry *telemetry, const struct kv_control_state *state)
{
   struct kv_snapshot *snapshot = &telemetry->snapshot;
   for (size_t i = 0; i < state->plugin->option_count && i < KV_SNAPSHOT_OPTIONS_MAX; i++) {
      struct kv_snapshot_option *option = &snapshot->options[snapshot->option_count++];
      snprintf(option->name, sizeof option->name, "%s", state->settings[i].name);
      hide_paths(telemetry, state->settings[i].text, option->text, sizeof option->text);
   }
}

static void take_hooks(struct kv_snapshot *snapshot, const struct kv_control_state *state)
{
   for (int i = 0; i < KV_HOOK_KINDS; i++) {
      struct kv_snapshot_hook *hook = &snapshot->hooks[i];
      kv_hook_timing_read(state->timing, (enum kv_hook)i, &hook->figures);
      hook->running_ns = kv_hook_timing_running_ns(state->timing, (enum kv_hook)i, NULL);
   }
   snapshot->hooks[KV_HOOK_CLOSE].figures = state->closes;
   kv_sync_timing_read(kv_hook_timing_syncs(state->timing), &snapshot->syncs);
}

static void take_state(void *context, const struct kv_control_state *state)
{
   static const char *const promises[] = {
       [KVS_VOLATILE] = "volatile", [KVS_PERIODIC] = "periodic", [KVS_DURABLE] = "durable"};
   struct kv_telemetry *telemetry = context;
   struct kv_snapshot *snapshot = &telemetry->snapshot;
   snapshot->last_error_ms = state->last_error_ms;
   snapshot->last_error_count = state->last_error_count;
   snapshot->refused_writes = state->refused_writes;
   hide_paths(telemetry, state->last_error, snapshot->last_error, sizeof snapshot->last_error);
   if (!state->plugin)
      return;
   snprintf(snapshot->mode, sizeof snapshot->mode, "%s", state->plugin->name);
   snapshot->promise = promises[state->plugin->promise];
   snapshot->generation = state->generation;
   snapshot->save_sequence = state->last_save_sequence;
   snapshot->save_ms = state->last_save_ms;
   take_options(telemetry, state);
   take_hooks(snapshot, state);
}

static void take_overdue(void *context, const char *text)
{
   struct kv_snapshot *snapshot = context;
   if (snapshot->overdue_count < KV_SNAPSHOT_OVERDUE_MAX)
      snprintf(snapshot->overdue[snapshot->overdue_count++], KV_SNAPSHOT_TEXT_SIZE, "%s", text);
}

/* ---- The whole ---- */

static void take_store(struct kv_telemetry *telemetry)
{
   struct kv_snapshot *snapshot = &telemetry->snapshot;
   const struct kv_version *version = kv_reader_pin(telemetry->reader);
   snapshot->sequence = kv_version_sequence(version);
   snapshot->keys = kv_version_client_count(version);
   snapshot->bytes = kv_version_bytes(version);
   kv_reader_unpin(telemetry->reader);
}

void kv_snapshot_take(struct kv_telemetry *telemetry)
{
   const struct kv_telemetry_config *config = &telemetry->config;
   struct kv_snapshot *snapshot = &telemetry->snapshot;
   const struct kv_load_report *report = kv_control_load_report(config->control);
   *snapshot = (struct kv_snapshot){
       .now_ms = kv_clock_unix_ms(),
       .uptime_ms = kv_clock_monotonic_ms() - telemetry->started_ms,
       .stage = (enum kv_telemetry_stage)atomic_load(&telemetry->stage),
       .loaded_percent = kv_load_report_percent(report),
       .read_only = kv_commit_read_only(config->commit, NULL),
       .promise = "volatile",
       .has_backups = config->backups,
       .has_tls = config->tls,
   };
   kv_process_read(&snapshot->process);
   kv_rpc_read_statistics(telemetry->rpc, &snapshot->wire);
   kv_commit_read_statistics(config->commit, &snapshot->commit);
   kv_watchers_read_figures(config->watchers, &snapshot->watches);
   if (snapshot->stage != KV_TELEMETRY_LOADING)
      snapshot->load = kv_load_report_result(report);
   take_store(telemetry);
   kv_control_inspect(config->control, take_state, telemetry);
   kv_control_hooks(config->control, false, take_overdue, snapshot);
   if (config->backups)
      kv_backup_schedule_read(config->backups, &snapshot->backups);
   if (config->tls)
      kv_tls_statistics(config->tls, &snapshot->tls);
}

static double age_s(const struct kv_snapshot *snapshot, int64_t at_ms)
{
   double age_ms = at_ms > 0 ? (double)(snapshot->now_ms - at_ms) : (double)snapshot->uptime_ms;
   return age_ms > 0 ? age_ms / 1000 : 0;
}

double kv_snapshot_checkpoint_age_s(const struct kv_snapshot *snapshot)
{
   return age_s(snapshot, snapshot->save_ms);
}

double kv_snapshot_backup_age_s(const struct kv_snapshot *snapshot)
{
   return age_s(snapshot, snapshot->backups.newest.made_ms);
}
