#include "core/host/instance.h"

#include "core/host/loading.h"
#include "core/host/stack.h"
#include "core/host/sync_timing.h"
#include "core/support/clock.h"
#include "core/support/log.h"
#include "core/support/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The extension, which leads back to the load. */
struct history {
   kvs_history extension; /* first */
   struct kv_loading *loading;
};

struct kv_instance {
   kvs_host host; /* first: the callbacks get back from it to the whole */
   const kvs_plugin *plugin;
   struct kv_settings *settings;
   struct kv_plugin_stack *stack; /* NULL: the plug-in can stack on no other */
   char *directory;
   void *self; /* the plug-in's */
   struct kv_instance_observer observer;
   struct kv_hook_timing *timing;
   struct kv_loading loading; /* the control thread's */
   struct history history;
};

struct kvs_view {
   const struct kv_instance *instance;
   const struct kv_version *version;
   struct kv_cursor cursor;
   bool cut_off; /* the instance was given up: it got less than all */
};

static struct kv_instance *instance_of(const kvs_host *host)
{
   return (struct kv_instance *)host;
}

/* ---- From the plug-in's codes and texts to statuses ---- */

static void clear(kvs_error *error)
{
   error->size = sizeof *error;
   error->text[0] = '\0';
}

static enum kv_code code_of(int result)
{
   switch (result) {
   case KVS_INVALID:
      return KV_INVALID_ARGUMENT;
   case KVS_NO_SPACE:
      return KV_RESOURCE_EXHAUSTED;
   case KVS_IO:
      return KV_UNAVAILABLE;
   case KVS_CORRUPT:
      return KV_DATA_LOSS;
   default:
      return KV_INTERNAL;
   }
}

static const char *reason_of(int result)
{
   switch (result) {
   case KVS_INVALID:
      return "OPTION_INVALID";
   case KVS_NO_SPACE:
      return KV_REASON_STORAGE_FULL;
   default:
      return KV_REASON_PLUGIN_FAILED;
   }
}

static enum kv_code translate(const struct kv_instance *instance, const char *hook, int result,
                              kvs_error *error, struct kv_status *status)
{
   if (result == KVS_OK)
      return KV_OK;
   const char *name = instance->plugin->name;
   char text[sizeof error->text + 4];
   error->text[sizeof error->text - 1] = '\0';
   kv_text_show(error->text, text, sizeof text);
   enum kv_code code = code_of(result);
   const char *reason = reason_of(result);
   if (code == KV_INTERNAL)
      return kv_fail_reason(status, code, reason, "plug-in %s: %s returned the unknown code %d: %s",
                            name, hook, result, text);
   if (text[0] == '\0')
      return kv_fail_reason(status, code, reason,
                            "plug-in %s: %s failed with code %d and gave no reason", name, hook,
                            result);
   return kv_fail_reason(status, code, reason, "plug-in %s: %s", name, text);
}

/* ---- What the host offers: loading ---- */

static int host_load(const kvs_host *host, const kvs_record *records, size_t count,
                     kvs_error *error)
{
   return kv_loading_take(&instance_of(host)->loading, records, count, error);
}

static void host_load_note(const kvs_host *host, const kvs_load_note *note)
{
   kv_loading_note(&instance_of(host)->loading, note);
}

static void host_loaded_to(const kvs_host *host, uint64_t sequence)
{
   kv_loading_declare(&instance_of(host)->loading, sequence);
}

static void complete_above(const kvs_history *history, uint64_t sequence)
{
   kv_loading_begin_history(((const struct history *)history)->loading, sequence);
}

/* ---- What the host offers: everything else ---- */

static bool is_given_up(const struct kv_instance *instance)
{
   return instance->observer.give_up && instance->observer.give_up(instance->observer.context);
}

static size_t host_view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   const struct kv_instance *instance = view->instance;
   if (instance->observer.progress)
      instance->observer.progress(instance->observer.context);
   if (view->cut_off || is_given_up(instance)) {
      view->cut_off = true;
      return 0;
   }
   const bool own = instance->plugin->flags & KVS_PLUGIN_VERSIONS;
   const uint64_t sequence = kv_version_sequence(view->version);
   size_t count = 0;
   const struct kv_entry *entry;
   while (count < capacity && (entry = kv_cursor_next(&view->cursor))) {
      const struct kv_slice key = kv_entry_key(entry), value = kv_entry_value(entry);
      records[count++] = (kvs_record){
          .sequence = own ? kv_entry_version(entry) : sequence,
          .kind = KVS_SET,
          .key = {key.data, key.size},
          .value = {value.data, value.size},
          .expires_at_ms = kv_entry_expires_at(entry),
      };
   }
   return count;
}

static void host_log(const kvs_host *host, uint32_t level, const char *message)
{
   /* Both sides number their levels alike. A message of an unknown level must not be lost. */
   bool known = level >= KVS_LOG_ERROR && level <= KVS_LOG_DEBUG;
   kv_log(known ? (enum kv_log_level)level : KV_LOG_ERROR, "plug-in %s: %s",
          instance_of(host)->plugin->name, message);
}

static void host_wake(const kvs_host *host)
{
   const struct kv_instance *instance = instance_of(host);
   if (instance->observer.wake)
      instance->observer.wake(instance->observer.context);
}

static const void *host_extension(const kvs_host *host, const char *name)
{
   const struct kv_instance *instance = instance_of(host);
   if (instance->stack && strcmp(name, KVS_EXTENSION_STACK) == 0)
      return kv_plugin_stack_extension(instance->stack);
   if (instance->timing && strcmp(name, KVS_EXTENSION_SYNCS) == 0)
      return kv_sync_timing_extension(kv_hook_timing_syncs(instance->timing));
   if (strcmp(name, KVS_EXTENSION_HISTORY) == 0)
      return &instance->history.extension;
   return NULL;
}

static void host_saved(const kvs_host *host, uint64_t sequence)
{
   const struct kv_instance *instance = instance_of(host);
   if (instance->observer.saved)
      instance->observer.saved(instance->observer.context, sequence);
}

static uint32_t host_awaited(const kvs_host *host)
{
   const struct kv_instance *instance = instance_of(host);
   return instance->observer.awaited && instance->observer.awaited(instance->observer.context);
}

/* ---- Life ---- */

static void destroy(struct kv_instance *instance)
{
   kv_settings_destroy(instance->settings);
   if (instance->stack)
      kv_plugin_stack_destroy(instance->stack);
   free(instance->directory);
   free(instance);
}

enum kv_code kv_instance_open(const struct kv_instance_config *config,
                              struct kv_instance **instance, struct kv_status *status)
{
   struct kv_instance *created = calloc(1, sizeof *created);
   char *directory = strdup(config->directory);
   struct kv_plugin_stack *stack =
       config->library ? kv_plugin_stack_create(config->library, config->plugin, config->inner)
                       : NULL;
   if (!created || !directory || (config->library && !stack)) {
      free(created);
      free(directory);
      if (stack)
         kv_plugin_stack_destroy(stack);
      kv_settings_destroy(config->settings);
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for plug-in %s",
                     config->plugin->name);
   }
   *created = (struct kv_instance){
       .host = {.size = sizeof created->host,
                .abi_minor = KVS_ABI_MINOR,
                .directory = directory,
                .load = host_load,
                .loaded_to = host_loaded_to,
                .view_read = host_view_read,
                .log = host_log,
                .wake = host_wake,
                .extension = host_extension,
                .saved = host_saved,
                .load_note = host_load_note,
                .resumed = config->resumed,
                .awaited = host_awaited},
       .plugin = config->plugin,
       .settings = config->settings,
       .stack = stack,
       .directory = directory,
       .observer = config->observer,
       .timing = config->timing,
       .loading = {.plugin = config->plugin,
                   .observer = &created->observer,
                   .report = config->report},
       .history = {.extension = {.size = sizeof created->history.extension,
                                 .complete_above = complete_above},
                   .loading = &created->loading},
   };
   memcpy(created->host.store_id, config->store_id, sizeof created->host.store_id);

   kvs_error error;
   clear(&error);
   kv_hook_timing_begin(config->timing, KV_HOOK_OPEN);
   int result = config->plugin->open(&created->host, kv_settings_array(config->settings),
                                     kv_settings_count(config->settings), &created->self, &error);
   kv_hook_timing_end(config->timing, KV_HOOK_OPEN, result != KVS_OK);
   enum kv_code code = translate(created, "open", result, &error, status);
   if (code != KV_OK) {
      destroy(created);
      return code;
   }
   *instance = created;
   return KV_OK;
}

void kv_instance_close(struct kv_instance *instance)
{
   kv_hook_timing_begin(instance->timing, KV_HOOK_CLOSE);
   instance->plugin->close(instance->self);
   kv_hook_timing_end(instance->timing, KV_HOOK_CLOSE, false);
   destroy(instance);
}

const kvs_plugin *kv_instance_plugin(const struct kv_instance *instance)
{
   return instance->plugin;
}

uint64_t kv_instance_synced(const struct kv_instance *instance)
{
   return instance->timing ? kv_sync_timing_durable(kv_hook_timing_syncs(instance->timing)) : 0;
}

bool kv_instance_is_stacked(const struct kv_instance *instance)
{
   return instance->stack && kv_plugin_stack_is_used(instance->stack);
}

const struct kv_settings *kv_instance_settings(const struct kv_instance *instance)
{
   return instance->settings;
}

struct kv_hook_timing *kv_instance_timing(const struct kv_instance *instance)
{
   return instance->timing;
}

/* ---- Hooks ---- */

enum kv_code kv_instance_load(struct kv_instance *instance, struct kv_transaction *transaction,
                              uint64_t *sequence, struct kv_status *status)
{
   *sequence = 0;
   if (!instance->plugin->on_load)
      return KV_OK;
   kv_loading_begin(&instance->loading, transaction);
   kvs_error error;
   clear(&error);
   kv_hook_timing_begin(instance->timing, KV_HOOK_LOAD);
   int result = instance->plugin->on_load(instance->self, &error);
   kv_hook_timing_end(instance->timing, KV_HOOK_LOAD, result != KVS_OK);
   kv_loading_end(&instance->loading, sequence);
   /* The host's own reason comes first: the plug-in's is at best an echo of it. */
   if (instance->loading.refusal.code != KV_OK) {
      *status = instance->loading.refusal;
      return status->code;
   }
   return translate(instance, "on_load", result, &error, status);
}

enum kv_code kv_instance_write(struct kv_instance *instance, const kvs_record *records,
                               size_t count, uint32_t flags, struct kv_status *status)
{
   kvs_error error;
   clear(&error);
   kv_hook_timing_begin(instance->timing, KV_HOOK_WRITE);
   int result = instance->plugin->on_write(instance->self, records, count, flags, &error);
   kv_hook_timing_end(instance->timing, KV_HOOK_WRITE, result != KVS_OK);
   if (instance->timing && result == KVS_OK)
      kv_sync_timing_written(kv_hook_timing_syncs(instance->timing), records[count - 1].sequence);
   return translate(instance, "on_write", result, &error, status);
}

enum kv_code kv_instance_tick(struct kv_instance *instance, uint32_t reason,
                              const struct kv_store_view *view, struct kv_status *status)
{
   if (!instance->plugin->on_tick)
      return KV_OK;
   struct kvs_view reading = {.instance = instance, .version = kv_store_view_version(view)};
   kv_cursor_seek(&reading.cursor, reading.version, kv_slice(NULL, 0));
   const kvs_tick tick = {
       .size = sizeof tick,
       .reason = reason,
       .now_ms = kv_clock_unix_ms(),
       .monotonic_ms = kv_clock_monotonic_ms(),
       .view = &reading,
       .view_sequence = kv_version_sequence(reading.version),
       .view_count = kv_version_count(reading.version),
       .view_bytes = kv_version_bytes(reading.version),
   };
   kvs_error error;
   clear(&error);
   enum kv_hook hook = reason == KVS_TICK_PERIODIC ? KV_HOOK_TICK : KV_HOOK_CHECKPOINT;
   kv_hook_timing_begin(instance->timing, hook);
   int result = instance->plugin->on_tick(instance->self, &tick, &error);
   kv_hook_timing_end(instance->timing, hook, result != KVS_OK);
   if (reading.cut_off)
      return kv_fail(status, KV_CANCELLED, "plug-in %s: its checkpoint was cancelled",
                     instance->plugin->name);
   return translate(instance, "on_tick", result, &error, status);
}
