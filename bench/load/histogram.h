/*
 * How often which latency was seen: counts in buckets whose width grows with the value, so that any
 * 64-bit value is kept with an error below 1 %, in a fixed 58 KiB and without allocation after the
 * creation. Values below 256 are kept exactly; maximum and mean are exact for all.
 *
 * The idea is that of log-linear histograms: each power of two is cut into 128 buckets.
 *
 * One thread at a time.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

struct histogram;

/* NULL when memory is out. */
struct histogram *histogram_create(void);
void histogram_destroy(struct histogram *histogram);

void histogram_record(struct histogram *histogram, uint64_t value);
/* Adds all that `from` has seen. */
void histogram_add(struct histogram *histogram, const struct histogram *from);
void histogram_reset(struct histogram *histogram);

uint64_t histogram_count(const struct histogram *histogram);
uint64_t histogram_maximum(const struct histogram *histogram);
double histogram_mean(const struct histogram *histogram);
/* The smallest value that at least this part (0 to 1) of all values do not exceed, rounded up to
 * its bucket's end and never above the maximum; 0 where nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
