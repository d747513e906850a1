#include "core/rpc/grpc/call.h"
#include "core/rpc/grpc/headers.h"
#include "core/rpc/grpc/server.h"
#include "core/support/invariant.h"

#include <stdlib.h>

/* How many requests of a method a worker can be handed between two looks at its queue. More wait
 * inside gRPC, which loses nothing. With 1, a Set in 8 x 16 streams costs 12 % more CPU time; with
 * 64, a Get 7 %. */
#define SLOTS_OF_METHOD 16
/* gRPC answers nothing for an unknown method by itself: these take whatever no method took. */
#define SLOTS_FOR_UNKNOWN 1

struct kv_grpc_slot {
   struct kv_grpc_event arrived;
   struct kv_grpc_worker *worker;
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
static void post(struct kv_grpc_slot *slot)
{
   struct kv_grpc_worker *worker = slot->worker;
   grpc_call_error error;
   slot->call = NULL;
   slot->payload = NULL;
   worker->pending++;
   kv_grpc_handed_over(&slot->arrived);
   if (slot->method)
      error = grpc_server_request_registered_call(
          worker->server, worker->registered[slot->method - worker->base.rpc->methods], &slot->call,
          &slot->deadline, &slot->metadata, &slot->payload, worker->queue, worker->queue,
          &slot->arrived);
   else
      error = grpc_server_request_call(worker->server, &slot->call, &slot->details, &slot->metadata,
                                       worker->queue, worker->queue, &slot->arrived);
   KV_INVARIANT(error == GRPC_CALL_OK);
}

/* Gives the headers that came with it, for the caller to destroy. */
static grpc_metadata_array come_back(struct kv_grpc_slot *slot)
{
   grpc_metadata_array headers = slot->metadata;
   slot->worker->pending--;
   grpc_metadata_array_init(&slot->metadata);
   return headers;
}

/* gRPC ends the call alone: it needs nothing of ours for it, nor waits for the client to read. */
static void refuse(struct kv_grpc_worker *worker, grpc_call *call, grpc_byte_buffer *payload,
                   const struct kv_status *status)
{
   atomic_fetch_add_explicit(&worker->base.rpc->refused_calls, 1, memory_order_relaxed);
   grpc_call_cancel_with_status(call, (grpc_status_code)status->code, status->text, NULL);
   if (payload)
      grpc_byte_buffer_destroy(payload);
   grpc_call_unref(call);
}

static void begin(struct kv_grpc_call *call, int64_t deadline)
{
   struct kv_call *base = &call->base;
   bool packed = kv_grpc_is_packed(call->payload);
   size_t size = call->payload ? call->payload->data.raw.slice_buffer.length : 0;
   base->deadline_ms = deadline;
   if (kv_call_is_unary(base)) {
      kv_call_begin_unary(base, packed, size);
   } else {
      kv_call_arrived(base, size);
      kv_grpc_stream_open(call, kv_call_is_slow(base->method, packed, size));
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
   struct kv_grpc_slot *slot = owner;
   grpc_metadata_array headers = come_back(slot);
   if (!ok) { /* the server stops */
      grpc_metadata_array_destroy(&headers);
      return;
   }
   struct kv_status status;
   grpc_call *grpc = slot->call;
   grpc_byte_buffer *payload = slot->payload;
   int64_t deadline = deadline_ms(slot->deadline);
   post(slot);
   struct kv_grpc_call *call = NULL;
   if (kv_grpc_check_headers(&headers, &status) == KV_OK)
      call = kv_grpc_call_create(slot->worker, slot->method, grpc, payload, &status);
   if (!call) {
      grpc_metadata_array_destroy(&headers);
      refuse(slot->worker, grpc, payload, &status);
      return;
   }
   kv_grpc_keep_headers(call, &headers);
   begin(call, deadline);
}

static void handle_unknown(void *owner, bool ok)
{
   struct kv_grpc_slot *slot = owner;
   grpc_metadata_array headers = come_back(slot);
   grpc_metadata_array_destroy(&headers);
   if (!ok)
      return;
   grpc_call *grpc = slot->call;
   grpc_slice path = slot->details.method;
   slot->details.method = grpc_empty_slice();
   grpc_call_details_destroy(&slot->details);
   grpc_call_details_init(&slot->details);
   post(slot);
   struct kv_status status;
   struct kv_grpc_call *call = kv_grpc_call_create(slot->worker, NULL, grpc, NULL, &status);
   if (call) {
      kv_call_refuse_unknown(kv_slice(GRPC_SLICE_START_PTR(path), GRPC_SLICE_LENGTH(path)),
                             &status);
      atomic_fetch_add_explicit(&slot->worker->base.rpc->refused_calls, 1, memory_order_relaxed);
      kv_call_refuse(&call->base, &status);
   } else {
      refuse(slot->worker, grpc, NULL, &status);
   }
   grpc_slice_unref(path);
}

enum kv_code kv_grpc_slots_create(struct kv_grpc_worker *worker, struct kv_status *status)
{
   const struct kv_rpc *rpc = worker->base.rpc;
   size_t count = slot_count(rpc);
   worker->slots = calloc(count, sizeof *worker->slots);
   if (!worker->slots)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for %zu accept slots", count);
   for (size_t i = 0; i < count; i++) {
      struct kv_grpc_slot *slot = &worker->slots[i];
      size_t method = i / SLOTS_OF_METHOD;
      bool known = method < rpc->method_count;
      slot->worker = worker;
      slot->arrived = (struct kv_grpc_event){known ? handle_arrived : handle_unknown, slot};
      slot->method = known ? &rpc->methods[method] : NULL;
      grpc_metadata_array_init(&slot->metadata);
      grpc_call_details_init(&slot->details);
   }
   return KV_OK;
}

void kv_grpc_slots_post(struct kv_grpc_worker *worker)
{
   for (size_t i = 0; i < slot_count(worker->base.rpc); i++)
      post(&worker->slots[i]);
}

void kv_grpc_slots_destroy(struct kv_grpc_worker *worker)
{
   for (size_t i = 0; worker->slots && i < slot_count(worker->base.rpc); i++) {
      grpc_metadata_array_destroy(&worker->slots[i].metadata);
      grpc_call_details_destroy(&worker->slots[i].details);
   }
   free(worker->slots);
}
