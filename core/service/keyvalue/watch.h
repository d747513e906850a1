/*
 * What the files of Watch share: a stream with its watches, and the messages that it sends.
 *
 * Threads: as for the stream's call.
 */
#ifndef KV_KEYVALUE_WATCH_H
#define KV_KEYVALUE_WATCH_H

#include "core/service/keyvalue/keyvalue.h"
#include "core/watch/watchers.h"

/* Of one stream, so that a watch is found among them. */
#define KV_STREAM_WATCHES_MAX 1000u
#define KV_WATCH_RANGES_MAX 100u

/* Of a message with events, unless a single one is larger: below what clients accept by default.
 * What was written at once, as by a Transaction, stays together up to the second size. */
#define KV_WATCH_PART_SIZE ((size_t)64 * 1024)
#define KV_WATCH_UNIT_SIZE ((size_t)1024 * 1024)
/* Those of a Transaction on keys whose time has come: each is deleted first. */
#define KV_WATCH_PART_EVENTS ((size_t)20 * 1024)

/* Of a worker: what goes into the message being made. */
struct kv_watch_part {
   size_t size, in_place, count;
   struct kv_watch_part_event {
      const void *source; /* an entry of the store, or a record of the history */
      bool with_previous; /* the record has what it replaced, and it is to be sent */
   } events[KV_WATCH_PART_EVENTS];
};

/* How a watch ends; `status` has KV_OK where it was cancelled. */
struct kv_watch_end {
   struct kv_status status;
   uint64_t start_version, lowest_version;
};

/* Why the server has ended a watch of which the client has not been told. */
enum kv_watch_ending {
   KV_WATCH_GOES_ON,
   KV_WATCH_TOO_SLOW, /* the history does not have what it was to be sent next, or not for long */
   KV_WATCH_REPLACED, /* other data took the place of all */
   KV_WATCH_DENIED,   /* its user may no longer read all of its ranges */
};

struct kv_watch_stream;

struct kv_stream_watch {
   struct kv_watch watch; /* first: what the group gives is a watch */
   struct kv_watch_stream *stream;
   uint64_t id;
   bool wants_previous, omits_values;
   bool is_behind; /* there may be changes from `next` on */
   bool owes_progress;
   enum kv_watch_ending ending;
   uint64_t from;    /* the lowest version that is wanted */
   uint64_t sent;    /* everything up to here has been sent */
   uint64_t told;    /* the version of its last message */
   uint64_t next;    /* position in the history */
   size_t least_lag; /* of kv_history_falls_back */

   /* While the initial state is being sent: */
   struct kv_store_view *view;   /* NULL: it is not */
   int64_t state_ms;             /* what has expired by then is not part of it */
   size_t range;                 /* of its set */
   bool in_range;                /* the cursor is within it */
   const struct kv_entry *entry; /* the next one, or NULL: not read yet */
   struct kv_cursor cursor;

   bool is_active;
   LIST_ENTRY(kv_stream_watch) others;
   TAILQ_ENTRY(kv_stream_watch) active;
};

struct kv_watch_stream {
   struct kv_service *service;
   struct kv_call *call;
   struct kv_watch_group group;
   LIST_HEAD(, kv_stream_watch) watches;
   TAILQ_HEAD(, kv_stream_watch) active; /* those that may have something to send */
   unsigned count;
   size_t size;       /* bytes of all watches */
   uint64_t examined; /* what is not told of up to here is of no concern */
   uint64_t users;    /* the edition by which its user may watch (guard.h) */
   bool sending;      /* a message has not left yet */
   bool half_closed, over;

   /* The answer to the last request; the next one is read once it has been sent. */
   bool owes_answer;
   uint64_t answer_id, answer_version;
   struct kv_stream_watch *created; /* NULL: ended as `answer` says */
   struct kv_watch_end answer;
};

static inline struct kv_watch_part *kv_watch_part_of(const struct kv_watch_stream *stream)
{
   return &stream->service->watch_parts[kv_call_worker(stream->call)];
}

/* What became of an attempt to send something for a watch. */
enum kv_watch_step {
   KV_WATCH_SENT,    /* a message; or the call has failed */
   KV_WATCH_NOTHING, /* there was nothing */
   KV_WATCH_MORE,    /* there may be more, but it has taken long enough */
};

/* ---- watch_list.c: the watches of a stream ---- */

/* Carries out a request, and notes the answer in `stream`. A failure is not one of a watch: it
 * fails the call. */
enum kv_code kv_watch_stream_take(struct kv_watch_stream *stream,
                                  const Kvstore__V1__WatchRequest *request,
                                  struct kv_status *status);
/* Activates the watches that the thread of core/watch has found something for. */
void kv_watch_stream_take_told(struct kv_watch_stream *stream);
/* Puts it last among those that may have something to send, unless it is one of them. */
void kv_stream_watch_activate(struct kv_stream_watch *watch);
void kv_stream_watch_deactivate(struct kv_stream_watch *watch);
/* Ends and frees it. */
void kv_stream_watch_remove(struct kv_stream_watch *watch);

/* ---- watch_part.c: messages ---- */

/* The next changes that the watch wants, or its end. */
enum kv_watch_step kv_watch_send_changes(struct kv_stream_watch *watch);
/* The next part of the initial state. */
enum kv_watch_step kv_watch_send_state(struct kv_stream_watch *watch);
void kv_watch_send_progress(struct kv_stream_watch *watch, uint64_t version);
void kv_watch_send_created(struct kv_watch_stream *stream, uint64_t id, uint64_t version);
void kv_watch_send_ended(struct kv_watch_stream *stream, uint64_t id, uint64_t version,
                         const struct kv_watch_end *end);

#endif
