/*
 * Log-linear histograms: how often which value was seen, in buckets whose width grows with the
 * value. Each power of two is cut into 2^part_bits buckets, so that a value is known to that part
 * of itself, never too low, and values below 2^(part_bits + 1) are known exactly. The last bucket
 * takes all values that have no other.
 *
 * This is the arithmetic alone: the counts are plain arrays of their owners, who decide what is
 * atomic, what is added up and what is subtracted.
 *
 * Threads: any.
 */
#ifndef KV_HISTOGRAM_H
#define KV_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

struct kv_histogram_shape {
   unsigned part_bits;
   size_t size; /* buckets */
};

/* Buckets for all values below 2^value_bits. */
#define KV_HISTOGRAM_SIZE(part_bits, value_bits)                                                   \
   ((size_t)((value_bits) - (part_bits) + 1) << (part_bits))

size_t kv_histogram_bucket(struct kv_histogram_shape shape, uint64_t value);
/* The highest value of the bucket. */
uint64_t kv_histogram_bucket_end(struct kv_histogram_shape shape, size_t bucket);
/* The end of the bucket of the value with this rank, 1 being the lowest value; UINT64_MAX when
 * there are fewer values. */
uint64_t kv_histogram_at_rank(struct kv_histogram_shape shape, const uint64_t *counts,
                              uint64_t rank);

#endif
