/*
 * The turn: what a worker handles before it hands over its work. For an engine with a loop of its
 * own that is one round of it (kv_turn_end); for one that takes events one by one
 * (kv_turn_event), all until nothing more has arrived, or some 64 of them. At its end
 *  1. the options' turn_end answers what handlers have left for it,
 *  2. one slow call is begun, or goes on if it has handed the thread back,
 *  3. the open calls are looked at (stall.h).
 *
 * Slow calls are done one after the other, not side by side, and each learns before it is begun
 * whether it has been cancelled. Connections take turns, too: one with many slow calls keeps no
 * other waiting. A large request, which takes memory until it is answered, is not begun before
 * there is enough.
 *
 * Threads: the worker's.
 */
#ifndef KV_RPC_TURN_H
#define KV_RPC_TURN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define KV_TURN_FOREVER INT64_MAX

struct kv_call;
struct kv_rpc_worker;

struct kv_turn {
   unsigned events;            /* handled in it */
   bool unanswered;            /* a handler has left a call without an answer */
   unsigned calls;             /* unary ones that are open */
   TAILQ_HEAD(, kv_call) slow; /* calls that wait to be begun, or to go on */
   uint64_t given;             /* how often a slow call was begun or went on */
   bool blocked;               /* none of them may go now: there is no memory to work on them */
};

/* After each event; ends the turn when it is long, or when there is nothing to wait for. */
void kv_turn_event(struct kv_rpc_worker *worker);
/* Nothing more has arrived. */
void kv_turn_end(struct kv_rpc_worker *worker);
/* Until when the worker may wait for an event before it has to end a turn, in milliseconds by the
 * monotonic clock: 0 when it must not wait, KV_TURN_FOREVER when only an event gives it work. */
int64_t kv_turn_wait_until(const struct kv_rpc_worker *worker);
/* Before what may take long within a turn: does what its end would do for the calls so far. */
void kv_turn_answer(struct kv_rpc_worker *worker);
/* After a handler of the call has run. */
void kv_turn_handled(struct kv_call *call);
/* Has resume(call) called when the slow calls before it have been. */
void kv_turn_await(struct kv_call *call, void (*resume)(struct kv_call *call));
/* The same for one that has been begun and is to go on before any other. */
void kv_turn_go_on(struct kv_call *call, void (*resume)(struct kv_call *call));

#endif
