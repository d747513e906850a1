#include "core/service/admin/admin.h"
#include "core/service/guard.h"
#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/watch.h"
#include "core/service/moved.h"

#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <stdlib.h>

static bool create_for_workers(struct kv_service *service)
{
   const struct kv_service_config *config = &service->config;
   KV_INVARIANT(config->workers > 0);
   for (unsigned i = 0; i <= config->workers; i++) {
      service->readers[i] = kv_reader_create(config->store);
      if (!service->readers[i])
         return false;
   }
   service->watch_parts = calloc(config->workers, sizeof *service->watch_parts);
   return service->watch_parts;
}

struct kv_service *kv_service_create(const struct kv_service_config *config,
                                     struct kv_status *status)
{
   const unsigned threads = config->workers + 1;
   struct kv_service *service = calloc(1, sizeof *service + threads * sizeof service->readers[0]);
   if (service) {
      service->config = *config;
      service->started_ms = kv_clock_monotonic_ms();
      kv_jobs_init(&service->backups, KV_BACKUPS_MAX);
      kv_jobs_init(&service->restores, KV_RESTORES_MAX);
      kv_monitors_init(&service->monitors, config->observers->monitor);
      kv_durable_waits_init(&service->durable_waits, config->control);
   }
   if (service && !create_for_workers(service)) {
      kv_service_destroy(service);
      service = NULL;
   }
   if (!service)
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the service");
   return service;
}

void kv_service_destroy(struct kv_service *service)
{
   kv_jobs_deinit(&service->backups);
   kv_jobs_deinit(&service->restores);
   kv_monitors_deinit(&service->monitors);
   kv_durable_waits_deinit(&service->durable_waits);
   for (unsigned i = 0; i <= service->config.workers && service->readers[i]; i++)
      kv_reader_destroy(service->readers[i]);
   free(service->watch_parts);
   free(service);
}

void kv_service_set_loaded(struct kv_service *service)
{
   atomic_store(&service->loaded, true);
}

void kv_service_drain(struct kv_service *service)
{
   kv_monitors_drain(&service->monitors);
   kv_durable_waits_drain(&service->durable_waits);
}

void kv_service_end_watches(void *context)
{
   struct kv_service *service = context;
   kv_commit_stop_expiring(service->config.commit);
   kv_watchers_drain(service->config.watchers);
}

static void refuse_loading(const struct kv_service *service, struct kv_call *call)
{
   struct kv_status status;
   int percent = kv_load_report_percent(kv_control_load_report(service->config.control));
   if (percent < 0)
      kv_fail_reason(&status, KV_UNAVAILABLE, "LOADING",
                     "the server is still loading its data; try again");
   else
      kv_fail_reason(&status, KV_UNAVAILABLE, "LOADING",
                     "the server is still loading its data, %d %%; try again", percent);
   kv_message_fail(call, &status);
}

void *kv_service_request(struct kv_service *service, struct kv_call *call,
                         const ProtobufCMessageDescriptor *descriptor, struct kv_slice request)
{
   void *message = kv_guard_request(service->config.guard, call, descriptor, request);
   if (message && !atomic_load_explicit(&service->loaded, memory_order_acquire)) {
      refuse_loading(service, call);
      return NULL;
   }
   return message;
}

/* ---- Writes ---- */

/* What the commit pipeline allocates for a submission ahead of its batch: entries of the store. */
#define ENTRY_OVERHEAD 64
/* Up to this size they are part of what each call is charged. */
#define ENTRIES_SIZE_MIN 4096

/* SET_EXPIRY: of the value that is there now, which will be copied and put again. */
static size_t size_of_value(struct kv_service *service, const struct kv_call *call,
                            struct kv_operation *operation)
{
   if (operation->kind == KV_OPERATION_SET)
      return operation->value.size;
   if (operation->kind != KV_OPERATION_SET_EXPIRY)
      return 0;
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_entry *entry = kv_version_find(kv_reader_pin(reader), operation->key);
   operation->number = entry ? (int64_t)kv_entry_value(entry).size : 0;
   kv_reader_unpin(reader);
   return 2 * (size_t)operation->number;
}

static bool makes_entry(const struct kv_operation *operation)
{
   return operation->kind == KV_OPERATION_SET || operation->kind == KV_OPERATION_INCREMENT ||
          operation->kind == KV_OPERATION_SET_EXPIRY;
}

static size_t size_of_entries(struct kv_service *service, const struct kv_call *call,
                              const struct kv_submission *submission)
{
   size_t size = 0;
   for (size_t i = 0; i < submission->count; i++) {
      struct kv_operation *operation = &submission->operations[i];
      if (makes_entry(operation))
         size += ENTRY_OVERHEAD + operation->key.size + size_of_value(service, call, operation);
   }
   return size;
}

void kv_service_submit(struct kv_service *service, struct kv_call *call,
                       const struct kv_submission *submission)
{
   size_t entries = size_of_entries(service, call, submission);
   struct kv_write *write = kv_arena_alloc(kv_call_arena(call), sizeof *write);
   if (!write || (entries > ENTRIES_SIZE_MIN && !kv_call_take(call, entries))) {
      kv_message_out_of_memory(call);
      return;
   }
   *write = (struct kv_write){*submission, service, call};
   kv_commit_add(service->config.commit, kv_call_worker(call), &write->submission);
}

void kv_service_turn_end(void *context, unsigned worker)
{
   const struct kv_service *service = context;
   kv_commit_flush(service->config.commit, worker);
}

/* ---- Methods ---- */

#define METHOD(name) "/kvstore.KeyValueStore/" name
#define DATA(name) "/kvstore.v1.KeyValueService/" name
#define ADMIN(name) "/kvstore.v1.AdminService/" name

size_t kv_service_methods(struct kv_service *service, struct kv_rpc_method *methods)
{
   const struct kv_rpc_method table[] = {
       {.path = METHOD("Set"), .request = kv_service_set},
       {.path = METHOD("Get"), .request = kv_service_get},
       {.path = METHOD("Del"), .request = kv_service_del},
       {.path = METHOD("Keys"), .slow = true, .request = kv_service_keys},
       {.path = METHOD("Config"), .request = kv_service_config},
       {.path = DATA("DeleteRange"), .slow = true, .request = kv_keyvalue_delete_range},
       {.path = DATA("WaitDurable"), .request = kv_keyvalue_wait_durable},
       {.path = DATA("Scan"),
        .kind = KV_RPC_SERVER_STREAM,
        .slow = true,
        .request = kv_keyvalue_scan,
        .sent = kv_keyvalue_scan_sent,
        .closed = kv_keyvalue_scan_closed,
        .kept = kv_keyvalue_scan_kept,
        .resume = kv_keyvalue_scan_resume},
       {.path = DATA("Get"), .request = kv_keyvalue_get},
       {.path = DATA("Set"), .request = kv_keyvalue_set},
       {.path = DATA("Delete"), .request = kv_keyvalue_delete},
       {.path = DATA("Increment"), .request = kv_keyvalue_increment},
       {.path = DATA("SetExpiry"), .request = kv_keyvalue_set_expiry},
       {.path = DATA("Batch"), .compound = true, .request = kv_keyvalue_batch},
       {.path = DATA("Transaction"), .compound = true, .request = kv_keyvalue_transaction},
       {.path = DATA("Watch"),
        .kind = KV_RPC_BIDI,
        .follows = true,
        .request = kv_keyvalue_watch,
        .sent = kv_keyvalue_watch_sent,
        .half_closed = kv_keyvalue_watch_half_closed,
        .notified = kv_keyvalue_watch_notified,
        .closed = kv_keyvalue_watch_closed,
        .kept = kv_keyvalue_watch_kept,
        .resume = kv_keyvalue_watch_resume},
       {.path = ADMIN("Configure"), .request = kv_service_configure},
       {.path = ADMIN("ListPlugins"), .request = kv_service_list_plugins},
       {.path = ADMIN("Save"), .request = kv_service_save},
       {.path = ADMIN("GetStatus"), .request = kv_service_get_status},
       {.path = ADMIN("Backup"),
        .kind = KV_RPC_SERVER_STREAM,
        .request = kv_service_backup,
        .sent = kv_service_backup_sent,
        .closed = kv_service_backup_closed,
        .kept = kv_service_backup_kept},
       {.path = ADMIN("Restore"),
        .kind = KV_RPC_BIDI,
        .request = kv_service_restore,
        .sent = kv_service_restore_sent,
        .half_closed = kv_service_restore_half_closed,
        .closed = kv_service_restore_closed,
        .kept = kv_service_restore_kept},
       {.path = ADMIN("ListSlowCalls"), .slow = true, .request = kv_service_list_slow_calls},
       {.path = ADMIN("Monitor"),
        .kind = KV_RPC_SERVER_STREAM,
        .request = kv_service_monitor,
        .sent = kv_service_monitor_sent,
        .closed = kv_service_monitor_closed,
        .kept = kv_service_monitor_kept},
       {.path = ADMIN("ListHotPrefixes"), .slow = true, .request = kv_service_list_hot_prefixes},
   };
   const size_t count = sizeof table / sizeof *table;
   _Static_assert(sizeof table / sizeof *table + KV_MOVED_METHODS <= KV_SERVICE_METHODS_MAX,
                  "table grew");
   for (size_t i = 0; i < count; i++) {
      methods[i] = table[i];
      methods[i].service = service;
   }
   return count + kv_moved_methods(methods + count);
}
