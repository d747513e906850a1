/*
 * Watches, and the thread that tells them of changes. It follows the history, finds for each change
 * the watches that it concerns, and has their owners called, who then read the history themselves
 * and send. So a watch has no queue: it is a position, however much there is to tell.
 *
 * Promises
 *  - Whoever makes a change never waits for a watch, and pays one load of a flag for all of them
 *    while there is none.
 *  - An owner is told of the first change that concerns its watch, and not again before it has
 *    asked (kv_watch_group_take). From there on it may read to the history's end.
 *  - Every change after a watch was added is looked at: what the thread has not looked at yet stays
 *    in memory. Where that becomes twice of what the history holds, all watches are told, and those
 *    that had not read so far themselves find their place gone. kv_watchers_examined says up to
 *    where.
 *  - What a change costs the thread does not grow with the watches that it does not concern: those
 *    with progress to tell are looked at when that may be due, and not in between.
 *
 * A watch belongs to a group: those of one stream. `notify` of a group is called on the thread,
 * with a lock held that add and remove take: it must only hand on.
 *
 * Threads: add, remove, take and the functions of a watch on the group's owner; all else: any.
 */
#ifndef KV_WATCHERS_H
#define KV_WATCHERS_H

#include "core/support/status.h"
#include "core/watch/history.h"
#include "core/watch/ranges.h"
#include "core/watch/wheel.h"

#include <stdatomic.h>
#include <sys/queue.h>

/* Of all clients together: watches, and bytes of their ranges. */
#define KV_WATCHES_MAX 20000u
#define KV_WATCHES_SIZE_MAX ((size_t)64 * 1024 * 1024)
/* Below, progress is told no more often. */
#define KV_WATCH_PROGRESS_MIN_MS 100u

struct kv_watchers;
struct kv_watch;

struct kv_watch_group {
   void (*notify)(void *context);
   void *context;

   /* Private. */
   struct kv_watchers *watchers;
   atomic_bool notified;            /* and has not asked since */
   _Atomic(struct kv_watch *) told; /* those that have something, the newest first */
   LIST_ENTRY(kv_watch_group) others;
};

struct kv_watch {
   /* Set by the owner before it is added. */
   struct kv_range_set *set; /* whose owner is this watch */
   unsigned kinds;           /* of enum kv_change_kind: 1 << kind */
   unsigned progress_ms;     /* how often to be told so where nothing else is sent; 0: never */

   /* Private. */
   struct kv_watch_group *group;
   struct kv_watch *next_told;
   atomic_bool queued;            /* is among those told */
   _Atomic uint64_t pending;      /* where its first change is, plus one; 0: there is none */
   atomic_bool progress_is_due;   /* until the owner has asked */
   _Atomic uint64_t last_sent_ms; /* monotonic */
   struct kv_timer timer;         /* set where there is progress to tell */
};

/* Counted since the start, but for those that are now. */
struct kv_watch_figures {
   uint64_t watches; /* now */
   uint64_t events;  /* sent */
   uint64_t ended_slow;
   uint64_t history_bytes, history_lowest; /* now */
};

/* `reader`: of the history, for the thread, which is started. NULL with `status`. */
struct kv_watchers *kv_watchers_create(struct kv_history *history, unsigned reader,
                                       struct kv_status *status);
/* When there is no group any more. */
void kv_watchers_destroy(struct kv_watchers *watchers);
struct kv_history *kv_watchers_history(struct kv_watchers *watchers);

/* Changes have been published in the history. Whoever did that. */
void kv_watchers_wake(struct kv_watchers *watchers);
/* The server is about to stop, and no change is made any more: no group is to be added
 * (kv_watchers_is_draining). When every change has been looked at, kv_watchers_is_drained is true,
 * and every group is notified. */
void kv_watchers_drain(struct kv_watchers *watchers);
bool kv_watchers_is_draining(const struct kv_watchers *watchers);
bool kv_watchers_is_drained(const struct kv_watchers *watchers);
/* A sequence up to which every change was looked at, and told to whom it concerns. */
uint64_t kv_watchers_examined(const struct kv_watchers *watchers);

void kv_watchers_count_events(struct kv_watchers *watchers, size_t count);
void kv_watchers_count_slow(struct kv_watchers *watchers);
void kv_watchers_read_figures(struct kv_watchers *watchers, struct kv_watch_figures *figures);

/* ---- Owners ---- */

void kv_watch_group_init(struct kv_watch_group *group, struct kv_watchers *watchers,
                         void (*notify)(void *context), void *context);
/* When it has no watches; `notify` is not called any more. */
void kv_watch_group_deinit(struct kv_watch_group *group);
/* From now on its owner is told of what concerns the watch. RESOURCE_EXHAUSTED when there are too
 * many, with the reason KV_REASON_TOO_MANY_WATCHES. */
#define KV_REASON_TOO_MANY_WATCHES "TOO_MANY_WATCHES"
enum kv_code kv_watch_add(struct kv_watch_group *group, struct kv_watch *watch,
                          struct kv_status *status);
/* The group must be asked (kv_watch_group_take) before the watch may be freed. */
void kv_watch_remove(struct kv_watch *watch);
/* The watches that were told of something, linked by next_told, which is to be read before the
 * watch is asked what it was; or NULL. `notify` may be called again. */
struct kv_watch *kv_watch_group_take(struct kv_watch_group *group);
/* Asks a watch that was taken. True: there are changes, the first of them at *position. *progress:
 * it is to tell how far it is. */
bool kv_watch_ask(struct kv_watch *watch, uint64_t *position, bool *progress);
/* Something was sent for it. */
void kv_watch_note_sent(struct kv_watch *watch);

#endif
