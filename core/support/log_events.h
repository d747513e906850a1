/*
 * The last events of a process, for who looks at it later: lines of the log that say what became of
 * the whole, and name no client and no key.
 *
 * Threads: any.
 */
#ifndef KV_LOG_EVENTS_H
#define KV_LOG_EVENTS_H

#include "core/support/status.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define KV_LOG_EVENTS_MAX 24

struct kv_log_event {
   int64_t unix_ms;
   int level; /* enum kv_log_level */
   char text[KV_STATUS_TEXT_SIZE];
};

struct kv_log_events {
   pthread_mutex_t lock; /* for what follows */
   uint64_t count;       /* that there have been; event N is in place N % KV_LOG_EVENTS_MAX */
   struct kv_log_event events[KV_LOG_EVENTS_MAX];
};

void kv_log_events_add(struct kv_log_events *log, int level, const char *text);
/* The newest first; returns how many. */
size_t kv_log_events_read(struct kv_log_events *log, struct kv_log_event events[KV_LOG_EVENTS_MAX]);

#endif
