/*
 * The tasks that wait for the control thread, a limited number of them.
 *
 *  - Tasks that ask for the same are merged: they are one task in the queue.
 *  - Callers take turns, so that one who asks for much waits behind those who ask for little.
 *  - Each caller may have a few tasks here, and all together a few more. When a limit is passed,
 *    the newcomer is refused, or, where it asks for less than others, the task whose turn is last.
 *
 * Threads: one at a time; the caller locks.
 */
#ifndef KV_CONTROL_QUEUE_H
#define KV_CONTROL_QUEUE_H

#include "core/control/control.h"

#define KV_CONTROL_QUEUE_MAX 64
#define KV_CONTROL_QUEUE_CALLER_MAX 8

struct kv_control_queue {
   struct kv_control_task *first; /* by turn, then by arrival */
   size_t count;                  /* what is merged counts as one */
   uint64_t turn;                 /* that of the task taken last */
};

/* Returns the task that passes a limit, to be refused with all that is merged into it, or NULL. */
struct kv_control_task *kv_control_queue_put(struct kv_control_queue *queue,
                                             struct kv_control_task *task);
/* The task whose turn it is, or NULL. */
struct kv_control_task *kv_control_queue_take(struct kv_control_queue *queue);

#endif
