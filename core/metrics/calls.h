/*
 * How many calls each method has answered, with which code, and how long they took.
 *
 * Promises
 *  - Counting takes no lock and, on a thread that has a number, no atomic operation that others
 *    could make wait: each such thread has a cell of its own, and all others share one. A reader
 *    adds the cells up.
 *  - Times go into the buckets of a log-linear histogram (core/support/histogram.h), so that a
 *    percentile is at most a quarter too high, however long the server runs.
 *
 * It knows neither the wire nor what a method is: both are numbers.
 *
 * Threads: kv_call_metrics_count on the thread of that number; all else on any.
 */
#ifndef KV_METRICS_CALLS_H
#define KV_METRICS_CALLS_H

#include "core/support/histogram.h"

#include <stdint.h>

#define KV_CALL_CODES 17 /* of gRPC; those of core/support/status.h are some of them */
#define KV_CALL_PART_BITS 2
#define KV_CALL_BUCKETS KV_HISTOGRAM_SIZE(KV_CALL_PART_BITS, 38) /* more than four minutes in ns */
#define KV_CALL_SHAPE ((struct kv_histogram_shape){KV_CALL_PART_BITS, KV_CALL_BUCKETS})

struct kv_call_metrics;

struct kv_call_figures {
   uint64_t codes[KV_CALL_CODES];
   uint64_t total_ns;
   uint64_t buckets[KV_CALL_BUCKETS]; /* of the nanoseconds less one: each ends at a round number */
};

/* For methods 0 to `methods` - 1 and threads 0 to `threads` - 1. NULL: out of memory. */
struct kv_call_metrics *kv_call_metrics_create(size_t methods, unsigned threads);
void kv_call_metrics_destroy(struct kv_call_metrics *metrics);

/* `thread` may also be the number of threads: then it is one of the others. */
void kv_call_metrics_count(struct kv_call_metrics *metrics, unsigned thread, size_t method,
                           unsigned code, uint64_t elapsed_ns);
/* While calls are counted, the figures may be of different moments, a few calls apart. */
void kv_call_metrics_read(const struct kv_call_metrics *metrics, size_t method,
                          struct kv_call_figures *figures);
/* All calls, those that failed included. */
uint64_t kv_call_figures_count(const struct kv_call_figures *figures);

#endif
