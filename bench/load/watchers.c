#include "bench/load/watchers.h"

#include "bench/load/driver_internal.h"
#include "bench/load/message.h"
#include "bench/load/request.h"

#include <grpc/byte_buffer.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_MS 100

/* The tag of an event is the watcher, plus which of its batches of operations has ended. */
enum tag { TAG_BEGUN, TAG_MESSAGE, TAG_ENDED, TAGS, TAG_MASK = 3 };

struct watcher {
   struct watchers *owner;
   grpc_call *call;
   grpc_byte_buffer *message;
   grpc_metadata_array headers, trailers;
   grpc_status_code code;
   grpc_slice details;
   uint64_t version; /* everything up to it has come; under the lock */
   bool created;
   bool ended; /* by the server; under the lock, too */
};

struct watchers {
   struct watchers_plan plan;
   grpc_completion_queue *queue;
   pthread_t thread;
   uint64_t unfinished;                   /* batches that end with their streams; the thread's */
   uint64_t now_ns;                       /* of the message that it reads */
   atomic_uint_least64_t begin_ns;        /* events count from then on; UINT64_MAX: not yet */
   atomic_uint_least64_t events, last_ns; /* written by the thread */

   pthread_mutex_t lock;
   pthread_cond_t changed;
   unsigned created, ended; /* under the lock, as all below */
   uint64_t goal;           /* 0: none */
   unsigned behind;         /* watchers that have not come to it */
   struct kv_status failure;
   bool closing;
   struct watcher watchers[];
};

static void start(struct watcher *watcher, const grpc_op *ops, size_t count, enum tag tag)
{
   if (grpc_call_start_batch(watcher->call, ops, count, (char *)watcher + tag, NULL) !=
       GRPC_CALL_OK)
      abort();
}

static void receive(struct watcher *watcher)
{
   const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                       .data.recv_message.recv_message = &watcher->message};
   start(watcher, &op, 1, TAG_MESSAGE);
}

/* ---- What comes ---- */

static void on_event(void *context, uint64_t version)
{
   struct watchers *watchers = context;
   delays_arrive(watchers->plan.delays, version, watchers->now_ns);
}

/* The first failure is the one that is told. Under the lock. */
static void note_end(struct watcher *watcher, enum kv_code code, const char *text)
{
   struct watchers *watchers = watcher->owner;
   if (watcher->ended || watchers->closing)
      return;
   watcher->ended = true;
   if (code == KV_OK)
      code = KV_ABORTED;
   if (watchers->ended++ == 0)
      kv_fail(&watchers->failure, code, "a watch has ended: %s",
              text[0] ? text : "without a reason");
   pthread_cond_broadcast(&watchers->changed);
}

static void note_reply(struct watcher *watcher, const struct reply_watch *reply)
{
   struct watchers *watchers = watcher->owner;
   pthread_mutex_lock(&watchers->lock);
   bool was_behind = watcher->version < watchers->goal;
   if (reply->version > watcher->version)
      watcher->version = reply->version;
   if (was_behind && watcher->version >= watchers->goal && --watchers->behind == 0)
      pthread_cond_broadcast(&watchers->changed);
   if (reply->created && !watcher->created) {
      watcher->created = true;
      watchers->created++;
      pthread_cond_broadcast(&watchers->changed);
   }
   if (reply->ended)
      note_end(watcher, (enum kv_code)reply->code, reply->text);
   pthread_mutex_unlock(&watchers->lock);
}

static bool take_reply(void *context, struct kv_slice message)
{
   struct watcher *watcher = context;
   struct watchers *watchers = watcher->owner;
   struct reply_watch reply;
   watchers->now_ns = driver_now_ns();
   bool good = reply_read_watch(&reply, message, on_event, watchers);
   if (reply.events > 0 && watchers->now_ns >= atomic_load(&watchers->begin_ns)) {
      atomic_fetch_add(&watchers->events, reply.events);
      atomic_store(&watchers->last_ns, watchers->now_ns);
   }
   note_reply(watcher, &reply);
   return good;
}

static void on_message(struct watcher *watcher)
{
   if (!message_read(watcher->message, take_reply, watcher)) {
      pthread_mutex_lock(&watcher->owner->lock);
      note_end(watcher, KV_INTERNAL, "a message cannot be decoded");
      pthread_mutex_unlock(&watcher->owner->lock);
   }
   grpc_byte_buffer_destroy(watcher->message);
   watcher->message = NULL;
   receive(watcher);
}

static void on_ended(struct watcher *watcher)
{
   char *text = grpc_slice_to_c_string(watcher->details);
   pthread_mutex_lock(&watcher->owner->lock);
   note_end(watcher, (enum kv_code)watcher->code, text);
   pthread_mutex_unlock(&watcher->owner->lock);
   gpr_free(text);
}

static void *take_events(void *argument)
{
   struct watchers *watchers = argument;
   while (watchers->unfinished > 0) {
      grpc_event event =
          grpc_completion_queue_next(watchers->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
      enum tag tag = (enum tag)((uintptr_t)event.tag & TAG_MASK);
      struct watcher *watcher = (struct watcher *)((char *)event.tag - tag);
      if (tag == TAG_MESSAGE && watcher->message) {
         on_message(watcher);
         continue;
      }
      watchers->unfinished--;
      if (tag == TAG_ENDED)
         on_ended(watcher);
   }
   return NULL;
}

/* ---- Opening ---- */

static void send_create(struct watcher *watcher, unsigned number)
{
   const struct watchers_plan *plan = &watcher->owner->plan;
   uint64_t first = 0, end = 0;
   if (plan->keys_each > 0) {
      first = (uint64_t)((unsigned __int128)number * plan->keys_each % plan->keys);
      end = first + plan->keys_each < plan->keys ? first + plan->keys_each : plan->keys;
   }
   uint8_t bytes[REQUEST_WATCH_SIZE_MAX];
   grpc_slice slice = grpc_slice_from_copied_buffer(
       (char *)bytes, request_write_watch(bytes, first, end, PROGRESS_MS));
   grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
   grpc_slice_unref(slice);
   const grpc_op ops[] = {
       {.op = GRPC_OP_SEND_INITIAL_METADATA,
        .data.send_initial_metadata = {.count = plan->token ? 1 : 0,
                                       .metadata = (grpc_metadata *)plan->token}},
       {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
       {.op = GRPC_OP_RECV_INITIAL_METADATA,
        .data.recv_initial_metadata.recv_initial_metadata = &watcher->headers},
   };
   start(watcher, ops, sizeof ops / sizeof *ops, TAG_BEGUN);
   grpc_byte_buffer_destroy(message);
}

static void open_watcher(struct watcher *watcher, unsigned number)
{
   const struct watchers_plan *plan = &watcher->owner->plan;
   grpc_metadata_array_init(&watcher->headers);
   grpc_metadata_array_init(&watcher->trailers);
   watcher->call = grpc_channel_create_call(plan->channels[number / WATCHERS_A_CHANNEL], NULL,
                                            GRPC_PROPAGATE_DEFAULTS, watcher->owner->queue,
                                            grpc_slice_from_static_string(plan->method), NULL,
                                            gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
   send_create(watcher, number);
   const grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                       .data.recv_status_on_client = {.trailing_metadata = &watcher->trailers,
                                                      .status = &watcher->code,
                                                      .status_details = &watcher->details}};
   start(watcher, &op, 1, TAG_ENDED);
   receive(watcher);
}

static void init_waiting(struct watchers *watchers)
{
   pthread_condattr_t attributes;
   pthread_mutex_init(&watchers->lock, NULL);
   pthread_condattr_init(&attributes);
   pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
   pthread_cond_init(&watchers->changed, &attributes);
   pthread_condattr_destroy(&attributes);
}

/* Waits until nobody is awaited or a watch has ended; under the lock. */
static enum kv_code await(struct watchers *watchers, bool (*done)(const struct watchers *),
                          const char *what, int64_t timeout_ms, struct kv_status *status)
{
   struct timespec until = driver_timespec_of(driver_now_ns() + (uint64_t)timeout_ms * 1000000);
   int error = 0;
   while (error == 0 && watchers->ended == 0 && !done(watchers))
      error = pthread_cond_timedwait(&watchers->changed, &watchers->lock, &until);
   if (watchers->ended > 0)
      return *status = watchers->failure, status->code;
   if (!done(watchers))
      return kv_fail(status, KV_DEADLINE_EXCEEDED, "not all of %u watches %s within %jd ms",
                     watchers->plan.count, what, (intmax_t)timeout_ms);
   return KV_OK;
}

static bool all_created(const struct watchers *watchers)
{
   return watchers->created == watchers->plan.count;
}

static bool none_behind(const struct watchers *watchers)
{
   return watchers->behind == 0;
}

struct watchers *watchers_create(const struct watchers_plan *plan, int64_t timeout_ms,
                                 struct kv_status *status)
{
   struct watchers *watchers =
       calloc(1, sizeof *watchers + plan->count * sizeof *watchers->watchers);
   if (!watchers) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory");
      return NULL;
   }
   watchers->plan = *plan;
   watchers->unfinished = (uint64_t)plan->count * TAGS;
   atomic_store(&watchers->begin_ns, UINT64_MAX);
   watchers->queue = grpc_completion_queue_create_for_next(NULL);
   init_waiting(watchers);
   for (unsigned i = 0; i < plan->count; i++)
      watchers->watchers[i].owner = watchers;
   driver_start_thread(&watchers->thread, take_events, watchers);
   for (unsigned i = 0; i < plan->count; i++)
      open_watcher(&watchers->watchers[i], i);
   pthread_mutex_lock(&watchers->lock);
   enum kv_code code = await(watchers, all_created, "were answered", timeout_ms, status);
   pthread_mutex_unlock(&watchers->lock);
   if (code == KV_OK)
      return watchers;
   watchers_destroy(watchers);
   return NULL;
}

void watchers_begin(struct watchers *watchers, uint64_t begin_ns)
{
   atomic_store(&watchers->begin_ns, begin_ns);
}

/* ---- Closing ---- */

static void close_all(struct watchers *watchers)
{
   pthread_mutex_lock(&watchers->lock);
   bool was = watchers->closing;
   watchers->closing = true;
   pthread_mutex_unlock(&watchers->lock);
   if (was)
      return;
   for (unsigned i = 0; i < watchers->plan.count; i++)
      grpc_call_cancel(watchers->watchers[i].call, NULL);
   pthread_join(watchers->thread, NULL);
   grpc_completion_queue_shutdown(watchers->queue);
}

enum kv_code watchers_finish(struct watchers *watchers, uint64_t version, int64_t timeout_ms,
                             struct kv_status *status)
{
   pthread_mutex_lock(&watchers->lock);
   watchers->goal = version;
   for (unsigned i = 0; i < watchers->plan.count; i++)
      watchers->behind += watchers->watchers[i].version < version;
   enum kv_code code = await(watchers, none_behind, "had all changes", timeout_ms, status);
   pthread_mutex_unlock(&watchers->lock);
   close_all(watchers);
   return code;
}

uint64_t watchers_events(const struct watchers *watchers, uint64_t *last_ns)
{
   *last_ns = atomic_load(&watchers->last_ns);
   return atomic_load(&watchers->events);
}

void watchers_destroy(struct watchers *watchers)
{
   if (!watchers)
      return;
   close_all(watchers);
   for (unsigned i = 0; i < watchers->plan.count; i++) {
      struct watcher *watcher = &watchers->watchers[i];
      grpc_slice_unref(watcher->details);
      grpc_metadata_array_destroy(&watcher->headers);
      grpc_metadata_array_destroy(&watcher->trailers);
      grpc_call_unref(watcher->call);
   }
   grpc_completion_queue_destroy(watchers->queue);
   pthread_cond_destroy(&watchers->changed);
   pthread_mutex_destroy(&watchers->lock);
   free(watchers);
}
