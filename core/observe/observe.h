/*
 * Who looks at calls as they are answered: the slow log, the monitor and the hot prefixes.
 *
 * Nobody ever waits. While a call is fast, nobody follows, and it is not in the sample, it costs
 * two comparisons, a load and a counter of its thread: in a loop 5 ns, with the sample. A monitor
 * that does not read adds 11 ns, one that has space 100 ns and the system call for the peer's
 * address.
 *
 * Only unary calls can be slow: how long a stream lasts is up to its client. The line that the log
 * has of a slow call has no key, as more people may read logs than data.
 *
 * Threads: kv_observers_answered from any; the parts as their headers say.
 */
#ifndef KV_OBSERVE_H
#define KV_OBSERVE_H

#include "core/observe/hot.h"
#include "core/observe/monitor.h"
#include "core/observe/slow_log.h"
#include "core/rpc/rpc.h"

struct kv_observers {
   struct kv_slow_log *slow_log;
   struct kv_monitor *monitor;
   struct kv_hot *hot;
};

/* Calls of at least `slow_ms` are slow, 0: none is. `workers` of core/rpc. Deinit it also after a
 * failure. */
enum kv_code kv_observers_init(struct kv_observers *observers, uint64_t slow_ms, unsigned workers,
                               struct kv_status *status);
void kv_observers_deinit(struct kv_observers *observers);

/* For kv_rpc_options.answered. */
void kv_observers_answered(struct kv_observers *observers, const struct kv_rpc_answer *answer);

#endif
