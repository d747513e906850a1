/*
 * Which worker has which connections.
 *
 * Few busy threads are cheaper than many idle ones: a worker with many connections finds several of
 * them ready whenever it looks, and seldom goes to sleep. So connections stay together on the first
 * worker as long as it has time for them. A worker that has hardly any left gives connections away
 * to one that has.
 *
 * Threads: kv_balance_choose on any; the others on the worker's.
 */
#ifndef KV_HTTP2_BALANCE_H
#define KV_HTTP2_BALANCE_H

#include <stdatomic.h>
#include <stdint.h>

struct kv_http2_worker;

/* How busy a worker is, of which the others know only the last two. */
struct kv_balance {
   uint64_t from_ms;       /* when the measurement began */
   uint64_t waited_ns;     /* for events since then */
   atomic_uint busy;       /* thousandths of the last interval that it did not wait */
   _Atomic uint64_t at_ms; /* when that interval ended */
};

/* The worker for a new connection, of `count`. */
struct kv_http2_worker *kv_balance_choose(struct kv_http2_worker *const *workers, unsigned count,
                                          uint64_t now_ms);
/* At the end of each round: measures, and gives connections away if that is due. */
void kv_balance_round(struct kv_http2_worker *worker);

#endif
