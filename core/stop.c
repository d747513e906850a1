#include "core/stop.h"

#include "core/signals.h"
#include "core/support/clock.h"
#include "core/support/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_EVERY_NS 50000000
#define LOG_PATIENCE_MS 1000

struct kv_stop {
   sigset_t signals;
   pthread_t thread;
   bool reloads; /* on SIGHUP */
   atomic_bool wanted, finished;
   atomic_uint_least64_t progress; /* how often a step made progress */

   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   bool reload_wanted;
   const char *step;
   uint64_t allowed_ms;
   uint64_t since_ms; /* monotonic; when the step began, or last made progress */
   void (*report)(void *context);
   void *report_context;
};

/* The next signal, or 0 when `wait` (NULL: forever) has passed. */
static int next_signal(const struct kv_stop *stop, const struct timespec *wait)
{
   int number;
   do
      number = wait ? sigtimedwait(&stop->signals, NULL, wait) : sigwaitinfo(&stop->signals, NULL);
   while (number < 0 && errno == EINTR);
   return number > 0 ? number : 0;
}

/* A step that uses up its time neither returns nor can be interrupted, so the locks that it holds,
 * and that exit() would need, may never be free again. */
static void end_process(struct kv_stop *stop, uint64_t began_ms)
{
   kv_log(KV_LOG_ERROR,
          "ending without an orderly stop, %.1f s after the signal, %.1f s without progress: %s",
          (double)(kv_clock_monotonic_ms() - began_ms) / 1000, (double)stop->allowed_ms / 1000,
          stop->step);
   if (stop->report)
      stop->report(stop->report_context);
   kv_log_stop(LOG_PATIENCE_MS);
   _exit(KV_STOP_EXIT_CODE);
}

static void supervise(struct kv_stop *stop)
{
   const struct timespec pause = {.tv_nsec = LOOK_EVERY_NS};
   uint64_t began_ms = kv_clock_monotonic_ms();
   uint64_t progress = atomic_load(&stop->progress);
   pthread_mutex_lock(&stop->lock);
   stop->since_ms = began_ms;
   pthread_mutex_unlock(&stop->lock);
   while (!atomic_load(&stop->finished)) {
      int number = next_signal(stop, &pause);
      if (number != 0 && !atomic_load(&stop->finished))
         kv_log(KV_LOG_INFO, "%s: already stopping", kv_signal_name(number));
      uint64_t now_ms = kv_clock_monotonic_ms();
      uint64_t progress_now = atomic_load(&stop->progress);
      pthread_mutex_lock(&stop->lock);
      if (progress_now != progress)
         stop->since_ms = now_ms;
      progress = progress_now;
      if (now_ms - stop->since_ms > stop->allowed_ms && now_ms > stop->since_ms)
         end_process(stop, began_ms);
      pthread_mutex_unlock(&stop->lock);
   }
}

static void want_reload(struct kv_stop *stop)
{
   pthread_mutex_lock(&stop->lock);
   stop->reload_wanted = true;
   pthread_cond_signal(&stop->changed);
   pthread_mutex_unlock(&stop->lock);
}

static void *run(void *argument)
{
   struct kv_stop *stop = argument;
   int number = next_signal(stop, NULL);
   while (number == SIGHUP && stop->reloads && !atomic_load(&stop->finished)) {
      kv_log(KV_LOG_INFO, "SIGHUP: reading again the files that clients are checked with");
      want_reload(stop);
      number = next_signal(stop, NULL);
   }
   if (atomic_load(&stop->finished))
      return NULL;
   kv_log(KV_LOG_INFO, "%s: stopping", kv_signal_name(number));
   pthread_mutex_lock(&stop->lock);
   atomic_store(&stop->wanted, true);
   pthread_cond_signal(&stop->changed);
   pthread_mutex_unlock(&stop->lock);
   supervise(stop);
   return NULL;
}

struct kv_stop *kv_stop_create(const sigset_t *signals, bool reloads, struct kv_status *status)
{
   struct kv_stop *stop = calloc(1, sizeof *stop);
   if (!stop) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the thread that takes signals");
      return NULL;
   }
   stop->signals = *signals;
   stop->reloads = reloads;
   stop->step = "starting";
   stop->allowed_ms = INT64_MAX;
   pthread_mutex_init(&stop->lock, NULL);
   kv_clock_init_condition(&stop->changed);
   int error = pthread_create(&stop->thread, NULL, run, stop);
   if (error == 0)
      return stop;
   kv_fail_errno(status, error, "cannot start the thread that takes signals");
   pthread_cond_destroy(&stop->changed);
   pthread_mutex_destroy(&stop->lock);
   free(stop);
   return NULL;
}

void kv_stop_destroy(struct kv_stop *stop)
{
   atomic_store(&stop->finished, true);
   pthread_kill(stop->thread, SIGTERM); /* only to wake it */
   pthread_join(stop->thread, NULL);
   pthread_cond_destroy(&stop->changed);
   pthread_mutex_destroy(&stop->lock);
   free(stop);
}

void kv_stop_report_with(struct kv_stop *stop, void (*report)(void *context), void *context)
{
   pthread_mutex_lock(&stop->lock);
   stop->report = report;
   stop->report_context = context;
   pthread_mutex_unlock(&stop->lock);
}

void kv_stop_step(struct kv_stop *stop, const char *step, int64_t allowed_ms)
{
   pthread_mutex_lock(&stop->lock);
   stop->step = step;
   stop->allowed_ms = (uint64_t)allowed_ms;
   stop->since_ms = kv_clock_monotonic_ms();
   pthread_mutex_unlock(&stop->lock);
}

void kv_stop_progress(struct kv_stop *stop)
{
   atomic_fetch_add_explicit(&stop->progress, 1, memory_order_relaxed);
}

bool kv_stop_wanted(struct kv_stop *stop)
{
   return atomic_load(&stop->wanted);
}

enum kv_stop_event kv_stop_await(struct kv_stop *stop, int64_t most_ms)
{
   uint64_t until_ms = kv_clock_monotonic_ms() + (uint64_t)most_ms;
   enum kv_stop_event event = KV_STOP_NOTHING;
   pthread_mutex_lock(&stop->lock);
   bool in_time = true;
   while (in_time && !atomic_load(&stop->wanted) && !stop->reload_wanted)
      in_time = kv_clock_wait(&stop->changed, &stop->lock, until_ms);
   if (atomic_load(&stop->wanted))
      event = KV_STOP_WANTED;
   else if (stop->reload_wanted)
      event = KV_STOP_RELOAD;
   stop->reload_wanted = false;
   pthread_mutex_unlock(&stop->lock);
   return event;
}
