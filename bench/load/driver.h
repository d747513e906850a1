/*
 * Loads a server and measures: connections with calls in flight on each, started as earlier ones
 * end (closed loop), or when they are due at a given rate (open loop).
 *
 * Latency counts from when a call was due. In an open loop that is a time fixed beforehand: when
 * the server falls behind, the wait of calls that could not be sent yet counts, too (no coordinated
 * omission). A call counts if it was due after the warm-up and before the end; all of those are
 * waited for.
 *
 * Watchers are open before the first call; after the last one they are waited for, until each has
 * seen all that the calls have changed.
 *
 * Create, run and destroy on one thread; runs may follow each other.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include "bench/load/latencies.h"
#include "bench/load/reply.h"
#include "client/credentials.h"
#include "core/support/status.h"

struct driver_target {
   const char *address; /* HOST:PORT or unix:PATH */
   const struct credentials *credentials;
   unsigned connections, streams, threads;
   const char *methods[WORKLOAD_METHODS]; /* full names */
   const char *watch_method;
   int64_t timeout_ms; /* of a call */
};

struct driver_load {
   struct workload_plan plan;
   double rate;                      /* calls a second; 0: closed loop */
   uint64_t warm_up_ns, duration_ns; /* duration 0: no end */
   uint64_t requests;                /* calls that count; 0: no end */
   uint64_t interval_ns;             /* between calls of on_interval */
   unsigned watchers;                /* watches that are open meanwhile */
   uint64_t watch_keys;              /* neighbouring keys that each watches; 0: all */
};

struct driver_counts {
   uint64_t calls, operations, missing;
   uint64_t conflicts;           /* conditions that were not met, which are no errors */
   uint64_t errors[REPLY_CODES]; /* failed calls, and failed operations of a Batch, by code */
   char error_texts[REPLY_CODES][128];
   struct latencies *latency; /* of the calls, in nanoseconds */
};

struct driver_result {
   struct driver_counts counts;
   int64_t start_unix_ms; /* the end of the warm-up */
   double seconds;        /* from there to the end of the last call */

   /* With watchers. Ends of watches are among the errors. */
   uint64_t events;
   double watch_seconds;     /* until the last event */
   struct latencies *delays; /* from acknowledgement to event, in nanoseconds; NULL: no watchers */
};

/* What ended between `from` and `to`, in seconds since the end of the warm-up. */
typedef void driver_interval_fn(void *context, double from, double to,
                                const struct driver_counts *counts);

struct driver;

/* Connects. NULL with status when it cannot connect, or memory runs out. */
struct driver *driver_create(const struct driver_target *target, struct kv_status *status);
void driver_destroy(struct driver *driver);

/* `on_interval` may be NULL. The caller ends the result with driver_result_deinit. */
enum kv_code driver_run(struct driver *driver, const struct driver_load *load,
                        driver_interval_fn *on_interval, void *context,
                        struct driver_result *result, struct kv_status *status);

void driver_result_deinit(struct driver_result *result);

/* Ends the run now. May be called from a signal handler. */
void driver_interrupt(struct driver *driver);

uint64_t driver_errors(const struct driver_counts *counts);

#endif
