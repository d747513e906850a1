/* Watch: streams of changes. A stream has one message in flight at a time. When that has left, or
 * when the thread of core/watch has found something for it, the next one is made: the answer to the
 * client's last request, then what its watches have, in turns. So a client that does not read costs
 * one message, and the position of each of its watches. */
#include "core/service/keyvalue/watch.h"

#include "core/service/guard.h"
#include "core/service/keyvalue/range.h"
#include "core/service/validate.h"

#include <stdio.h>
#include <stdlib.h>

/* Watches asked without a message before others have the worker. */
#define STEPS_MAX 64

/* ---- Sending ---- */

static void fail(struct kv_watch_stream *stream, const struct kv_status *status)
{
   stream->over = true;
   kv_message_fail(stream->call, status);
}

static void send_answer(struct kv_watch_stream *stream)
{
   stream->owes_answer = false;
   if (stream->created) {
      stream->created->told = stream->answer_version;
      kv_watch_send_created(stream, stream->answer_id, stream->answer_version);
      kv_stream_watch_activate(stream->created);
   } else {
      kv_watch_send_ended(stream, stream->answer_id, stream->answer_version, &stream->answer);
   }
   if (!stream->over)
      kv_call_read_next(stream->call);
}

/* With which version a watch that was too slow can go on; 0: it cannot, or has not been sent the
 * initial state as a whole. */
static uint64_t resume_version(const struct kv_stream_watch *watch)
{
   struct kv_history *history = kv_watchers_history(watch->stream->group.watchers);
   const uint64_t next = watch->sent + 1;
   return next >= watch->from && next >= kv_history_lowest(history) ? next : 0;
}

static void send_end(struct kv_stream_watch *watch)
{
   struct kv_watch_stream *stream = watch->stream;
   struct kv_watch_end end = {.start_version = 0};
   if (watch->ending == KV_WATCH_DENIED) {
      kv_fail_reason(&end.status, KV_PERMISSION_DENIED, "PERMISSION_DENIED",
                     "the users file has changed, and no longer has a grant that covers all ranges "
                     "of this watch; to allow it, add read:PREFIX to the user's line");
   } else if (watch->ending == KV_WATCH_REPLACED) {
      kv_fail_reason(&end.status, KV_ABORTED, "STORE_REPLACED",
                     "a restore has put other data in place of all; watch again with the initial "
                     "state");
   } else {
      kv_fail_reason(&end.status, KV_ABORTED, "WATCH_TOO_SLOW",
                     "the changes that come next are about to leave the server's history, or have "
                     "left it, before the client has read them; watch again from start_version on, "
                     "or with the initial state where that is 0; to have it keep more, raise its "
                     "setting watch-history");
      end.start_version = resume_version(watch);
      kv_watchers_count_slow(stream->group.watchers);
   }
   const uint64_t id = watch->id, sent = watch->sent;
   kv_stream_watch_remove(watch);
   kv_watch_send_ended(stream, id, sent, &end);
}

/* The first of the active watches; it comes last from now on if it has more. */
static enum kv_watch_step step(struct kv_watch_stream *stream)
{
   struct kv_stream_watch *watch = TAILQ_FIRST(&stream->active);
   enum kv_watch_step result = KV_WATCH_SENT;
   kv_stream_watch_deactivate(watch);
   if (watch->ending != KV_WATCH_GOES_ON) {
      send_end(watch);
      return KV_WATCH_SENT;
   }
   if (watch->view)
      result = kv_watch_send_state(watch);
   else if (watch->is_behind)
      result = kv_watch_send_changes(watch);
   else if (watch->owes_progress)
      kv_watch_send_progress(watch, stream->examined);
   else
      result = KV_WATCH_NOTHING;
   if (result == KV_WATCH_SENT)
      watch->owes_progress = false;
   if (watch->view || watch->is_behind || watch->owes_progress || watch->ending != KV_WATCH_GOES_ON)
      kv_stream_watch_activate(watch);
   return result;
}

/* What there is to do where no message is in flight. */
static void step_all(struct kv_watch_stream *stream)
{
   for (int steps = 0; !TAILQ_EMPTY(&stream->active); steps++) {
      const enum kv_watch_step result = step(stream);
      if (result == KV_WATCH_SENT)
         return;
      if (result == KV_WATCH_MORE || steps == STEPS_MAX) {
         kv_call_notify(stream->call); /* to go on later */
         return;
      }
   }
   if (stream->half_closed && stream->count == 0) {
      stream->over = true;
      kv_call_finish(stream->call);
   }
}

/* ---- What users may still watch ---- */

static bool may_watch(const struct kv_user *user, const struct kv_stream_watch *watch)
{
   for (size_t i = 0; i < kv_range_set_count(watch->watch.set); i++) {
      const struct kv_key_range range = kv_range_set_at(watch->watch.set, i);
      if (!kv_key_range_may(user, KV_ROLE_READ, &range))
         return false;
   }
   return true;
}

/* A stream may outlive what its user may do. False with `status`: nobody is known by its proof. */
static bool check_users(struct kv_watch_stream *stream, struct kv_status *status)
{
   struct kv_guard *guard = stream->service->config.guard;
   const uint64_t users = kv_guard_edition(guard);
   if (users == stream->users)
      return true;
   const struct kv_user *user = kv_guard_identify(guard, stream->call, status);
   if (!user)
      return false;
   struct kv_stream_watch *watch;
   LIST_FOREACH (watch, &stream->watches, others)
      if (!may_watch(user, watch)) {
         watch->ending = KV_WATCH_DENIED;
         kv_stream_watch_activate(watch);
      }
   stream->users = users;
   return true;
}

/* The server is stopping, and all changes have been sent: what a watch was not concerned by is told
 * as its progress, since after a start the server may have no change of before. */
static void say_farewell(struct kv_watch_stream *stream)
{
   struct kv_status status;
   struct kv_stream_watch *watch;
   LIST_FOREACH (watch, &stream->watches, others)
      if (watch->told < stream->examined) {
         kv_watch_send_progress(watch, stream->examined);
         return; /* and the next one once this has left */
      }
   kv_fail_reason(&status, KV_UNAVAILABLE, "STOPPING",
                  "the server is stopping; watch again from the last version received on");
   fail(stream, &status);
}

static void work(struct kv_watch_stream *stream)
{
   struct kv_status status;
   if (stream->over)
      return;
   if (stream->sending)
      return;
   if (!check_users(stream, &status)) {
      fail(stream, &status);
      return;
   }
   /* First: then what is taken now is the last. */
   const bool drained = kv_watchers_is_drained(stream->group.watchers);
   kv_watch_stream_take_told(stream);
   if (stream->owes_answer)
      send_answer(stream);
   else
      step_all(stream);
   if (!stream->over && !stream->sending && drained && TAILQ_EMPTY(&stream->active))
      say_farewell(stream);
}

/* ---- The stream ---- */

static void notify(void *context)
{
   kv_call_notify(context);
}

static struct kv_watch_stream *open_stream(struct kv_service *service, struct kv_call *call,
                                           struct kv_status *status)
{
   struct kv_watchers *watchers = service->config.watchers;
   if (kv_watchers_is_draining(watchers)) {
      kv_fail_reason(status, KV_UNAVAILABLE, "STOPPING", "the server is stopping; try again");
      return NULL;
   }
   struct kv_watch_stream *stream = malloc(sizeof *stream);
   if (!stream) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for another stream of watches");
      return NULL;
   }
   *stream = (struct kv_watch_stream){.service = service, .call = call};
   LIST_INIT(&stream->watches);
   TAILQ_INIT(&stream->active);
   kv_watch_group_init(&stream->group, watchers, notify, call);
   *kv_call_state(call) = stream;
   return stream;
}

void kv_keyvalue_watch(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   struct kv_watch_stream *stream = *kv_call_state(call);
   struct kv_status status;
   const Kvstore__V1__WatchRequest *message =
       kv_service_request(service, call, &kvstore__v1__watch_request__descriptor, request);
   if (!message) {
      if (stream)
         stream->over = true;
      return;
   }
   if (!stream)
      stream = open_stream(service, call, &status);
   if (!stream) {
      kv_message_fail(call, &status);
      return;
   }
   if (kv_watch_stream_take(stream, message, &status) != KV_OK) {
      fail(stream, &status);
      return;
   }
   /* The request is no longer needed; a client may send any number on one stream. */
   kv_call_set_caller(call, "", NULL);
   kv_arena_reset(kv_call_arena(call));
   work(stream);
}

void kv_keyvalue_watch_sent(void *context, struct kv_call *call)
{
   (void)context;
   struct kv_watch_stream *stream = *kv_call_state(call);
   stream->sending = false;
   work(stream);
}

void kv_keyvalue_watch_notified(void *context, struct kv_call *call)
{
   (void)context;
   work(*kv_call_state(call));
}

void kv_keyvalue_watch_half_closed(void *context, struct kv_call *call)
{
   struct kv_service *service = context;
   struct kv_watch_stream *stream = *kv_call_state(call);
   struct kv_status status;
   if (stream) {
      stream->half_closed = true;
      work(stream);
   } else if (kv_service_request(service, call, &kvstore__v1__watch_request__descriptor,
                                 kv_slice(NULL, 0))) {
      kv_fail_reason(&status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                     "the call has no request, and so no watch");
      kv_message_fail(call, &status);
   }
}

void kv_keyvalue_watch_closed(void *context, struct kv_call *call)
{
   (void)context;
   struct kv_watch_stream *stream = *kv_call_state(call);
   if (!stream)
      return;
   struct kv_stream_watch *next;
   for (struct kv_stream_watch *watch = LIST_FIRST(&stream->watches); watch; watch = next) {
      next = LIST_NEXT(watch, others);
      kv_stream_watch_remove(watch);
   }
   kv_watch_group_deinit(&stream->group);
   free(stream);
}

size_t kv_keyvalue_watch_kept(void *context, struct kv_call *call)
{
   (void)context;
   const struct kv_watch_stream *stream = *kv_call_state(call);
   if (!stream)
      return 0;
   size_t kept = sizeof *stream + stream->size;
   const struct kv_stream_watch *watch;
   LIST_FOREACH (watch, &stream->watches, others)
      if (watch->view)
         kept += kv_store_view_kept(watch->view);
   return kept;
}

/* A message that is being sent may have arrived incompletely. */
void kv_keyvalue_watch_resume(void *context, struct kv_call *call, char *text, size_t size)
{
   (void)context;
   (void)call;
   snprintf(text, size, "; watch again from the last version received on");
}
