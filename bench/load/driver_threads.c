#include "bench/load/driver_internal.h"

#include <errno.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define NS_PER_S 1000000000u

uint64_t driver_now_ns(void)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

struct timespec driver_timespec_of(uint64_t ns)
{
   return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

/* ---- Starting a call ---- */

/* Starts a call that is due at `due_ns`; false when the run is over. */
static bool begin(struct run *run, struct call *call, struct workload *workload, uint64_t due_ns)
{
   if (due_ns >= run->end_ns ||
       atomic_load_explicit(&run->driver->interrupted, memory_order_relaxed))
      return false;
   call->due_ns = due_ns;
   call->counted = due_ns >= run->start_ns;
   if (call->counted && run->load->requests > 0 &&
       atomic_fetch_add(&run->started, 1) >= run->load->requests)
      return false;
   struct workload_request request;
   if (!workload_next(workload, &request))
      return false;
   call_start(call, &request, workload, run->driver->target.timeout_ms);
   return true;
}

/* ---- Idle calls ---- */

static void put_idle(struct run *run, struct call *call)
{
   pthread_mutex_lock(&run->lock);
   call->next_idle = NULL;
   *(run->last_idle ? &run->last_idle->next_idle : &run->first_idle) = call;
   run->last_idle = call;
   run->idle_count++;
   pthread_cond_broadcast(&run->changed);
   pthread_mutex_unlock(&run->lock);
}

static struct call *take_idle(struct run *run)
{
   pthread_mutex_lock(&run->lock);
   while (!run->first_idle)
      pthread_cond_wait(&run->changed, &run->lock);
   struct call *call = run->first_idle;
   run->first_idle = call->next_idle;
   if (!run->first_idle)
      run->last_idle = NULL;
   run->idle_count--;
   pthread_mutex_unlock(&run->lock);
   return call;
}

static void set_over(struct run *run)
{
   pthread_mutex_lock(&run->lock);
   run->over = true;
   pthread_cond_broadcast(&run->changed);
   pthread_mutex_unlock(&run->lock);
}

/* ---- Ending a call ---- */

void driver_count_error(struct driver_counts *counts, size_t code, uint64_t times, const char *text)
{
   counts->errors[code] += times;
   if (!counts->error_texts[code][0])
      snprintf(counts->error_texts[code], sizeof counts->error_texts[code], "%s", text);
}

static void count_failed_call(struct driver_counts *counts, const struct call *call)
{
   char *text = grpc_slice_to_c_string(call->details);
   grpc_status_code code = call->code < REPLY_CODES ? call->code : GRPC_STATUS_UNKNOWN;
   driver_count_error(counts, (size_t)code, 1, text);
   gpr_free(text);
}

/* Whether the server has refused a change because the key was no longer as a call had seen it. */
static bool is_conflict(const struct call *call)
{
   return call->request.conditional && call->code == GRPC_STATUS_FAILED_PRECONDITION;
}

/* What the answer has shown of its key. */
static void learn(struct run *run, const struct call *call)
{
   switch (call->request.method) {
   case WORKLOAD_CALL_SET:
   case WORKLOAD_CALL_GET:
   case WORKLOAD_CALL_DEL:
      workload_learn(run->source, call->request.key,
                     call->code == GRPC_STATUS_OK ? call->reply.version : WORKLOAD_UNKNOWN);
      break;
   default:
      break;
   }
}

static void count(struct worker *worker, const struct call *call)
{
   uint64_t latency = driver_now_ns() - call->due_ns;
   struct driver_counts *counts = &worker->counts;
   pthread_mutex_lock(&worker->lock);
   counts->calls++;
   latencies_record(counts->latency, latency);
   if (is_conflict(call)) {
      counts->operations++;
      counts->conflicts++;
   } else if (call->code != GRPC_STATUS_OK) {
      count_failed_call(counts, call);
   } else {
      counts->operations += call->reply.results;
      counts->missing += call->reply.missing;
      for (size_t code = 0; call->reply.error_text[0] && code < REPLY_CODES; code++)
         if (call->reply.errors[code])
            driver_count_error(counts, code, call->reply.errors[code], call->reply.error_text);
   }
   pthread_mutex_unlock(&worker->lock);
}

/* ---- Threads ---- */

static void *work(void *argument)
{
   struct worker *worker = argument;
   struct run *run = worker->run;
   bool closed = run->load->rate <= 0;
   for (;;) {
      grpc_event event =
          grpc_completion_queue_next(worker->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
      if (event.type == GRPC_QUEUE_SHUTDOWN)
         return NULL;
      struct call *call = call_take(&event);
      if (!call)
         continue;
      learn(run, call);
      if (call->counted)
         count(worker, call);
      call_release(call);
      if (!closed || !begin(run, call, worker->workload, driver_now_ns()))
         put_idle(run, call);
   }
}

static void sleep_until(uint64_t due_ns)
{
   struct timespec due = driver_timespec_of(due_ns);
   while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
      ;
}

static void *pace(void *argument)
{
   struct run *run = argument;
   prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0); /* wake on time; failing that, a little later */
   uint64_t first_ns = driver_now_ns();
   for (uint64_t number = 0;; number++) {
      uint64_t due_ns = first_ns + (uint64_t)((double)number * NS_PER_S / run->load->rate);
      if (due_ns > driver_now_ns() && due_ns < run->end_ns)
         sleep_until(due_ns);
      struct call *call = take_idle(run);
      if (!begin(run, call, run->pacer_workload, due_ns)) {
         put_idle(run, call);
         break;
      }
   }
   set_over(run);
   return NULL;
}

void driver_start_thread(pthread_t *thread, void *(*function)(void *), void *argument)
{
   int error = pthread_create(thread, NULL, function, argument);
   if (error != 0) {
      fprintf(stderr, "error: cannot start a thread: %s\n", strerror(error));
      exit(1);
   }
}

void run_begin(struct run *run)
{
   unsigned threads = run->driver->target.threads;
   bool closed = run->load->rate <= 0;
   for (size_t i = 0; i < run->call_count; i++) {
      struct call *call = &run->calls[i];
      struct worker *worker = &run->workers[i % run->driver->target.connections % threads];
      if (!closed || !begin(run, call, worker->workload, driver_now_ns()))
         put_idle(run, call);
   }
   run->over = closed;
   for (unsigned i = 0; i < threads; i++)
      driver_start_thread(&run->workers[i].thread, work, &run->workers[i]);
   if (!closed)
      driver_start_thread(&run->pacer, pace, run);
}

bool run_await(struct run *run, uint64_t until_ns)
{
   struct timespec until = driver_timespec_of(until_ns);
   pthread_mutex_lock(&run->lock);
   int error = 0;
   while (error == 0 && !(run->over && run->idle_count == run->call_count))
      error = pthread_cond_timedwait(&run->changed, &run->lock, &until);
   bool ended = run->over && run->idle_count == run->call_count;
   pthread_mutex_unlock(&run->lock);
   return ended;
}

void run_finish(struct run *run)
{
   if (run->load->rate > 0)
      pthread_join(run->pacer, NULL);
   for (unsigned i = 0; i < run->driver->target.threads; i++) {
      grpc_completion_queue_shutdown(run->workers[i].queue);
      pthread_join(run->workers[i].thread, NULL);
   }
}
