#include "core/watch/watchers.h"

#include "core/support/cache_line.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

/* Changes looked at before others may have the lock. */
#define CHANGES_AT_ONCE 32
/* How far the thread may be behind before it gives up the changes in between, which it keeps in
 * memory: it is not given a processor, as others use them all. */
#define LAG_MAX(limit) (2 * (limit))
#define MS_PER_S 1000
#define NS_PER_MS 1000000

struct kv_watchers {
   struct kv_history *history;
   unsigned reader; /* of the thread */
   pthread_t thread;
   sem_t wake;

   _Alignas(KV_CACHE_LINE) atomic_bool asleep; /* and is to be woken for changes */
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t examined;
   _Atomic uint64_t events, ended_slow;
   atomic_bool draining, drained, stopping;
   atomic_uint waiting; /* owners that wait for the lock: the thread gives way */

   pthread_mutex_t lock; /* for the following */
   struct kv_range_index index;
   struct kv_history_cursor
       front; /* what comes next to be looked at; open while there is a watch */
   size_t count, size;
   LIST_HEAD(, kv_watch_group) groups;
   struct kv_wheel progress; /* the timers of watches with progress */
};

static void lock(struct kv_watchers *watchers)
{
   atomic_fetch_add(&watchers->waiting, 1);
   pthread_mutex_lock(&watchers->lock);
   atomic_fetch_sub(&watchers->waiting, 1);
}

static void unlock(struct kv_watchers *watchers)
{
   pthread_mutex_unlock(&watchers->lock);
}

static void wake(struct kv_watchers *watchers)
{
   int result = sem_post(&watchers->wake);
   KV_INVARIANT(result == 0);
}

/* ---- Telling, with the lock held ---- */

static void notify(struct kv_watch_group *group)
{
   if (!atomic_exchange(&group->notified, true))
      group->notify(group->context);
}

/* One thread at a time adds; the owner takes all of them. */
static void queue(struct kv_watch *watch)
{
   struct kv_watch_group *group = watch->group;
   if (atomic_load(&watch->queued))
      return;
   atomic_store(&watch->queued, true);
   watch->next_told = atomic_load(&group->told);
   while (!atomic_compare_exchange_weak(&group->told, &watch->next_told, watch))
      ;
   notify(group);
}

struct telling {
   const struct kv_change *change;
   uint64_t position;
};

/* The owner reads `pending` after it has cleared `queued`: one of the two sees the other. */
static void tell(void *context, void *owner)
{
   const struct telling *telling = context;
   struct kv_watch *watch = owner;
   if (telling->change && !(watch->kinds >> telling->change->kind & 1))
      return;
   if (atomic_load_explicit(&watch->pending, memory_order_relaxed) == 0)
      atomic_store(&watch->pending, telling->position + 1);
   queue(watch);
}

/* What concerns every watch: it cannot be told all changes. */
static void tell_all(struct kv_watchers *watchers, uint64_t position)
{
   struct telling telling = {.position = position};
   kv_range_index_each(&watchers->index, tell, &telling);
}

static void look_at(struct kv_watchers *watchers, const struct kv_change *change, uint64_t position)
{
   struct telling telling = {change, position};
   switch (change->kind) {
   case KV_CHANGE_HIDDEN:
      break;
   case KV_CHANGE_REPLACED:
   case KV_CHANGE_LOST:
      tell_all(watchers, position);
      break;
   default:
      kv_range_index_find(&watchers->index, change->key, tell, &telling);
   }
}

static void begin_at_end(struct kv_watchers *watchers)
{
   struct kv_history *history = watchers->history;
   atomic_store(&watchers->examined, kv_history_last(history));
   while (!kv_history_open(history, watchers->reader, kv_history_end(history), &watchers->front))
      ; /* it was dropped meanwhile */
}

/* Whether the thread is so far behind that what it looks at next is of no use to anybody. */
static bool is_behind(const struct kv_watchers *watchers)
{
   const struct kv_history_lag lag = kv_history_lag(&watchers->front);
   return lag.least > LAG_MAX(lag.limit) && !kv_history_is_held(&watchers->front);
}

/* Looks at some changes; returns whether there were any. */
static bool examine(struct kv_watchers *watchers)
{
   struct kv_history_cursor *front = &watchers->front;
   struct kv_change change;
   if (!kv_history_go_on(front))
      return false;
   if (is_behind(watchers)) {
      tell_all(watchers, kv_history_position(front));
      kv_history_close(front);
      begin_at_end(watchers);
      return true;
   }
   uint64_t examined = atomic_load_explicit(&watchers->examined, memory_order_relaxed);
   for (int i = 0; i < CHANGES_AT_ONCE; i++) {
      const uint64_t position = kv_history_position(front);
      if (!kv_history_next(front, &change))
         break;
      look_at(watchers, &change, position);
      examined = change.sequence;
   }
   atomic_store(&watchers->examined, examined);
   return true;
}

/* A watch for which something was sent meanwhile is not due yet. */
static void look_at_progress(void *context, struct kv_timer *timer)
{
   struct kv_watchers *watchers = context;
   struct kv_watch *watch = (struct kv_watch *)((char *)timer - offsetof(struct kv_watch, timer));
   const uint64_t now_ms = kv_clock_monotonic_ms();
   uint64_t due_ms =
       atomic_load_explicit(&watch->last_sent_ms, memory_order_relaxed) + watch->progress_ms;
   if (due_ms <= now_ms) {
      atomic_store(&watch->progress_is_due, true);
      queue(watch);
      due_ms = now_ms + watch->progress_ms;
   }
   kv_wheel_set(&watchers->progress, timer, due_ms);
}

/* ---- The thread ---- */

static void await(struct kv_watchers *watchers, uint64_t until_ms)
{
   int result;
   do {
      if (until_ms == 0) {
         result = sem_wait(&watchers->wake);
      } else {
         const struct timespec until = {.tv_sec = (time_t)(until_ms / MS_PER_S),
                                        .tv_nsec = (long)(until_ms % MS_PER_S) * NS_PER_MS};
         result = sem_clockwait(&watchers->wake, CLOCK_MONOTONIC, &until);
      }
   } while (result != 0 && errno == EINTR);
   KV_INVARIANT(result == 0 || errno == ETIMEDOUT);
}

/* Whoever publishes changes after the flag was set wakes the thread; what was published before is
 * seen now. Without a watch nobody does. */
static void rest(struct kv_watchers *watchers, bool has_watches, uint64_t front, uint64_t until_ms)
{
   atomic_store(&watchers->asleep, has_watches);
   if (has_watches && kv_history_end(watchers->history) != front &&
       atomic_exchange(&watchers->asleep, false))
      return;
   await(watchers, until_ms);
   atomic_store(&watchers->asleep, false);
}

/* With the lock held. */
static void note_drained(struct kv_watchers *watchers)
{
   struct kv_watch_group *group;
   if (atomic_exchange(&watchers->drained, true))
      return;
   LIST_FOREACH (group, &watchers->groups, others)
      group->notify(group->context);
}

static void *run(void *argument)
{
   struct kv_watchers *watchers = argument;
   while (!atomic_load(&watchers->stopping)) {
      pthread_mutex_lock(&watchers->lock);
      const bool has_watches = watchers->count > 0;
      const bool draining = atomic_load(&watchers->draining);
      const bool found = has_watches && examine(watchers);
      if (draining && !found)
         note_drained(watchers);
      const uint64_t front = has_watches ? kv_history_position(&watchers->front) : 0;
      kv_wheel_turn(&watchers->progress, kv_clock_monotonic_ms(), look_at_progress, watchers);
      const uint64_t until_ms = found ? 0 : kv_wheel_next(&watchers->progress);
      unlock(watchers);
      while (atomic_load(&watchers->waiting) > 0)
         sched_yield();
      if (!found)
         rest(watchers, has_watches, front, until_ms);
   }
   return NULL;
}

void kv_watchers_wake(struct kv_watchers *watchers)
{
   if (atomic_load(&watchers->asleep) && atomic_exchange(&watchers->asleep, false))
      wake(watchers);
}

void kv_watchers_drain(struct kv_watchers *watchers)
{
   atomic_store(&watchers->draining, true);
   wake(watchers);
}

bool kv_watchers_is_draining(const struct kv_watchers *watchers)
{
   return atomic_load(&watchers->draining);
}

bool kv_watchers_is_drained(const struct kv_watchers *watchers)
{
   return atomic_load(&watchers->drained);
}

uint64_t kv_watchers_examined(const struct kv_watchers *watchers)
{
   return atomic_load(&watchers->examined);
}

/* ---- Figures ---- */

void kv_watchers_count_events(struct kv_watchers *watchers, size_t count)
{
   atomic_fetch_add_explicit(&watchers->events, count, memory_order_relaxed);
}

void kv_watchers_count_slow(struct kv_watchers *watchers)
{
   atomic_fetch_add_explicit(&watchers->ended_slow, 1, memory_order_relaxed);
}

void kv_watchers_read_figures(struct kv_watchers *watchers, struct kv_watch_figures *figures)
{
   lock(watchers);
   figures->watches = watchers->count;
   unlock(watchers);
   figures->events = atomic_load_explicit(&watchers->events, memory_order_relaxed);
   figures->ended_slow = atomic_load_explicit(&watchers->ended_slow, memory_order_relaxed);
   figures->history_bytes = kv_history_bytes(watchers->history);
   figures->history_lowest = kv_history_lowest(watchers->history);
}

/* ---- Owners ---- */

void kv_watch_group_init(struct kv_watch_group *group, struct kv_watchers *watchers,
                         void (*notify_owner)(void *context), void *context)
{
   *group =
       (struct kv_watch_group){.notify = notify_owner, .context = context, .watchers = watchers};
   lock(watchers);
   LIST_INSERT_HEAD(&watchers->groups, group, others);
   unlock(watchers);
}

void kv_watch_group_deinit(struct kv_watch_group *group)
{
   lock(group->watchers);
   LIST_REMOVE(group, others);
   unlock(group->watchers);
}

static enum kv_code check_space(const struct kv_watchers *watchers, size_t size,
                                struct kv_status *status)
{
   if (watchers->count >= KV_WATCHES_MAX)
      return kv_fail_reason(status, KV_RESOURCE_EXHAUSTED, KV_REASON_TOO_MANY_WATCHES,
                            "the server has %u watches already, which is its limit; end some, or "
                            "give one watch several ranges",
                            KV_WATCHES_MAX);
   if (size > KV_WATCHES_SIZE_MAX - watchers->size)
      return kv_fail_reason(status, KV_RESOURCE_EXHAUSTED, KV_REASON_TOO_MANY_WATCHES,
                            "the ranges of all watches would take more than %zu bytes, which is "
                            "the server's limit; end some, or use shorter ranges",
                            KV_WATCHES_SIZE_MAX);
   return KV_OK;
}

enum kv_code kv_watch_add(struct kv_watch_group *group, struct kv_watch *watch,
                          struct kv_status *status)
{
   struct kv_watchers *watchers = group->watchers;
   const size_t size = kv_range_set_size(watch->set);
   watch->group = group;
   atomic_init(&watch->queued, false);
   atomic_init(&watch->pending, 0);
   atomic_init(&watch->progress_is_due, false);
   atomic_init(&watch->last_sent_ms, kv_clock_monotonic_ms());
   lock(watchers);
   enum kv_code code = check_space(watchers, size, status);
   if (code == KV_OK) {
      if (watchers->count++ == 0)
         begin_at_end(watchers);
      watchers->size += size;
      kv_range_index_add(&watchers->index, watch->set);
      if (watch->progress_ms > 0)
         kv_wheel_set(&watchers->progress, &watch->timer,
                      atomic_load(&watch->last_sent_ms) + watch->progress_ms);
   }
   unlock(watchers);
   if (code == KV_OK)
      wake(watchers); /* it may rest for good, or too long for its progress */
   return code;
}

void kv_watch_remove(struct kv_watch *watch)
{
   struct kv_watchers *watchers = watch->group->watchers;
   lock(watchers);
   if (--watchers->count == 0)
      kv_history_close(&watchers->front);
   watchers->size -= kv_range_set_size(watch->set);
   kv_range_index_remove(&watchers->index, watch->set);
   if (watch->progress_ms > 0)
      kv_wheel_stop(&watchers->progress, &watch->timer);
   unlock(watchers);
}

struct kv_watch *kv_watch_group_take(struct kv_watch_group *group)
{
   atomic_store(&group->notified, false);
   return atomic_exchange(&group->told, NULL);
}

bool kv_watch_ask(struct kv_watch *watch, uint64_t *position, bool *progress)
{
   atomic_store(&watch->queued, false);
   const uint64_t pending = atomic_exchange(&watch->pending, 0);
   *progress = atomic_exchange(&watch->progress_is_due, false);
   *position = pending - 1;
   return pending > 0;
}

void kv_watch_note_sent(struct kv_watch *watch)
{
   if (watch->progress_ms > 0)
      atomic_store_explicit(&watch->last_sent_ms, kv_clock_monotonic_ms(), memory_order_relaxed);
}

/* ---- Life ---- */

struct kv_history *kv_watchers_history(struct kv_watchers *watchers)
{
   return watchers->history;
}

struct kv_watchers *kv_watchers_create(struct kv_history *history, unsigned reader,
                                       struct kv_status *status)
{
   struct kv_watchers *watchers = aligned_alloc(KV_CACHE_LINE, sizeof *watchers);
   if (!watchers) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for watches");
      return NULL;
   }
   *watchers = (struct kv_watchers){.history = history, .reader = reader};
   kv_range_index_init(&watchers->index);
   LIST_INIT(&watchers->groups);
   kv_wheel_init(&watchers->progress);
   pthread_mutex_init(&watchers->lock, NULL);
   sem_init(&watchers->wake, 0, 0);
   int error = pthread_create(&watchers->thread, NULL, run, watchers);
   if (error == 0)
      return watchers;
   kv_fail_errno(status, error, "cannot start the thread for watches");
   sem_destroy(&watchers->wake);
   pthread_mutex_destroy(&watchers->lock);
   free(watchers);
   return NULL;
}

void kv_watchers_destroy(struct kv_watchers *watchers)
{
   KV_INVARIANT(LIST_EMPTY(&watchers->groups) && watchers->count == 0);
   atomic_store(&watchers->stopping, true);
   wake(watchers);
   pthread_join(watchers->thread, NULL);
   sem_destroy(&watchers->wake);
   pthread_mutex_destroy(&watchers->lock);
   free(watchers);
}
