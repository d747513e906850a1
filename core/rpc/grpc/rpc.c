#include "core/rpc/grpc/call.h"
#include "core/rpc/grpc/grpc_log.h"
#include "core/rpc/grpc/headers.h"
#include "core/rpc/grpc/monopoly.h"
#include "core/rpc/grpc/server.h"

#include "core/net/acceptor.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <grpc/grpc_security.h>
#include <grpc/support/time.h>

#include <stdlib.h>
#include <string.h>

/* Detects clients that vanished without a FIN, and ends their streams. */
#define KEEPALIVE_TIME_MS 120000
#define KEEPALIVE_TIMEOUT_MS 20000
/* How often clients may send keepalive pings, with or without calls; more is an error. */
#define PING_INTERVAL_MIN_MS 1000
/* While there is no memory for large requests: how long until the next attempt. */
#define BLOCKED_MS 5
/* Calls in flight on one connection; a client waits with those beyond. */
#define CONCURRENT_STREAMS_MAX 1024
/* Where calls were in flight at a stop: how long their replies have to reach the clients before the
 * connections are closed. If requests are still unread then, the system resets the connections and
 * drops what is in flight to the client. */
#define FAREWELL_MS 100

static grpc_arg integer(char *key, int value)
{
   return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key, .value.integer = value};
}

static grpc_server *create_server(const struct kv_rpc_options *options, grpc_resource_quota *quota)
{
   KV_INVARIANT(options->receive_message_max <= INT32_MAX);
   grpc_arg args[] = {
       integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)options->receive_message_max),
       integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, CONCURRENT_STREAMS_MAX),
       /* Requests are unpacked within the receive limit, see inflate.h. */
       integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
       {.type = GRPC_ARG_POINTER,
        .key = GRPC_ARG_RESOURCE_QUOTA,
        .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
       integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
       /* More than is taken (headers.h): some clients look at this number themselves and report an
        * internal error, where the server says what is wrong. */
       integer(GRPC_ARG_MAX_METADATA_SIZE, 2 * KV_RPC_METADATA_MAX),
       /* gRPC would put a status behind a reply of which half has left, and the client would take
        * that for a broken reply. See kv_call_reply. */
       integer(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0),
       integer(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_TIME_MS),
       integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
       integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
       integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_INTERVAL_MIN_MS),
       /* Cost without use here. */
       integer(GRPC_ARG_HTTP2_BDP_PROBE, 0),
       integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
   };
   return grpc_server_create(
       &(grpc_channel_args){.num_args = sizeof args / sizeof args[0], .args = args}, NULL);
}

static enum kv_code register_methods(struct kv_rpc_worker *worker, struct kv_status *status)
{
   const struct kv_rpc *rpc = worker->rpc;
   worker->registered = calloc(rpc->method_count + 1, sizeof *worker->registered);
   if (!worker->registered)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for a table of %zu methods",
                     rpc->method_count);
   for (size_t i = 0; i < rpc->method_count; i++) {
      const char *path = rpc->methods[i].path;
      worker->registered[i] = grpc_server_register_method(
          worker->server, path, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
      if (!worker->registered[i])
         return kv_fail(status, KV_ALREADY_EXISTS, "the method %s is there twice", path);
   }
   return KV_OK;
}

static enum kv_code create_worker(struct kv_rpc *rpc, grpc_resource_quota *quota,
                                  struct kv_status *status)
{
   struct kv_rpc_worker *worker = &rpc->workers[rpc->worker_count];
   worker->rpc = rpc;
   worker->index = rpc->worker_count++;
   worker->open.look_at = gpr_now(GPR_CLOCK_MONOTONIC);
   TAILQ_INIT(&worker->turn.slow);
   worker->server = create_server(&rpc->options, quota);
   worker->queue = grpc_completion_queue_create_for_next(NULL);
   grpc_server_register_completion_queue(worker->server, worker->queue, NULL);
   enum kv_code code = register_methods(worker, status);
   return code == KV_OK ? kv_rpc_slots_create(worker, status) : code;
}

static enum kv_code create_workers(struct kv_rpc *rpc, struct kv_status *status)
{
   enum kv_code code = KV_OK;
   grpc_resource_quota *quota = grpc_resource_quota_create("kvstore"); /* of all together */
   grpc_resource_quota_resize(quota, rpc->options.memory_max);
   while (code == KV_OK && rpc->worker_count < rpc->options.workers)
      code = create_worker(rpc, quota, status);
   grpc_resource_quota_unref(quota);
   return code;
}

static void look_at_connections(void *rpc)
{
   kv_monopoly_look(((struct kv_rpc *)rpc)->monopoly);
}

static enum kv_code create_acceptor(struct kv_rpc *rpc, struct kv_status *status)
{
   const struct kv_acceptor_handler handler = {.connected = kv_connection_accept,
                                               .tick = look_at_connections,
                                               .tick_ms = KV_MONOPOLY_LOOK_MS,
                                               .context = rpc};
   rpc->monopoly = kv_monopoly_create(rpc, status);
   if (!rpc->monopoly)
      return status->code;
   rpc->acceptor = kv_acceptor_create(&handler, status);
   return rpc->acceptor ? KV_OK : status->code;
}

struct kv_rpc *kv_rpc_create(const struct kv_rpc_options *options,
                             const struct kv_rpc_method *methods, size_t count,
                             struct kv_status *status)
{
   KV_INVARIANT(options->workers >= 1 && options->workers <= KV_RPC_WORKERS_MAX);
   KV_INVARIANT(options->reader_timeout_ms > 0);
   size_t size = sizeof(struct kv_rpc) + options->workers * sizeof(struct kv_rpc_worker);
   struct kv_rpc *rpc = calloc(1, size);
   struct kv_rpc_method *table = calloc(count + 1, sizeof *table);
   struct kv_account *account = kv_account_create(options->memory_max);
   if (!rpc || !table || !account) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for %u workers", options->workers);
      if (account)
         kv_account_close(account);
      free(rpc);
      free(table);
      return NULL;
   }
   pthread_mutex_init(&rpc->lock, NULL);
   kv_clock_init_condition(&rpc->quiet);
   kv_grpc_log_begin();
   grpc_init();
   if (count > 0)
      memcpy(table, methods, count * sizeof *table);
   rpc->options = *options;
   rpc->methods = table;
   rpc->method_count = count;
   rpc->credentials = grpc_insecure_server_credentials_create();
   rpc->shutdown_queue = grpc_completion_queue_create_for_next(NULL);
   rpc->account = account;
   rpc->encodings =
       (grpc_metadata){.key = grpc_slice_from_static_string("grpc-accept-encoding"),
                       .value = grpc_slice_from_static_string("identity,deflate,gzip")};
   enum kv_code code = create_workers(rpc, status);
   if (code == KV_OK)
      code = create_acceptor(rpc, status);
   if (code == KV_OK)
      return rpc;
   kv_rpc_destroy(rpc);
   return NULL;
}

enum kv_code kv_rpc_listen(struct kv_rpc *rpc, const char *address, int *port,
                           struct kv_status *status)
{
   return kv_acceptor_listen(rpc->acceptor, address, port, status);
}

static gpr_timespec in_ms(int64_t ms)
{
   return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static gpr_timespec time_to_wait(const struct kv_rpc_worker *worker)
{
   if (kv_turn_is_open(worker))
      return gpr_inf_past(GPR_CLOCK_MONOTONIC);
   if (worker->turn.blocked) /* until another worker's calls have ended */
      return in_ms(BLOCKED_MS);
   return LIST_EMPTY(&worker->open.calls) ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
                                          : worker->open.look_at;
}

/* Within which gRPC also reads and writes. */
static grpc_event await_event(struct kv_rpc_worker *worker)
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
   struct kv_rpc_worker *worker = argument;
   while (worker->pending > 0) {
      grpc_event event = await_event(worker);
      if (event.type == GRPC_QUEUE_TIMEOUT) {
         kv_turn_end(worker);
         continue;
      }
      struct kv_rpc_event *tag = event.tag;
      kv_rpc_taken_over(tag);
      tag->handle(tag->owner, event.success != 0);
      kv_turn_event(worker);
   }
   return NULL;
}

enum kv_code kv_rpc_start(struct kv_rpc *rpc, struct kv_status *status)
{
   for (unsigned i = 0; i < rpc->worker_count; i++) {
      struct kv_rpc_worker *worker = &rpc->workers[i];
      grpc_server_start(worker->server);
      kv_rpc_slots_post(worker);
      int error = pthread_create(&worker->thread, NULL, work, worker);
      if (error != 0)
         return kv_fail_errno(status, error, "cannot start thread %u of %u for the network", i + 1,
                              rpc->worker_count);
      worker->running = true;
   }
   return kv_acceptor_start(rpc->acceptor, status);
}

static bool has_calls(const struct kv_rpc *rpc)
{
   for (unsigned i = 0; i < rpc->worker_count; i++)
      if (atomic_load(&rpc->workers[i].calls) > 0)
         return true;
   return false;
}

/* Waits until no call is open, at most until the deadline. */
static void await_quiet(struct kv_rpc *rpc, gpr_timespec deadline)
{
   const struct timespec until = {deadline.tv_sec, deadline.tv_nsec};
   int error = 0;
   pthread_mutex_lock(&rpc->lock);
   while (has_calls(rpc) && error == 0)
      error = pthread_cond_timedwait(&rpc->quiet, &rpc->lock, &until);
   pthread_mutex_unlock(&rpc->lock);
}

static void join_workers(struct kv_rpc *rpc)
{
   for (unsigned i = 0; i < rpc->worker_count; i++) {
      struct kv_rpc_worker *worker = &rpc->workers[i];
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
static void refuse_calls(struct kv_rpc *rpc, int64_t grace_ms)
{
   bool busy = has_calls(rpc);
   await_quiet(rpc, in_ms(grace_ms));
   if (busy || atomic_load(&rpc->refused))
      gpr_sleep_until(in_ms(grace_ms < FAREWELL_MS ? grace_ms : FAREWELL_MS));
   for (unsigned i = 0; i < rpc->worker_count; i++)
      grpc_server_cancel_all_calls(rpc->workers[i].server);
}

void kv_rpc_stop(struct kv_rpc *rpc, int64_t grace_ms)
{
   if (rpc->stopped)
      return;
   rpc->stopped = true;
   atomic_store(&rpc->stopping, true);
   if (rpc->acceptor)
      kv_acceptor_stop(rpc->acceptor);
   refuse_calls(rpc, grace_ms);
   for (unsigned i = 0; i < rpc->worker_count; i++)
      grpc_server_shutdown_and_notify(rpc->workers[i].server, rpc->shutdown_queue, NULL);
   for (unsigned left = rpc->worker_count; left > 0; left--)
      grpc_completion_queue_next(rpc->shutdown_queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
   join_workers(rpc);
}

static void destroy_queue(grpc_completion_queue *queue)
{
   grpc_completion_queue_shutdown(queue);
   while (grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
          GRPC_QUEUE_SHUTDOWN)
      ;
   grpc_completion_queue_destroy(queue);
}

void kv_rpc_destroy(struct kv_rpc *rpc)
{
   kv_rpc_stop(rpc, 0);
   if (rpc->acceptor)
      kv_acceptor_destroy(rpc->acceptor);
   if (rpc->monopoly)
      kv_monopoly_destroy(rpc->monopoly);
   for (unsigned i = 0; i < rpc->worker_count; i++)
      grpc_server_destroy(rpc->workers[i].server);
   destroy_queue(rpc->shutdown_queue);
   for (unsigned i = 0; i < rpc->worker_count; i++) {
      destroy_queue(rpc->workers[i].queue);
      kv_rpc_slots_destroy(&rpc->workers[i]);
      kv_call_pool_destroy(&rpc->workers[i]);
      kv_connections_destroy(&rpc->workers[i]);
      free(rpc->workers[i].registered);
   }
   grpc_server_credentials_release(rpc->credentials);
   grpc_shutdown_blocking();
   kv_account_close(rpc->account);
   pthread_cond_destroy(&rpc->quiet);
   pthread_mutex_destroy(&rpc->lock);
   free(rpc->methods);
   free(rpc);
}
