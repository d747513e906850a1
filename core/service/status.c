/* Status: how the store is doing. */
#include "core/service/internal.h"

#include "core/support/clock.h"
#include "core/support/text.h"
#include "core/support/uuid.h"

struct report {
   const struct kv_service *service;
   struct kv_arena *arena;
   Kvstore__StatusResponse response;
   bool complete;
};

bool kv_service_failure_text(const struct kv_service *service, struct kv_arena *arena,
                             const char *text, ProtobufCBinaryData *field)
{
   char shown[KV_STATUS_TEXT_SIZE];
   if (service->config.private_paths) {
      kv_text_hide_paths(text, service->config.private_paths, KV_RPC_PRIVATE_PATH_SHOWN, shown,
                         sizeof shown);
      text = shown;
   }
   return kv_message_copy_text(arena, text, field);
}

bool kv_service_settings(struct kv_arena *arena, const kvs_setting *settings, size_t count,
                         Kvstore__MapEntry ***entries)
{
   Kvstore__MapEntry *array = kv_arena_alloc(arena, count * sizeof *array);
   Kvstore__MapEntry **pointers = kv_arena_alloc(arena, count * sizeof *pointers);
   if (!array || !pointers)
      return false;
   for (size_t i = 0; i < count; i++) {
      kvstore__map_entry__init(&array[i]);
      if (!kv_message_copy_text(arena, settings[i].name, &array[i].key) ||
          !kv_message_copy_text(arena, settings[i].text, &array[i].value))
         return false;
      pointers[i] = &array[i];
   }
   *entries = pointers;
   return true;
}

static void report_control(void *context, const struct kv_control_state *state)
{
   struct report *report = context;
   Kvstore__StatusResponse *response = &report->response;
   response->plugin = kv_message_text(state->plugin->name);
   response->generation = state->generation;
   response->last_save_unix_ms = state->last_save_ms;
   response->last_save_sequence = state->last_save_sequence;
   response->last_error_unix_ms = state->last_error_ms;
   response->last_error_count = state->last_error_count;
   response->refused_writes = state->refused_writes;
   response->n_options = state->plugin->option_count;
   report->complete = kv_service_failure_text(report->service, report->arena, state->last_error,
                                              &response->last_error) &&
                      kv_service_settings(report->arena, state->settings, response->n_options,
                                          &response->options) &&
                      kv_service_hooks(report->arena, state, response);
}

static void report_store(struct kv_service *service, struct kv_call *call,
                         Kvstore__StatusResponse *response)
{
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_version *version = kv_reader_pin(reader);
   response->sequence = kv_version_sequence(version);
   response->keys = kv_version_count(version);
   response->bytes = kv_version_bytes(version);
   kv_reader_unpin(reader);
}

void kv_service_status(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__status_request__descriptor, request))
      return;
   struct report report = {.service = service,
                           .arena = kv_call_arena(call),
                           .response = KVSTORE__STATUS_RESPONSE__INIT};
   char uuid[KV_UUID_TEXT_SIZE];
   kv_uuid_format(service->config.store_id, uuid);
   report.response.version = kv_message_text(KVSTORE_VERSION);
   report.response.store_id = kv_message_text(uuid);
   report.response.uptime_ms = kv_clock_monotonic_ms() - service->started_ms;
   report_store(service, call, &report.response);
   kv_control_inspect(service->config.control, report_control, &report);
   struct kv_status failure;
   if (kv_commit_read_only(service->config.commit, &failure)) {
      report.response.read_only = true;
      report.complete =
          report.complete &&
          kv_service_failure_text(service, report.arena, failure.text, &report.response.last_error);
   }
   report.response.recovery =
       kv_service_recovery(report.arena, kv_control_load_report(service->config.control));
   report.complete = report.complete &&
                     kv_service_overdue(report.arena, service->config.control, &report.response);
   if (report.complete && report.response.recovery)
      kv_message_reply(call, &report.response.base);
   else
      kv_message_out_of_memory(call);
}
