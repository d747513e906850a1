/* What driver.c (connecting, running) and driver_threads.c (the threads of a run) share. */
#ifndef BENCH_DRIVER_INTERNAL_H
#define BENCH_DRIVER_INTERNAL_H

#include "bench/load/call.h"
#include "bench/load/driver.h"
#include "bench/load/watchers.h"

#include <pthread.h>
#include <stdatomic.h>

struct run;

/* A thread that takes the events of the calls on its connections. */
struct worker {
   struct run *run;
   pthread_t thread;
   grpc_completion_queue *queue;
   struct workload *workload; /* of the worker's thread */
   pthread_mutex_t lock;
   struct driver_counts counts; /* since they were last taken; under the lock */
};

struct driver {
   struct driver_target target;
   struct call_target *channels; /* one a connection */
   grpc_metadata token;          /* of each call, if there is one */
   atomic_bool interrupted;
};

struct run {
   struct driver *driver;
   const struct driver_load *load;
   struct workload_source *source;
   uint64_t start_ns, end_ns;     /* what is due between them counts; UINT64_MAX: no end */
   atomic_uint_least64_t started; /* of those that count */

   struct worker *workers;
   struct call *calls; /* number i is on connection i % connections */
   size_t call_count;

   pthread_t pacer; /* starts the calls of an open loop */
   struct workload *pacer_workload;

   struct delays *delays; /* of the watchers, if there are any */
   struct watchers *watchers;
   grpc_channel **watch_channels;
   size_t watch_channel_count;

   pthread_mutex_t lock;
   pthread_cond_t changed;
   struct call *first_idle, *last_idle; /* under the lock, as the next two */
   size_t idle_count;
   bool over; /* nothing more will be started */
};

uint64_t driver_now_ns(void);
struct timespec driver_timespec_of(uint64_t ns);
/* Ends the process when it cannot. */
void driver_start_thread(pthread_t *thread, void *(*function)(void *), void *argument);
/* A channel to the target that shares its connection with none. */
grpc_channel *driver_open_channel(const struct driver_target *target);
void driver_reset_counts(struct driver_counts *counts);
void driver_count_error(struct driver_counts *counts, size_t code, uint64_t times,
                        const char *text);

/* Starts the threads of a run whose parts are there. */
void run_begin(struct run *run);
/* Waits until `until_ns` or the end of the last call; true when that has come. */
bool run_await(struct run *run, uint64_t until_ns);
/* Ends the threads, after that. */
void run_finish(struct run *run);

/* Opens the watches of the load, if it has any. */
enum kv_code run_watch(struct run *run, struct kv_status *status);
/* Waits until they have all that the run has changed, and adds what they saw to the result. */
void run_end_watch(struct run *run, struct driver_result *result);
/* Closes them, also after a failure of run_watch. */
void run_close_watch(struct run *run);

#endif
