/* GetStatus: how the store is doing. */
#include "core/service/admin/admin.h"

#include "core/support/clock.h"
#include "core/support/text.h"
#include "core/support/uuid.h"

struct report {
   const struct kv_service *service;
   struct kv_builder builder;
   Kvstore__V1__GetStatusResponse response;
};

/* ---- Parts that other replies have as well ---- */

ProtobufCBinaryData kv_service_failure_text(const struct kv_service *service,
                                            struct kv_builder *builder, const char *text)
{
   char shown[KV_STATUS_TEXT_SIZE];
   if (service->config.private_paths) {
      kv_text_hide_paths(text, service->config.private_paths, KV_RPC_PRIVATE_PATH_SHOWN, shown,
                         sizeof shown);
      text = shown;
   }
   return kv_build_text(builder, text);
}

Kvstore__V1__MapEntry **kv_service_settings(struct kv_builder *builder, const kvs_setting *settings,
                                            size_t count)
{
   Kvstore__V1__MapEntry **entries =
       kv_build_list(builder, count, &kvstore__v1__map_entry__descriptor);
   for (size_t i = 0; entries && i < count; i++) {
      entries[i]->key = kv_build_text(builder, settings[i].name);
      entries[i]->value = kv_build_text(builder, settings[i].text);
   }
   return entries;
}

void kv_service_hook(const char *name, const struct kv_hook_figures *figures,
                     Kvstore__V1__Hook *hook)
{
   kvstore__v1__hook__init(hook);
   hook->name = kv_message_text(name);
   hook->calls = figures->calls;
   hook->errors = figures->errors;
   hook->total_ns = figures->total_ns;
   hook->mean_ns = kv_hook_figures_mean_ns(figures);
   hook->p50_ns = kv_hook_figures_percentile_ns(figures, 500);
   hook->p99_ns = kv_hook_figures_percentile_ns(figures, 990);
   hook->p999_ns = kv_hook_figures_percentile_ns(figures, 999);
   hook->max_ns = figures->max_ns;
}

/* ---- The start: the texts are those of the load report ---- */

static void add_files(struct kv_builder *builder, struct kv_load_items items,
                      Kvstore__V1__Recovery *recovery)
{
   recovery->files = kv_build_list(builder, items.count, &kvstore__v1__recovery__file__descriptor);
   for (size_t i = 0; recovery->files && i < items.count; i++) {
      Kvstore__V1__Recovery__File *file = recovery->files[i];
      file->name = kv_message_text(items.items[i].file);
      file->bytes = items.items[i].bytes;
      file->records = items.items[i].records;
      file->version = items.items[i].sequence;
   }
   recovery->n_files = items.count;
   recovery->file_count = items.total;
}

static void add_torn(struct kv_builder *builder, struct kv_load_items items,
                     Kvstore__V1__Recovery *recovery)
{
   recovery->torn = kv_build_list(builder, items.count, &kvstore__v1__recovery__torn__descriptor);
   for (size_t i = 0; recovery->torn && i < items.count; i++) {
      Kvstore__V1__Recovery__Torn *torn = recovery->torn[i];
      torn->file = kv_message_text(items.items[i].file);
      torn->offset = items.items[i].offset;
      torn->bytes = items.items[i].bytes;
      torn->outcome = kv_message_text(items.items[i].text);
   }
   recovery->n_torn = items.count;
}

static void add_passed_over(struct kv_builder *builder, struct kv_load_items items,
                            Kvstore__V1__Recovery *recovery)
{
   recovery->passed_over =
       kv_build_list(builder, items.count, &kvstore__v1__recovery__passed_over__descriptor);
   for (size_t i = 0; recovery->passed_over && i < items.count; i++) {
      recovery->passed_over[i]->file = kv_message_text(items.items[i].file);
      recovery->passed_over[i]->reason = kv_message_text(items.items[i].text);
   }
   recovery->n_passed_over = items.count;
}

static Kvstore__V1__Recovery *build_recovery(struct kv_builder *builder,
                                             const struct kv_load_report *report)
{
   Kvstore__V1__Recovery *recovery = kv_build(builder, &kvstore__v1__recovery__descriptor);
   if (!recovery)
      return NULL;
   const struct kv_load_result result = kv_load_report_result(report);
   recovery->records = result.records;
   recovery->duration_ms = result.duration_ms;
   recovery->version = result.sequence;
   recovery->keys = result.keys;
   recovery->bytes = result.bytes;
   add_files(builder, kv_load_report_items(report, KVS_LOAD_FILE), recovery);
   add_torn(builder, kv_load_report_items(report, KVS_LOAD_TORN), recovery);
   add_passed_over(builder, kv_load_report_items(report, KVS_LOAD_PASSED_OVER), recovery);
   return recovery;
}

/* ---- The active plug-in ---- */

static void report_hooks(struct report *report, const struct kv_control_state *state)
{
   Kvstore__V1__Hook **hooks =
       kv_build_list(&report->builder, KV_HOOK_KINDS, &kvstore__v1__hook__descriptor);
   for (int i = 0; hooks && i < KV_HOOK_KINDS; i++) {
      enum kv_hook kind = (enum kv_hook)i;
      struct kv_hook_figures figures;
      kv_hook_timing_read(state->timing, kind, &figures);
      kv_service_hook(kv_hook_name(kind), kind == KV_HOOK_CLOSE ? &state->closes : &figures,
                      hooks[i]);
      hooks[i]->running_ns = kv_hook_timing_running_ns(state->timing, kind, NULL);
   }
   report->response.hooks = hooks;
   report->response.n_hooks = KV_HOOK_KINDS;
}

static void report_control(void *context, const struct kv_control_state *state)
{
   struct report *report = context;
   Kvstore__V1__GetStatusResponse *response = &report->response;
   response->plugin = kv_message_text(state->plugin->name);
   response->generation = state->generation;
   response->last_save_unix_ms = state->last_save_ms;
   response->last_save_version = state->last_save_sequence;
   response->last_error_unix_ms = state->last_error_ms;
   response->last_error_count = state->last_error_count;
   response->refused_writes = state->refused_writes;
   response->n_options = state->plugin->option_count;
   response->last_error =
       kv_service_failure_text(report->service, &report->builder, state->last_error);
   response->options = kv_service_settings(&report->builder, state->settings, response->n_options);
   response->etag = kv_service_etag(&report->builder, state);
   report_hooks(report, state);
}

/* Lines beyond these are left out: one plug-in is active, one may be a candidate, one closing. */
#define OVERDUE_MAX 8

static void add_overdue(void *context, const char *text)
{
   struct report *report = context;
   if (report->response.n_overdue < OVERDUE_MAX)
      report->response.overdue[report->response.n_overdue++] =
          kv_build_text(&report->builder, text);
}

static void report_backups(struct report *report)
{
   struct kv_backup_schedule_state state;
   Kvstore__V1__BackupStatus *backup =
       kv_build(&report->builder, &kvstore__v1__backup_status__descriptor);
   if (!backup)
      return;
   kv_backup_schedule_read(report->service->config.backups, &state);
   backup->last_good_unix_ms = state.newest.made_ms;
   backup->last_good_version = state.newest.sequence;
   backup->last_good_bytes = state.newest.bytes;
   backup->last_good_file = kv_build_text(&report->builder, state.newest.name);
   backup->last_error =
       kv_service_failure_text(report->service, &report->builder, state.last_error);
   backup->interval_seconds = state.interval_s;
   backup->kept_files = state.newest.count;
   report->response.backup = backup;
}

/* ---- The whole ---- */

static void report_store(struct kv_service *service, struct kv_call *call,
                         Kvstore__V1__GetStatusResponse *response)
{
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_version *version = kv_reader_pin(reader);
   response->version = kv_version_sequence(version);
   response->keys = kv_version_client_count(version);
   response->bytes = kv_version_bytes(version);
   kv_reader_unpin(reader);
}

void kv_service_get_status(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__v1__get_status_request__descriptor, request))
      return;
   struct report report = {.service = service,
                           .builder = {.arena = kv_call_arena(call)},
                           .response = KVSTORE__V1__GET_STATUS_RESPONSE__INIT};
   char uuid[KV_UUID_TEXT_SIZE];
   ProtobufCBinaryData overdue[OVERDUE_MAX];
   kv_uuid_format(service->config.store_id, uuid);
   report.response.server_version = kv_message_text(KVSTORE_VERSION);
   report.response.store_id = kv_message_text(uuid);
   report.response.bytes_max = service->config.memory_max;
   report.response.key_cost = service->config.key_cost;
   if (service->config.memory_source)
      report.response.bytes_max_source = kv_message_text(service->config.memory_source);
   report.response.uptime_ms = kv_clock_monotonic_ms() - service->started_ms;
   report.response.overdue = overdue;
   report_store(service, call, &report.response);
   kv_control_inspect(service->config.control, report_control, &report);
   kv_control_hooks(service->config.control, false, add_overdue, &report);
   if (service->config.backups)
      report_backups(&report);
   struct kv_status failure;
   report.response.read_only = kv_commit_read_only(service->config.commit, &failure);
   if (report.response.read_only)
      report.response.last_error = kv_service_failure_text(service, &report.builder, failure.text);
   report.response.recovery =
       build_recovery(&report.builder, kv_control_load_report(service->config.control));
   kv_builder_reply(&report.builder, call, &report.response.base);
}
