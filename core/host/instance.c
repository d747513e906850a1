#include "core/host/instance.h"

#include "core/host/stack.h"
#include "core/host/sync_timing.h"
#include "core/support/clock.h"
#include "core/support/log.h"
#include "core/support/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Far above any sequence that a store can reach, and far enough below the end to count on. */
#define SEQUENCE_MAX (KV_SEQUENCE_MAX >> 1)

struct kv_instance {
   kvs_host host; /* first: the callbacks get back from it to the whole */
   const kvs_plugin *plugin;
   struct kv_settings *settings;
   struct kv_plugin_stack *stack; /* NULL: the plug-in can stack on no other */
   char *directory;
   void *self; /* the plug-in's */
   struct kv_instance_observer observer;
   struct kv_load_report *report;
   struct kv_hook_timing *timing;

   /* While on_load runs; owned by the control thread. */
   bool loading;
   struct kv_transaction *transaction; /* NULL: nothing may be handed over */
   uint64_t highest, declared;         /* sequences, of the records and by loaded_to */
   struct kv_status refusal;           /* why what was handed over is not acceptable */
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
   if (code == KV_INTERNAL)
      return kv_fail(status, code, "plug-in %s: %s returned the unknown code %d: %s", name, hook,
                     result, text);
   if (text[0] == '\0')
      return kv_fail(status, code, "plug-in %s: %s failed with code %d and gave no reason", name,
                     hook, result);
   return kv_fail(status, code, "plug-in %s: %s", name, text);
}

/* ---- What the host offers: loading ---- */

/* Remembers the first reason, so that a plug-in which goes on regardless does not get through. */
static int refuse(struct kv_instance *instance, kvs_error *error, int result, enum kv_code code,
                  const char *text, uint64_t sequence)
{
   if (instance->refusal.code == KV_OK)
      kv_fail(&instance->refusal, code, "plug-in %s: it handed over %s (sequence %" PRIu64 ")",
              instance->plugin->name, text, sequence);
   if (error)
      snprintf(error->text, sizeof error->text, "%s (sequence %" PRIu64 ")", text, sequence);
   return result;
}

/* What is wrong with a record handed over, or NULL. */
static const char *find_fault(const struct kv_instance *instance, const kvs_record *record)
{
   if (!instance->transaction)
      return "a record from a fresh directory";
   if (record->sequence == 0 || record->sequence > SEQUENCE_MAX)
      return "a record whose sequence is out of range";
   if (record->kind != KVS_SET && record->kind != KVS_DELETE)
      return "a record that neither sets nor deletes; it may be of a newer version";
   if (record->key.size == 0 || record->key.size > KV_KEY_SIZE_MAX || !record->key.data)
      return "a record whose key is not of 1 to 65536 bytes";
   if (record->expires_at_ms < 0 || record->expires_at_ms > KV_EXPIRES_AT_MAX)
      return "a record whose time of expiry is out of range";
   if (record->kind == KVS_DELETE && record->value.size > 0)
      return "a record that deletes and has a value";
   if (record->kind == KVS_DELETE && record->expires_at_ms != 0)
      return "a record that deletes and expires";
   if (record->value.size > KV_VALUE_SIZE_MAX || (record->value.size > 0 && !record->value.data))
      return "a record whose value is too large or missing";
   return NULL;
}

static bool apply(struct kv_transaction *transaction, const kvs_record *record)
{
   struct kv_slice key = kv_slice(record->key.data, record->key.size);
   bool existed;
   if (record->kind == KVS_DELETE)
      return kv_transaction_delete(transaction, key, &existed);
   return kv_transaction_set(transaction, key, kv_slice(record->value.data, record->value.size),
                             record->expires_at_ms, record->sequence);
}

static bool is_given_up(const struct kv_instance *instance)
{
   return instance->observer.give_up && instance->observer.give_up(instance->observer.context);
}

static int give_up(struct kv_instance *instance, kvs_error *error)
{
   if (instance->refusal.code == KV_OK)
      kv_fail(&instance->refusal, KV_CANCELLED, "plug-in %s: its load was cancelled",
              instance->plugin->name);
   if (error)
      snprintf(error->text, sizeof error->text, "the load was cancelled");
   return KVS_IO;
}

static int host_load(const kvs_host *host, const kvs_record *records, size_t count,
                     kvs_error *error)
{
   struct kv_instance *instance = instance_of(host);
   if (!instance->loading)
      return refuse(instance, error, KVS_INVALID, KV_INTERNAL, "records outside of on_load", 0);
   if (is_given_up(instance))
      return give_up(instance, error);
   for (size_t i = 0; i < count; i++) {
      const kvs_record *record = &records[i];
      const char *fault = find_fault(instance, record);
      if (fault)
         return refuse(instance, error, KVS_CORRUPT,
                       instance->transaction ? KV_DATA_LOSS : KV_INTERNAL, fault, record->sequence);
      if (!apply(instance->transaction, record))
         return refuse(instance, error, KVS_IO, KV_RESOURCE_EXHAUSTED,
                       "more data than there is memory for", record->sequence);
      if (record->sequence > instance->highest)
         instance->highest = record->sequence;
   }
   if (instance->report)
      kv_load_report_count(instance->report, count);
   return instance->refusal.code == KV_OK ? KVS_OK : KVS_CORRUPT;
}

static void host_load_note(const kvs_host *host, const kvs_load_note *note)
{
   const struct kv_instance *instance = instance_of(host);
   if (instance->loading && instance->report)
      kv_load_report_note(instance->report, note);
}

static void host_loaded_to(const kvs_host *host, uint64_t sequence)
{
   struct kv_instance *instance = instance_of(host);
   if (sequence > SEQUENCE_MAX)
      refuse(instance, NULL, 0, KV_DATA_LOSS, "a state whose sequence is out of range", sequence);
   else if (sequence > instance->declared)
      instance->declared = sequence;
}

/* ---- What the host offers: everything else ---- */

static size_t host_view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   const struct kv_instance *instance = view->instance;
   if (instance->observer.progress)
      instance->observer.progress(instance->observer.context);
   if (view->cut_off || is_given_up(instance)) {
      view->cut_off = true;
      return 0;
   }
   uint64_t sequence = kv_version_sequence(view->version);
   size_t count = 0;
   const struct kv_entry *entry;
   while (count < capacity && (entry = kv_cursor_next(&view->cursor))) {
      const struct kv_slice key = kv_entry_key(entry), value = kv_entry_value(entry);
      records[count++] = (kvs_record){
          .sequence = sequence,
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
       .report = config->report,
       .timing = config->timing,
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

/* The sequence that the recovered state has reached, from what the plug-in handed over. */
static void settle_sequence(struct kv_instance *instance, uint64_t *sequence)
{
   if (instance->declared > 0 && !instance->transaction)
      refuse(instance, NULL, 0, KV_INTERNAL, "a state from a fresh directory", instance->declared);
   if (instance->declared > 0 && instance->declared < instance->highest)
      refuse(instance, NULL, 0, KV_DATA_LOSS, "a record above the sequence that it declared",
             instance->highest);
   *sequence = instance->declared > 0 ? instance->declared : instance->highest;
}

enum kv_code kv_instance_load(struct kv_instance *instance, struct kv_transaction *transaction,
                              uint64_t *sequence, struct kv_status *status)
{
   *sequence = 0;
   if (!instance->plugin->on_load)
      return KV_OK;
   instance->transaction = transaction;
   instance->loading = true;
   kvs_error error;
   clear(&error);
   kv_hook_timing_begin(instance->timing, KV_HOOK_LOAD);
   int result = instance->plugin->on_load(instance->self, &error);
   kv_hook_timing_end(instance->timing, KV_HOOK_LOAD, result != KVS_OK);
   instance->loading = false;

   settle_sequence(instance, sequence);
   instance->transaction = NULL;
   /* The host's own reason comes first: the plug-in's is at best an echo of it. */
   if (instance->refusal.code != KV_OK) {
      *status = instance->refusal;
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
