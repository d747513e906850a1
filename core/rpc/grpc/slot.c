#include "core/rpc/grpc/call.h"
#include "core/rpc/grpc/headers.h"
#include "core/rpc/grpc/server.h"
#include "core/support/invariant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many requests of a method a worker can be handed between two looks at its queue. More wait
 * inside gRPC, which loses nothing. With 1, a Set in 8 x 16 streams costs 12 % more CPU time; with
 * 64, a Get 7 %. */
#define SLOTS_OF_METHOD 16
/* gRPC answers nothing for an unknown method by itself: these take whatever no method took. */
#define SLOTS_FOR_UNKNOWN 1

/* Of a request: what it takes in memory may be many times its size. */
#define LARGE_SIZE ((size_t)64 * 1024)

#define METHOD_TEXT_MAX 256 /* of an unknown method's name in the answer */

struct kv_rpc_slot {
   struct kv_rpc_event arrived;
   struct kv_rpc_worker *worker;
   const struct kv_rpc_method *method; /* NULL: unknown ones */
   grpc_call *call;
   grpc_byte_buffer *payload;
   gpr_timespec deadline;
   grpc_metadata_array metadata;
   grpc_call_details details; /* unknown ones only */
};

static size_t slot_count(const struct kv_rpc *rpc)
{
   return rpc->method_count * SLOTS_OF_METHOD + SLOTS_FOR_UNKNOWN;
}

/* Once the server is being stopped the slot comes straight back, unsuccessful. */
static void post(struct kv_rpc_slot *slot)
{
   struct kv_rpc_worker *worker = slot->worker;
   grpc_call_error error;
   slot->call = NULL;
   slot->payload = NULL;
   worker->pending++;
   kv_rpc_handed_over(&slot->arrived);
   if (slot->method)
      error = grpc_server_request_registered_call(
          worker->server, worker->registered[slot->method - worker->rpc->methods], &slot->call,
          &slot->deadline, &slot->metadata, &slot->payload, worker->queue, worker->queue,
          &slot->arrived);
   else
      error = grpc_server_request_call(worker->server, &slot->call, &slot->details, &slot->metadata,
                                       worker->queue, worker->queue, &slot->arrived);
   KV_INVARIANT(error == GRPC_CALL_OK);
}

static void came_back(struct kv_rpc_slot *slot)
{
   slot->worker->pending--;
   grpc_metadata_array_destroy(&slot->metadata);
   grpc_metadata_array_init(&slot->metadata);
}

/* Without a kv_call: gRPC ends the call and needs nothing of ours for it, nor waits for the client
 * to read. */
static void refuse(grpc_call *call, grpc_byte_buffer *payload, const struct kv_status *status)
{
   grpc_call_cancel_with_status(call, (grpc_status_code)status->code, status->text, NULL);
   if (payload)
      grpc_byte_buffer_destroy(payload);
   grpc_call_unref(call);
}

static void handle_request(struct kv_call *call, struct kv_slice request)
{
   call->method->request(call->method->service, call, request);
   kv_turn_handled(call);
}

static void begin_unary(struct kv_call *call)
{
   struct kv_slice request;
   struct kv_status status;
   bool ready;
   if (kv_call_may_begin(call, &status) != KV_OK)
      kv_call_fail(call, status.code, status.text);
   else if (!call->payload)
      kv_call_fail(call, KV_INTERNAL, "the call has no request message");
   else if (kv_call_join_request(call, &ready, &request, &status) != KV_OK)
      kv_call_fail(call, status.code, status.text);
   else if (!ready)
      kv_turn_go_on(call, begin_unary);
   else
      handle_request(call, request);
}

static bool is_large(const grpc_byte_buffer *payload)
{
   return kv_call_is_packed(payload) ||
          (payload && payload->data.raw.slice_buffer.length >= LARGE_SIZE);
}

/* A request that is large but simple is handled at once: a Set of 100 kB costs 16 % more CPU time
 * as a slow call, and a Batch of 100 that is not large 35 %. */
static bool is_slow(const struct kv_rpc_method *method, const grpc_byte_buffer *payload)
{
   return method->slow || kv_call_is_packed(payload) || (method->compound && is_large(payload));
}

static void begin(struct kv_call *call, bool slow, int64_t deadline)
{
   call->deadline_ms = deadline;
   if (call->method->kind != KV_RPC_UNARY) {
      kv_stream_open(call, slow);
   } else if (slow) {
      call->large = is_large(call->payload);
      kv_call_watch(call);
      kv_turn_await(call, begin_unary);
   } else {
      begin_unary(call);
   }
}

/* gRPC counts in milliseconds, and rounds down. */
static int64_t deadline_ms(gpr_timespec deadline)
{
   if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
      return INT64_MAX;
   return deadline.tv_sec * 1000 + deadline.tv_nsec / 1000000 + 1;
}

static void handle_arrived(void *owner, bool ok)
{
   struct kv_rpc_slot *slot = owner;
   struct kv_status status = {.code = KV_OK};
   if (ok)
      kv_rpc_check_headers(&slot->metadata, &status);
   came_back(slot);
   if (!ok)
      return; /* the server stops */
   grpc_call *grpc = slot->call;
   grpc_byte_buffer *payload = slot->payload;
   int64_t deadline = deadline_ms(slot->deadline);
   post(slot);
   bool slow = is_slow(slot->method, payload);
   struct kv_call *call = status.code == KV_OK
                              ? kv_call_create(slot->worker, slot->method, grpc, payload, &status)
                              : NULL;
   if (!call)
      refuse(grpc, payload, &status);
   else
      begin(call, slow, deadline);
}

static void handle_unknown(void *owner, bool ok)
{
   struct kv_rpc_slot *slot = owner;
   came_back(slot);
   if (!ok)
      return;
   grpc_call *grpc = slot->call;
   size_t size = GRPC_SLICE_LENGTH(slot->details.method);
   char text[METHOD_TEXT_MAX + 128];
   snprintf(text, sizeof text, "unknown method \"%.*s\"; this server may be older than the client",
            (int)(size < METHOD_TEXT_MAX ? size : METHOD_TEXT_MAX),
            (const char *)GRPC_SLICE_START_PTR(slot->details.method));
   grpc_call_details_destroy(&slot->details);
   grpc_call_details_init(&slot->details);
   post(slot);
   struct kv_status status;
   struct kv_call *call = kv_call_create(slot->worker, NULL, grpc, NULL, &status);
   if (call)
      kv_call_fail(call, KV_UNIMPLEMENTED, text);
   else
      refuse(grpc, NULL, &status);
}

enum kv_code kv_rpc_slots_create(struct kv_rpc_worker *worker, struct kv_status *status)
{
   const struct kv_rpc *rpc = worker->rpc;
   size_t count = slot_count(rpc);
   worker->slots = calloc(count, sizeof *worker->slots);
   if (!worker->slots)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for %zu accept slots", count);
   for (size_t i = 0; i < count; i++) {
      struct kv_rpc_slot *slot = &worker->slots[i];
      size_t method = i / SLOTS_OF_METHOD;
      bool known = method < rpc->method_count;
      slot->worker = worker;
      slot->arrived = (struct kv_rpc_event){known ? handle_arrived : handle_unknown, slot};
      slot->method = known ? &rpc->methods[method] : NULL;
      grpc_metadata_array_init(&slot->metadata);
      grpc_call_details_init(&slot->details);
   }
   return KV_OK;
}

void kv_rpc_slots_post(struct kv_rpc_worker *worker)
{
   for (size_t i = 0; i < slot_count(worker->rpc); i++)
      post(&worker->slots[i]);
}

void kv_rpc_slots_destroy(struct kv_rpc_worker *worker)
{
   for (size_t i = 0; worker->slots && i < slot_count(worker->rpc); i++) {
      grpc_metadata_array_destroy(&worker->slots[i].metadata);
      grpc_call_details_destroy(&worker->slots[i].details);
   }
   free(worker->slots);
}
