#include "core/host/hook_timing.h"

#include "core/host/sync_timing.h"
#include "core/support/clock.h"
#include "core/support/log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_SECOND 1e9

static const struct kv_histogram_shape shape = {KV_HOOK_PART_BITS, KV_HOOK_BUCKETS};

/* Written by the thread that calls the hook alone, so that an addition needs no locked operation.
 */
struct counters {
   atomic_uint_least64_t started_ns; /* of the call in flight; 0: none */
   atomic_uint_least64_t calls, errors, total_ns, max_ns;
   atomic_uint_least64_t buckets[KV_HOOK_BUCKETS];
};

struct kv_hook_timing {
   uint64_t write_budget_ns;
   char *plugin;
   struct kv_sync_timing *syncs;
   struct counters kinds[KV_HOOK_KINDS];
};

const char *kv_hook_name(enum kv_hook hook)
{
   static const char *const names[KV_HOOK_KINDS] = {
       [KV_HOOK_OPEN] = "open",
       [KV_HOOK_LOAD] = "on_load",
       [KV_HOOK_WRITE] = "on_write",
       [KV_HOOK_TICK] = "on_tick",
       [KV_HOOK_CHECKPOINT] = "on_tick (checkpoint)",
       [KV_HOOK_CLOSE] = "close",
   };
   return names[hook];
}

struct kv_hook_timing *kv_hook_timing_create(const char *plugin, uint64_t write_budget_ns)
{
   struct kv_hook_timing *timing = calloc(1, sizeof *timing);
   char *copy = strdup(plugin);
   struct kv_sync_timing *syncs = copy ? kv_sync_timing_create() : NULL;
   if (!timing || !syncs) {
      if (syncs)
         kv_sync_timing_destroy(syncs);
      free(timing);
      free(copy);
      return NULL;
   }
   timing->plugin = copy;
   timing->syncs = syncs;
   timing->write_budget_ns = write_budget_ns;
   return timing;
}

void kv_hook_timing_destroy(struct kv_hook_timing *timing)
{
   kv_sync_timing_destroy(timing->syncs);
   free(timing->plugin);
   free(timing);
}

/* ---- Counting ---- */

static uint64_t get(const atomic_uint_least64_t *counter)
{
   return atomic_load_explicit(counter, memory_order_relaxed);
}

static void set(atomic_uint_least64_t *counter, uint64_t value)
{
   atomic_store_explicit(counter, value, memory_order_relaxed);
}

void kv_hook_timing_begin(struct kv_hook_timing *timing, enum kv_hook hook)
{
   if (timing)
      set(&timing->kinds[hook].started_ns, kv_clock_monotonic_ns());
}

void kv_hook_timing_end(struct kv_hook_timing *timing, enum kv_hook hook, bool failed)
{
   if (!timing)
      return;
   struct counters *counters = &timing->kinds[hook];
   uint64_t ns = kv_clock_monotonic_ns() - get(&counters->started_ns);
   size_t bucket = kv_histogram_bucket(shape, ns);
   set(&counters->started_ns, 0);
   set(&counters->errors, get(&counters->errors) + failed);
   set(&counters->total_ns, get(&counters->total_ns) + ns);
   set(&counters->buckets[bucket], get(&counters->buckets[bucket]) + 1);
   if (ns > get(&counters->max_ns))
      set(&counters->max_ns, ns);
   set(&counters->calls, get(&counters->calls) + 1);
   uint64_t budget_ns = kv_hook_timing_budget_ns(timing, hook);
   if (budget_ns > 0 && ns > budget_ns)
      kv_log_event(KV_LOG_WARNING, "%s of %s has ended after %.1f s; its budget is %.1f s",
                   kv_hook_name(hook), timing->plugin, (double)ns / NS_PER_SECOND,
                   (double)budget_ns / NS_PER_SECOND);
}

/* ---- Reading ---- */

struct kv_sync_timing *kv_hook_timing_syncs(const struct kv_hook_timing *timing)
{
   return timing->syncs;
}

const char *kv_hook_timing_plugin(const struct kv_hook_timing *timing)
{
   return timing->plugin;
}

uint64_t kv_hook_timing_budget_ns(const struct kv_hook_timing *timing, enum kv_hook hook)
{
   static const unsigned multiples[KV_HOOK_KINDS] = {
       [KV_HOOK_OPEN] = KV_HOOK_BUDGET_OPEN,
       [KV_HOOK_LOAD] = KV_HOOK_BUDGET_ALL_DATA,
       [KV_HOOK_WRITE] = 1,
       [KV_HOOK_TICK] = KV_HOOK_BUDGET_ALL_DATA,
       [KV_HOOK_CHECKPOINT] = KV_HOOK_BUDGET_ALL_DATA,
       [KV_HOOK_CLOSE] = KV_HOOK_BUDGET_OPEN,
   };
   return timing->write_budget_ns * multiples[hook];
}

uint64_t kv_hook_timing_running_ns(const struct kv_hook_timing *timing, enum kv_hook hook,
                                   uint64_t *started_ns)
{
   uint64_t started = get(&timing->kinds[hook].started_ns);
   if (started_ns)
      *started_ns = started;
   uint64_t now_ns = kv_clock_monotonic_ns();
   return started > 0 && now_ns > started ? now_ns - started : 0;
}

void kv_hook_timing_read(const struct kv_hook_timing *timing, enum kv_hook hook,
                         struct kv_hook_figures *figures)
{
   *figures = (struct kv_hook_figures){0};
   if (!timing)
      return;
   const struct counters *counters = &timing->kinds[hook];
   figures->calls = get(&counters->calls);
   figures->errors = get(&counters->errors);
   figures->total_ns = get(&counters->total_ns);
   figures->max_ns = get(&counters->max_ns);
   for (size_t i = 0; i < KV_HOOK_BUCKETS; i++)
      figures->buckets[i] = get(&counters->buckets[i]);
}

void kv_hook_figures_count(struct kv_hook_figures *figures, uint64_t ns)
{
   figures->calls++;
   figures->total_ns += ns;
   if (ns > figures->max_ns)
      figures->max_ns = ns;
   figures->buckets[kv_histogram_bucket(shape, ns)]++;
}

void kv_hook_figures_add(struct kv_hook_figures *figures, const struct kv_hook_figures *more)
{
   figures->calls += more->calls;
   figures->errors += more->errors;
   figures->total_ns += more->total_ns;
   if (more->max_ns > figures->max_ns)
      figures->max_ns = more->max_ns;
   for (size_t i = 0; i < KV_HOOK_BUCKETS; i++)
      figures->buckets[i] += more->buckets[i];
}

void kv_hook_figures_since(struct kv_hook_figures *figures, const struct kv_hook_figures *before)
{
   figures->calls -= before->calls;
   figures->errors -= before->errors;
   figures->total_ns -= before->total_ns;
   size_t last = 0;
   for (size_t i = 0; i < KV_HOOK_BUCKETS; i++) {
      figures->buckets[i] -= before->buckets[i];
      if (figures->buckets[i] > 0)
         last = i;
   }
   if (figures->calls == 0)
      figures->max_ns = 0;
   else if (figures->max_ns == before->max_ns &&
            kv_histogram_bucket_end(shape, last) < figures->max_ns)
      figures->max_ns = kv_histogram_bucket_end(shape, last);
}

uint64_t kv_hook_figures_percentile_ns(const struct kv_hook_figures *figures, unsigned permille)
{
   uint64_t counted = 0;
   for (size_t i = 0; i < KV_HOOK_BUCKETS; i++)
      counted += figures->buckets[i];
   uint64_t rank = (counted * permille + 999) / 1000;
   uint64_t end = kv_histogram_at_rank(shape, figures->buckets, rank > 0 ? rank : 1);
   return end < figures->max_ns ? end : figures->max_ns;
}

uint64_t kv_hook_figures_mean_ns(const struct kv_hook_figures *figures)
{
   return figures->calls > 0 ? figures->total_ns / figures->calls : 0;
}
