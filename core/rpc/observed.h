/*
 * What observers of calls are told: when a request has arrived, and that its call is being answered
 * (kv_rpc_options.answered). Without an observer nothing of it is kept, and no clock is read.
 *
 * A clock reading costs as much as a hundredth of a small call, so few are made: a request has
 * arrived when its worker's round began, and several answers of one thread share a reading.
 *
 * Threads: the worker's, but for kv_call_report: any.
 */
#ifndef KV_RPC_OBSERVED_H
#define KV_RPC_OBSERVED_H

#include "core/rpc/rpc.h"

#include <stdatomic.h>

struct kv_rpc_worker;

/* Of a call. */
struct kv_observed_call {
   _Atomic uint64_t arrived_ns; /* by the monotonic clock; or one of the values below */
   struct kv_rpc_subject subject;
};

/* Of a worker; its thread's. */
struct kv_observed_worker {
   uint64_t round_ns;    /* when its round began */
   uint64_t answered_ns; /* the last reading for answers, */
   unsigned shared;      /* which so many more may share */
};

/* The thread of the worker begins, and a round of it. `now_ns` 0: reads the clock itself, if there
 * is an observer. */
void kv_observe_thread(struct kv_rpc_worker *worker);
void kv_observe_round(struct kv_rpc_worker *worker, uint64_t now_ns);
/* Time has passed: no later answer may share a reading with those before. */
void kv_observe_pause(struct kv_rpc_worker *worker);

void kv_call_observe(struct kv_call *call);
/* The call's request has arrived whole, or the first one of a stream, of so many bytes. */
void kv_call_arrived(struct kv_call *call, size_t size);
/* The call is about to be answered so; only the first report counts. */
void kv_call_report(struct kv_call *call, enum kv_code code);
/* The call is closed: it was cancelled, unless it has been answered. */
void kv_call_report_closed(struct kv_call *call);
/* The call is refused, and was never opened; `method` is NULL for an unknown one. */
void kv_call_report_refused(struct kv_call *call, const struct kv_rpc_method *method,
                            enum kv_code code);

#endif
