#include "core/control/managed.h"

#include "core/support/log.h"

#include <stdlib.h>
#include <string.h>

/* ---- The observer ---- */

static void wake(void *context)
{
   const struct kv_managed *managed = context;
   kv_inbox_want_tick(managed->parts->inbox);
}

static void note_saved(void *context, uint64_t sequence)
{
   const struct kv_managed *managed = context;
   if (atomic_load(&managed->is_active))
      kv_shared_state_note_save(managed->parts->state, sequence);
}

/* A server that takes no writes waits for a fresh generation, too. */
static bool is_awaited(void *context)
{
   const struct kv_managed *managed = context;
   return kv_inbox_is_awaited(managed->parts->inbox) ||
          kv_commit_read_only(managed->parts->config.commit, NULL);
}

static bool is_given_up(void *context)
{
   const struct kv_managed *managed = context;
   return managed->give_up && managed->give_up(managed->give_up_context);
}

static void note_progress(void *context)
{
   const struct kv_managed *managed = context;
   const struct kv_control_observer *observer = &managed->parts->config.observer;
   if (observer->progress)
      observer->progress(observer->context);
}

static void begin_history(void *context, uint64_t sequence)
{
   const struct kv_managed *managed = context;
   kv_changes_begin(managed->parts->changes, sequence);
}

static void load_change(void *context, const kvs_record *record, const struct kv_entry *previous)
{
   const struct kv_managed *managed = context;
   kv_changes_load(managed->parts->changes, record, previous);
}

/* ---- Opening and closing ---- */

enum kv_code kv_managed_settings(const struct kv_control_parts *parts,
                                 const struct kv_control_request *request,
                                 const kvs_plugin **plugin, struct kv_settings **settings,
                                 struct kv_status *status)
{
   enum kv_code code =
       kv_plugin_library_find(parts->config.library, request->plugin, plugin, status);
   if (code != KV_OK)
      return code;
   return kv_settings_create(*plugin, request->options, request->option_count, settings, status);
}

/* *config has the settings, a timing and what `managed` says. */
static enum kv_code open_instance(struct kv_managed *managed, const struct kv_managed_use *use,
                                  struct kv_instance_config *config, struct kv_status *status)
{
   const struct kv_control_parts *parts = managed->parts;
   char path[KV_GENERATION_PATH_SIZE];
   kv_data_directory_generation_path(parts->config.directory, managed->generation, path);
   const uint8_t *store_id =
       use->store_id ? use->store_id : kv_data_directory_store_id(parts->config.directory);
   memcpy(config->store_id, store_id, sizeof config->store_id);
   config->inner = use->inner;
   config->directory = path;
   config->library = parts->config.library;
   config->observer = (struct kv_instance_observer){.context = managed,
                                                    .wake = wake,
                                                    .saved = note_saved,
                                                    .awaited = is_awaited,
                                                    .give_up = is_given_up,
                                                    .progress = note_progress};
   if (use->is_active) {
      config->observer.complete_above = begin_history;
      config->observer.loaded = load_change;
   }
   enum kv_code code = kv_instance_open(config, &managed->instance, status);
   config->directory = NULL; /* the path ends with this function */
   return code;
}

enum kv_code kv_managed_open(const struct kv_control_parts *parts,
                             const struct kv_control_request *request, uint64_t generation,
                             const struct kv_managed_use *use, struct kv_managed **managed,
                             struct kv_status *status)
{
   struct kv_instance_config config = {.resumed = use->resumed, .report = use->report};
   enum kv_code code =
       kv_managed_settings(parts, request, &config.plugin, &config.settings, status);
   if (code != KV_OK)
      return code;
   struct kv_managed *created = calloc(1, sizeof *created);
   config.timing = kv_watchdog_add(parts->watchdog, request->plugin);
   if (!created || !config.timing) {
      kv_settings_destroy(config.settings);
      code =
          kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for plug-in %s", request->plugin);
   } else {
      *created = (struct kv_managed){.generation = generation,
                                     .parts = parts,
                                     .give_up = use->give_up,
                                     .give_up_context = use->give_up_context};
      atomic_init(&created->is_active, use->is_active);
      code = open_instance(created, use, &config, status);
   }
   if (code == KV_OK) {
      *managed = created;
      return KV_OK;
   }
   if (config.timing)
      kv_watchdog_remove(parts->watchdog, config.timing);
   free(created);
   return code;
}

void kv_managed_close(struct kv_managed *managed)
{
   const struct kv_control_parts *parts = managed->parts;
   struct kv_hook_timing *timing = kv_instance_timing(managed->instance);
   struct kv_hook_figures closed;
   kv_instance_close(managed->instance);
   kv_hook_timing_read(timing, KV_HOOK_CLOSE, &closed);
   kv_shared_state_note_close(parts->state, &closed);
   kv_watchdog_remove(parts->watchdog, timing);
   free(managed);
}

/* ---- The active one ---- */

void kv_managed_become_active(struct kv_managed *managed, struct kv_managed *old)
{
   managed->give_up = NULL;
   if (old)
      atomic_store(&old->is_active, false);
   atomic_store(&managed->is_active, true);
   kv_shared_state_set_active(managed->parts->state, managed->instance, managed->generation);
}

struct kv_control_request kv_managed_request(const struct kv_managed *managed)
{
   const struct kv_settings *settings = kv_instance_settings(managed->instance);
   return (struct kv_control_request){kv_instance_plugin(managed->instance)->name,
                                      kv_settings_options(settings), kv_settings_count(settings)};
}

enum kv_code kv_managed_record(const struct kv_managed *managed, struct kv_status *status)
{
   const struct kv_control_request request = kv_managed_request(managed);
   const struct kv_active active = {
       .plugin = (char *)request.plugin,
       .options = (struct kv_mode_option *)request.options,
       .option_count = request.option_count,
       .generation = managed->generation,
   };
   return kv_data_directory_write_active(managed->parts->config.directory, &active, status);
}

void kv_managed_discard(const struct kv_control_parts *parts, uint64_t generation, const char *what)
{
   struct kv_status status;
   if (kv_data_directory_remove_generation(parts->config.directory, generation, &status) != KV_OK)
      kv_log(KV_LOG_WARNING, "cannot remove the files of %s: %s", what, status.text);
}
