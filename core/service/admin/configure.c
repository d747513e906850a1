/* Configure: switches to any plug-in, validates, or makes a shadow run. */
#include "core/service/admin/admin.h"
#include "core/service/validate.h"

#include <inttypes.h>
#include <string.h>

/* What the control thread shows is seen under its lock: encode there, reply outside. */
struct answer {
   struct kv_configuration *configuration;
   struct kv_builder builder;
   Kvstore__V1__ShadowReport *report; /* of a shadow run, else NULL */
   bool encoded;
};

static void encode_configured(struct answer *answer, const char *plugin,
                              const kvs_setting *settings, size_t count,
                              const struct kv_control_state *state)
{
   const struct kv_admin *admin = &answer->configuration->admin;
   struct kv_reader *reader = kv_service_control_reader(admin->service);
   Kvstore__V1__ConfigureResponse response = KVSTORE__V1__CONFIGURE_RESPONSE__INIT;
   response.plugin = kv_message_text(plugin);
   response.generation = state->generation;
   response.etag = kv_service_etag(&answer->builder, state);
   response.version = kv_version_sequence(kv_reader_pin(reader));
   kv_reader_unpin(reader);
   response.shadow = answer->report;
   response.n_options = count;
   response.options = kv_service_settings(&answer->builder, settings, count);
   answer->encoded = kv_builder_encode(&answer->builder, admin->call, &response.base);
}

static void encode_in_force(void *context, const struct kv_control_state *state)
{
   encode_configured(context, state->plugin->name, state->settings, state->plugin->option_count,
                     state);
}

/* With validate_only: what would be in force. */
static void encode_validated(void *context, const struct kv_control_state *state)
{
   struct answer *answer = context;
   const struct kv_configuration *wanted = answer->configuration;
   encode_configured(answer, wanted->request.plugin, kv_settings_array(wanted->settings),
                     kv_settings_count(wanted->settings), state);
}

static void reply(struct answer *answer,
                  void (*encode)(void *context, const struct kv_control_state *state))
{
   const struct kv_admin *admin = &answer->configuration->admin;
   kv_control_inspect(admin->service->config.control, encode, answer);
   if (answer->encoded)
      kv_call_reply(admin->call);
}

static struct answer answer_of(struct kv_admin *admin)
{
   return (struct answer){.configuration = (struct kv_configuration *)admin,
                          .builder = {.arena = kv_call_arena(admin->call)}};
}

static void configure_reply(struct kv_admin *admin)
{
   struct answer answer = answer_of(admin);
   kv_call_carried_out(admin->call);
   reply(&answer, encode_in_force);
}

static void validate_reply(struct kv_admin *admin)
{
   struct answer answer = answer_of(admin);
   reply(&answer, encode_validated);
}

static void validate_run(struct kv_control_task *task)
{
   const struct kv_configuration *wanted = (struct kv_configuration *)task;
   struct kv_settings *settings = NULL;
   struct kv_status status;
   struct kv_control *control = wanted->admin.service->config.control;
   enum kv_code code = kv_service_check_etag(control, wanted->etag, &status);
   if (code == KV_OK)
      code = kv_control_try(control, &wanted->request, &settings, &status);
   for (struct kv_control_task *each = task; each; each = each->merged)
      ((struct kv_configuration *)each)->settings = settings;
   kv_admin_answer(task, code, &status, validate_reply);
   if (code == KV_OK)
      kv_settings_destroy(settings);
}

static void configure_run(struct kv_control_task *task)
{
   const struct kv_configuration *wanted = (struct kv_configuration *)task;
   struct kv_status status;
   struct kv_control *control = wanted->admin.service->config.control;
   enum kv_code code = kv_service_check_etag(control, wanted->etag, &status);
   if (code == KV_OK)
      code = kv_control_configure(control, &wanted->request, &status);
   kv_admin_answer(task, code, &status, configure_reply);
}

/* ---- Configure with shadow ---- */

static struct kv_configuration *configuration_of(struct kv_shadow_request *request)
{
   return (struct kv_configuration *)((char *)request - offsetof(struct kv_configuration, shadow));
}

static bool shadow_is_cancelled(struct kv_shadow_request *request)
{
   return kv_call_is_cancelled(configuration_of(request)->admin.call);
}

static void shadow_done(struct kv_shadow_request *request, const struct kv_shadow_report *report,
                        const struct kv_status *status)
{
   struct kv_admin *admin = &configuration_of(request)->admin;
   struct answer answer = answer_of(admin);
   if (!report) {
      kv_message_fail(admin->call, status);
      return;
   }
   answer.report = kv_service_shadow_report(admin->service, &answer.builder, report);
   if (!answer.builder.exhausted)
      kv_call_carried_out(admin->call); /* what has taken so long is not refused */
   reply(&answer, encode_in_force);
}

static void shadow_run(struct kv_control_task *task)
{
   struct kv_configuration *wanted = (struct kv_configuration *)task;
   struct kv_control *control = wanted->admin.service->config.control;
   struct kv_status status;
   wanted->shadow.plugin = wanted->request;
   if (kv_service_check_etag(control, wanted->etag, &status) == KV_OK)
      kv_control_shadow(control, &wanted->shadow);
   else
      kv_message_fail(wanted->admin.call, &status);
}

/* What of the request is about a shadow run; nothing when none is asked for. */
static enum kv_code take_shadow(const Kvstore__V1__ConfigureRequest *wanted,
                                struct kv_configuration *configuration, struct kv_status *status)
{
   bool timed =
       wanted->shadow_time_case == KVSTORE__V1__CONFIGURE_REQUEST__SHADOW_TIME_SHADOW_SECONDS;
   if (!wanted->shadow && timed)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                            "shadow_seconds: is given without shadow");
   if (!wanted->shadow)
      return KV_OK;
   if (timed && wanted->shadow_seconds > KV_SHADOW_SECONDS_MAX)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                            "shadow_seconds: %" PRIu32 " is more than %d", wanted->shadow_seconds,
                            KV_SHADOW_SECONDS_MAX);
   configuration->shadow = (struct kv_shadow_request){
       .seconds = timed ? wanted->shadow_seconds : KV_SHADOW_SECONDS_DEFAULT,
       .is_cancelled = shadow_is_cancelled,
       .done = shadow_done,
   };
   configuration->admin.task.run = shadow_run;
   configuration->admin.task.is_same = NULL; /* each has a report of its own */
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
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                            "%s: byte 0x%02x at offset %zu is not allowed; give UTF-8 without NUL",
                            field, data.data[offset], offset);
   char *copy = kv_arena_alloc(kv_call_arena(call), bytes.size + 1);
   if (!copy)
      return kv_call_exhausted(call, status);
   if (bytes.size > 0)
      memcpy(copy, bytes.data, bytes.size);
   copy[bytes.size] = '\0';
   *text = copy;
   return KV_OK;
}

static enum kv_code take_configure(struct kv_call *call,
                                   const Kvstore__V1__ConfigureRequest *wanted,
                                   struct kv_control_request *request, struct kv_status *status)
{
   if (wanted->plugin.len == 0)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                            "plugin: is empty; give a name that ListPlugins shows");
   struct kv_mode_option *options =
       kv_arena_alloc(kv_call_arena(call), wanted->n_options * sizeof *options);
   if (!options)
      return kv_call_exhausted(call, status);
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
   const Kvstore__V1__ConfigureRequest *wanted =
       kv_service_request(service, call, &kvstore__v1__configure_request__descriptor, request);
   struct kv_configuration *configuration =
       wanted ? kv_configuration_create(service, call,
                                        wanted->validate_only ? validate_run : configure_run)
              : NULL;
   if (!configuration)
      return;
   configuration->etag = kv_service_bytes(wanted->etag);
   struct kv_status status;
   if (take_configure(call, wanted, &configuration->request, &status) != KV_OK ||
       take_shadow(wanted, configuration, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      kv_admin_post(&configuration->admin);
}
