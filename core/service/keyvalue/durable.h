/*
 * The calls of WaitDurable that wait. One thread looks after all of them every 20 ms, as a sync of
 * the mode or a checkpoint may have covered their versions, the mode may have been switched, or
 * they may have been cancelled; it is started with the first of them, and sleeps while there is
 * none. Where a mode makes checkpoints alone it has one made for all that need it.
 *
 * Threads: any.
 */
#ifndef KV_KEYVALUE_DURABLE_H
#define KV_KEYVALUE_DURABLE_H

#include "core/control/control.h"

#include <pthread.h>
#include <sys/queue.h>

struct kv_durable_wait;

struct kv_durable_waits {
   struct kv_control *control;
   pthread_mutex_t lock; /* for what follows; held while a call is answered */
   pthread_cond_t changed;
   LIST_HEAD(, kv_durable_wait) waits;
   bool draining, stopping;
   bool started;
   pthread_t thread;
   struct kv_control_task save;
   bool saving; /* it has been posted, and neither run nor refused */
};

void kv_durable_waits_init(struct kv_durable_waits *waits, struct kv_control *control);
/* The calls end as UNAVAILABLE, and none waits any more. */
void kv_durable_waits_drain(struct kv_durable_waits *waits);
/* All calls must be over, and the control thread too. */
void kv_durable_waits_deinit(struct kv_durable_waits *waits);

#endif
