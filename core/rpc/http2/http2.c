/*
 * The engine on nghttp2: its server.
 */
#include "core/rpc/engine.h"
#include "core/rpc/http2/call.h"
#include "core/rpc/http2/session.h"
#include "core/rpc/http2/worker.h"
#include "core/support/clock.h"

#include <stdlib.h>

struct server {
   struct kv_rpc *rpc;
   struct kv_http2_methods *methods;
   nghttp2_session_callbacks *callbacks;
   nghttp2_option *options;
   uint64_t connections;      /* that there have been; acceptor's thread only */
   _Atomic uint64_t unopened; /* connections that there was no memory for */
   unsigned worker_count;
   struct kv_http2_worker *workers[KV_RPC_WORKERS_MAX];
};

static void destroy(void *state)
{
   struct server *server = state;
   for (unsigned i = 0; i < server->worker_count; i++)
      kv_http2_worker_destroy(server->workers[i]);
   nghttp2_option_del(server->options);
   nghttp2_session_callbacks_del(server->callbacks);
   kv_http2_methods_destroy(server->methods);
   free(server);
}

static enum kv_code create_workers(struct server *server, struct kv_status *status)
{
   while (server->worker_count < server->rpc->options.workers) {
      struct kv_http2_worker *worker = kv_http2_worker_create(server->rpc->options.tls, status);
      if (!worker)
         return status->code;
      worker->methods = server->methods;
      worker->callbacks = server->callbacks;
      worker->options = server->options;
      worker->peers = server->workers;
      worker->peer_count = server->rpc->options.workers;
      server->workers[server->worker_count++] = worker;
      kv_rpc_add_worker(server->rpc, &worker->base);
   }
   return KV_OK;
}

static void *create(struct kv_rpc *rpc, struct kv_status *status)
{
   struct server *server = calloc(1, sizeof *server);
   if (!server) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a server");
      return NULL;
   }
   server->rpc = rpc;
   server->methods = kv_http2_methods_create(rpc->methods, rpc->method_count);
   server->callbacks = kv_http2_session_callbacks();
   server->options = kv_http2_session_options();
   enum kv_code code = KV_OK;
   if (!server->methods || !server->callbacks || !server->options)
      code = kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a server");
   if (code == KV_OK)
      code = create_workers(server, status);
   if (code == KV_OK)
      return server;
   destroy(server);
   return NULL;
}

static enum kv_code start(void *state, struct kv_status *status)
{
   struct server *server = state;
   enum kv_code code = KV_OK;
   for (unsigned i = 0; code == KV_OK && i < server->worker_count; i++)
      code = kv_http2_worker_start(server->workers[i], status);
   return code;
}

static void connected(void *state, int fd)
{
   struct server *server = state;
   struct kv_http2_worker *worker =
       kv_balance_choose(server->workers, server->worker_count, kv_clock_monotonic_ms());
   struct kv_http2_connection *connection =
       kv_http2_connection_create(worker, fd, ++server->connections);
   if (connection)
      kv_http2_worker_give(worker, connection);
   else
      atomic_fetch_add_explicit(&server->unopened, 1, memory_order_relaxed);
}

static void ask_all(struct server *server, enum kv_http2_stage stage)
{
   for (unsigned i = 0; i < server->worker_count; i++)
      kv_http2_worker_ask(server->workers[i], stage);
}

static void stop(void *state, int64_t grace_ms)
{
   struct server *server = state;
   bool busy = kv_rpc_has_calls(server->rpc);
   ask_all(server, KV_HTTP2_DRAINS);
   kv_rpc_await_quiet(server->rpc, grace_ms);
   busy |= atomic_load(&server->rpc->refused);
   ask_all(server, busy ? KV_HTTP2_ENDS : KV_HTTP2_ENDS_AT_ONCE);
   for (unsigned i = 0; i < server->worker_count; i++)
      kv_http2_worker_join(server->workers[i]);
   for (unsigned i = 0; i < server->worker_count; i++)
      kv_http2_worker_close_given(server->workers[i]);
}

static void read_statistics(void *state, struct kv_rpc_statistics *statistics)
{
   struct server *server = state;
   statistics->knows_connections = true;
   statistics->open_connections = kv_account_shares(server->rpc->account);
   statistics->refused_connections += atomic_load_explicit(&server->unopened, memory_order_relaxed);
   for (unsigned i = 0; i < server->worker_count; i++) {
      struct kv_http2_worker *worker = server->workers[i];
      statistics->resets += atomic_load_explicit(&worker->resets, memory_order_relaxed);
      statistics->ended_connections +=
          atomic_load_explicit(&worker->ended_connections, memory_order_relaxed);
   }
}

const struct kv_engine kv_engine_http2 = {
    .name = "http2",
    .has_tls = true,
    .create = create,
    .start = start,
    .connected = connected,
    .stop = stop,
    .destroy = destroy,
    .read_statistics = read_statistics,
    .message = kv_http2_message,
    .insert = kv_http2_insert,
    .end = kv_http2_end,
    .send = kv_http2_send,
    .read_next = kv_http2_read_next,
    .notify = kv_http2_notify,
    .begin_wait = kv_http2_begin_wait,
    .end_wait = kv_http2_end_wait,
    .drop_request = kv_http2_drop_request,
    .metadata = kv_http2_metadata,
    .add_metadata = kv_http2_add_metadata,
    .join_request = kv_http2_join_request,
    .abort = kv_http2_abort,
};
