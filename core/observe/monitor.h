/*
 * Followers of the calls as they are answered.
 *
 * Promises
 *  - Who offers a call never waits: each follower has a ring of bounded length for each thread, and
 *    what does not fit is left out and counted.
 *  - While nobody follows, an offer costs one relaxed load.
 *  - A call is described (peer, user, key) only for a follower that wants it and has space: one
 *    that does not read costs a comparison and a counter.
 *
 * Threads: offer from any; `thread` names the caller's own, or the last one, which those without a
 * number share. A follower's functions on one thread at a time.
 */
#ifndef KV_MONITOR_H
#define KV_MONITOR_H

#include "core/observe/event.h"

#include <stdbool.h>
#include <stddef.h>

/* Each takes a ring a thread. */
#define KV_MONITOR_FOLLOWERS_MAX 8u
/* Calls of one thread between two looks of a follower; a power of two. */
#define KV_MONITOR_RING_SIZE 128u

struct kv_monitor;
struct kv_follower;

/* Which calls a follower wants; the bytes must live as long as the follower. */
struct kv_monitor_filter {
   struct kv_slice method_prefix, key_prefix; /* empty: all */
   bool failed_only;
};

/* What is known of a call for nothing. */
struct kv_monitor_call {
   struct kv_slice method;
   enum kv_code code;
   struct kv_slice key;
   /* Describes it whole; called at most once an offer. */
   void (*describe)(const void *context, struct kv_event *event);
   const void *context;
};

/* For threads 0 to `threads` - 1. NULL: out of memory. */
struct kv_monitor *kv_monitor_create(unsigned threads);
/* When nobody follows any more. */
void kv_monitor_destroy(struct kv_monitor *monitor);

/* Whether anybody follows. */
bool kv_monitor_is_followed(const struct kv_monitor *monitor);
void kv_monitor_offer(struct kv_monitor *monitor, unsigned thread,
                      const struct kv_monitor_call *call);

/* RESOURCE_EXHAUSTED when there are KV_MONITOR_FOLLOWERS_MAX already, or no memory. */
enum kv_code kv_monitor_follow(struct kv_monitor *monitor, const struct kv_monitor_filter *filter,
                               struct kv_follower **follower, struct kv_status *status);
void kv_monitor_unfollow(struct kv_monitor *monitor, struct kv_follower *follower);
/* Bytes that a follower takes. */
size_t kv_monitor_follower_size(const struct kv_monitor *monitor);
/* Takes calls, at most `max`, the oldest of each thread, in the order in which they ended; returns
 * how many. */
size_t kv_follower_take(struct kv_follower *follower, struct kv_event *events, size_t max);
/* How many were left out since it was last asked. */
uint64_t kv_follower_left_out(struct kv_follower *follower);

#endif
