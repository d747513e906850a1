/* Configure: switches to any plug-in, validates, or makes a shadow run. */
#include "core/service/admin.h"
#include "core/service/validate.h"

#include <inttypes.h>
#include <string.h>

/* Encodes the answer; false when memory is out and the call has been failed. */
static bool encode_configured(struct kv_admin *admin, const struct kv_control_state *state)
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
   struct kv_admin *admin;
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

static void configure_reply(struct kv_admin *admin)
{
   struct answer answer = {.admin = admin};
   kv_call_carried_out(admin->call);
   kv_control_inspect(admin->service->config.control, encode_in_force, &answer);
   if (answer.encoded)
      kv_call_reply(admin->call);
}

static void validate_reply(struct kv_admin *admin)
{
   struct answer answer = {
       .admin = admin, .plugin = admin->request.plugin, .settings = admin->settings};
   kv_control_inspect(admin->service->config.control, encode_validated, &answer);
   if (answer.encoded)
      kv_call_reply(admin->call);
}

static void validate(struct kv_control_task *task)
{
   struct kv_admin *admin = (struct kv_admin *)task;
   struct kv_settings *settings = NULL;
   struct kv_status status;
   enum kv_code code =
       kv_control_try(admin->service->config.control, &admin->request, &settings, &status);
   for (; task && code == KV_OK; task = task->merged)
      ((struct kv_admin *)task)->settings = settings;
   kv_admin_answer(&admin->task, code, &status, validate_reply);
   if (code == KV_OK)
      kv_settings_destroy(settings);
}

static void configure_run(struct kv_control_task *task)
{
   struct kv_admin *admin = (struct kv_admin *)task;
   struct kv_status status;
   if (admin->validate_only) {
      validate(task);
      return;
   }
   enum kv_code code =
       kv_control_configure(admin->service->config.control, &admin->request, &status);
   kv_admin_answer(task, code, &status, configure_reply);
}

/* ---- Configure with shadow ---- */

static struct kv_admin *admin_of(struct kv_shadow_request *request)
{
   return (struct kv_admin *)((char *)request - offsetof(struct kv_admin, shadow));
}

static bool shadow_is_cancelled(struct kv_shadow_request *request)
{
   return kv_call_is_cancelled(admin_of(request)->call);
}

static void shadow_done(struct kv_shadow_request *request, const struct kv_shadow_report *report,
                        const struct kv_status *status)
{
   struct kv_admin *admin = admin_of(request);
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
   struct kv_admin *admin = (struct kv_admin *)task;
   admin->shadow.plugin = admin->request;
   kv_control_shadow(admin->service->config.control, &admin->shadow);
}

/* What of the request is about a shadow run; nothing when none is asked for. */
static enum kv_code take_shadow(const Kvstore__ConfigureRequest *wanted, struct kv_admin *admin,
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
       .is_cancelled = shadow_is_cancelled,
       .done = shadow_done,
   };
   admin->task.run = shadow_run;
   admin->task.is_same = NULL; /* each has a report of its own */
   return KV_OK;
}

/* ---- Configure's request ---- */

/* A C string of what was sent, refused when it holds what no name or value may. */
static enum kv_code take_text(struct kv_call *call, const char *field, ProtobufCBinaryData data,
                              const char **text, struct kv_status *status)
{
   struct kv_slice bytes = kv_service_bytes(data);
   size_t offset = kv_validate_text(bytes);
   if (offset < bytes.size)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s: byte 0x%02x at offset %zu is not allowed; give UTF-8 without NUL", field,
                     data.data[offset], offset);
   char *copy = kv_arena_alloc(kv_call_arena(call), bytes.size + 1);
   if (!copy)
      return kv_message_exhausted(call, status);
   if (bytes.size > 0)
      memcpy(copy, bytes.data, bytes.size);
   copy[bytes.size] = '\0';
   *text = copy;
   return KV_OK;
}

static enum kv_code take_configure(struct kv_call *call, const Kvstore__ConfigureRequest *wanted,
                                   struct kv_control_request *request, struct kv_status *status)
{
   if (wanted->plugin.len == 0)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "plugin: is empty; give a name that ListPlugins shows");
   struct kv_mode_option *options =
       kv_arena_alloc(kv_call_arena(call), wanted->n_options * sizeof *options);
   if (!options)
      return kv_message_exhausted(call, status);
   enum kv_code code = take_text(call, "plugin", wanted->plugin, &request->plugin, status);
   for (size_t i = 0; code == KV_OK && i < wanted->n_options; i++) {
      code = take_text(call, "options key", wanted->options[i]->key, &options[i].name, status);
      if (code == KV_OK)
         code =
             take_text(call, "options value", wanted->options[i]->value, &options[i].value, status);
   }
   request->options = options;
   request->option_count = wanted->n_options;
   return code;
}

void kv_service_configure(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__ConfigureRequest *wanted =
       kv_service_request(service, call, &kvstore__configure_request__descriptor, request);
   struct kv_admin *admin = wanted ? kv_admin_create(service, call, configure_run) : NULL;
   if (!admin)
      return;
   admin->validate_only = wanted->validate_only;
   struct kv_status status;
   if (take_configure(call, wanted, &admin->request, &status) != KV_OK ||
       take_shadow(wanted, admin, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   kv_admin_post(admin);
}
