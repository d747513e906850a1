/*
 * Timers: many are set, and few are due at a time.
 *
 * Promises
 *  - Setting a timer and stopping it costs O(1). A turn looks at the slots whose time has come
 *    since the last one: at a timer when it is due, and before that once every KV_WHEEL_SPAN_MS.
 *  - A timer is not due before its time, and at most KV_WHEEL_SLOT_MS after it, if the wheel is
 *    turned when kv_wheel_next says.
 *
 * The scheme is the sixth of Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987).
 *
 * Threads: one at a time for a wheel and its timers.
 */
#ifndef KV_WHEEL_H
#define KV_WHEEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* A sixth of the shortest interval of progress (watchers.h). */
#define KV_WHEEL_SLOT_MS 16u
#define KV_WHEEL_SLOTS 256u
#define KV_WHEEL_SPAN_MS (KV_WHEEL_SLOT_MS * KV_WHEEL_SLOTS)

/* Embedded by its user. */
struct kv_timer {
   uint64_t slot; /* counted from time 0 */
   LIST_ENTRY(kv_timer) others;
};

struct kv_wheel {
   uint64_t turned; /* the slots up to this one have been looked at */
   size_t count;    /* of timers */
   LIST_HEAD(, kv_timer) slots[KV_WHEEL_SLOTS];
};

void kv_wheel_init(struct kv_wheel *wheel);
/* One that is not set. Times are in milliseconds, by any clock that does not go back. */
void kv_wheel_set(struct kv_wheel *wheel, struct kv_timer *timer, uint64_t due_ms);
/* One that is set. */
void kv_wheel_stop(struct kv_wheel *wheel, struct kv_timer *timer);
/* Calls due(context, timer) for each timer whose time has come, which is not set any more then, and
 * may be set again there. Returns how many timers it has looked at. */
size_t kv_wheel_turn(struct kv_wheel *wheel, uint64_t now_ms,
                     void (*due)(void *context, struct kv_timer *timer), void *context);
/* No timer is due before that time; 0: none is set. */
uint64_t kv_wheel_next(const struct kv_wheel *wheel);

#endif
