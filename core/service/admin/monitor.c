/* Monitor: the calls as they are answered, streamed. */
#include "core/service/admin/monitor.h"

#include "core/service/admin/admin.h"
#include "core/service/validate.h"
#include "core/support/clock.h"

#include <stdlib.h>

/* Lives in its call's arena. */
struct kv_monitor_stream {
   struct kv_call *call;
   struct kv_follower *follower;
   /* The message before has left, and the call was not ended here; what else uses the call has the
    * lock. */
   atomic_bool ready;
   LIST_ENTRY(kv_monitor_stream) others;
};

/* Of a message. */
struct kv_monitor_part {
   struct kv_event events[KV_MONITOR_MESSAGE_CALLS];
   Kvstore__V1__CallEvent messages[KV_MONITOR_MESSAGE_CALLS];
   Kvstore__V1__CallEvent *list[KV_MONITOR_MESSAGE_CALLS];
};

/* ---- Sending, with the lock held ---- */

static void send(struct kv_monitor_stream *stream, const Kvstore__V1__MonitorResponse *response)
{
   atomic_store(&stream->ready, false);
   if (kv_message_encode(stream->call, &response->base))
      kv_call_send(stream->call);
}

static void send_calls(struct kv_monitor_stream *stream, struct kv_monitor_part *part)
{
   Kvstore__V1__MonitorResponse response = KVSTORE__V1__MONITOR_RESPONSE__INIT;
   response.n_calls = kv_follower_take(stream->follower, part->events, KV_MONITOR_MESSAGE_CALLS);
   response.left_out = kv_follower_left_out(stream->follower);
   response.calls = part->list;
   for (size_t i = 0; i < response.n_calls; i++) {
      part->list[i] = &part->messages[i];
      kv_service_call_event(&part->events[i], part->list[i]);
   }
   if (response.n_calls > 0 || response.left_out > 0)
      send(stream, &response);
}

static void end_for_stop(struct kv_monitor_stream *stream)
{
   struct kv_status status;
   atomic_store(&stream->ready, false);
   kv_fail_reason(&status, KV_UNAVAILABLE, "STOPPING", "the server is stopping; try again");
   kv_message_fail(stream->call, &status);
}

static void look(struct kv_monitors *monitors)
{
   struct kv_monitor_stream *stream;
   LIST_FOREACH (stream, &monitors->streams, others) {
      if (!atomic_load(&stream->ready))
         continue;
      if (monitors->draining)
         end_for_stop(stream);
      else
         send_calls(stream, monitors->part);
   }
}

static void *run(void *argument)
{
   struct kv_monitors *monitors = argument;
   pthread_mutex_lock(&monitors->lock);
   while (!monitors->stopping) {
      if (LIST_EMPTY(&monitors->streams))
         pthread_cond_wait(&monitors->changed, &monitors->lock);
      else
         kv_clock_wait(&monitors->changed, &monitors->lock,
                       kv_clock_monotonic_ms() + KV_MONITOR_INTERVAL_MS);
      look(monitors);
   }
   pthread_mutex_unlock(&monitors->lock);
   return NULL;
}

/* ---- All of them ---- */

void kv_monitors_init(struct kv_monitors *monitors, struct kv_monitor *monitor)
{
   *monitors = (struct kv_monitors){.monitor = monitor};
   pthread_mutex_init(&monitors->lock, NULL);
   kv_clock_init_condition(&monitors->changed);
   LIST_INIT(&monitors->streams);
}

void kv_monitors_drain(struct kv_monitors *monitors)
{
   pthread_mutex_lock(&monitors->lock);
   monitors->draining = true;
   pthread_cond_signal(&monitors->changed);
   pthread_mutex_unlock(&monitors->lock);
}

void kv_monitors_deinit(struct kv_monitors *monitors)
{
   pthread_mutex_lock(&monitors->lock);
   monitors->stopping = true;
   pthread_cond_signal(&monitors->changed);
   pthread_mutex_unlock(&monitors->lock);
   if (monitors->part)
      pthread_join(monitors->thread, NULL);
   free(monitors->part);
   pthread_mutex_destroy(&monitors->lock);
   pthread_cond_destroy(&monitors->changed);
}

/* With the lock held. */
static enum kv_code start(struct kv_monitors *monitors, struct kv_status *status)
{
   if (monitors->part)
      return KV_OK;
   struct kv_monitor_part *part = malloc(sizeof *part);
   if (!part)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a monitor");
   monitors->part = part;
   int error = pthread_create(&monitors->thread, NULL, run, monitors);
   if (error == 0)
      return KV_OK;
   free(part);
   monitors->part = NULL;
   return kv_fail_errno(status, error, "cannot start the thread for monitors");
}

/* ---- A call ---- */

static enum kv_code check(const Kvstore__V1__MonitorRequest *wanted, struct kv_status *status)
{
   enum kv_code code =
       kv_validate_prefix("method_prefix", kv_service_bytes(wanted->method_prefix), status);
   return code == KV_OK
              ? kv_validate_prefix("key_prefix", kv_service_bytes(wanted->key_prefix), status)
              : code;
}

/* With the lock held. */
static enum kv_code begin(struct kv_monitors *monitors, const Kvstore__V1__MonitorRequest *wanted,
                          struct kv_monitor_stream *stream, struct kv_status *status)
{
   const struct kv_monitor_filter filter = {.method_prefix =
                                                kv_service_bytes(wanted->method_prefix),
                                            .key_prefix = kv_service_bytes(wanted->key_prefix),
                                            .failed_only = wanted->failed_only};
   if (monitors->draining)
      return kv_fail_reason(status, KV_UNAVAILABLE, "STOPPING",
                            "the server is stopping; try again");
   if (start(monitors, status) != KV_OK)
      return status->code;
   return kv_monitor_follow(monitors->monitor, &filter, &stream->follower, status);
}

void kv_service_monitor(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   struct kv_monitors *monitors = &service->monitors;
   const Kvstore__V1__MonitorResponse nothing = KVSTORE__V1__MONITOR_RESPONSE__INIT;
   const Kvstore__V1__MonitorRequest *wanted =
       kv_service_request(service, call, &kvstore__v1__monitor_request__descriptor, request);
   struct kv_monitor_stream *stream = wanted ? kv_message_alloc(call, sizeof *stream) : NULL;
   struct kv_status status;
   if (!stream)
      return;
   if (check(wanted, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   *stream = (struct kv_monitor_stream){.call = call};
   pthread_mutex_lock(&monitors->lock);
   enum kv_code code = begin(monitors, wanted, stream, &status);
   if (code == KV_OK) {
      *kv_call_state(call) = stream;
      LIST_INSERT_HEAD(&monitors->streams, stream, others);
      pthread_cond_signal(&monitors->changed);
      send(stream, &nothing); /* from here on the caller misses nothing */
   }
   pthread_mutex_unlock(&monitors->lock);
   if (code != KV_OK)
      kv_message_fail(call, &status);
}

void kv_service_monitor_sent(void *context, struct kv_call *call)
{
   (void)context;
   struct kv_monitor_stream *stream = *kv_call_state(call);
   atomic_store(&stream->ready, true);
}

void kv_service_monitor_closed(void *context, struct kv_call *call)
{
   struct kv_service *service = context;
   struct kv_monitors *monitors = &service->monitors;
   struct kv_monitor_stream *stream = *kv_call_state(call);
   if (!stream)
      return;
   pthread_mutex_lock(&monitors->lock);
   LIST_REMOVE(stream, others);
   pthread_mutex_unlock(&monitors->lock);
   kv_monitor_unfollow(monitors->monitor, stream->follower);
}

size_t kv_service_monitor_kept(void *context, struct kv_call *call)
{
   const struct kv_service *service = context;
   return *kv_call_state(call) ? kv_monitor_follower_size(service->monitors.monitor) : 0;
}
