#include "core/service/health.h"

#include "core/service/message.h"

#include "health.pb-c.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

/* A Watch in flight; lives in its call's arena. */
struct watcher {
   struct kv_call *call;
   enum kv_health_service service; /* KV_HEALTH_SERVICES: an unknown one */
   serving_status last;            /* that was sent, if any was */
   bool sent_any, sending;
   LIST_ENTRY(watcher) others;
};

struct kv_health {
   pthread_mutex_t lock; /* for everything; also held while a watcher is sent to */
   bool serving[KV_HEALTH_SERVICES];
   bool draining;
   LIST_HEAD(, watcher) watchers;
};

static enum kv_health_service find_service(ProtobufCBinaryData name)
{
   static const struct {
      const char *name;
      enum kv_health_service service;
   } known[] = {{"", KV_HEALTH_SERVER},
                {"kvstore.v1.KeyValueService", KV_HEALTH_STORE},
                {"kvstore.KeyValueStore", KV_HEALTH_STORE}};
   for (size_t i = 0; i < sizeof known / sizeof *known; i++)
      if (kv_slice_compare(kv_slice_of(known[i].name), kv_slice(name.data, name.len)) == 0)
         return known[i].service;
   return KV_HEALTH_SERVICES;
}

/* With the lock held. */
static serving_status status_of(const struct kv_health *health, enum kv_health_service service)
{
   if (service == KV_HEALTH_SERVICES)
      return SERVICE_UNKNOWN;
   return health->serving[service] && !health->draining ? SERVING : NOT_SERVING;
}

/* Sends a watcher what it does not know yet. One message at a time: a change while one is in flight
 * is sent when that has left. With the lock held. */
static void notify(struct kv_health *health, struct watcher *watcher)
{
   serving_status now = status_of(health, watcher->service);
   if (watcher->sending)
      return;
   if (!watcher->sent_any || watcher->last != now) {
      Grpc__Health__V1__HealthCheckResponse response =
          GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
      response.status = now;
      watcher->last = now;
      watcher->sent_any = true;
      watcher->sending = true;
      if (kv_message_encode(watcher->call, &response.base))
         kv_call_send(watcher->call);
   } else if (health->draining) {
      kv_call_finish(watcher->call);
   }
}

static void notify_all(struct kv_health *health)
{
   struct watcher *watcher;
   LIST_FOREACH (watcher, &health->watchers, others)
      notify(health, watcher);
}

/* ---- Calls ---- */

static void fail_unknown(struct kv_call *call, ProtobufCBinaryData name)
{
   struct kv_status status;
   kv_fail_reason(
       &status, KV_NOT_FOUND, "SERVICE_UNKNOWN",
       "service: \"%.*s\" (%zu bytes) is unknown; ask for kvstore.v1.KeyValueService, or leave "
       "it empty for the server as a whole",
       kv_message_shown_size(name), (const char *)name.data, name.len);
   kv_message_fail(call, &status);
}

static void on_check(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_health *health = context;
   const Grpc__Health__V1__HealthCheckRequest *check =
       kv_message_decode(call, &grpc__health__v1__health_check_request__descriptor, request);
   if (!check)
      return;
   enum kv_health_service service = find_service(check->service);
   if (service == KV_HEALTH_SERVICES) {
      fail_unknown(call, check->service);
      return;
   }
   Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
   pthread_mutex_lock(&health->lock);
   response.status = status_of(health, service);
   pthread_mutex_unlock(&health->lock);
   kv_message_reply(call, &response.base);
}

static void on_watch(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_health *health = context;
   const Grpc__Health__V1__HealthCheckRequest *check =
       kv_message_decode(call, &grpc__health__v1__health_check_request__descriptor, request);
   if (!check)
      return;
   struct watcher *watcher = kv_message_alloc(call, sizeof *watcher);
   if (!watcher)
      return;
   *kv_call_state(call) = watcher;
   pthread_mutex_lock(&health->lock);
   *watcher = (struct watcher){.call = call, .service = find_service(check->service)};
   LIST_INSERT_HEAD(&health->watchers, watcher, others);
   notify(health, watcher);
   pthread_mutex_unlock(&health->lock);
}

static void on_watch_sent(void *context, struct kv_call *call)
{
   struct kv_health *health = context;
   struct watcher *watcher = *kv_call_state(call);
   pthread_mutex_lock(&health->lock);
   watcher->sending = false;
   notify(health, watcher);
   pthread_mutex_unlock(&health->lock);
}

static void on_watch_closed(void *context, struct kv_call *call)
{
   struct kv_health *health = context;
   struct watcher *watcher = *kv_call_state(call);
   if (!watcher)
      return;
   pthread_mutex_lock(&health->lock);
   LIST_REMOVE(watcher, others);
   pthread_mutex_unlock(&health->lock);
}

/* ---- Interface ---- */

struct kv_health *kv_health_create(struct kv_status *status)
{
   struct kv_health *health = calloc(1, sizeof *health);
   if (!health) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the health service");
      return NULL;
   }
   pthread_mutex_init(&health->lock, NULL);
   return health;
}

void kv_health_destroy(struct kv_health *health)
{
   pthread_mutex_destroy(&health->lock);
   free(health);
}

void kv_health_set(struct kv_health *health, enum kv_health_service service, bool serving)
{
   pthread_mutex_lock(&health->lock);
   health->serving[service] = serving;
   notify_all(health);
   pthread_mutex_unlock(&health->lock);
}

void kv_health_drain(struct kv_health *health)
{
   pthread_mutex_lock(&health->lock);
   health->draining = true;
   notify_all(health);
   pthread_mutex_unlock(&health->lock);
}

size_t kv_health_methods(struct kv_health *health, struct kv_rpc_method *methods)
{
   methods[0] = (struct kv_rpc_method){
       .path = "/grpc.health.v1.Health/Check", .service = health, .request = on_check};
   methods[1] = (struct kv_rpc_method){.path = "/grpc.health.v1.Health/Watch",
                                       .kind = KV_RPC_SERVER_STREAM,
                                       .service = health,
                                       .request = on_watch,
                                       .sent = on_watch_sent,
                                       .closed = on_watch_closed};
   return KV_HEALTH_METHODS;
}
