/*
 * On gRPC's C core: Set and Get of both data services, with the same queues, threads, pre-posted
 * calls and channel arguments as core/rpc/grpc, and nothing above them.
 */
#include "bench/empty/wire.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define METHODS 4
#define CALLS_PER_METHOD                                                                           \
   64 /* on each queue; unlike an accept slot of core/rpc/grpc, taken until answered */

struct worker;

/* Posted, then answered, then posted again; `answered` says which of the two has ended. */
struct call {
   struct worker *worker;
   void *method;
   bool answered;
   int cancelled;
   grpc_call *grpc;
   grpc_byte_buffer *request;
   grpc_byte_buffer *reply;
   gpr_timespec deadline;
   grpc_metadata_array metadata;
};

struct worker {
   grpc_server *server;
   grpc_completion_queue *queue;
   pthread_t thread;
   struct call calls[METHODS * CALLS_PER_METHOD];
};

struct empty_server {
   grpc_server *grpc;
   struct worker *workers;
   unsigned count;
};

static void arm(struct call *call)
{
   call->answered = false;
   call->request = NULL;
   grpc_metadata_array_init(&call->metadata);
   grpc_server_request_registered_call(call->worker->server, call->method, &call->grpc,
                                       &call->deadline, &call->metadata, &call->request,
                                       call->worker->queue, call->worker->queue, call);
}

static void answer(struct call *call)
{
   const grpc_op ops[] = {
       {.op = GRPC_OP_SEND_INITIAL_METADATA},
       {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->reply},
       {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
       {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
        .data.recv_close_on_server.cancelled = &call->cancelled},
   };
   call->answered = true;
   if (grpc_call_start_batch(call->grpc, ops, sizeof ops / sizeof ops[0], call, NULL) !=
       GRPC_CALL_OK)
      abort();
}

static void release(struct call *call)
{
   grpc_metadata_array_destroy(&call->metadata);
   if (call->request)
      grpc_byte_buffer_destroy(call->request);
   grpc_call_unref(call->grpc);
}

static void *work(void *argument)
{
   struct worker *worker = argument;
   const gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
   for (;;) {
      grpc_event event = grpc_completion_queue_next(worker->queue, never, NULL);
      if (event.type == GRPC_QUEUE_SHUTDOWN)
         return NULL;
      struct call *call = event.tag;
      if (call->answered) {
         release(call);
         arm(call);
      } else if (event.success) {
         answer(call);
      } else {
         grpc_metadata_array_destroy(&call->metadata); /* the server stops */
      }
   }
}

static grpc_arg integer(char *key, int value)
{
   return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key, .value.integer = value};
}

static grpc_server *create_server(void *methods[METHODS])
{
   grpc_arg args[] = {
       integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 64 << 20),
       integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
       integer(GRPC_ARG_ALLOW_REUSEPORT, 0),
       integer(GRPC_ARG_KEEPALIVE_TIME_MS, 120000),
       integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
       integer(GRPC_ARG_HTTP2_BDP_PROBE, 0),
       integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
   };
   static const char *const paths[METHODS] = {
       "/kvstore.KeyValueStore/Set", "/kvstore.KeyValueStore/Get",
       "/kvstore.v1.KeyValueService/Set", "/kvstore.v1.KeyValueService/Get"};
   grpc_server *server = grpc_server_create(
       &(grpc_channel_args){.num_args = sizeof args / sizeof args[0], .args = args}, NULL);
   for (size_t i = 0; i < METHODS; i++)
      methods[i] = grpc_server_register_method(server, paths[i], NULL,
                                               GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
   return server;
}

static void start_worker(struct worker *worker, void *methods[METHODS])
{
   for (size_t i = 0; i < METHODS * CALLS_PER_METHOD; i++) {
      struct call *call = &worker->calls[i];
      grpc_slice nothing = grpc_empty_slice();
      call->worker = worker;
      call->method = methods[i / CALLS_PER_METHOD];
      call->reply = grpc_raw_byte_buffer_create(&nothing, 1);
      arm(call);
   }
   if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
      fprintf(stderr, "kvstore-empty-server: cannot start a thread\n");
      exit(1);
   }
}

static bool listen_on(grpc_server *server, const char *address, int *port)
{
   grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
   *port = grpc_server_add_http2_port(server, address, credentials);
   grpc_server_credentials_release(credentials);
   return *port != 0;
}

static void stop(struct empty_server *server)
{
   grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
   grpc_server_shutdown_and_notify(server->grpc, queue, NULL);
   grpc_server_cancel_all_calls(server->grpc);
   grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
   for (unsigned i = 0; i < server->count; i++) {
      struct worker *worker = &server->workers[i];
      grpc_completion_queue_shutdown(worker->queue);
      pthread_join(worker->thread, NULL);
      grpc_completion_queue_destroy(worker->queue);
      for (size_t j = 0; j < METHODS * CALLS_PER_METHOD; j++)
         grpc_byte_buffer_destroy(worker->calls[j].reply);
   }
   grpc_server_destroy(server->grpc);
   grpc_completion_queue_shutdown(queue);
   grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
   grpc_completion_queue_destroy(queue);
   free(server->workers);
   free(server);
   grpc_shutdown_blocking();
}

static struct empty_server *start(const char *address, unsigned count, int *port)
{
   struct empty_server *server = calloc(1, sizeof *server);
   struct worker *workers = calloc(count, sizeof *workers);
   if (!server || !workers)
      abort();
   void *methods[METHODS];
   grpc_init();
   *server =
       (struct empty_server){.grpc = create_server(methods), .workers = workers, .count = count};
   for (unsigned i = 0; i < count; i++) {
      workers[i].server = server->grpc;
      workers[i].queue = grpc_completion_queue_create_for_next(NULL);
      grpc_server_register_completion_queue(server->grpc, workers[i].queue, NULL);
   }
   if (!listen_on(server->grpc, address, port)) {
      fprintf(stderr, "kvstore-empty-server: cannot listen on %s\n", address);
      exit(1);
   }
   grpc_server_start(server->grpc);
   for (unsigned i = 0; i < count; i++)
      start_worker(&workers[i], methods);
   return server;
}

const struct empty_wire empty_grpc = {"grpc", start, stop};
