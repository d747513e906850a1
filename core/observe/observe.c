#include "core/observe/observe.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_US 1000
#define US_PER_MS 1000

_Static_assert(KV_EVENT_PEER_SIZE >= KV_RPC_PEER_SIZE, "a peer's text fits");

enum kv_code kv_observers_init(struct kv_observers *observers, uint64_t slow_ms, unsigned workers,
                               struct kv_status *status)
{
   const unsigned threads = workers + 1; /* the last one: those that are no workers */
   *observers = (struct kv_observers){.slow_log = kv_slow_log_create(slow_ms),
                                      .monitor = kv_monitor_create(threads),
                                      .hot = kv_hot_create(threads)};
   if (observers->slow_log && observers->monitor && observers->hot)
      return KV_OK;
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the slow log and the monitor");
}

void kv_observers_deinit(struct kv_observers *observers)
{
   if (observers->slow_log)
      kv_slow_log_destroy(observers->slow_log);
   if (observers->monitor)
      kv_monitor_destroy(observers->monitor);
   if (observers->hot)
      kv_hot_destroy(observers->hot);
}

static const char *method_of(const struct kv_rpc_answer *answer)
{
   return answer->method ? answer->method->path : "";
}

static void describe(const void *context, struct kv_event *event)
{
   const struct kv_rpc_answer *answer = context;
   const struct kv_rpc_subject *subject = kv_call_subject(answer->call);
   event->end_unix_ms = kv_clock_unix_ms();
   event->method = method_of(answer);
   event->code = answer->code;
   event->duration_us = answer->elapsed_ns / NS_PER_US;
   event->request_bytes = answer->request_size;
   kv_call_peer(answer->call, event->peer);
   snprintf(event->user, sizeof event->user, "%s", subject->user);
   event->key_size = subject->key.size;
   const struct kv_slice kept = kv_event_key(event);
   if (kept.size > 0)
      memcpy(event->key, subject->key.data, kept.size);
}

static void note_slow(struct kv_observers *observers, const struct kv_rpc_answer *answer)
{
   struct kv_event event;
   describe(answer, &event);
   kv_slow_log_add(observers->slow_log, &event);
   kv_log(KV_LOG_INFO,
          "slow call: %s from %s%s%s took %" PRIu64 " ms and %s; "
          "kvstore-cli slowlog has more of it",
          event.method, event.peer, event.user[0] ? ", user " : "", event.user,
          event.duration_us / US_PER_MS, event.code == KV_OK ? "succeeded" : "failed");
}

void kv_observers_answered(struct kv_observers *observers, const struct kv_rpc_answer *answer)
{
   const struct kv_slice key = kv_call_subject(answer->call)->key;
   if (key.size > 0)
      kv_hot_count(observers->hot, answer->thread, key);
   if (kv_monitor_is_followed(observers->monitor))
      kv_monitor_offer(observers->monitor, answer->thread,
                       &(struct kv_monitor_call){.method = kv_slice_of(method_of(answer)),
                                                 .code = answer->code,
                                                 .key = key,
                                                 .describe = describe,
                                                 .context = answer});
   /* Who is nobody may be answered late on purpose, and cannot push out the calls of others. */
   if (answer->method && answer->method->kind == KV_RPC_UNARY &&
       answer->code != KV_UNAUTHENTICATED &&
       kv_slow_log_wants(observers->slow_log, answer->elapsed_ns))
      note_slow(observers, answer);
}
