#include "core/control/start.h"

#include "core/control/versions.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <string.h>

/* The recorded mode wins, and a differing flag is refused: a person who changes a flag expects it
 * to act, and a restart must not switch modes in passing. */
enum kv_code kv_control_check_choice(struct kv_plugin_library *library,
                                     const struct kv_control_request *choice,
                                     const struct kv_active *recorded, struct kv_status *status)
{
   if (choice->plugin && strcmp(choice->plugin, recorded->plugin) != 0)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "mode \"%s\" was asked for, but this data directory is in mode \"%s\"; start "
                     "the server without that setting, then switch with: kvstore-cli configure %s",
                     choice->plugin, recorded->plugin, choice->plugin);

   /* Settings bring both to the same spelling: 10M is 10485760. */
   const kvs_plugin *plugin;
   struct kv_settings *settings;
   enum kv_code code = kv_plugin_library_find(library, recorded->plugin, &plugin, status);
   if (code == KV_OK)
      code = kv_settings_create(plugin, choice->options, choice->option_count, &settings, status);
   if (code != KV_OK)
      return code;
   const kvs_setting *array = kv_settings_array(settings);
   for (size_t i = 0; code == KV_OK && i < kv_settings_count(settings); i++) {
      const char *recorded_value =
          kv_mode_option_find(recorded->options, recorded->option_count, array[i].name);
      if (kv_mode_option_find(choice->options, choice->option_count, array[i].name) &&
          recorded_value && strcmp(array[i].text, recorded_value) != 0)
         code = kv_fail(status, KV_FAILED_PRECONDITION,
                        "option %s=%s was asked for, but this data directory has %s=%s; start the "
                        "server without that setting, then change it with: kvstore-cli configure "
                        "%s %s=%s",
                        array[i].name, array[i].text, array[i].name, recorded_value,
                        recorded->plugin, array[i].name, array[i].text);
   }
   kv_settings_destroy(settings);
   return code;
}

static bool stop_wanted(void *context)
{
   const struct kv_control_observer *observer = context;
   return observer->stop_wanted && observer->stop_wanted(observer->context);
}

static enum kv_code open_active(const struct kv_control_parts *parts,
                                const struct kv_control_request *request, uint64_t generation,
                                bool resumed, struct kv_managed **active, struct kv_status *status)
{
   const struct kv_managed_use use = {
       .resumed = resumed,
       .is_active = true,
       .give_up = stop_wanted,
       .give_up_context = (void *)&parts->config.observer,
       .report = parts->load_report,
   };
   return kv_managed_open(parts, request, generation, &use, active, status);
}

static enum kv_code load_data(const struct kv_control_parts *parts, struct kv_managed *active,
                              struct kv_status *status)
{
   struct kv_transaction *transaction = kv_store_begin(parts->config.store);
   if (!transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data");
   struct kv_load_result result = {0};
   kv_load_report_begin(parts->load_report);
   enum kv_code code = kv_instance_load(active->instance, transaction, &result.sequence, status);
   struct kv_versions_start start = {result.sequence, result.sequence, result.sequence};
   if (code == KV_OK && parts->versions)
      code = kv_versions_begin(parts->versions, parts->config.directory, &start, status);
   if (code != KV_OK) {
      kv_transaction_abort(transaction);
      return code;
   }
   result.known = start.known;
   result.first = start.first;
   result.keys = kv_transaction_client_count(transaction);
   result.bytes = kv_transaction_bytes(transaction);
   kv_transaction_commit(transaction, start.first);
   kv_changes_loaded(parts->changes, &start);
   kv_load_report_finish(parts->load_report, &result);
   return KV_OK;
}

static enum kv_code resume(const struct kv_control_parts *parts,
                           const struct kv_control_request *choice,
                           const struct kv_active *recorded, struct kv_managed **active,
                           struct kv_status *status)
{
   struct kv_data_directory *directory = parts->config.directory;
   enum kv_code code = kv_control_check_choice(parts->config.library, choice, recorded, status);
   if (code == KV_OK)
      code = kv_data_directory_clean(directory, recorded, status);
   if (code != KV_OK)
      return code;
   const struct kv_control_request request = {recorded->plugin, recorded->options,
                                              recorded->option_count};
   code = open_active(parts, &request, recorded->generation, true, active, status);
   /* A mode that keeps nothing over files: ACTIVE is not the one that belongs to them. */
   if (code == KV_OK && kv_instance_plugin((*active)->instance)->promise == KVS_VOLATILE)
      code = kv_data_directory_check_empty(directory, recorded, status);
   if (code != KV_OK)
      return code;
   kv_shared_state_set_active(parts->state, (*active)->instance, recorded->generation);
   code = load_data(parts, *active, status);
   if (code == KV_OK)
      kv_load_report_log(parts->load_report, recorded->plugin, recorded->generation);
   return code;
}

static enum kv_code begin_store(const struct kv_control_parts *parts,
                                const struct kv_control_request *choice, struct kv_managed **active,
                                struct kv_status *status)
{
   struct kv_control_request request = *choice;
   if (!request.plugin)
      request.plugin = KV_CONTROL_DEFAULT_MODE;
   uint64_t generation;
   enum kv_code code =
       kv_data_directory_create_generation(parts->config.directory, 0, &generation, status);
   if (code != KV_OK)
      return code;
   code = open_active(parts, &request, generation, false, active, status);
   if (code == KV_OK)
      code = load_data(parts, *active, status);
   if (code == KV_OK)
      code = kv_managed_record(*active, status);
   if (code == KV_OK)
      kv_log_event(KV_LOG_INFO, "began an empty store: mode %s, generation %" PRIu64,
                   request.plugin, generation);
   else /* an unused directory without a record would make the next start refuse */
      kv_managed_discard(parts, generation, "a start that failed");
   return code;
}

enum kv_code kv_start(const struct kv_control_parts *parts, const struct kv_control_request *choice,
                      struct kv_managed **active, struct kv_status *status)
{
   struct kv_active recorded = {0};
   bool found;
   enum kv_code code =
       kv_data_directory_read_active(parts->config.directory, &recorded, &found, status);
   if (code != KV_OK)
      return code;
   if (found) {
      code = resume(parts, choice, &recorded, active, status);
      kv_active_deinit(&recorded);
   } else {
      code = begin_store(parts, choice, active, status);
   }
   if (code == KV_OK)
      kv_managed_become_active(*active, NULL);
   return code;
}
