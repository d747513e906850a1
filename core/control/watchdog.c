#include "core/control/watchdog.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_SECOND ((uint64_t)1000000000)
#define NS_PER_MS ((uint64_t)1000000)
/* It looks this many times within the shortest budget, within these limits. */
#define LOOKS_PER_BUDGET 4
#define INTERVAL_MIN_MS 10
#define INTERVAL_MAX_MS 1000

#define TEXT_SIZE 200

struct watched {
   struct kv_hook_timing *timing;
   struct watched *next;
   struct {
      uint64_t started_ns; /* which call was reported */
      uint64_t next_ns;    /* after how long it is reported again */
   } reported[KV_HOOK_KINDS];
};

struct kv_watchdog {
   uint64_t write_budget_ns;
   pthread_t thread;
   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   bool stopping;
   struct watched *first;
};

static void describe(const struct kv_hook_timing *timing, enum kv_hook hook, uint64_t running_ns,
                     char text[TEXT_SIZE])
{
   snprintf(text, TEXT_SIZE, "%s of %s has run for %" PRIu64 " s; its budget is %" PRIu64 " s",
            kv_hook_name(hook), kv_hook_timing_plugin(timing), running_ns / NS_PER_SECOND,
            kv_hook_timing_budget_ns(timing, hook) / NS_PER_SECOND);
}

static uint64_t overdue_ns(const struct kv_hook_timing *timing, enum kv_hook hook,
                           uint64_t *started_ns)
{
   uint64_t running_ns = kv_hook_timing_running_ns(timing, hook, started_ns);
   uint64_t budget_ns = kv_hook_timing_budget_ns(timing, hook);
   return budget_ns > 0 && running_ns > budget_ns ? running_ns : 0;
}

static void look(struct watched *watched, enum kv_hook hook)
{
   uint64_t started_ns;
   uint64_t running_ns = overdue_ns(watched->timing, hook, &started_ns);
   bool news = started_ns != watched->reported[hook].started_ns;
   if (running_ns == 0 || (!news && running_ns < watched->reported[hook].next_ns))
      return;
   watched->reported[hook].started_ns = started_ns;
   watched->reported[hook].next_ns = 2 * running_ns;
   char text[TEXT_SIZE];
   describe(watched->timing, hook, running_ns, text);
   kv_log_event(KV_LOG_WARNING, "%s", text);
}

static void *run(void *argument)
{
   struct kv_watchdog *watchdog = argument;
   uint64_t interval_ms = watchdog->write_budget_ns / LOOKS_PER_BUDGET / NS_PER_MS;
   if (interval_ms < INTERVAL_MIN_MS)
      interval_ms = INTERVAL_MIN_MS;
   if (interval_ms > INTERVAL_MAX_MS)
      interval_ms = INTERVAL_MAX_MS;
   pthread_mutex_lock(&watchdog->lock);
   while (!watchdog->stopping) {
      for (struct watched *watched = watchdog->first; watched; watched = watched->next)
         for (int hook = 0; hook < KV_HOOK_KINDS; hook++)
            look(watched, (enum kv_hook)hook);
      kv_clock_wait(&watchdog->changed, &watchdog->lock, kv_clock_monotonic_ms() + interval_ms);
   }
   pthread_mutex_unlock(&watchdog->lock);
   return NULL;
}

struct kv_watchdog *kv_watchdog_create(uint64_t write_budget_ns, struct kv_status *status)
{
   struct kv_watchdog *watchdog = calloc(1, sizeof *watchdog);
   if (!watchdog) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the watchdog");
      return NULL;
   }
   watchdog->write_budget_ns = write_budget_ns;
   pthread_mutex_init(&watchdog->lock, NULL);
   kv_clock_init_condition(&watchdog->changed);
   int error = write_budget_ns > 0 ? pthread_create(&watchdog->thread, NULL, run, watchdog) : 0;
   if (error == 0)
      return watchdog;
   kv_fail_errno(status, error, "cannot start the watchdog's thread");
   pthread_cond_destroy(&watchdog->changed);
   pthread_mutex_destroy(&watchdog->lock);
   free(watchdog);
   return NULL;
}

void kv_watchdog_destroy(struct kv_watchdog *watchdog)
{
   pthread_mutex_lock(&watchdog->lock);
   watchdog->stopping = true;
   pthread_cond_signal(&watchdog->changed);
   pthread_mutex_unlock(&watchdog->lock);
   if (watchdog->write_budget_ns > 0)
      pthread_join(watchdog->thread, NULL);
   pthread_cond_destroy(&watchdog->changed);
   pthread_mutex_destroy(&watchdog->lock);
   free(watchdog);
}

struct kv_hook_timing *kv_watchdog_add(struct kv_watchdog *watchdog, const char *plugin)
{
   struct watched *watched = calloc(1, sizeof *watched);
   struct kv_hook_timing *timing = kv_hook_timing_create(plugin, watchdog->write_budget_ns);
   if (!watched || !timing) {
      free(watched);
      if (timing)
         kv_hook_timing_destroy(timing);
      return NULL;
   }
   watched->timing = timing;
   pthread_mutex_lock(&watchdog->lock);
   watched->next = watchdog->first;
   watchdog->first = watched;
   pthread_mutex_unlock(&watchdog->lock);
   return timing;
}

void kv_watchdog_remove(struct kv_watchdog *watchdog, struct kv_hook_timing *timing)
{
   pthread_mutex_lock(&watchdog->lock);
   struct watched **link = &watchdog->first;
   while ((*link)->timing != timing)
      link = &(*link)->next;
   struct watched *watched = *link;
   *link = watched->next;
   pthread_mutex_unlock(&watchdog->lock);
   kv_hook_timing_destroy(timing);
   free(watched);
}

void kv_watchdog_visit(struct kv_watchdog *watchdog, bool all,
                       void (*visit)(void *context, const char *text), void *context)
{
   pthread_mutex_lock(&watchdog->lock);
   for (const struct watched *watched = watchdog->first; watched; watched = watched->next)
      for (int hook = 0; hook < KV_HOOK_KINDS; hook++) {
         uint64_t running_ns =
             all ? kv_hook_timing_running_ns(watched->timing, (enum kv_hook)hook, NULL)
                 : overdue_ns(watched->timing, (enum kv_hook)hook, NULL);
         char text[TEXT_SIZE];
         if (running_ns == 0)
            continue;
         describe(watched->timing, (enum kv_hook)hook, running_ns, text);
         visit(context, text);
      }
   pthread_mutex_unlock(&watchdog->lock);
}
