/* Opening and closing plug-in instances, and the record of the active one: what the start, a switch
 * and a shadow run are made of. */
#include "core/control/internal.h"

#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <stdlib.h>
#include <string.h>

static void note_saved(void *context, uint64_t sequence)
{
   struct kv_control *control = context;
   pthread_mutex_lock(&control->lock);
   bool proving = control->proving;
   pthread_mutex_unlock(&control->lock);
   if (!proving)
      kv_control_note_save(control, sequence);
}

/* Also a server that takes no writes waits: for a fresh generation. And a run that is over, or has
 * to end: for the ticks to do so. */
static bool is_awaited(void *context)
{
   struct kv_control *control = context;
   struct kv_status failure;
   pthread_mutex_lock(&control->lock);
   bool awaited = control->queue.count > 0 || control->stopping || control->winding_down;
   pthread_mutex_unlock(&control->lock);
   return awaited || kv_clock_monotonic_ms() >= kv_control_shadow_end_ms(control) ||
          kv_commit_read_only(control->config.commit, &failure);
}

enum kv_code kv_control_validate(struct kv_control *control,
                                 const struct kv_control_request *request,
                                 struct kv_settings **settings, struct kv_status *status)
{
   const kvs_plugin *plugin;
   enum kv_code code =
       kv_plugin_library_find(control->config.library, request->plugin, &plugin, status);
   if (code != KV_OK)
      return code;
   return kv_settings_create(plugin, request->options, request->option_count, settings, status);
}

static bool start_must_end(void *context)
{
   struct kv_control *control = context;
   /* The instance stays, and its later ticks must see all data. */
   return control->cancellable == KV_CONTROL_LOAD && control->config.stop_wanted &&
          control->config.stop_wanted(control->config.stop_context);
}

enum kv_code kv_control_open_instance(struct kv_control *control,
                                      const struct kv_control_request *request, uint64_t generation,
                                      unsigned use, struct kv_instance **instance,
                                      struct kv_status *status)
{
   struct kv_settings *settings;
   enum kv_code code = kv_control_validate(control, request, &settings, status);
   if (code != KV_OK)
      return code;
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(control->config.directory, generation, path);
   struct kv_instance_config config = {
       .library = control->config.library,
       .settings = settings,
       .directory = path,
       .resumed = (use & KV_INSTANCE_RESUMED) != 0,
       .wake = kv_control_want_tick,
       .wake_context = control,
       .saved = use & KV_INSTANCE_ASIDE ? NULL : note_saved,
       .saved_context = control,
       .awaited = is_awaited,
       .awaited_context = control,
       .give_up = use & KV_INSTANCE_ASIDE ? kv_control_shadow_must_end
                  : control->running      ? kv_control_switch_must_end
                                          : start_must_end,
       .give_up_context = control,
       .progress = control->config.progress,
       .progress_context = control->config.stop_context,
       .report = control->running ? NULL : control->load_report,
   };
   memcpy(config.store_id, kv_data_directory_store_id(control->config.directory),
          sizeof config.store_id);
   code = kv_plugin_library_find(control->config.library, request->plugin, &config.plugin, status);
   KV_INVARIANT(code == KV_OK); /* kv_control_validate has just found it */
   config.timing = kv_watchdog_add(control->watchdog, request->plugin);
   if (!config.timing) {
      kv_settings_destroy(settings);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for plug-in %s",
                     request->plugin);
   }
   code = kv_instance_open(&config, instance, status);
   if (code != KV_OK)
      kv_watchdog_remove(control->watchdog, config.timing);
   return code;
}

void kv_control_close_instance(struct kv_control *control, struct kv_instance *instance)
{
   struct kv_hook_timing *timing = kv_instance_timing(instance);
   struct kv_hook_figures closed;
   kv_instance_close(instance);
   kv_hook_timing_read(timing, KV_HOOK_CLOSE, &closed);
   pthread_mutex_lock(&control->lock);
   kv_hook_figures_add(&control->state.closes, &closed);
   pthread_mutex_unlock(&control->lock);
   kv_watchdog_remove(control->watchdog, timing);
}

struct kv_mode_option *kv_control_options_of(const struct kv_settings *settings,
                                             struct kv_status *status)
{
   const kvs_setting *array = kv_settings_array(settings);
   size_t count = kv_settings_count(settings);
   struct kv_mode_option *options = calloc(count + 1, sizeof *options);
   if (!options) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the options");
      return NULL;
   }
   for (size_t i = 0; i < count; i++)
      options[i] = (struct kv_mode_option){array[i].name, array[i].text};
   return options;
}

enum kv_code kv_control_record(struct kv_control *control, const struct kv_instance *instance,
                               uint64_t generation, struct kv_status *status)
{
   const struct kv_settings *settings = kv_instance_settings(instance);
   struct kv_mode_option *options = kv_control_options_of(settings, status);
   if (!options)
      return status->code;
   const struct kv_active active = {
       .plugin = (char *)kv_instance_plugin(instance)->name,
       .options = options,
       .option_count = kv_settings_count(settings),
       .generation = generation,
   };
   enum kv_code code = kv_data_directory_write_active(control->config.directory, &active, status);
   free(options);
   return code;
}
