/* Config: the frozen call that switches among the built-in modes. */
#include "core/service/admin/admin.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS 3 /* in a request */
#define NUMBER_TEXT_SIZE 24

/* Replaces a number that is beyond the plug-in's limits by the nearest one. The frozen call has
 * never documented limits, so no client is refused because of them. `option->value` has
 * NUMBER_TEXT_SIZE bytes. */
static void clamp_number(const kvs_plugin *plugin, const struct kv_mode_option *option)
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
          ", which plug-in %s does not accept; it gets %" PRId64,
          option->name, given, plugin->name, taken);
   snprintf((char *)option->value, NUMBER_TEXT_SIZE, "%" PRId64, taken);
}

static void config_reply(struct kv_admin *admin)
{
   Kvstore__ConfigResponse response = KVSTORE__CONFIG_RESPONSE__INIT;
   response.success = true;
   kv_call_carried_out(admin->call);
   kv_message_reply(admin->call, &response.base);
}

static void config_run(struct kv_control_task *task)
{
   struct kv_configuration *wanted = (struct kv_configuration *)task;
   struct kv_control *control = wanted->admin.service->config.control;
   const kvs_plugin *plugin;
   struct kv_status status;
   enum kv_code code = kv_plugin_library_find(kv_control_library(control), wanted->request.plugin,
                                              &plugin, &status);
   for (size_t i = 0; code == KV_OK && i < wanted->request.option_count; i++)
      clamp_number(plugin, &wanted->request.options[i]);
   if (code == KV_OK)
      code = kv_control_configure(control, &wanted->request, &status);
   kv_admin_answer(task, code, &status, config_reply);
}

/* Adds the option of the same name as the field, unless the number is 0: the default. */
static enum kv_code add_number(struct kv_call *call, struct kv_control_request *request,
                               const char *name, int64_t number, struct kv_status *status)
{
   if (number < 0)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                            "%s: %" PRId64
                            " is negative; give a positive number, or 0 for the default",
                            name, number);
   if (number == 0)
      return KV_OK;
   char *text = kv_arena_alloc(kv_call_arena(call), NUMBER_TEXT_SIZE);
   if (!text)
      return kv_call_exhausted(call, status);
   snprintf(text, NUMBER_TEXT_SIZE, "%" PRId64, number);
   struct kv_mode_option *options = (struct kv_mode_option *)request->options;
   options[request->option_count++] = (struct kv_mode_option){name, text};
   return KV_OK;
}

/* Which plug-in the mode means, and which of the numbers apply to it. */
static enum kv_code map_mode(struct kv_call *call, const Kvstore__ConfigRequest *config,
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
      return kv_fail_reason(
          status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
          "storage_mode: %d is not a mode; give 0 (SNAPSHOT), 1 (AOF), 2 (HYBRID) or 3 "
          "(NON_PERSISTENT)",
          (int)config->storage_mode);
   request->plugin = modes[mode].plugin;

   const struct {
      const char *name;
      int64_t number;
      bool applies;
   } numbers[NUMBERS] = {
       {"snapshot_interval", config->snapshot_interval, modes[mode].snapshots},
       {"max_snapshots", config->max_snapshots, modes[mode].snapshots},
       {"aof_max_size", config->aof_max_size, modes[mode].log},
   };
   for (size_t i = 0; i < NUMBERS; i++) {
      /* Old clients send all numbers with every mode: those that do not apply mean nothing. */
      if (numbers[i].applies &&
          add_number(call, request, numbers[i].name, numbers[i].number, status) != KV_OK)
         return status->code;
   }
   return KV_OK;
}

void kv_service_config(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__ConfigRequest *config =
       kv_service_request(service, call, &kvstore__config_request__descriptor, request);
   struct kv_configuration *wanted =
       config ? kv_configuration_create(service, call, config_run) : NULL;
   if (!wanted)
      return;
   wanted->request.options = kv_message_alloc(call, NUMBERS * sizeof(struct kv_mode_option));
   if (!wanted->request.options)
      return;
   struct kv_status status;
   if (map_mode(call, config, &wanted->request, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      kv_admin_post(&wanted->admin);
}
