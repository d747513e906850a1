#include "tests/support/service_fixture.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Life ---- */

static void start_control(struct service_fixture *fixture, const struct service_setup *setup)
{
   const struct kv_control_request choice = {setup->mode ? setup->mode : "none", setup->options,
                                             setup->option_count};
   struct kv_status status = {0};
   if (kv_control_start(fixture->control, &choice, &status) != KV_OK)
      fail_msg("%s", status.text);
   fixture->control_started = true;
   kv_service_set_loaded(fixture->service);
}

static void create_control(struct service_fixture *fixture, struct kv_status *status)
{
   const struct kv_control_config config = {.directory = fixture->directory,
                                            .library = fixture->library,
                                            .store = fixture->store,
                                            .commit = fixture->commit,
                                            .watchers = fixture->watchers};
   fixture->control = kv_control_create(&config, status);
   assert_non_null(fixture->control);
}

struct service_fixture *service_fixture_create(const struct service_setup *setup)
{
   struct service_fixture *fixture = calloc(1, sizeof *fixture);
   struct kv_status status = {0};
   char data[TEMPORARY_PATH_SIZE];
   assert_non_null(fixture);
   temporary_create(&fixture->folder);
   assert_int_equal(mkdir(temporary_path(&fixture->folder, "data", data), 0700), 0);
   assert_int_equal(kv_data_directory_open(data, &fixture->directory, &status), KV_OK);
   fixture->library = kv_plugin_library_create(BUILT_PLUGIN_DIR ":" TEST_PLUGIN_DIR, &status);
   fixture->store = kv_store_create();
   const struct kv_commit_options options = {.workers = 1, .memory_max = setup->memory_max};
   fixture->commit = kv_commit_create(fixture->store, &options, &status);
   assert_true(fixture->library && fixture->store && fixture->commit);
   fixture->history = kv_history_create(KV_HISTORY_SIZE_MIN, 2);
   assert_non_null(fixture->history);
   fixture->watchers = kv_watchers_create(fixture->history, 1, &status);
   assert_non_null(fixture->watchers);
   create_control(fixture, &status);
   fixture->private_paths[0] = fixture->folder.path;
   assert_int_equal(kv_observers_init(&fixture->observers, SERVICE_SLOW_MS, 1, &status), KV_OK);
   const struct kv_service_config config = {
       .store = fixture->store,
       .commit = fixture->commit,
       .control = fixture->control,
       .watchers = fixture->watchers,
       .workers = 1,
       .value_size_max = SERVICE_VALUE_MAX,
       .message_size_max = SERVICE_MESSAGE_MAX,
       .memory_max = setup->memory_max,
       .request_window_ms = 60000,
       .store_id = kv_data_directory_store_id(fixture->directory),
       .directory = fixture->directory,
       .sender_timeout_ms = 60000,
       .observers = &fixture->observers,
       .private_paths = fixture->private_paths,
   };
   fixture->service = kv_service_create(&config, &status);
   assert_non_null(fixture->service);
   fake_rpc_set_turn_end(kv_service_turn_end, fixture->service);
   fixture->method_count = kv_service_methods(fixture->service, fixture->methods);
   if (!setup->not_loaded)
      start_control(fixture, setup);
   return fixture;
}

void service_fixture_destroy(struct service_fixture *fixture)
{
   struct kv_status status;
   if (fixture->control_started)
      kv_control_stop(fixture->control, &status);
   kv_control_close(fixture->control);
   fake_rpc_set_turn_end(NULL, NULL);
   kv_service_destroy(fixture->service);
   kv_observers_deinit(&fixture->observers);
   kv_control_destroy(fixture->control);
   kv_commit_destroy(fixture->commit);
   kv_watchers_destroy(fixture->watchers);
   kv_history_destroy(fixture->history);
   kv_store_destroy(fixture->store);
   kv_plugin_library_destroy(fixture->library);
   kv_data_directory_close(fixture->directory);
   temporary_remove(&fixture->folder);
   free(fixture);
}

int service_fixture_set_up(void **state)
{
   const struct service_setup setup = {0};
   *state = service_fixture_create(&setup);
   return 0;
}

int service_fixture_tear_down(void **state)
{
   service_fixture_destroy(*state);
   return 0;
}

/* ---- Calls ---- */

const struct kv_rpc_method *service_method(const struct service_fixture *fixture, const char *name)
{
   static const char *const services[] = {"/kvstore.v1.AdminService/", "/kvstore.KeyValueStore/",
                                          "/kvstore.v1."};
   for (size_t s = 0; s < sizeof services / sizeof *services; s++) {
      char path[64];
      snprintf(path, sizeof path, "%s%s", services[s], name);
      for (size_t i = 0; i < fixture->method_count; i++)
         if (strcmp(fixture->methods[i].path, path) == 0)
            return &fixture->methods[i];
   }
   fail_msg("there is no method %s", name);
   return NULL;
}

/* To be freed; outlives the call. */
static struct kv_slice pack(const ProtobufCMessage *request)
{
   size_t size = protobuf_c_message_get_packed_size(request);
   uint8_t *bytes = malloc(size + 1);
   assert_non_null(bytes);
   protobuf_c_message_pack(request, bytes);
   return kv_slice(bytes, size);
}

void service_run(const struct service_fixture *fixture, const char *name,
                 const ProtobufCMessage *request, const struct fake_client *client,
                 struct fake_answer *answer)
{
   struct kv_slice bytes = pack(request);
   fake_call_run(service_method(fixture, name), bytes, client, answer);
   free((void *)(uintptr_t)bytes.data);
}

struct kv_call *service_begin(const struct service_fixture *fixture, const char *name,
                              const ProtobufCMessage *request, struct fake_answer *answer)
{
   struct kv_slice bytes = pack(request); /* the handler decodes it before it returns */
   struct kv_call *call = fake_call_begin(service_method(fixture, name), bytes, NULL, answer);
   free((void *)(uintptr_t)bytes.data);
   return call;
}

void *service_reply(const struct service_fixture *fixture, const char *name,
                    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply)
{
   struct fake_answer answer;
   service_run(fixture, name, request, NULL, &answer);
   if (answer.code != KV_OK)
      fail_msg("%s failed: %s", name, answer.text);
   assert_int_equal(answer.count, 1);
   void *message =
       protobuf_c_message_unpack(reply, NULL, answer.messages[0].size, answer.messages[0].data);
   assert_non_null(message);
   fake_answer_deinit(&answer);
   return message;
}

/* Runs a call that must fail like this. */
static void run_refused(const struct service_fixture *fixture, const char *name,
                        const ProtobufCMessage *request, enum kv_code code, va_list parts,
                        struct fake_answer *answer)
{
   service_run(fixture, name, request, NULL, answer);
   assert_int_equal(answer->count, 0);
   if (answer->code != code)
      fail_msg("%s: %d in place of %d: %s", name, answer->code, code, answer->text);
   for (const char *part; (part = va_arg(parts, const char *));)
      if (!strstr(answer->text, part))
         fail_msg("%s: \"%s\" lacks \"%s\"", name, answer->text, part);
}

void service_refused(const struct service_fixture *fixture, const char *name,
                     const ProtobufCMessage *request, enum kv_code code, ...)
{
   struct fake_answer answer;
   va_list parts;
   va_start(parts, code);
   run_refused(fixture, name, request, code, parts, &answer);
   va_end(parts);
   fake_answer_deinit(&answer);
}

/* As name=value; "" when there is none. */
static void show_metadata(const Google__Rpc__ErrorInfo *info, char *text, size_t size)
{
   text[0] = '\0';
   assert_true(info->n_metadata <= 1);
   if (info->n_metadata == 1)
      snprintf(text, size, "%.*s=%.*s", (int)info->metadata[0]->key.len,
               (const char *)info->metadata[0]->key.data, (int)info->metadata[0]->value.len,
               (const char *)info->metadata[0]->value.data);
}

static void assert_details(const struct fake_answer *answer, const char *reason,
                           const char *metadata)
{
   char text[128];
   if (!answer->details)
      fail_msg("no reason, in place of %s: %s", reason, answer->text);
   Google__Rpc__Status *details =
       google__rpc__status__unpack(NULL, answer->details_size, answer->details);
   assert_non_null(details);
   assert_int_equal(details->code, answer->code);
   assert_int_equal(details->n_details, 1);
   Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(
       NULL, details->details[0]->value.len, details->details[0]->value.data);
   assert_non_null(info);
   service_assert_text(info->domain, "kvstore");
   service_assert_text(info->reason, reason);
   show_metadata(info, text, sizeof text);
   assert_string_equal(text, metadata ? metadata : "");
   google__rpc__error_info__free_unpacked(info, NULL);
   google__rpc__status__free_unpacked(details, NULL);
}

void service_refused_for(const struct service_fixture *fixture, const char *name,
                         const ProtobufCMessage *request, enum kv_code code, const char *reason,
                         const char *metadata, ...)
{
   struct fake_answer answer;
   va_list parts;
   va_start(parts, metadata);
   run_refused(fixture, name, request, code, parts, &answer);
   va_end(parts);
   assert_details(&answer, reason, metadata);
   fake_answer_deinit(&answer);
}

ProtobufCBinaryData service_text(const char *text)
{
   return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

void service_assert_text(ProtobufCBinaryData field, const char *expected)
{
   assert_int_equal(field.len, strlen(expected));
   if (field.len > 0)
      assert_memory_equal(field.data, expected, field.len);
}

/* ---- Calls that must succeed ---- */

void service_set(const struct service_fixture *fixture, const char *key, const char *value)
{
   Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   request.key = service_text(key);
   request.value = service_text(value);
   void *reply = service_reply(fixture, "Set", &request.base, &google__protobuf__empty__descriptor);
   protobuf_c_message_free_unpacked(reply, NULL);
}

bool service_del(const struct service_fixture *fixture, const char *key)
{
   Kvstore__DelRequest request = KVSTORE__DEL_REQUEST__INIT;
   request.key = service_text(key);
   Kvstore__DelResponse *reply =
       service_reply(fixture, "Del", &request.base, &kvstore__del_response__descriptor);
   bool existed = reply->success;
   kvstore__del_response__free_unpacked(reply, NULL);
   return existed;
}

void service_assert_value(const struct service_fixture *fixture, const char *key,
                          const char *expected)
{
   Kvstore__GetRequest request = KVSTORE__GET_REQUEST__INIT;
   request.key = service_text(key);
   Kvstore__GetResponse *reply =
       service_reply(fixture, "Get", &request.base, &kvstore__get_response__descriptor);
   assert_int_equal(reply->found, expected != NULL);
   service_assert_text(reply->value, expected ? expected : "");
   kvstore__get_response__free_unpacked(reply, NULL);
}

Kvstore__V1__GetStatusResponse *service_status(const struct service_fixture *fixture)
{
   const Kvstore__V1__GetStatusRequest request = KVSTORE__V1__GET_STATUS_REQUEST__INIT;
   return service_reply(fixture, "GetStatus", &request.base,
                        &kvstore__v1__get_status_response__descriptor);
}

void service_configure(const struct service_fixture *fixture, const char *plugin,
                       const char *option, const char *value)
{
   Kvstore__V1__MapEntry entry = KVSTORE__V1__MAP_ENTRY__INIT, *entries[] = {&entry};
   Kvstore__V1__ConfigureRequest request = KVSTORE__V1__CONFIGURE_REQUEST__INIT;
   request.plugin = service_text(plugin);
   if (option) {
      entry.key = service_text(option);
      entry.value = service_text(value);
      request.n_options = 1;
      request.options = entries;
   }
   void *reply = service_reply(fixture, "Configure", &request.base,
                               &kvstore__v1__configure_response__descriptor);
   protobuf_c_message_free_unpacked(reply, NULL);
}

void service_assert_option(const struct service_fixture *fixture, const char *option,
                           const char *expected)
{
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   size_t i = 0;
   while (i < status->n_options && (status->options[i]->key.len != strlen(option) ||
                                    memcmp(status->options[i]->key.data, option, strlen(option))))
      i++;
   if (i == status->n_options)
      fail_msg("GetStatus shows no option %s", option);
   service_assert_text(status->options[i]->value, expected);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
}
