#include "core/rpc/http2/balance.h"

#include "core/rpc/http2/worker.h"

#define INTERVAL_MS 100
/* What was measured longer ago says nothing: the worker sleeps. */
#define STALE_MS (2 * INTERVAL_MS)
/* In thousandths: from where on a worker gets no new connection while another one has more time, */
#define FULL 600
/* gives some away, */
#define OVERLOADED 970
/* and up to where another one takes them. */
#define IDLE 400

static unsigned busy(struct kv_http2_worker *worker, uint64_t now_ms)
{
   uint64_t at = atomic_load_explicit(&worker->balance.at_ms, memory_order_relaxed);
   return at + STALE_MS < now_ms
              ? 0
              : atomic_load_explicit(&worker->balance.busy, memory_order_relaxed);
}

static struct kv_http2_worker *least_busy(struct kv_http2_worker *const *workers, unsigned count,
                                          uint64_t now_ms)
{
   struct kv_http2_worker *least = workers[0];
   for (unsigned i = 1; i < count; i++)
      if (busy(workers[i], now_ms) < busy(least, now_ms))
         least = workers[i];
   return least;
}

struct kv_http2_worker *kv_balance_choose(struct kv_http2_worker *const *workers, unsigned count,
                                          uint64_t now_ms)
{
   for (unsigned i = 0; i < count; i++)
      if (busy(workers[i], now_ms) < FULL)
         return workers[i];
   return least_busy(workers, count, now_ms);
}

/* Every second one of those that are used just now, unless calls of it are in flight. */
static void give_half(struct kv_http2_worker *worker, struct kv_http2_worker *to, uint64_t since_ms)
{
   struct kv_http2_connection *connection, *next;
   unsigned used = 0;
   for (connection = LIST_FIRST(&worker->connections); connection; connection = next) {
      next = LIST_NEXT(connection, siblings);
      if (connection->heard_ms < since_ms)
         continue;
      if (used++ % 2 == 1 && kv_http2_connection_leave(connection))
         kv_http2_worker_give(to, connection);
   }
}

void kv_balance_round(struct kv_http2_worker *worker)
{
   struct kv_balance *balance = &worker->balance;
   uint64_t from_ms = balance->from_ms, interval_ms = worker->now_ms - from_ms;
   if (interval_ms < INTERVAL_MS)
      return;
   uint64_t waited = balance->waited_ns / (interval_ms * 1000);
   unsigned part = waited < 1000 ? 1000 - (unsigned)waited : 0;
   balance->from_ms = worker->now_ms;
   balance->waited_ns = 0;
   atomic_store_explicit(&balance->busy, part, memory_order_relaxed);
   atomic_store_explicit(&balance->at_ms, worker->now_ms, memory_order_relaxed);
   if (part < OVERLOADED || worker->stage != KV_HTTP2_SERVES)
      return;
   struct kv_http2_worker *to = least_busy(worker->peers, worker->peer_count, worker->now_ms);
   if (to != worker && busy(to, worker->now_ms) < IDLE)
      give_half(worker, to, from_ms);
}
