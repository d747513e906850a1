#include "core/rpc/grpc/call.h"

#include "core/rpc/engine.h"
#include "core/rpc/grpc/connections.h"
#include "core/rpc/grpc/server.h"

#include "core/support/invariant.h"

#include <grpc/slice_buffer.h>

#include <stdlib.h>

/* Closed calls that a worker keeps: what a burst needed beyond that goes back to the system. */
#define POOL_MAX 256
/* Replies from here on are allocated so that running out of memory is an answer; gRPC's own
 * allocation, which ends the process then, is faster for small ones. */
#define LARGE_MESSAGE_SIZE ((size_t)64 * 1024)

static void handle_unary_closed(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   (void)ok; /* a cancelled call is released all the same */
   if (!call->base.watched || --call->batches_left == 0)
      kv_grpc_call_release(call);
}

static void handle_watch_ended(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   if (!ok || call->close_cancelled)
      atomic_store(&call->base.cancelled, true);
   handle_unary_closed(call, ok);
}

static struct kv_grpc_call *take_from_pool(struct kv_grpc_worker *worker)
{
   struct kv_grpc_call *call = worker->pool;
   if (call) {
      worker->pool = call->next;
      worker->pool_size--;
      return call;
   }
   call = malloc(sizeof *call);
   if (!call)
      return NULL;
   grpc_slice nothing = grpc_empty_slice();
   call->sending = grpc_raw_byte_buffer_create(&nothing, 1);
   pthread_mutex_init(&call->stream_lock, NULL);
   grpc_metadata_array_init(&call->received);
   call->metadata[KV_RPC_INITIAL] = call->metadata[KV_RPC_TRAILING] = (struct kv_grpc_metadata){0};
   kv_call_init(&call->base, &kv_engine_grpc, &worker->base);
   return call;
}

static void destroy_call(struct kv_grpc_call *call)
{
   grpc_byte_buffer_destroy(call->sending);
   pthread_mutex_destroy(&call->stream_lock);
   free(call);
}

static void give_to_pool(struct kv_grpc_worker *worker, struct kv_grpc_call *call)
{
   if (worker->pool_size >= POOL_MAX) {
      destroy_call(call);
      return;
   }
   call->next = worker->pool;
   worker->pool = call;
   worker->pool_size++;
}

struct kv_grpc_call *kv_grpc_call_create(struct kv_grpc_worker *worker,
                                         const struct kv_rpc_method *method, grpc_call *grpc,
                                         grpc_byte_buffer *payload, struct kv_status *status)
{
   struct kv_connection *connection = kv_grpc_connection_of(worker, grpc);
   struct kv_grpc_call *call = connection ? take_from_pool(worker) : NULL;
   size_t request = payload ? grpc_byte_buffer_length(payload) : 0;
   if (!call) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
      return NULL;
   }
   if (kv_call_open(&call->base, method, connection, KV_GRPC_CALL_COST, request, status) != KV_OK) {
      give_to_pool(worker, call);
      return NULL;
   }
   worker->pending++;
   call->grpc = grpc;
   call->payload = payload;
   call->joined = NULL;
   call->inflater = NULL;
   call->message = grpc_empty_slice();
   call->inserted_at = 0;
   call->closing = (struct kv_grpc_event){handle_unary_closed, call};
   call->lists_encodings = false;
   return call;
}

static grpc_slice_buffer *pieces_of(struct kv_grpc_call *call)
{
   return &call->sending->data.raw.slice_buffer;
}

/* Lets go of the reply being made or sent. */
static void drop_message(struct kv_grpc_call *call)
{
   grpc_slice_unref(call->message);
   call->message = grpc_empty_slice();
   call->inserted_at = 0;
   grpc_slice_buffer_reset_and_unref(pieces_of(call));
   kv_charge_drop_reply(&call->base.charge);
}

void kv_grpc_call_release(struct kv_grpc_call *call)
{
   struct kv_grpc_worker *worker = kv_grpc_worker_of(call->base.worker);
   worker->pending--;
   drop_message(call);
   kv_grpc_drop_metadata(call);
   kv_call_close(&call->base);
   grpc_call_unref(call->grpc);
   give_to_pool(worker, call);
}

void kv_grpc_call_pool_destroy(struct kv_grpc_worker *worker)
{
   while (worker->pool) {
      struct kv_grpc_call *next = worker->pool->next;
      destroy_call(worker->pool);
      worker->pool = next;
   }
}

/* ---- Its message ---- */

uint8_t *kv_grpc_message(struct kv_call *base, size_t size)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   drop_message(call);
   if (size < LARGE_MESSAGE_SIZE) {
      if (!kv_charge_reply(&base->charge, size))
         return NULL;
      call->message = grpc_slice_malloc(size);
   } else {
      uint8_t *data;
      struct kv_piece *piece = kv_charge_allocate(&base->charge, size, &data);
      if (!piece)
         return NULL;
      call->message = grpc_slice_new_with_user_data(data, size, kv_piece_end, piece);
   }
   return GRPC_SLICE_START_PTR(call->message);
}

bool kv_grpc_insert(struct kv_call *base, size_t at, struct kv_slice bytes, struct kv_piece *piece)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   KV_INVARIANT(at >= call->inserted_at && at <= GRPC_SLICE_LENGTH(call->message));
   grpc_slice_buffer_add(pieces_of(call), grpc_slice_sub(call->message, call->inserted_at, at));
   /* gRPC only reads what it sends. */
   grpc_slice_buffer_add(pieces_of(call), grpc_slice_new_with_user_data(
                                              (void *)bytes.data, bytes.size, kv_piece_end, piece));
   call->inserted_at = at;
   return true;
}

/* ---- Batches ---- */

void kv_grpc_start(struct kv_grpc_call *call, const grpc_op *ops, size_t count,
                   struct kv_grpc_event *event)
{
   grpc_call *grpc = call->grpc;
   kv_grpc_handed_over(event);
   grpc_call_error error = grpc_call_start_batch(grpc, ops, count, event, NULL);
   KV_INVARIANT(error == GRPC_CALL_OK);
}

grpc_op kv_grpc_initial_op(const struct kv_grpc_call *call)
{
   const struct kv_grpc_metadata *metadata = &call->metadata[KV_RPC_INITIAL];
   return (grpc_op){
       .op = GRPC_OP_SEND_INITIAL_METADATA,
       .data.send_initial_metadata = {.count = metadata->count, .metadata = metadata->items}};
}

grpc_op kv_grpc_send_op(struct kv_grpc_call *call)
{
   if (call->inserted_at > 0) {
      size_t end = GRPC_SLICE_LENGTH(call->message);
      grpc_slice rest = grpc_slice_sub(call->message, call->inserted_at, end);
      grpc_slice_unref(call->message);
      call->message = rest;
   }
   grpc_slice_buffer_add(pieces_of(call), call->message);
   call->message = grpc_empty_slice();
   call->inserted_at = 0;
   return (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->sending};
}

void kv_grpc_sent(struct kv_grpc_call *call)
{
   atomic_store_explicit(&call->base.progress.awaits_reader, false, memory_order_relaxed);
   call->base.progress.sent++;
   drop_message(call);
}

grpc_op kv_grpc_status_op(const struct kv_grpc_call *call, enum kv_code code, grpc_slice *text)
{
   struct kv_grpc_metadata trailing = call->metadata[KV_RPC_TRAILING];
   if (call->lists_encodings) {
      struct kv_grpc_server *server = call->base.worker->rpc->state;
      trailing = (struct kv_grpc_metadata){.items = &server->encodings, .count = 1};
   }
   return (grpc_op){
       .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
       .data.send_status_from_server = {.trailing_metadata_count = trailing.count,
                                        .trailing_metadata = trailing.items,
                                        .status = (grpc_status_code)code,
                                        .status_details = code == KV_OK ? NULL : text}};
}

grpc_op kv_grpc_close_op(struct kv_grpc_call *call)
{
   return (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                    .data.recv_close_on_server.cancelled = &call->close_cancelled};
}

/* ---- Its end ---- */

void kv_grpc_watch(struct kv_call *base)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   const grpc_op op = kv_grpc_close_op(call);
   call->batches_left = 2;
   call->watch_ended = (struct kv_grpc_event){handle_watch_ended, call};
   kv_grpc_start(call, &op, 1, &call->watch_ended);
}

/* One batch, so one write to the socket: metadata, message if any, status; `closing` follows. */
static void end_unary(struct kv_grpc_call *call, enum kv_code code, const char *text)
{
   grpc_slice details = code == KV_OK ? grpc_empty_slice() : grpc_slice_from_copied_string(text);
   grpc_op ops[4] = {kv_grpc_initial_op(call)};
   size_t count = 1;
   if (code == KV_OK)
      ops[count++] = kv_grpc_send_op(call);
   ops[count++] = kv_grpc_status_op(call, code, &details);
   if (!call->base.watched)
      ops[count++] = kv_grpc_close_op(call);
   kv_call_drop_large_request(&call->base);
   atomic_store_explicit(&call->base.progress.awaits_reader, true, memory_order_release);
   /* From here on the call may be released by its worker at any moment. */
   kv_grpc_start(call, ops, count, &call->closing);
   grpc_slice_unref(details);
}

void kv_grpc_end(struct kv_call *base, enum kv_code code, const char *text)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   if (base->method && base->method->kind != KV_RPC_UNARY)
      kv_grpc_stream_end(call, code, text);
   else
      end_unary(call, code, text);
}

void kv_grpc_abort(struct kv_call *call, enum kv_code code, const char *text,
                   struct kv_slice details)
{
   (void)details;
   grpc_call_cancel_with_status(kv_grpc_call_of(call)->grpc, (grpc_status_code)code, text, NULL);
}
