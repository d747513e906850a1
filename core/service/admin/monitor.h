/*
 * The streams of Monitor. One thread sends to all of them, every 20 ms what has come since, at most
 * KV_MONITOR_MESSAGE_CALLS in a message; it is started with the first stream, and sleeps while
 * there is none. A stream whose client does not read gets no more until it does.
 *
 * Threads: any.
 */
#ifndef KV_SERVICE_MONITOR_H
#define KV_SERVICE_MONITOR_H

#include "core/observe/monitor.h"

#include <pthread.h>
#include <sys/queue.h>

/* What a terminal can show of 20 ms, and more. */
#define KV_MONITOR_MESSAGE_CALLS ((size_t)256)
#define KV_MONITOR_INTERVAL_MS 20

struct kv_monitor_stream;
struct kv_monitor_part;

struct kv_monitors {
   struct kv_monitor *monitor;
   pthread_mutex_t lock; /* for what follows; held while a stream is sent to */
   pthread_cond_t changed;
   LIST_HEAD(, kv_monitor_stream) streams;
   bool draining, stopping;
   pthread_t thread;
   struct kv_monitor_part *part; /* the thread's, who runs if there is one */
};

void kv_monitors_init(struct kv_monitors *monitors, struct kv_monitor *monitor);
/* The streams end as UNAVAILABLE, and no more is begun. */
void kv_monitors_drain(struct kv_monitors *monitors);
/* All calls must be over. */
void kv_monitors_deinit(struct kv_monitors *monitors);

#endif
