#include "core/metrics/calls.h"

#include "core/support/cache_line.h"
#include "core/support/invariant.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Of one method on one thread; a whole number of cache lines, so that no two threads share one. */
struct cell {
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t codes[KV_CALL_CODES];
   _Atomic uint64_t total_ns;
   _Atomic uint64_t buckets[KV_CALL_BUCKETS];
};

struct kv_call_metrics {
   size_t methods;
   unsigned threads;
   struct cell *cells; /* those of thread 0, of thread 1, ..., of all others */
};

struct kv_call_metrics *kv_call_metrics_create(size_t methods, unsigned threads)
{
   size_t size = methods * (threads + 1) * sizeof(struct cell);
   struct kv_call_metrics *metrics = malloc(sizeof *metrics);
   struct cell *cells = metrics ? aligned_alloc(KV_CACHE_LINE, size) : NULL;
   if (!cells) {
      free(metrics);
      return NULL;
   }
   memset(cells, 0, size);
   *metrics = (struct kv_call_metrics){methods, threads, cells};
   return metrics;
}

void kv_call_metrics_destroy(struct kv_call_metrics *metrics)
{
   free(metrics->cells);
   free(metrics);
}

static void add(_Atomic uint64_t *counter, uint64_t value, bool shared)
{
   if (shared)
      atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
   else
      atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + value,
                            memory_order_relaxed);
}

void kv_call_metrics_count(struct kv_call_metrics *metrics, unsigned thread, size_t method,
                           unsigned code, uint64_t elapsed_ns)
{
   KV_INVARIANT(thread <= metrics->threads && method < metrics->methods && code < KV_CALL_CODES);
   struct cell *cell = &metrics->cells[thread * metrics->methods + method];
   bool shared = thread == metrics->threads;
   size_t bucket = kv_histogram_bucket(KV_CALL_SHAPE, elapsed_ns > 0 ? elapsed_ns - 1 : 0);
   add(&cell->codes[code], 1, shared);
   add(&cell->total_ns, elapsed_ns, shared);
   add(&cell->buckets[bucket], 1, shared);
}

static void add_up(const struct cell *cell, struct kv_call_figures *figures)
{
   for (size_t i = 0; i < KV_CALL_CODES; i++)
      figures->codes[i] += atomic_load_explicit(&cell->codes[i], memory_order_relaxed);
   for (size_t i = 0; i < KV_CALL_BUCKETS; i++)
      figures->buckets[i] += atomic_load_explicit(&cell->buckets[i], memory_order_relaxed);
   figures->total_ns += atomic_load_explicit(&cell->total_ns, memory_order_relaxed);
}

void kv_call_metrics_read(const struct kv_call_metrics *metrics, size_t method,
                          struct kv_call_figures *figures)
{
   KV_INVARIANT(method < metrics->methods);
   *figures = (struct kv_call_figures){0};
   for (unsigned i = 0; i <= metrics->threads; i++)
      add_up(&metrics->cells[i * metrics->methods + method], figures);
}

uint64_t kv_call_figures_count(const struct kv_call_figures *figures)
{
   uint64_t count = 0;
   for (size_t i = 0; i < KV_CALL_CODES; i++)
      count += figures->codes[i];
   return count;
}
