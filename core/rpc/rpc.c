#include "core/rpc/engine.h"
#include "core/rpc/limits.h"

#include "core/net/acceptor.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <stdlib.h>
#include <string.h>

static enum kv_code check_methods(const struct kv_rpc_method *methods, size_t count,
                                  struct kv_status *status)
{
   for (size_t i = 1; i < count; i++)
      for (size_t j = 0; j < i; j++)
         if (strcmp(methods[i].path, methods[j].path) == 0)
            return kv_fail(status, KV_ALREADY_EXISTS, "the method %s is there twice",
                           methods[i].path);
   return KV_OK;
}

static enum kv_code create_acceptor(struct kv_rpc *rpc, struct kv_status *status)
{
   const struct kv_acceptor_handler handler = {.connected = rpc->engine->connected,
                                               .tick = rpc->engine->tick,
                                               .tick_ms = rpc->engine->tick_ms,
                                               .context = rpc->state};
   rpc->acceptor = kv_acceptor_create(&handler, &rpc->options.admission, status);
   return rpc->acceptor ? KV_OK : status->code;
}

static struct kv_rpc *allocate(const struct kv_rpc_options *options,
                               const struct kv_rpc_method *methods, size_t count)
{
   static const char *const no_paths[] = {NULL};
   struct kv_rpc *rpc = calloc(1, sizeof *rpc);
   struct kv_rpc_method *table = calloc(count + 1, sizeof *table);
   struct kv_account *account = kv_account_create(options->memory_max);
   if (!rpc || !table || !account) {
      if (account)
         kv_account_close(account);
      free(table);
      free(rpc);
      return NULL;
   }
   if (count > 0)
      memcpy(table, methods, count * sizeof *table);
   rpc->options = *options;
   if (!options->private_paths)
      rpc->options.private_paths = no_paths;
   rpc->methods = table;
   rpc->method_count = count;
   rpc->account = account;
   pthread_mutex_init(&rpc->lock, NULL);
   kv_clock_init_condition(&rpc->quiet);
   return rpc;
}

struct kv_rpc *kv_rpc_create(const struct kv_rpc_options *options,
                             const struct kv_rpc_method *methods, size_t count,
                             struct kv_status *status)
{
   KV_INVARIANT(options->workers >= 1 && options->workers <= KV_RPC_WORKERS_MAX);
   KV_INVARIANT(options->reader_timeout_ms > 0);
   const struct kv_engine *engine = kv_engine_find(options->wire, status);
   if (!engine || check_methods(methods, count, status) != KV_OK)
      return NULL;
   if (options->tls && !engine->has_tls) {
      kv_fail(status, KV_INVALID_ARGUMENT,
              "wire %s cannot serve TLS: its library takes no connections with certificates from "
              "outside; use wire http2, or leave tls-cert and tls-key out",
              engine->name);
      return NULL;
   }
   struct kv_rpc *rpc = allocate(options, methods, count);
   if (!rpc) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a server of %zu methods", count);
      return NULL;
   }
   rpc->engine = engine;
   rpc->state = engine->create(rpc, status);
   if (rpc->state && create_acceptor(rpc, status) == KV_OK)
      return rpc;
   kv_rpc_destroy(rpc);
   return NULL;
}

enum kv_code kv_rpc_listen(struct kv_rpc *rpc, const char *address, int *port,
                           struct kv_status *status)
{
   return kv_acceptor_listen(rpc->acceptor, address, port, status);
}

enum kv_code kv_rpc_start(struct kv_rpc *rpc, struct kv_status *status)
{
   enum kv_code code = rpc->engine->start(rpc->state, status);
   return code == KV_OK ? kv_acceptor_start(rpc->acceptor, status) : code;
}

void kv_rpc_stop(struct kv_rpc *rpc, int64_t grace_ms)
{
   if (rpc->stopped)
      return;
   rpc->stopped = true;
   atomic_store(&rpc->stopping, true);
   if (rpc->acceptor)
      kv_acceptor_stop(rpc->acceptor);
   if (rpc->state)
      rpc->engine->stop(rpc->state, grace_ms);
}

void kv_rpc_destroy(struct kv_rpc *rpc)
{
   kv_rpc_stop(rpc, 0);
   if (rpc->acceptor)
      kv_acceptor_destroy(rpc->acceptor);
   if (rpc->state)
      rpc->engine->destroy(rpc->state);
   kv_account_close(rpc->account);
   pthread_cond_destroy(&rpc->quiet);
   pthread_mutex_destroy(&rpc->lock);
   free(rpc->methods);
   free(rpc);
}

void kv_rpc_read_statistics(struct kv_rpc *rpc, struct kv_rpc_statistics *statistics)
{
   struct kv_acceptor_statistics connections;
   kv_acceptor_read_statistics(rpc->acceptor, &connections);
   *statistics = (struct kv_rpc_statistics){
       .accepted_connections = connections.accepted,
       .refused_connections = connections.refused,
       .refused_calls = atomic_load_explicit(&rpc->refused_calls, memory_order_relaxed),
       .memory_held = kv_account_held(rpc->account),
       .memory_max = rpc->options.memory_max,
   };
   if (rpc->engine->read_statistics)
      rpc->engine->read_statistics(rpc->state, statistics);
}

/* ---- Workers ---- */

void kv_rpc_add_worker(struct kv_rpc *rpc, struct kv_rpc_worker *worker)
{
   KV_INVARIANT(rpc->worker_count < rpc->options.workers);
   worker->rpc = rpc;
   worker->index = rpc->worker_count;
   TAILQ_INIT(&worker->turn.slow);
   rpc->workers[rpc->worker_count++] = worker;
}

static bool has_leaders(const struct kv_rpc *rpc)
{
   for (unsigned i = 0; i < rpc->worker_count; i++)
      if (atomic_load(&rpc->workers[i]->calls) > 0)
         return true;
   return false;
}

bool kv_rpc_has_calls(const struct kv_rpc *rpc)
{
   for (unsigned i = 0; i < rpc->worker_count; i++)
      if (atomic_load(&rpc->workers[i]->following) > 0)
         return true;
   return has_leaders(rpc);
}

static void await_none(struct kv_rpc *rpc, bool (*has)(const struct kv_rpc *rpc), uint64_t until_ms)
{
   pthread_mutex_lock(&rpc->lock);
   while (has(rpc) && kv_clock_wait(&rpc->quiet, &rpc->lock, until_ms))
      ;
   pthread_mutex_unlock(&rpc->lock);
}

void kv_rpc_await_quiet(struct kv_rpc *rpc, int64_t most_ms)
{
   await_none(rpc, has_leaders, kv_clock_monotonic_ms() + (uint64_t)most_ms);
   if (rpc->options.followers_end)
      rpc->options.followers_end(rpc->options.context);
   const uint64_t longer_ms =
       most_ms < KV_RPC_FOLLOWERS_MS ? (uint64_t)most_ms : KV_RPC_FOLLOWERS_MS;
   await_none(rpc, kv_rpc_has_calls, kv_clock_monotonic_ms() + longer_ms);
}

void kv_rpc_note_quiet(struct kv_rpc *rpc)
{
   pthread_mutex_lock(&rpc->lock);
   pthread_cond_signal(&rpc->quiet);
   pthread_mutex_unlock(&rpc->lock);
}
