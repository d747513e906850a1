/*
 * How long after its acknowledgement each change reaches a watcher: pairs the answers to writes
 * with the events of watches by the version of the change. Of the latest million changes; what
 * nobody here has written, or what is older, has no pair and does not count.
 *
 * Any thread, but for delays_take, which is called when no other is.
 */
#ifndef BENCH_DELAYS_H
#define BENCH_DELAYS_H

#include "bench/load/latencies.h"

struct delays;

/* NULL when memory runs out. */
struct delays *delays_create(void);
void delays_destroy(struct delays *delays);

/* A change was acknowledged; its version is above 0. */
void delays_acknowledge(struct delays *delays, uint64_t version, uint64_t now_ns);
/* An event of it has come. */
void delays_arrive(struct delays *delays, uint64_t version, uint64_t now_ns);

/* The highest version that was acknowledged. */
uint64_t delays_last(struct delays *delays);
/* In nanoseconds, one for each event; 0: it came before the acknowledgement. The object's own. */
const struct latencies *delays_take(struct delays *delays);

#endif
