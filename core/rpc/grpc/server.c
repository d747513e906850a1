#include "core/rpc/grpc/server.h"

#include "core/rpc/engine.h"
#include "core/rpc/grpc/call.h"
#include "core/rpc/grpc/connections.h"
#include "core/rpc/grpc/grpc_log.h"
#include "core/rpc/grpc/headers.h"
#include "core/rpc/grpc/monopoly.h"
#include "core/rpc/limits.h"
#include "core/support/invariant.h"

#include <grpc/grpc_security.h>
#include <grpc/support/time.h>

#include <stdlib.h>

static grpc_arg integer(char *key, int value)
{
   return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key, .value.integer = value};
}

static grpc_server *create_server(const struct kv_rpc_options *options, grpc_resource_quota *quota)
{
   KV_INVARIANT(options->receive_message_max <= INT32_MAX);
   grpc_arg args[] = {
       integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)options->receive_message_max),
       integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, KV_RPC_CONCURRENT_STREAMS_MAX),
       /* Requests are unpacked within the receive limit, see inflate.h. */
       integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
       {.type = GRPC_ARG_POINTER,
        .key = GRPC_ARG_RESOURCE_QUOTA,
        .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
       integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
       integer(GRPC_ARG_MAX_METADATA_SIZE, KV_RPC_METADATA_ADVISED),
       /* gRPC would put a status behind a reply of which half has left, and the client would take
        * that for a broken reply. See kv_call_reply. */
       integer(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0),
       integer(GRPC_ARG_KEEPALIVE_TIME_MS, KV_RPC_KEEPALIVE_MS),
       integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KV_RPC_KEEPALIVE_ANSWER_MS),
       integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
       integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, KV_RPC_PING_INTERVAL_MIN_MS),
       /* Cost without use here. */
       integer(GRPC_ARG_HTTP2_BDP_PROBE, 0),
       integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
   };
   return grpc_server_create(
       &(grpc_channel_args){.num_args = sizeof args / sizeof args[0], .args = args}, NULL);
}

static enum kv_code register_methods(struct kv_grpc_worker *worker, struct kv_status *status)
{
   const struct kv_rpc *rpc = worker->base.rpc;
   worker->registered = calloc(rpc->method_count + 1, sizeof *worker->registered);
   if (!worker->registered)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a table of %zu methods",
                     rpc->method_count);
   for (size_t i = 0; i < rpc->method_count; i++) {
      const char *path = rpc->methods[i].path;
      worker->registered[i] = grpc_server_register_method(
          worker->server, path, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
      KV_INVARIANT(worker->registered[i]);
   }
   return KV_OK;
}

static enum kv_code create_worker(struct kv_grpc_server *server, grpc_resource_quota *quota,
                                  struct kv_status *status)
{
   struct kv_grpc_worker *worker = &server->workers[server->worker_count++];
   kv_rpc_add_worker(server->rpc, &worker->base);
   worker->server = create_server(&server->rpc->options, quota);
   worker->queue = grpc_completion_queue_create_for_next(NULL);
   grpc_server_register_completion_queue(worker->server, worker->queue, NULL);
   enum kv_code code = register_methods(worker, status);
   return code == KV_OK ? kv_grpc_slots_create(worker, status) : code;
}

static enum kv_code create_workers(struct kv_grpc_server *server, struct kv_status *status)
{
   enum kv_code code = KV_OK;
   grpc_resource_quota *quota = grpc_resource_quota_create("kvstore"); /* of all together */
   grpc_resource_quota_resize(quota, server->rpc->options.memory_max);
   while (code == KV_OK && server->worker_count < server->rpc->options.workers)
      code = create_worker(server, quota, status);
   grpc_resource_quota_unref(quota);
   return code;
}

static void look_at_connections(void *state)
{
   struct kv_grpc_server *server = state;
   kv_monopoly_look(server->monopoly);
}

static gpr_timespec in_ms(int64_t ms)
{
   return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static gpr_timespec time_to_wait(const struct kv_grpc_worker *worker)
{
   int64_t until = kv_turn_wait_until(&worker->base);
   if (until == KV_TURN_FOREVER)
      return gpr_inf_future(GPR_CLOCK_MONOTONIC);
   return (gpr_timespec){.tv_sec = until / 1000,
                         .tv_nsec = (int32_t)(until % 1000) * 1000000,
                         .clock_type = GPR_CLOCK_MONOTONIC};
}

/* Within which gRPC also reads and writes. */
static grpc_event await_event(struct kv_grpc_worker *worker)
{
   unsigned waits = atomic_load_explicit(&worker->waits, memory_order_relaxed);
   atomic_store_explicit(&worker->waits, waits + 1, memory_order_relaxed);
   grpc_event event = grpc_completion_queue_next(worker->queue, time_to_wait(worker), NULL);
   atomic_store_explicit(&worker->waits, waits + 2, memory_order_relaxed);
   return event;
}

/* Handles events until the server has been stopped and nothing of this worker is left in gRPC: its
 * slots have come back and its calls are closed. Only then may the queue be shut down. */
static void *work(void *argument)
{
   struct kv_grpc_worker *worker = argument;
   kv_observe_thread(&worker->base);
   while (worker->pending > 0) {
      grpc_event event = await_event(worker);
      if (event.type == GRPC_QUEUE_TIMEOUT) {
         kv_turn_end(&worker->base);
         continue;
      }
      kv_observe_round(&worker->base, 0);
      struct kv_grpc_event *tag = event.tag;
      kv_grpc_taken_over(tag);
      tag->handle(tag->owner, event.success != 0);
      kv_turn_event(&worker->base);
   }
   return NULL;
}

static enum kv_code start(void *state, struct kv_status *status)
{
   struct kv_grpc_server *server = state;
   for (unsigned i = 0; i < server->worker_count; i++) {
      struct kv_grpc_worker *worker = &server->workers[i];
      grpc_server_start(worker->server);
      kv_grpc_slots_post(worker);
      int error = pthread_create(&worker->thread, NULL, work, worker);
      if (error != 0)
         return kv_fail_errno(status, error, "cannot start thread %u of %u for the network", i + 1,
                              server->worker_count);
      worker->running = true;
   }
   return KV_OK;
}

static void join_workers(struct kv_grpc_server *server)
{
   for (unsigned i = 0; i < server->worker_count; i++) {
      struct kv_grpc_worker *worker = &server->workers[i];
      if (worker->running)
         pthread_join(worker->thread, NULL);
      else
         work(worker); /* its thread could not be started, but its slots may be posted */
      worker->running = false;
   }
}

/* Calls that arrive from now on are refused, see slot.c. gRPC's own way is to shut the server down
 * first, but from then on it ends what arrives as CANCELLED, which no client tries again. So the
 * connections are closed first: what they still carry then fails as UNAVAILABLE. */
static void refuse_calls(struct kv_grpc_server *server, int64_t grace_ms)
{
   struct kv_rpc *rpc = server->rpc;
   bool busy = kv_rpc_has_calls(rpc);
   kv_rpc_await_quiet(rpc, grace_ms);
   if (busy || atomic_load(&rpc->refused))
      gpr_sleep_until(in_ms(grace_ms < KV_RPC_FAREWELL_MS ? grace_ms : KV_RPC_FAREWELL_MS));
   for (unsigned i = 0; i < server->worker_count; i++)
      grpc_server_cancel_all_calls(server->workers[i].server);
}

static void stop(void *state, int64_t grace_ms)
{
   struct kv_grpc_server *server = state;
   refuse_calls(server, grace_ms);
   for (unsigned i = 0; i < server->worker_count; i++)
      grpc_server_shutdown_and_notify(server->workers[i].server, server->shutdown_queue, NULL);
   for (unsigned left = server->worker_count; left > 0; left--)
      grpc_completion_queue_next(server->shutdown_queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
   join_workers(server);
}

static void destroy_queue(grpc_completion_queue *queue)
{
   grpc_completion_queue_shutdown(queue);
   while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
          GRPC_QUEUE_SHUTDOWN)
      ;
   grpc_completion_queue_destroy(queue);
}

static void destroy(void *state)
{
   struct kv_grpc_server *server = state;
   if (server->monopoly)
      kv_monopoly_destroy(server->monopoly);
   for (unsigned i = 0; i < server->worker_count; i++)
      grpc_server_destroy(server->workers[i].server);
   destroy_queue(server->shutdown_queue);
   for (unsigned i = 0; i < server->worker_count; i++) {
      destroy_queue(server->workers[i].queue);
      kv_grpc_slots_destroy(&server->workers[i]);
      kv_grpc_call_pool_destroy(&server->workers[i]);
      kv_grpc_connections_destroy(&server->workers[i]);
      free(server->workers[i].registered);
   }
   grpc_server_credentials_release(server->credentials);
   grpc_shutdown_blocking();
   free(server);
}

static void *create(struct kv_rpc *rpc, struct kv_status *status)
{
   size_t size =
       sizeof(struct kv_grpc_server) + rpc->options.workers * sizeof(struct kv_grpc_worker);
   struct kv_grpc_server *server = calloc(1, size);
   if (!server) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for %u workers", rpc->options.workers);
      return NULL;
   }
   kv_grpc_log_begin();
   grpc_init();
   server->rpc = rpc;
   server->credentials = grpc_insecure_server_credentials_create();
   server->shutdown_queue = grpc_completion_queue_create_for_next(NULL);
   server->encodings =
       (grpc_metadata){.key = grpc_slice_from_static_string("grpc-accept-encoding"),
                       .value = grpc_slice_from_static_string("identity,deflate,gzip")};
   server->monopoly = kv_monopoly_create(server, status);
   if (server->monopoly && create_workers(server, status) == KV_OK)
      return server;
   stop(server, 0);
   destroy(server);
   return NULL;
}

const struct kv_engine kv_engine_grpc = {
    .name = "grpc",
    .create = create,
    .start = start,
    .connected = kv_grpc_accept,
    .tick = look_at_connections,
    .tick_ms = KV_MONOPOLY_LOOK_MS,
    .stop = stop,
    .destroy = destroy,
    .message = kv_grpc_message,
    .insert = kv_grpc_insert,
    .end = kv_grpc_end,
    .send = kv_grpc_stream_send,
    .read_next = kv_grpc_stream_read_next,
    .notify = kv_grpc_stream_notify,
    .begin_wait = kv_grpc_stream_begin_wait,
    .end_wait = kv_grpc_stream_end_wait,
    .drop_request = kv_grpc_drop_request,
    .watch = kv_grpc_watch,
    .metadata = kv_grpc_metadata,
    .add_metadata = kv_grpc_add_metadata,
    .join_request = kv_grpc_join_request,
    .abort = kv_grpc_abort,
};
