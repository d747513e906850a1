/* Config, Configure, Save: what acts on the plug-ins. Each runs on the control thread. */
#include "core/service/internal.h"
#include "core/service/validate.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A call on its way to the control thread; lives in the call's arena. */
struct admin {
   struct kv_control_task task; /* first: run gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
   struct kv_control_request request;
   bool validate_only;
   struct kv_settings *settings; /* of a validation that has succeeded; its run's */
   uint64_t saved_sequence;      /* of a Save that has succeeded */
   struct kv_shadow_request shadow;
   Kvstore__ShadowReport *report; /* of a shadow run */
};

/* ---- As a task of the control thread ---- */

static void refuse(struct kv_control_task *task, const struct kv_status *status)
{
   kv_message_fail(((struct admin *)task)->call, status);
}

static bool is_gone(const struct kv_control_task *task)
{
   return kv_call_is_gone(((const struct admin *)task)->call);
}

static bool has_same_request(const struct kv_control_task *one, const struct kv_control_task *other)
{
   const struct admin *a = (const struct admin *)one, *b = (const struct admin *)other;
   if (a->validate_only != b->validate_only || a->request.option_count != b->request.option_count ||
       strcmp(a->request.plugin, b->request.plugin) != 0)
      return false;
   for (size_t i = 0; i < a->request.option_count; i++)
      if (strcmp(a->request.options[i].name, b->request.options[i].name) != 0 ||
          strcmp(a->request.options[i].value, b->request.options[i].value) != 0)
         return false;
   return true;
}

static bool always_same(const struct kv_control_task *one, const struct kv_control_task *other)
{
   (void)one, (void)other;
   return true;
}

/* Calls `reply` for each of those that asked for the same, or fails it. It may free the task. */
static void answer_all(struct kv_control_task *task, enum kv_code code,
                       const struct kv_status *status, void (*reply)(struct admin *admin))
{
   while (task) {
      struct kv_control_task *next = task->merged;
      if (code == KV_OK)
         reply((struct admin *)task);
      else
         refuse(task, status);
      task = next;
   }
}

static struct admin *new_admin(struct kv_service *service, struct kv_call *call,
                               void (*run)(struct kv_control_task *))
{
   struct admin *admin = kv_arena_alloc(kv_call_arena(call), sizeof *admin);
   if (!admin) {
      kv_message_out_of_memory(call);
      return NULL;
   }
   *admin = (struct admin){
       .task = {.run = run,
                .refuse = refuse,
                .is_gone = is_gone,
                .is_same = has_same_request,
                .caller = kv_call_connection(call)},
       .service = service,
       .call = call,
   };
   return admin;
}

static void post(struct admin *admin)
{
   kv_call_watch(admin->call);
   kv_control_post(admin->service->config.control, &admin->task);
}

/* ---- Config ---- */

#define NUMBER_TEXT_SIZE 24

/* Brings the number that an option of `plugin` has to what the plug-in takes. Clients of the frozen
 * call were never told of bounds, so none is turned away by them. `option->value` has
 * NUMBER_TEXT_SIZE bytes. */
static void clamp_number(const kvs_plugin *plugin, const struct kv_option *option)
{
   int64_t given = strtoll(option->value, NULL, 10), taken = given;
   for (size_t i = 0; i < plugin->option_count; i++) {
      const kvs_option *declared = &plugin->options[i];
      if (strcmp(declared->name, option->name) != 0)
         continue;
      if (taken < declared->minimum)
         taken = declared->minimum;
      if (taken > declared->maximum)
         taken = declared->maximum;
   }
   if (taken == given)
      return;
   kv_log(KV_LOG_WARNING,
          "a client's Config asks for %s %" PRId64
          ", which plug-in %s cannot have; it gets %" PRId64,
          option->name, given, plugin->name, taken);
   snprintf((char *)option->value, NUMBER_TEXT_SIZE, "%" PRId64, taken);
}

static void config_reply(struct admin *admin)
{
   Kvstore__ConfigResponse response = KVSTORE__CONFIG_RESPONSE__INIT;
   response.success = true;
   kv_message_reply(admin->call, &response.base);
}

static void config_run(struct kv_control_task *task)
{
   struct admin *admin = (struct admin *)task;
   struct kv_control *control = admin->service->config.control;
   const kvs_plugin *plugin;
   struct kv_status status;
   enum kv_code code =
       kv_plugin_library_find(kv_control_library(control), admin->request.plugin, &plugin, &status);
   for (size_t i = 0; code == KV_OK && i < admin->request.option_count; i++)
      clamp_number(plugin, &admin->request.options[i]);
   if (code == KV_OK)
      code = kv_control_configure(control, &admin->request, &status);
   answer_all(task, code, &status, config_reply);
}

/* Adds an option unless the number is 0, which means the default. */
static enum kv_code add_number(struct kv_arena *arena, struct kv_control_request *request,
                               const char *field, const char *option, int64_t number,
                               struct kv_status *status)
{
   if (number < 0)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s: %" PRId64 " is negative; give a positive number, or 0 for the default",
                     field, number);
   if (number == 0)
      return KV_OK;
   char *text = kv_arena_alloc(arena, NUMBER_TEXT_SIZE);
   if (!text)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the options");
   snprintf(text, NUMBER_TEXT_SIZE, "%" PRId64, number);
   struct kv_option *options = (struct kv_option *)request->options;
   options[request->option_count++] = (struct kv_option){option, text};
   return KV_OK;
}

/* Which plug-in the mode means, and which of the numbers apply to it. */
static enum kv_code map_mode(struct kv_arena *arena, const Kvstore__ConfigRequest *config,
                             struct kv_control_request *request, struct kv_status *status)
{
   static const struct {
      const char *plugin;
      bool snapshots, log;
   } modes[] = {
       [KVSTORE__STORAGE_MODE__SNAPSHOT] = {"snapshot", true, false},
       [KVSTORE__STORAGE_MODE__AOF] = {"aof", false, true},
       [KVSTORE__STORAGE_MODE__HYBRID] = {"hybrid", true, true},
       [KVSTORE__STORAGE_MODE__NON_PERSISTENT] = {"none", false, false},
   };
   size_t mode = (size_t)config->storage_mode;
   if (mode >= sizeof modes / sizeof *modes)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "storage_mode: %d is no mode; give 0 (SNAPSHOT), 1 (AOF), 2 (HYBRID) or 3 "
                     "(NON_PERSISTENT)",
                     (int)config->storage_mode);
   request->plugin = modes[mode].plugin;

   const struct {
      const char *field, *option;
      int64_t number;
      bool applies;
   } numbers[] = {
       {"snapshot_interval", "snapshot_interval", config->snapshot_interval, modes[mode].snapshots},
       {"max_snapshots", "max_snapshots", config->max_snapshots, modes[mode].snapshots},
       {"aof_max_size", "aof_max_size", config->aof_max_size, modes[mode].log},
   };
   for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
      /* Old clients send all numbers with every mode: those that do not apply mean nothing. */
      if (numbers[i].applies && add_number(arena, request, numbers[i].field, numbers[i].option,
                                           numbers[i].number, status) != KV_OK)
         return status->code;
   }
   return KV_OK;
}

void kv_service_config(void *context, struct kv_call *call, struct kv_bytes request)
{
   struct kv_service *service = context;
   const Kvstore__ConfigRequest *config =
       kv_service_request(service, call, &kvstore__config_request__descriptor, request);
   struct admin *admin = config ? new_admin(service, call, config_run) : NULL;
   if (!admin)
      return;
   admin->request.options = kv_arena_alloc(kv_call_arena(call), 3 * sizeof(struct kv_option));
   struct kv_status status;
   if (!admin->request.options)
      kv_message_out_of_memory(call);
   else if (map_mode(kv_call_arena(call), config, &admin->request, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      post(admin);
}

/* ---- Configure ---- */

/* Encodes the answer; false when memory is out and the call has been failed. */
static bool encode_configured(struct admin *admin, const struct kv_control_state *state)
{
   struct kv_reader *reader = kv_service_control_reader(admin->service);
   Kvstore__ConfigureResponse response = KVSTORE__CONFIGURE_RESPONSE__INIT;
   response.plugin = kv_message_text(state->plugin->name);
   response.generation = state->generation;
   response.sequence = kv_version_sequence(kv_reader_pin(reader));
   kv_reader_unpin(reader);
   response.shadow = admin->report;
   response.n_options = state->plugin->option_count;
   if (kv_service_settings(kv_call_arena(admin->call), state->settings, response.n_options,
                           &response.options))
      return kv_message_encode(admin->call, &response.base);
   kv_message_out_of_memory(admin->call);
   return false;
}

/* What the control thread shows is seen under its lock: encode there, reply outside. */
struct answer {
   struct admin *admin;
   bool encoded;
   /* With validate_only: what would be in force. */
   const char *plugin;
   struct kv_settings *settings;
};

static void encode_in_force(void *context, const struct kv_control_state *state)
{
   struct answer *answer = context;
   answer->encoded = encode_configured(answer->admin, state);
}

static void encode_validated(void *context, const struct kv_control_state *state)
{
   struct answer *answer = context;
   const kvs_plugin named = {.name = answer->plugin,
                             .option_count = kv_settings_count(answer->settings)};
   const struct kv_control_state would_be = {
       .plugin = &named,
       .settings = kv_settings_array(answer->settings),
       .generation = state->generation,
   };
   answer->encoded = encode_configured(answer->admin, &would_be);
}

static void configure_reply(struct admin *admin)
{
   struct answer answer = {.admin = admin};
   kv_control_inspect(admin->service->config.control, encode_in_force, &answer);
   if (answer.encoded)
      kv_call_reply(admin->call);
}

static void validate_reply(struct admin *admin)
{
   struct answer answer = {
       .admin = admin, .plugin = admin->request.plugin, .settings = admin->settings};
   kv_control_inspect(admin->service->config.control, encode_validated, &answer);
   if (answer.encoded)
      kv_call_reply(admin->call);
}

static void validate(struct kv_control_task *task)
{
   struct admin *admin = (struct admin *)task;
   struct kv_settings *settings = NULL;
   struct kv_status status;
   enum kv_code code =
       kv_control_try(admin->service->config.control, &admin->request, &settings, &status);
   for (; task && code == KV_OK; task = task->merged)
      ((struct admin *)task)->settings = settings;
   answer_all(&admin->task, code, &status, validate_reply);
   if (code == KV_OK)
      kv_settings_destroy(settings);
}

static void configure_run(struct kv_control_task *task)
{
   struct admin *admin = (struct admin *)task;
   struct kv_status status;
   if (admin->validate_only) {
      validate(task);
      return;
   }
   enum kv_code code =
       kv_control_configure(admin->service->config.control, &admin->request, &status);
   answer_all(task, code, &status, configure_reply);
}

/* ---- Configure with shadow ---- */

static struct admin *admin_of(struct kv_shadow_request *request)
{
   return (struct admin *)((char *)request - offsetof(struct admin, shadow));
}

static bool shadow_gone(struct kv_shadow_request *request)
{
   return kv_call_is_gone(admin_of(request)->call);
}

static void shadow_done(struct kv_shadow_request *request, const struct kv_shadow_report *report,
                        const struct kv_status *status)
{
   struct admin *admin = admin_of(request);
   if (!report) {
      kv_message_fail(admin->call, status);
      return;
   }
   admin->report = kv_service_shadow_report(admin->service, kv_call_arena(admin->call), report);
   if (admin->report)
      configure_reply(admin);
   else
      kv_message_out_of_memory(admin->call);
}

static void shadow_run(struct kv_control_task *task)
{
   struct admin *admin = (struct admin *)task;
   admin->shadow.candidate = admin->request;
   kv_control_shadow(admin->service->config.control, &admin->shadow);
}

/* What of the request is about a shadow run; nothing when none is asked for. */
static enum kv_code take_shadow(const Kvstore__ConfigureRequest *wanted, struct admin *admin,
                                struct kv_status *status)
{
   bool timed = wanted->shadow_time_case == KVSTORE__CONFIGURE_REQUEST__SHADOW_TIME_SHADOW_SECONDS;
   if (!wanted->shadow && timed)
      return kv_fail(status, KV_INVALID_ARGUMENT, "shadow_seconds: is given without shadow");
   if (!wanted->shadow)
      return KV_OK;
   if (timed && wanted->shadow_seconds > KV_SHADOW_SECONDS_MAX)
      return kv_fail(status, KV_INVALID_ARGUMENT, "shadow_seconds: %" PRIu32 " is more than %d",
                     wanted->shadow_seconds, KV_SHADOW_SECONDS_MAX);
   admin->shadow = (struct kv_shadow_request){
       .seconds = timed ? wanted->shadow_seconds : KV_SHADOW_SECONDS_DEFAULT,
       .gone = shadow_gone,
       .done = shadow_done,
   };
   admin->task.run = shadow_run;
   admin->task.is_same = NULL; /* each has a report of its own */
   return KV_OK;
}

/* ---- Configure's request ---- */

/* A C string of what was sent, refused when it holds what no name or value may. */
static enum kv_code take_text(struct kv_arena *arena, const char *field, ProtobufCBinaryData data,
                              const char **text, struct kv_status *status)
{
   struct kv_bytes bytes = kv_service_bytes(data);
   size_t offset = kv_validate_text(bytes);
   if (offset < bytes.size)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s: byte 0x%02x at offset %zu is not allowed; give UTF-8 without NUL", field,
                     data.data[offset], offset);
   char *copy = kv_arena_alloc(arena, bytes.size + 1);
   if (!copy)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the options");
   if (bytes.size > 0)
      memcpy(copy, bytes.data, bytes.size);
   copy[bytes.size] = '\0';
   *text = copy;
   return KV_OK;
}

static enum kv_code take_configure(struct kv_arena *arena, const Kvstore__ConfigureRequest *wanted,
                                   struct kv_control_request *request, struct kv_status *status)
{
   if (wanted->plugin.len == 0)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "plugin: is empty; give a name that ListPlugins shows");
   struct kv_option *options = kv_arena_alloc(arena, wanted->n_options * sizeof *options);
   if (!options)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the options");
   enum kv_code code = take_text(arena, "plugin", wanted->plugin, &request->plugin, status);
   for (size_t i = 0; code == KV_OK && i < wanted->n_options; i++) {
      code = take_text(arena, "options key", wanted->options[i]->key, &options[i].name, status);
      if (code == KV_OK)
         code = take_text(arena, "options value", wanted->options[i]->value, &options[i].value,
                          status);
   }
   request->options = options;
   request->option_count = wanted->n_options;
   return code;
}

void kv_service_configure(void *context, struct kv_call *call, struct kv_bytes request)
{
   struct kv_service *service = context;
   const Kvstore__ConfigureRequest *wanted =
       kv_service_request(service, call, &kvstore__configure_request__descriptor, request);
   struct admin *admin = wanted ? new_admin(service, call, configure_run) : NULL;
   if (!admin)
      return;
   admin->validate_only = wanted->validate_only;
   struct kv_status status;
   if (take_configure(kv_call_arena(call), wanted, &admin->request, &status) != KV_OK ||
       take_shadow(wanted, admin, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   post(admin);
}

/* ---- Save ---- */

static void save_reply(struct admin *admin)
{
   Kvstore__SaveResponse response = KVSTORE__SAVE_RESPONSE__INIT;
   response.sequence = admin->saved_sequence;
   kv_message_reply(admin->call, &response.base);
}

static void save_run(struct kv_control_task *task)
{
   struct admin *admin = (struct admin *)task;
   struct kv_status status;
   uint64_t sequence = 0;
   enum kv_code code = kv_control_save(admin->service->config.control, &sequence, &status);
   for (struct kv_control_task *each = task; each; each = each->merged)
      ((struct admin *)each)->saved_sequence = sequence;
   answer_all(task, code, &status, save_reply);
}

void kv_service_save(void *context, struct kv_call *call, struct kv_bytes request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__save_request__descriptor, request))
      return;
   struct admin *admin = new_admin(service, call, save_run);
   if (!admin)
      return;
   admin->task.is_same = always_same;
   post(admin);
}
