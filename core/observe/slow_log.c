#include "core/observe/slow_log.h"

#include <pthread.h>
#include <stdlib.h>

#define NS_PER_MS UINT64_C(1000000)

struct kv_slow_log {
   uint64_t threshold_ms;
   pthread_mutex_t lock; /* for what follows */
   uint64_t total;
   struct kv_event events[KV_SLOW_LOG_SIZE]; /* a ring: the nth call is at n modulo its size */
};

struct kv_slow_log *kv_slow_log_create(uint64_t threshold_ms)
{
   struct kv_slow_log *log = calloc(1, sizeof *log);
   if (!log)
      return NULL;
   log->threshold_ms = threshold_ms;
   pthread_mutex_init(&log->lock, NULL);
   return log;
}

void kv_slow_log_destroy(struct kv_slow_log *log)
{
   pthread_mutex_destroy(&log->lock);
   free(log);
}

uint64_t kv_slow_log_threshold_ms(const struct kv_slow_log *log)
{
   return log->threshold_ms;
}

bool kv_slow_log_wants(const struct kv_slow_log *log, uint64_t elapsed_ns)
{
   return log->threshold_ms > 0 && elapsed_ns / NS_PER_MS >= log->threshold_ms;
}

void kv_slow_log_add(struct kv_slow_log *log, const struct kv_event *event)
{
   pthread_mutex_lock(&log->lock);
   log->events[log->total++ % KV_SLOW_LOG_SIZE] = *event;
   pthread_mutex_unlock(&log->lock);
}

size_t kv_slow_log_read(struct kv_slow_log *log, struct kv_event *events, size_t max,
                        uint64_t *total)
{
   pthread_mutex_lock(&log->lock);
   size_t count = log->total < KV_SLOW_LOG_SIZE ? (size_t)log->total : KV_SLOW_LOG_SIZE;
   if (count > max)
      count = max;
   for (size_t i = 0; i < count; i++)
      events[i] = log->events[(log->total - 1 - i) % KV_SLOW_LOG_SIZE];
   *total = log->total;
   pthread_mutex_unlock(&log->lock);
   return count;
}
