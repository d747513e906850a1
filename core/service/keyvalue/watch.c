/* Watch: streams of changes. A stream has one message in flight at a time. When that has left, or
 * when the thread of core/watch has found something for it, the next one is made: the answer to the
 * client's last request, then what its watches have, in turns. So a client that does not read costs
 * one message, and the position of each of its watches. */
#include "core/service/keyvalue/watch.h"

#include "core/service/guard.h"
#include "core/service/keyvalue/range.h"
#include "core/service/validate.h"
#include "core/support/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Watches asked without a message before others have the worker. */
#define STEPS_MAX 64

#define REASON_NOT_HELD "VERSION_NOT_HELD"

/* ---- The watches of a stream ---- */

static void activate(struct kv_stream_watch *watch)
{
   if (watch->is_active)
      return;
   watch->is_active = true;
   TAILQ_INSERT_TAIL(&watch->stream->active, watch, active);
}

static void deactivate(struct kv_stream_watch *watch)
{
   if (watch->is_active)
      TAILQ_REMOVE(&watch->stream->active, watch, active);
   watch->is_active = false;
}

/* Whose initial state is being sent looks for the changes since then by itself. */
static void take_told(struct kv_watch_stream *stream)
{
   stream->examined = kv_watchers_examined(stream->group.watchers);
   struct kv_watch *next, *told = kv_watch_group_take(&stream->group);
   for (; told; told = next) {
      struct kv_stream_watch *watch = (struct kv_stream_watch *)told;
      uint64_t position;
      bool progress;
      next = told->next_told;
      if (kv_watch_ask(told, &position, &progress) && !watch->view) {
         if (!watch->is_behind && position > watch->next)
            watch->next = position;
         watch->is_behind = true;
      }
      watch->owes_progress |= progress;
      activate(watch);
   }
}

static struct kv_stream_watch *find(const struct kv_watch_stream *stream, uint64_t id)
{
   struct kv_stream_watch *watch;
   LIST_FOREACH (watch, &stream->watches, others)
      if (watch->id == id)
         return watch;
   return NULL;
}

static size_t size_of(const struct kv_stream_watch *watch)
{
   return sizeof *watch + kv_range_set_size(watch->watch.set);
}

static void free_watch(struct kv_stream_watch *watch)
{
   if (watch->view)
      kv_store_view_destroy(watch->view);
   kv_range_set_destroy(watch->watch.set);
   free(watch);
}

static void remove_watch(struct kv_stream_watch *watch)
{
   struct kv_watch_stream *stream = watch->stream;
   kv_watch_remove(&watch->watch);
   take_told(stream); /* it may be among them */
   deactivate(watch);
   LIST_REMOVE(watch, others);
   stream->count--;
   stream->size -= size_of(watch);
   free_watch(watch);
}

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
      kv_watch_send_created(stream, stream->answer_id, stream->answer_version);
      activate(stream->created);
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
                     "the client has not read fast enough: the server is about to give up the "
                     "changes that come next; watch again from start_version on, or with the "
                     "initial state where that is 0; to have it keep more, raise its setting "
                     "watch-history");
      end.start_version = resume_version(watch);
      kv_watchers_count_slow(stream->group.watchers);
   }
   const uint64_t id = watch->id, sent = watch->sent;
   remove_watch(watch);
   kv_watch_send_ended(stream, id, sent, &end);
}

/* The first of the active watches; it comes last from now on if it has more. */
static enum kv_watch_step step(struct kv_watch_stream *stream)
{
   struct kv_stream_watch *watch = TAILQ_FIRST(&stream->active);
   enum kv_watch_step result = KV_WATCH_SENT;
   deactivate(watch);
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
      activate(watch);
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
         activate(watch);
      }
   stream->users = users;
   return true;
}

static void work(struct kv_watch_stream *stream)
{
   struct kv_status status;
   if (stream->over)
      return;
   if (kv_watchers_is_draining(stream->group.watchers)) {
      kv_fail_reason(&status, KV_UNAVAILABLE, "STOPPING",
                     "the server is stopping; watch again from the last version received on");
      fail(stream, &status);
      return;
   }
   if (stream->sending)
      return;
   if (!check_users(stream, &status)) {
      fail(stream, &status);
      return;
   }
   take_told(stream);
   if (stream->owes_answer)
      send_answer(stream);
   else
      step_all(stream);
}

/* ---- Requests ---- */

static enum kv_code check(const Kvstore__V1__WatchRequest__Create *create,
                          const struct kv_watch_stream *stream, struct kv_status *status)
{
   if (stream->count >= KV_STREAM_WATCHES_MAX)
      return kv_fail_reason(status, KV_RESOURCE_EXHAUSTED, KV_REASON_TOO_MANY_WATCHES,
                            "the stream has %u watches already, which is the limit; use another "
                            "one, or give one watch several ranges",
                            KV_STREAM_WATCHES_MAX);
   if (create->n_ranges == 0 || create->n_ranges > KV_WATCH_RANGES_MAX)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "create.ranges: has %zu ranges; give 1 to %u, of which an empty one "
                            "stands for all keys",
                            create->n_ranges, KV_WATCH_RANGES_MAX);
   if (create->start_version > 0 && create->initial_state)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "create.start_version: is %" PRIu64 " together with initial_state; "
                            "give one of the two",
                            create->start_version);
   for (size_t i = 0; i < create->n_kinds; i++)
      if ((int)create->kinds[i] < KV_CHANGE_SET || (int)create->kinds[i] > KV_CHANGE_EXPIRE)
         return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                               "create.kinds[%zu]: is %d; give KIND_SET (1), KIND_DELETE (2) or "
                               "KIND_EXPIRE (3)",
                               i, (int)create->kinds[i]);
   return KV_OK;
}

static enum kv_code make_set(const Kvstore__V1__WatchRequest__Create *create,
                             struct kv_stream_watch *watch, struct kv_status *status)
{
   struct kv_key_range ranges[KV_WATCH_RANGES_MAX];
   struct kv_arena *arena = kv_call_arena(watch->stream->call);
   for (size_t i = 0; i < create->n_ranges; i++) {
      char field[48];
      snprintf(field, sizeof field, "create.ranges[%zu]", i);
      if (kv_range_resolve(field, create->ranges[i], arena, &ranges[i], status) != KV_OK)
         return status->code;
   }
   watch->watch.set = kv_range_set_create(ranges, create->n_ranges, watch);
   return watch->watch.set
              ? KV_OK
              : kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for another watch");
}

static unsigned kinds_of(const Kvstore__V1__WatchRequest__Create *create)
{
   unsigned kinds = 0;
   for (size_t i = 0; i < create->n_kinds; i++)
      kinds |= 1u << create->kinds[i];
   return kinds ? kinds : 1u << KV_CHANGE_SET | 1u << KV_CHANGE_DELETE | 1u << KV_CHANGE_EXPIRE;
}

static unsigned progress_of(const Kvstore__V1__WatchRequest__Create *create)
{
   const unsigned wanted = create->progress_interval_ms;
   return wanted > 0 && wanted < KV_WATCH_PROGRESS_MIN_MS ? KV_WATCH_PROGRESS_MIN_MS : wanted;
}

static uint64_t newest_version(struct kv_watch_stream *stream)
{
   struct kv_reader *reader = kv_service_reader(stream->service, stream->call);
   const uint64_t version = kv_version_sequence(kv_reader_pin(reader));
   kv_reader_unpin(reader);
   return version;
}

/* Where the first change is that is wanted. */
static enum kv_code find_start(struct kv_stream_watch *watch, uint64_t start, uint64_t newest,
                               struct kv_watch_end *end)
{
   struct kv_watch_stream *stream = watch->stream;
   struct kv_history *history = kv_watchers_history(stream->group.watchers);
   watch->from = start;
   watch->sent = start - 1;
   watch->is_behind = true;
   watch->lag = SIZE_MAX; /* it may begin with the oldest change */
   end->lowest_version = kv_history_lowest(history);
   if (start > newest + 1)
      return kv_fail_reason(&end->status, KV_OUT_OF_RANGE, REASON_NOT_HELD,
                            "create.start_version: is %" PRIu64 ", and the newest version is "
                            "%" PRIu64 ": what had the versions between is lost, or it was another "
                            "server's; watch again with the initial state",
                            start, newest);
   if (!kv_history_find(history, kv_call_worker(stream->call), start, &watch->next)) {
      end->lowest_version = kv_history_lowest(history);
      return kv_fail_reason(&end->status, KV_OUT_OF_RANGE, REASON_NOT_HELD,
                            "create.start_version: is %" PRIu64 ", and the server has the changes "
                            "from version %" PRIu64 " on; watch again with the initial state; to "
                            "have it keep more, raise its setting watch-history",
                            start, end->lowest_version);
   }
   return KV_OK;
}

/* The watch has been added: every change of a version above the newest one now will be told. */
static enum kv_code begin_watch(struct kv_stream_watch *watch,
                                const Kvstore__V1__WatchRequest__Create *create,
                                struct kv_watch_end *end)
{
   struct kv_watch_stream *stream = watch->stream;
   if (create->start_version > 0)
      return find_start(watch, create->start_version, newest_version(stream), end);
   if (!create->initial_state) {
      watch->sent = newest_version(stream);
      watch->from = watch->sent + 1;
      return KV_OK;
   }
   watch->view = kv_store_view_create(stream->service->config.store);
   if (!watch->view)
      return kv_fail(&end->status, KV_RESOURCE_EXHAUSTED, "out of memory for another watch");
   watch->state_ms = kv_clock_unix_ms();
   watch->from = kv_version_sequence(kv_store_view_version(watch->view)) + 1;
   return KV_OK;
}

static enum kv_code add_watch(struct kv_stream_watch *watch,
                              const Kvstore__V1__WatchRequest__Create *create,
                              struct kv_watch_end *end)
{
   struct kv_watch_stream *stream = watch->stream;
   if (create->previous_values)
      kv_commit_keep_previous(stream->service->config.commit, true);
   if (kv_watch_add(&stream->group, &watch->watch, &end->status) != KV_OK)
      return end->status.code;
   if (begin_watch(watch, create, end) == KV_OK)
      return KV_OK;
   kv_watch_remove(&watch->watch);
   take_told(stream);
   deactivate(watch);
   return end->status.code;
}

static enum kv_code create(struct kv_watch_stream *stream,
                           const Kvstore__V1__WatchRequest__Create *wanted,
                           struct kv_watch_end *end)
{
   if (check(wanted, stream, &end->status) != KV_OK)
      return end->status.code;
   struct kv_stream_watch *watch = calloc(1, sizeof *watch);
   if (!watch)
      return kv_fail(&end->status, KV_RESOURCE_EXHAUSTED, "out of memory for another watch");
   watch->stream = stream;
   watch->id = wanted->watch_id;
   watch->wants_previous = wanted->previous_values;
   watch->omits_values = wanted->omit_values;
   watch->watch.kinds = kinds_of(wanted);
   watch->watch.progress_ms = progress_of(wanted);
   if (make_set(wanted, watch, &end->status) != KV_OK || add_watch(watch, wanted, end) != KV_OK) {
      free_watch(watch);
      return end->status.code;
   }
   LIST_INSERT_HEAD(&stream->watches, watch, others);
   stream->count++;
   stream->size += size_of(watch);
   stream->created = watch;
   stream->answer_version = watch->from - 1;
   return KV_OK;
}

static enum kv_code cancel(struct kv_watch_stream *stream, uint64_t id, struct kv_watch_end *end)
{
   struct kv_stream_watch *watch = find(stream, id);
   if (!watch)
      return kv_fail_reason(&end->status, KV_NOT_FOUND, "WATCH_NOT_FOUND",
                            "cancel.watch_id: the stream has no watch %" PRIu64, id);
   stream->answer_version = watch->sent;
   end->start_version = watch->view ? 0 : watch->sent + 1;
   remove_watch(watch);
   return KV_OK;
}

/* Fails the call for what no watch can be blamed for. */
static enum kv_code take(struct kv_watch_stream *stream, const Kvstore__V1__WatchRequest *request,
                         struct kv_status *status)
{
   stream->answer = (struct kv_watch_end){.status.code = KV_OK};
   stream->created = NULL;
   stream->answer_version = 0;
   switch (request->kind_case) {
   case KVSTORE__V1__WATCH_REQUEST__KIND_CREATE:
      stream->answer_id = request->create->watch_id;
      if (find(stream, stream->answer_id))
         return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                               "create.watch_id: the stream has a watch %" PRIu64
                               " already; give each one a number of its own",
                               stream->answer_id);
      (void)create(stream, request->create, &stream->answer);
      break;
   case KVSTORE__V1__WATCH_REQUEST__KIND_CANCEL:
      stream->answer_id = request->cancel->watch_id;
      (void)cancel(stream, stream->answer_id, &stream->answer);
      break;
   default:
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "the request has neither create nor cancel");
   }
   stream->owes_answer = true;
   return KV_OK;
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
   if (take(stream, message, &status) != KV_OK) {
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
      remove_watch(watch);
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
