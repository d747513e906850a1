#include "core/observe/monitor.h"

#include "core/support/cache_line.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* One thread's calls for one follower. */
struct ring {
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t put;   /* written by who holds the lane; */
   _Atomic uint64_t left_out;                      /* this, too */
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t taken; /* written by the follower */
   struct kv_event events[KV_MONITOR_RING_SIZE];
};

struct kv_follower {
   struct kv_monitor *monitor;
   struct kv_monitor_filter filter;
   size_t place;
   uint64_t told; /* of what was left out */
   unsigned next; /* the thread whose calls are taken first */
   struct ring rings[];
};

/* Where the calls of a thread are offered. Who offers tries to hold it and never waits; who comes
 * or goes waits, for a few hundred nanoseconds. */
struct lane {
   _Alignas(KV_CACHE_LINE) atomic_flag held;
   struct kv_follower *followers[KV_MONITOR_FOLLOWERS_MAX]; /* of who holds it */
   _Atomic uint64_t missed; /* offered while somebody else held it */
};

struct kv_monitor {
   atomic_uint count;
   unsigned threads;
   pthread_mutex_t lock; /* of who comes or goes */
   bool taken[KV_MONITOR_FOLLOWERS_MAX];
   struct lane lanes[];
};

static bool try_hold(struct lane *lane)
{
   return !atomic_flag_test_and_set_explicit(&lane->held, memory_order_acquire);
}

static void let_go(struct lane *lane)
{
   atomic_flag_clear_explicit(&lane->held, memory_order_release);
}

/* ---- Life ---- */

struct kv_monitor *kv_monitor_create(unsigned threads)
{
   const size_t size = sizeof(struct kv_monitor) + threads * sizeof(struct lane);
   struct kv_monitor *monitor = aligned_alloc(KV_CACHE_LINE, size);
   if (!monitor)
      return NULL;
   memset(monitor, 0, size);
   atomic_init(&monitor->count, 0);
   monitor->threads = threads;
   pthread_mutex_init(&monitor->lock, NULL);
   for (unsigned i = 0; i < threads; i++) {
      atomic_flag_clear(&monitor->lanes[i].held);
      atomic_init(&monitor->lanes[i].missed, 0);
   }
   return monitor;
}

void kv_monitor_destroy(struct kv_monitor *monitor)
{
   pthread_mutex_destroy(&monitor->lock);
   free(monitor);
}

/* ---- Offering ---- */

bool kv_monitor_is_followed(const struct kv_monitor *monitor)
{
   return atomic_load_explicit(&monitor->count, memory_order_relaxed) > 0;
}

static bool wants(const struct kv_monitor_filter *filter, const struct kv_monitor_call *call)
{
   return (!filter->failed_only || call->code != KV_OK) &&
          kv_slice_begins_with(call->method, filter->method_prefix) &&
          kv_slice_begins_with(call->key, filter->key_prefix);
}

/* One writer at a time: no more than a load and a store. */
static void increase(_Atomic uint64_t *counter, memory_order order)
{
   const uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
   atomic_store_explicit(counter, value + 1, order);
}

/* Describes the call into `described`, unless that has been done. */
static void put(struct ring *ring, const struct kv_monitor_call *call, struct kv_event *described,
                bool *is_described)
{
   const uint64_t number = atomic_load_explicit(&ring->put, memory_order_relaxed);
   const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_acquire);
   if (number - taken >= KV_MONITOR_RING_SIZE) {
      increase(&ring->left_out, memory_order_relaxed);
      return;
   }
   if (!*is_described)
      call->describe(call->context, described);
   *is_described = true;
   ring->events[number % KV_MONITOR_RING_SIZE] = *described;
   increase(&ring->put, memory_order_release);
}

void kv_monitor_offer(struct kv_monitor *monitor, unsigned thread,
                      const struct kv_monitor_call *call)
{
   struct lane *lane = &monitor->lanes[thread];
   struct kv_event described;
   bool is_described = false;
   if (!kv_monitor_is_followed(monitor))
      return;
   if (!try_hold(lane)) {
      atomic_fetch_add_explicit(&lane->missed, 1, memory_order_relaxed);
      return;
   }
   for (size_t i = 0; i < KV_MONITOR_FOLLOWERS_MAX; i++) {
      struct kv_follower *follower = lane->followers[i];
      if (follower && wants(&follower->filter, call))
         put(&follower->rings[thread], call, &described, &is_described);
   }
   let_go(lane);
}

/* ---- Following ---- */

size_t kv_monitor_follower_size(const struct kv_monitor *monitor)
{
   return sizeof(struct kv_follower) + monitor->threads * sizeof(struct ring);
}

static struct kv_follower *create(struct kv_monitor *monitor,
                                  const struct kv_monitor_filter *filter)
{
   /* Its size is a multiple of its alignment, as that of its rings. */
   struct kv_follower *follower = aligned_alloc(KV_CACHE_LINE, kv_monitor_follower_size(monitor));
   if (!follower)
      return NULL;
   follower->monitor = monitor;
   follower->filter = *filter;
   follower->next = 0;
   for (unsigned i = 0; i < monitor->threads; i++) {
      atomic_init(&follower->rings[i].put, 0);
      atomic_init(&follower->rings[i].left_out, 0);
      atomic_init(&follower->rings[i].taken, 0);
   }
   return follower;
}

/* What was missed counts for everybody: nobody knows whom it would have concerned. */
static uint64_t count_left_out(const struct kv_follower *follower)
{
   const struct kv_monitor *monitor = follower->monitor;
   uint64_t count = 0;
   for (unsigned i = 0; i < monitor->threads; i++)
      count += atomic_load_explicit(&follower->rings[i].left_out, memory_order_relaxed) +
               atomic_load_explicit(&monitor->lanes[i].missed, memory_order_relaxed);
   return count;
}

/* With the lock held: whoever offers sees the follower in its place from now on, or NULL. */
static void publish(struct kv_monitor *monitor, size_t place, struct kv_follower *follower)
{
   for (unsigned i = 0; i < monitor->threads; i++) {
      struct lane *lane = &monitor->lanes[i];
      while (!try_hold(lane))
         sched_yield();
      lane->followers[place] = follower;
      let_go(lane);
   }
}

enum kv_code kv_monitor_follow(struct kv_monitor *monitor, const struct kv_monitor_filter *filter,
                               struct kv_follower **follower, struct kv_status *status)
{
   struct kv_follower *created = create(monitor, filter);
   if (!created)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for another monitor");
   size_t place = 0;
   pthread_mutex_lock(&monitor->lock);
   while (place < KV_MONITOR_FOLLOWERS_MAX && monitor->taken[place])
      place++;
   if (place < KV_MONITOR_FOLLOWERS_MAX) {
      created->place = place;
      created->told = count_left_out(created);
      monitor->taken[place] = true;
      publish(monitor, place, created);
      atomic_fetch_add(&monitor->count, 1);
   }
   pthread_mutex_unlock(&monitor->lock);
   *follower = created;
   if (place < KV_MONITOR_FOLLOWERS_MAX)
      return KV_OK;
   free(created);
   return kv_fail_reason(
       status, KV_RESOURCE_EXHAUSTED, "TOO_MANY_MONITORS",
       "%u monitors follow this server already, which is the limit; end one of them",
       KV_MONITOR_FOLLOWERS_MAX);
}

void kv_monitor_unfollow(struct kv_monitor *monitor, struct kv_follower *follower)
{
   pthread_mutex_lock(&monitor->lock);
   atomic_fetch_sub(&monitor->count, 1);
   publish(monitor, follower->place, NULL);
   monitor->taken[follower->place] = false;
   pthread_mutex_unlock(&monitor->lock);
   free(follower);
}

/* ---- Taking ---- */

static size_t take(struct ring *ring, struct kv_event *events, size_t max)
{
   const uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed);
   const uint64_t there = atomic_load_explicit(&ring->put, memory_order_acquire) - taken;
   const size_t count = there < max ? (size_t)there : max;
   for (size_t i = 0; i < count; i++)
      events[i] = ring->events[(taken + i) % KV_MONITOR_RING_SIZE];
   atomic_store_explicit(&ring->taken, taken + count, memory_order_release);
   return count;
}

static int by_end(const void *left, const void *right)
{
   const struct kv_event *a = left, *b = right;
   return (a->end_unix_ms > b->end_unix_ms) - (a->end_unix_ms < b->end_unix_ms);
}

size_t kv_follower_take(struct kv_follower *follower, struct kv_event *events, size_t max)
{
   const unsigned threads = follower->monitor->threads;
   size_t count = 0;
   for (unsigned i = 0; i < threads && count < max; i++)
      count += take(&follower->rings[(follower->next + i) % threads], events + count, max - count);
   if (++follower->next == threads)
      follower->next = 0;
   if (count > 0)
      qsort(events, count, sizeof *events, by_end); /* glibc's keeps the order of equal ones */
   return count;
}

uint64_t kv_follower_left_out(struct kv_follower *follower)
{
   const uint64_t count = count_left_out(follower), before = follower->told;
   follower->told = count;
   return count - before;
}
