/* The watches of a stream: the requests that add and remove them, and which of them may have
 * something to send. */
#include "core/service/keyvalue/watch.h"

#include "core/service/keyvalue/range.h"
#include "core/service/validate.h"
#include "core/support/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define REASON_NOT_HELD "VERSION_NOT_HELD"

/* ---- Which have something to send ---- */

void kv_stream_watch_activate(struct kv_stream_watch *watch)
{
   if (watch->is_active)
      return;
   watch->is_active = true;
   TAILQ_INSERT_TAIL(&watch->stream->active, watch, active);
}

void kv_stream_watch_deactivate(struct kv_stream_watch *watch)
{
   if (watch->is_active)
      TAILQ_REMOVE(&watch->stream->active, watch, active);
   watch->is_active = false;
}

/* A watch whose initial state is being sent looks for the changes since then by itself. */
void kv_watch_stream_take_told(struct kv_watch_stream *stream)
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
      kv_stream_watch_activate(watch);
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

void kv_stream_watch_remove(struct kv_stream_watch *watch)
{
   struct kv_watch_stream *stream = watch->stream;
   kv_watch_remove(&watch->watch);
   kv_watch_stream_take_told(stream); /* it may be among them */
   kv_stream_watch_deactivate(watch);
   LIST_REMOVE(watch, others);
   stream->count--;
   stream->size -= size_of(watch);
   free_watch(watch);
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
   end->lowest_version = kv_history_lowest(history);
   if (start <= newest + 1 &&
       kv_history_find(history, kv_call_worker(stream->call), start, &watch->next))
      return KV_OK;
   end->lowest_version = kv_history_lowest(history);
   if (start > end->lowest_version)
      return kv_fail_reason(&end->status, KV_OUT_OF_RANGE, REASON_NOT_HELD,
                            "create.start_version: is %" PRIu64 ", and there is no change of the "
                            "version before (the newest is %" PRIu64 "): a crash has lost it, or "
                            "it was another server's; watch again with the initial state",
                            start, newest);
   return kv_fail_reason(&end->status, KV_OUT_OF_RANGE, REASON_NOT_HELD,
                         "create.start_version: is %" PRIu64 ", and the server has the changes "
                         "from version %" PRIu64 " on; watch again with the initial state; to "
                         "have it keep more, raise its setting watch-history (a start begins "
                         "with what the log has)",
                         start, end->lowest_version);
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
   kv_watch_stream_take_told(stream);
   kv_stream_watch_deactivate(watch);
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
   watch->least_lag = SIZE_MAX;
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
   stream->answer_version = watch->view ? 0 : watch->from - 1;
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
   kv_stream_watch_remove(watch);
   return KV_OK;
}

enum kv_code kv_watch_stream_take(struct kv_watch_stream *stream,
                                  const Kvstore__V1__WatchRequest *request,
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
