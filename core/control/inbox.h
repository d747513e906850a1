/*
 * What the control thread is asked for by other threads: tasks, a tick, its end; and what it has
 * due itself.
 *
 * Promises
 *  - Tasks wait in a queue of limited length (queue.h). Each is run once, or refused once.
 *  - A task whose callers have all cancelled is not begun.
 *  - From kv_inbox_wind_down on, no task begins.
 *
 * Threads: any, but for what is marked [control]: the control thread. The lock is never held while
 * a task runs or is refused.
 */
#ifndef KV_INBOX_H
#define KV_INBOX_H

#include "core/control/control.h"

struct kv_inbox;

/* Returns NULL when memory runs out. */
struct kv_inbox *kv_inbox_create(void);
/* No task may be waiting. */
void kv_inbox_destroy(struct kv_inbox *inbox);

/* As kv_control_post. */
void kv_inbox_post(struct kv_inbox *inbox, struct kv_control_task *task);
void kv_inbox_want_tick(struct kv_inbox *inbox);
/* Refuses the tasks that wait and those to come; what is in progress and can be cancelled is. With
 * `end`, the control thread ends. */
void kv_inbox_wind_down(struct kv_inbox *inbox, bool end);
bool kv_inbox_is_winding_down(const struct kv_inbox *inbox);
/* Whether a task waits, or the end, or what is due. */
bool kv_inbox_is_awaited(struct kv_inbox *inbox);

/* Beside the ticks something is due at that time (monotonic), and at once when the server winds
 * down; UINT64_MAX: nothing is. [control] */
void kv_inbox_set_due(struct kv_inbox *inbox, uint64_t due_ms);
bool kv_inbox_is_due(const struct kv_inbox *inbox);

struct kv_inbox_wishes {
   struct kv_control_task *task; /* to be run by kv_inbox_run, or NULL */
   bool tick;
   bool end;
};
/* Waits until there is something to do. A tick is due at `tick_ms`, or when it is wanted.
 * [control] */
struct kv_inbox_wishes kv_inbox_wait(struct kv_inbox *inbox, uint64_t tick_ms);
/* [control] */
void kv_inbox_run(struct kv_inbox *inbox, struct kv_control_task *task);
/* Whether nobody wants the end of what runs any more: all callers of the task have cancelled, or
 * the server winds down. [control] */
bool kv_inbox_is_cancelled(const struct kv_inbox *inbox);

#endif
