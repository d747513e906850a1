#include "core/service/internal.h"

#include "core/support/clock.h"

#include <stdlib.h>
#include <string.h>

struct kv_service *kv_service_create(const struct kv_service_config *config,
                                     struct kv_status *status)
{
   const unsigned threads = config->workers + 1;
   const size_t size = sizeof(struct kv_service) + threads * sizeof(struct kv_service_thread);
   struct kv_service *service = aligned_alloc(_Alignof(struct kv_service), size);
   if (!service) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the service");
      return NULL;
   }
   memset(service, 0, size);
   service->config = *config;
   service->started_ms = kv_clock_monotonic_ms();
   for (unsigned i = 0; i < threads; i++) {
      service->threads[i].reader = kv_reader_create(config->store);
      if (!service->threads[i].reader) {
         kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the service's readers");
         kv_service_destroy(service);
         return NULL;
      }
   }
   return service;
}

void kv_service_destroy(struct kv_service *service)
{
   for (unsigned i = 0; i <= service->config.workers; i++)
      if (service->threads[i].reader)
         kv_reader_destroy(service->threads[i].reader);
   free(service);
}

void kv_service_set_loaded(struct kv_service *service)
{
   atomic_store(&service->loaded, true);
}

static void refuse_loading(const struct kv_service *service, struct kv_call *call)
{
   struct kv_status status;
   int percent = kv_load_report_percent(kv_control_load_report(service->config.control));
   if (percent < 0)
      kv_fail(&status, KV_UNAVAILABLE, "the server is still loading its data; try again");
   else
      kv_fail(&status, KV_UNAVAILABLE, "the server is still loading its data, %d %%; try again",
              percent);
   kv_message_fail(call, &status);
}

void *kv_service_request(struct kv_service *service, struct kv_call *call,
                         const ProtobufCMessageDescriptor *descriptor, struct kv_slice request)
{
   if (!atomic_load_explicit(&service->loaded, memory_order_acquire)) {
      refuse_loading(service, call);
      return NULL;
   }
   return kv_message_decode(call, descriptor, request);
}

#define METHOD(name) "/kvstore.KeyValueStore/" name

size_t kv_service_methods(struct kv_service *service, struct kv_rpc_method *methods)
{
   const struct kv_rpc_method table[] = {
       {.path = METHOD("Set"), .request = kv_service_set},
       {.path = METHOD("Get"), .request = kv_service_get},
       {.path = METHOD("Del"), .request = kv_service_del},
       {.path = METHOD("Keys"), .slow = true, .request = kv_service_keys},
       {.path = METHOD("Config"), .request = kv_service_config},
       {.path = METHOD("Configure"), .request = kv_service_configure},
       {.path = METHOD("ListPlugins"), .request = kv_service_list_plugins},
       {.path = METHOD("Batch"),

        .compound = true,
        .request = kv_service_batch},
       {.path = METHOD("Scan"),
        .kind = KV_RPC_SERVER_STREAM,
        .slow = true,
        .request = kv_service_scan,
        .sent = kv_service_scan_sent,
        .closed = kv_service_scan_closed,
        .kept = kv_service_scan_kept,
        .resume = kv_service_scan_resume},
       {.path = METHOD("Save"), .request = kv_service_save},
       {.path = METHOD("Status"), .request = kv_service_status},
   };
   const size_t count = sizeof table / sizeof *table;
   _Static_assert(sizeof table / sizeof *table <= KV_SERVICE_METHODS_MAX, "table grew");
   for (size_t i = 0; i < count; i++) {
      methods[i] = table[i];
      methods[i].service = service;
   }
   return count;
}
