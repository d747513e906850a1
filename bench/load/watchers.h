/*
 * Watches that are open while a server is loaded. They take the events and count them, each on a
 * stream of its own, over connections that carry nothing else.
 *
 * Create, stop and destroy on one thread.
 */
#ifndef BENCH_WATCHERS_H
#define BENCH_WATCHERS_H

#include "bench/load/delays.h"
#include "core/support/status.h"

#include <grpc/grpc.h>
#include <stdbool.h>

struct watchers_plan {
   unsigned count;
   const char *method;         /* full name */
   uint64_t keys;              /* of the key space */
   uint64_t keys_each;         /* neighbours that each watches, in turn; 0: all */
   struct delays *delays;      /* is told of each event */
   grpc_channel **channels;    /* one for each WATCHERS_A_CHANNEL, not shared with calls */
   const grpc_metadata *token; /* of each call; NULL: none */
};

#define WATCHERS_A_CHANNEL 500

struct watchers;

/* Opens them, and waits until the server has answered to all, at most `timeout_ms`. NULL with
 * status when it has not. */
struct watchers *watchers_create(const struct watchers_plan *plan, int64_t timeout_ms,
                                 struct kv_status *status);
/* Events that come from then on count. */
void watchers_begin(struct watchers *watchers, uint64_t begin_ns);
/* Waits until each has all changes up to `version`, at most `timeout_ms`; fails where one has not,
 * or has ended before. Then all are closed. */
enum kv_code watchers_finish(struct watchers *watchers, uint64_t version, int64_t timeout_ms,
                             struct kv_status *status);
/* Events that count, of all watchers together; and when the last of them came. */
uint64_t watchers_events(const struct watchers *watchers, uint64_t *last_ns);
void watchers_destroy(struct watchers *watchers);

#endif
