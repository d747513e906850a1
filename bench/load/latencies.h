/*
 * How often which latency was seen: a log-linear histogram (core/support/histogram.h) that keeps
 * any 64-bit value with an error below 1 %, in a fixed 58 KiB and without allocation after the
 * creation. Values below 256 are kept exactly; maximum and mean are exact for all.
 *
 * Threads: one at a time.
 */
#ifndef BENCH_LATENCIES_H
#define BENCH_LATENCIES_H

#include <stdint.h>

struct latencies;

/* Returns NULL when memory runs out. */
struct latencies *latencies_create(void);
void latencies_destroy(struct latencies *latencies);

void latencies_record(struct latencies *latencies, uint64_t value);
/* Adds all that `from` has seen. */
void latencies_add(struct latencies *latencies, const struct latencies *from);
void latencies_reset(struct latencies *latencies);

uint64_t latencies_count(const struct latencies *latencies);
uint64_t latencies_maximum(const struct latencies *latencies);
double latencies_mean(const struct latencies *latencies);
/* The smallest value that at least this part (0 to 1) of all values do not exceed, rounded up to
 * its bucket's end and never above the maximum; 0 if nothing was recorded. */
uint64_t latencies_quantile(const struct latencies *latencies, double quantile);

#endif
