/*
 * What waits for the control thread, of bounded length.
 *
 *  - Tasks that ask for the same are merged: they are one task in the queue.
 *  - Callers take turns, so that whoever asks a lot waits behind whoever asks little.
 *  - A caller may have only some tasks here, and all together only some more. What finds no room is
 *    refused: the newcomer, or, where it asks less than others, the one whose turn is the last.
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

/* Returns the task that there is no room for, to be refused with all that is merged into it; NULL:
 * there was room. */
struct kv_control_task *kv_control_queue_put(struct kv_control_queue *queue,
                                             struct kv_control_task *task);
/* The task whose turn it is, or NULL. */
struct kv_control_task *kv_control_queue_take(struct kv_control_queue *queue);

#endif
