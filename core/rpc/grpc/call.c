#include "core/rpc/grpc/call.h"

#include "core/rpc/grpc/server.h"
#include "core/rpc/inflate.h"

#include "core/support/clock.h"
#include "core/support/invariant.h"
#include "core/support/text.h"

#include <grpc/slice_buffer.h>

#include <stdlib.h>
#include <string.h>

/* Closed calls that a worker keeps: what a burst needed beyond that goes back to the system. */
#define POOL_MAX 256
/* Replies from here on are allocated so that running out of memory is an answer; gRPC's own
 * allocation, which ends the process then, is faster for small ones. */
#define LARGE_MESSAGE_SIZE ((size_t)64 * 1024)

static void handle_unary_closed(void *owner, bool ok)
{
   struct kv_call *call = owner;
   (void)ok; /* a cancelled call is released all the same */
   if (!call->watched || --call->batches_left == 0)
      kv_call_release(call);
}

static void handle_watch_ended(void *owner, bool ok)
{
   struct kv_call *call = owner;
   if (!ok || call->close_cancelled)
      atomic_store(&call->cancelled, true);
   handle_unary_closed(call, ok);
}

static struct kv_call *take_from_pool(struct kv_rpc_worker *worker)
{
   struct kv_call *call = worker->pool;
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
   call->worker = worker;
   pthread_mutex_init(&call->stream_lock, NULL);
   kv_arena_init(&call->arena);
   kv_arena_ask(&call->arena, kv_charge_take, &call->charge);
   return call;
}

static void destroy_call(struct kv_call *call)
{
   grpc_byte_buffer_destroy(call->sending);
   pthread_mutex_destroy(&call->stream_lock);
   free(call);
}

static void give_to_pool(struct kv_call *call)
{
   struct kv_rpc_worker *worker = call->worker;
   if (worker->pool_size >= POOL_MAX) {
      destroy_call(call);
      return;
   }
   call->next = worker->pool;
   worker->pool = call;
   worker->pool_size++;
}

static bool is_unary(const struct kv_rpc_method *method)
{
   return method && method->kind == KV_RPC_UNARY;
}

struct kv_call *kv_call_create(struct kv_rpc_worker *worker, const struct kv_rpc_method *method,
                               grpc_call *grpc, grpc_byte_buffer *payload, struct kv_status *status)
{
   struct kv_connection *connection = kv_connection_of(worker, grpc);
   struct kv_call *call = connection ? take_from_pool(worker) : NULL;
   size_t request = payload ? grpc_byte_buffer_length(payload) : 0;
   if (!call) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
      return NULL;
   }
   if (!kv_charge_begin(&call->charge, worker->rpc->account, connection->share, KV_CALL_COST,
                        request, status)) {
      give_to_pool(call);
      return NULL;
   }
   call->connection = connection;
   call->large = false;
   call->inflater = NULL;
   worker->pending++;
   atomic_fetch_add(&worker->calls, 1);
   worker->turn.calls += is_unary(method);
   call->method = method;
   call->grpc = grpc;
   call->payload = payload;
   call->joined = NULL;
   call->message = grpc_empty_slice();
   call->inserted_at = 0;
   call->closing = (struct kv_rpc_event){handle_unary_closed, call};
   call->watched = false;
   atomic_store_explicit(&call->cancelled, false, memory_order_relaxed);
   call->given_to_handler = false;
   call->deadline_ms = INT64_MAX;
   call->lists_encodings = false;
   call->state = NULL;
   kv_stall_call_opened(call);
   return call;
}

static grpc_slice_buffer *pieces_of(struct kv_call *call)
{
   return &call->sending->data.raw.slice_buffer;
}

void kv_call_drop_request(struct kv_call *call)
{
   kv_inflater_destroy(call->inflater); /* which reads the payload */
   call->inflater = NULL;
   if (call->payload)
      grpc_byte_buffer_destroy(call->payload);
   call->payload = NULL;
   free(call->joined);
   call->joined = NULL;
}

/* Lets go of the reply being made or sent. */
static void drop_message(struct kv_call *call)
{
   grpc_slice_unref(call->message);
   call->message = grpc_empty_slice();
   call->inserted_at = 0;
   grpc_slice_buffer_reset_and_unref(pieces_of(call));
   kv_charge_drop_reply(&call->charge);
}

/* A stop may be waiting for it. */
static void note_quiet(struct kv_rpc *rpc)
{
   pthread_mutex_lock(&rpc->lock);
   pthread_cond_signal(&rpc->quiet);
   pthread_mutex_unlock(&rpc->lock);
}

void kv_call_release(struct kv_call *call)
{
   struct kv_rpc_worker *worker = call->worker;
   worker->pending--;
   worker->turn.calls -= is_unary(call->method);
   if (atomic_fetch_sub(&worker->calls, 1) == 1 && atomic_load(&worker->rpc->stopping))
      note_quiet(worker->rpc);
   kv_call_drop_request(call);
   drop_message(call);
   kv_arena_reset(&call->arena);
   kv_stall_call_closed(call);
   kv_charge_end(&call->charge, 0);
   grpc_call_unref(call->grpc);
   give_to_pool(call);
}

void kv_call_pool_destroy(struct kv_rpc_worker *worker)
{
   while (worker->pool) {
      struct kv_call *next = worker->pool->next;
      destroy_call(worker->pool);
      worker->pool = next;
   }
}

unsigned kv_call_worker(const struct kv_call *call)
{
   return call->worker->index;
}

struct kv_arena *kv_call_arena(struct kv_call *call)
{
   return &call->arena;
}

void **kv_call_state(struct kv_call *call)
{
   return &call->state;
}

uint8_t *kv_call_message(struct kv_call *call, size_t size)
{
   drop_message(call);
   if (size < LARGE_MESSAGE_SIZE) {
      if (!kv_charge_reply(&call->charge, size))
         return NULL;
      call->message = grpc_slice_malloc(size);
   } else {
      uint8_t *data;
      struct kv_piece *piece = kv_charge_allocate(&call->charge, size, &data);
      if (!piece)
         return NULL;
      call->message = grpc_slice_new_with_user_data(data, size, kv_piece_end, piece);
   }
   return GRPC_SLICE_START_PTR(call->message);
}

bool kv_call_insert(struct kv_call *call, size_t at, struct kv_slice bytes,
                    void (*release)(void *owner), void *owner)
{
   KV_INVARIANT(at >= call->inserted_at && at <= GRPC_SLICE_LENGTH(call->message));
   struct kv_piece *piece = kv_charge_refer(&call->charge, bytes.size, release, owner);
   if (!piece)
      return false;
   grpc_slice_buffer_add(pieces_of(call), grpc_slice_sub(call->message, call->inserted_at, at));
   /* gRPC only reads what it sends. */
   grpc_slice_buffer_add(pieces_of(call), grpc_slice_new_with_user_data(
                                              (void *)bytes.data, bytes.size, kv_piece_end, piece));
   call->inserted_at = at;
   return true;
}

void kv_call_start(struct kv_call *call, const grpc_op *ops, size_t count,
                   struct kv_rpc_event *event)
{
   grpc_call *grpc = call->grpc;
   kv_rpc_handed_over(event);
   grpc_call_error error = grpc_call_start_batch(grpc, ops, count, event, NULL);
   KV_INVARIANT(error == GRPC_CALL_OK);
}

grpc_op kv_call_send_op(struct kv_call *call)
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

void kv_call_sent(struct kv_call *call)
{
   atomic_store_explicit(&call->progress.awaits_reader, false, memory_order_relaxed);
   call->progress.sent++;
   drop_message(call);
}

grpc_op kv_call_status_op(struct kv_call *call, enum kv_code code, grpc_slice *text)
{
   return (grpc_op){
       .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
       .data.send_status_from_server = {.trailing_metadata_count = call->lists_encodings ? 1 : 0,
                                        .trailing_metadata = &call->worker->rpc->encodings,
                                        .status = (grpc_status_code)code,
                                        .status_details = text}};
}

bool kv_call_deadline_passed(const struct kv_call *call)
{
   return call->deadline_ms != INT64_MAX && (int64_t)kv_clock_monotonic_ms() > call->deadline_ms;
}

enum kv_code kv_call_may_begin(struct kv_call *call, struct kv_status *status)
{
   struct kv_rpc *rpc = call->worker->rpc;
   if (atomic_load(&rpc->stopping)) {
      atomic_store(&rpc->refused, true);
      return kv_fail(status, KV_UNAVAILABLE, "the server is stopping; try again");
   }
   if (kv_call_deadline_passed(call))
      return kv_fail(status, KV_DEADLINE_EXCEEDED,
                     "the deadline passed before the call was started");
   if (call->watched && kv_call_is_cancelled(call))
      return kv_fail(status, KV_CANCELLED, "the call was cancelled");
   return KV_OK;
}

grpc_op kv_call_close_op(struct kv_call *call)
{
   return (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                    .data.recv_close_on_server.cancelled = &call->close_cancelled};
}

void kv_call_watch(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY && !call->watched);
   const grpc_op op = kv_call_close_op(call);
   call->watched = true;
   call->batches_left = 2;
   call->watch_ended = (struct kv_rpc_event){handle_watch_ended, call};
   kv_call_start(call, &op, 1, &call->watch_ended);
}

uint64_t kv_call_connection(const struct kv_call *call)
{
   return (uint64_t)call->connection->fd;
}

bool kv_call_is_cancelled(const struct kv_call *call)
{
   return atomic_load(&call->cancelled) || kv_call_deadline_passed(call);
}

/* What a large request took is not needed while its reply waits for the client. */
static void drop_large_request(struct kv_call *call)
{
   if (!kv_charge_is_large(&call->charge, KV_CALL_COST))
      return;
   kv_call_drop_request(call);
   kv_arena_reset(&call->arena);
   kv_charge_end(&call->charge, KV_CALL_COST);
}

/* One batch, so one write to the socket: metadata, message if any, status; `closing` follows. */
static void end_unary(struct kv_call *call, bool with_message, enum kv_code code, const char *text)
{
   grpc_slice details = grpc_empty_slice();
   grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
   size_t count = 1;
   if (with_message)
      ops[count++] = kv_call_send_op(call);
   if (text)
      details = grpc_slice_from_copied_buffer(text, strnlen(text, KV_STATUS_TEXT_SIZE));
   ops[count++] = kv_call_status_op(call, code, text ? &details : NULL);
   if (!call->watched)
      ops[count++] = kv_call_close_op(call);
   drop_large_request(call);
   atomic_store_explicit(&call->progress.awaits_reader, true, memory_order_release);
   /* From here on the call may be released by its worker at any moment. */
   kv_call_start(call, ops, count, &call->closing);
   grpc_slice_unref(details);
}

void kv_call_reply(struct kv_call *call)
{
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY);
   if (kv_call_deadline_passed(call))
      end_unary(call, false, KV_DEADLINE_EXCEEDED,
                "the deadline passed before the reply was ready");
   else
      end_unary(call, true, KV_OK, NULL);
}

void kv_call_fail(struct kv_call *call, enum kv_code code, const char *text)
{
   KV_INVARIANT(code != KV_OK);
   const char *const *paths = call->worker->rpc->options.private_paths;
   char shown[KV_STATUS_TEXT_SIZE];
   if (paths) {
      kv_text_hide_paths(text, paths, KV_RPC_PRIVATE_PATH_SHOWN, shown, sizeof shown);
      text = shown;
   }
   if (call->method && call->method->kind != KV_RPC_UNARY)
      kv_stream_end(call, code, text);
   else
      end_unary(call, false, code, text);
}

/* ---- What it holds ---- */

bool kv_call_take(struct kv_call *call, size_t size)
{
   return kv_charge_take(&call->charge, size);
}

void kv_call_carried_out(struct kv_call *call)
{
   kv_charge_carried_out(&call->charge);
}

void kv_call_forget_request(struct kv_call *call)
{
   kv_call_drop_request(call);
   kv_charge_forget_request(&call->charge);
}

enum kv_code kv_call_exhausted(const struct kv_call *call, struct kv_status *status)
{
   return kv_charge_exhausted(&call->charge, status);
}
