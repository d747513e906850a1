#include "core/support/log_events.h"

#include "core/support/clock.h"

#include <stdio.h>

void kv_log_events_add(struct kv_log_events *log, int level, const char *text)
{
   pthread_mutex_lock(&log->lock);
   struct kv_log_event *event = &log->events[log->count++ % KV_LOG_EVENTS_MAX];
   event->unix_ms = kv_clock_unix_ms();
   event->level = level;
   snprintf(event->text, sizeof event->text, "%s", text);
   pthread_mutex_unlock(&log->lock);
}

size_t kv_log_events_read(struct kv_log_events *log, struct kv_log_event events[KV_LOG_EVENTS_MAX])
{
   pthread_mutex_lock(&log->lock);
   size_t count = log->count < KV_LOG_EVENTS_MAX ? (size_t)log->count : KV_LOG_EVENTS_MAX;
   for (size_t i = 0; i < count; i++)
      events[i] = log->events[(log->count - 1 - i) % KV_LOG_EVENTS_MAX];
   pthread_mutex_unlock(&log->lock);
   return count;
}
