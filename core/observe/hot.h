/*
 * Which key prefixes were used most within the last minute, from a sample.
 *
 * One call in 64 is looked at, at random distances, so that a client that repeats itself meets no
 * rhythm. Its prefix goes up to the last ':', '/' or '.' within the first 64 bytes of the key, that
 * separator included; without one it is the key itself, cut at 64 bytes.
 *
 * Prefixes are counted by Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of
 * Frequent and Top-k Elements in Data Streams", ICDT 2005): of 64 counters the smallest makes way
 * for a newcomer, which takes over its count as a possible error. What is shown is the count less
 * that error, so that it is never too high but by the luck of the sample. Each thread has six
 * such sketches of ten seconds, of which the oldest is used again: that is how the minute ends.
 *
 * Threads: any. `thread` picks the sketch; two that share one take turns at a lock, once in 64
 * calls.
 */
#ifndef KV_HOT_H
#define KV_HOT_H

#include "core/support/slice.h"

#include <stddef.h>
#include <stdint.h>

#define KV_HOT_PREFIX_MAX 64u
#define KV_HOT_INTERVAL 64u /* calls to one that is looked at */

struct kv_hot;

struct kv_hot_prefix {
   size_t size;
   uint8_t prefix[KV_HOT_PREFIX_MAX];
   uint64_t samples;
};

/* For threads 0 to `threads` - 1. NULL: out of memory. */
struct kv_hot *kv_hot_create(unsigned threads);
void kv_hot_destroy(struct kv_hot *hot);

/* A call was about this key; it is not empty. */
void kv_hot_count(struct kv_hot *hot, unsigned thread, struct kv_slice key);
/* The same for a call that is looked at anyway, at a time; for tests. */
void kv_hot_sample(struct kv_hot *hot, unsigned thread, struct kv_slice key, uint64_t now_ms);

/* The prefixes of the minute before `now_ms`, monotonic, the most used first, at most `max`.
 * *samples: how many calls were looked at in it. The caller frees *prefixes; NULL: out of
 * memory. Any thread. */
size_t kv_hot_list(struct kv_hot *hot, uint64_t now_ms, size_t max, struct kv_hot_prefix **prefixes,
                   uint64_t *samples);

#endif
