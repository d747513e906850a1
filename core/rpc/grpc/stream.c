#include "core/rpc/grpc/call.h"
#include "core/support/invariant.h"

/* The functions below that start batches are called with the lock held. */
static void start(struct kv_grpc_call *call, const grpc_op *ops, size_t count,
                  struct kv_grpc_event *event)
{
   call->stream.batches++;
   kv_grpc_start(call, ops, count, event);
}

/* gRPC wants the initial metadata before anything else, in a batch of its own or the first one. */
static size_t add_initial(struct kv_grpc_call *call, grpc_op *ops)
{
   if (call->stream.metadata_sent)
      return 0;
   call->stream.metadata_sent = true;
   ops[0] = kv_grpc_initial_op(call);
   return 1;
}

static void start_status(struct kv_grpc_call *call)
{
   grpc_op ops[2];
   size_t count = add_initial(call, ops);
   ops[count++] = kv_grpc_status_op(call, call->stream.status_code, &call->stream.status_text);
   call->stream.status_waits = false;
   start(call, ops, count, &call->stream.ended);
}

static void start_read(struct kv_grpc_call *call)
{
   const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                       .data.recv_message.recv_message = &call->payload};
   start(call, &op, 1, &call->stream.read);
}

/* Takes the lock off again. Says whether the stream is still open; if not, and this was the last
 * batch, the call is released. While it is open RECV_CLOSE is in flight, so it cannot have been. */
static bool batch_ended(struct kv_grpc_call *call)
{
   bool open = !call->stream.over;
   bool last = --call->stream.batches == 0;
   pthread_mutex_unlock(&call->stream_lock);
   if (!last)
      return open;
   KV_INVARIANT(!open);
   const struct kv_rpc_method *method = call->base.method;
   if (call->base.given_to_handler && method->closed)
      method->closed(method->service, &call->base);
   grpc_slice_unref(call->stream.status_text);
   kv_grpc_call_release(call);
   return false;
}

static void handle_ended(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   (void)ok;
   pthread_mutex_lock(&call->stream_lock);
   batch_ended(call);
}

/* RECV_CLOSE: the status has left, or the call is cancelled. */
static void handle_closing(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   (void)ok;
   pthread_mutex_lock(&call->stream_lock);
   call->stream.over = true;
   call->stream.status_waits = false;
   batch_ended(call);
}

static void handle_sent(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   pthread_mutex_lock(&call->stream_lock);
   call->stream.send_in_flight = false;
   kv_grpc_sent(call);
   if (call->stream.status_waits)
      start_status(call);
   /* A send fails only when the call is cancelled; RECV_CLOSE reports that. */
   const struct kv_rpc_method *method = call->base.method;
   if (!batch_ended(call) || !ok || !method->sent)
      return;
   if (method->slow)
      kv_turn_answer(call->base.worker);
   method->sent(method->service, &call->base);
}

/* Gives what was read, or the end of the client's side, to the handler. */
static void deliver(struct kv_grpc_call *call)
{
   struct kv_call *base = &call->base;
   const struct kv_rpc_method *method = base->method;
   struct kv_slice request;
   struct kv_status status;
   bool ready;
   base->packed = kv_grpc_is_packed(call->payload);
   if (!base->given_to_handler && kv_call_may_begin(base, &status) != KV_OK) {
      kv_call_refuse(base, &status);
   } else if (!call->payload && method->kind == KV_RPC_BIDI) {
      base->given_to_handler = true;
      method->half_closed(method->service, base);
   } else if (kv_grpc_join_request(base, &ready, &request, &status) != KV_OK) {
      kv_call_refuse(base, &status);
   } else {
      base->given_to_handler = true;
      method->request(method->service, base, request);
   }
}

static void handle_read(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   (void)ok;
   pthread_mutex_lock(&call->stream_lock);
   if (batch_ended(call))
      deliver(call);
}

/* It counts as a batch, so that the call lives until then. */
void kv_grpc_stream_begin_wait(struct kv_call *base)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   pthread_mutex_lock(&call->stream_lock);
   call->stream.batches++;
   pthread_mutex_unlock(&call->stream_lock);
}

bool kv_grpc_stream_end_wait(struct kv_call *base)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   pthread_mutex_lock(&call->stream_lock);
   return batch_ended(call);
}

static void take_turn(struct kv_call *base)
{
   if (kv_grpc_stream_end_wait(base))
      deliver(kv_grpc_call_of(base));
}

static void handle_notified(void *owner, bool ok)
{
   struct kv_grpc_call *call = owner;
   (void)ok;
   pthread_mutex_lock(&call->stream_lock);
   call->stream.notification_in_flight = false;
   if (batch_ended(call))
      call->base.method->notified(call->base.method->service, &call->base);
}

/* A batch without operations ends at once: it comes out of the worker's queue. */
void kv_grpc_stream_notify(struct kv_call *base)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   pthread_mutex_lock(&call->stream_lock);
   if (!call->stream.over && !call->stream.notification_in_flight) {
      call->stream.notification_in_flight = true;
      start(call, NULL, 0, &call->stream.notified);
   }
   pthread_mutex_unlock(&call->stream_lock);
}

void kv_grpc_stream_open(struct kv_grpc_call *call, bool slow)
{
   call->closing = (struct kv_grpc_event){handle_closing, call};
   call->stream = (struct kv_grpc_stream){.status_text = grpc_empty_slice(),
                                          .sent = {handle_sent, call},
                                          .ended = {handle_ended, call},
                                          .read = {handle_read, call},
                                          .notified = {handle_notified, call}};
   const grpc_op op = kv_grpc_close_op(call);
   pthread_mutex_lock(&call->stream_lock);
   start(call, &op, 1, &call->closing);
   pthread_mutex_unlock(&call->stream_lock);
   if (slow) {
      kv_grpc_stream_begin_wait(&call->base);
      kv_turn_await(&call->base, take_turn);
   } else {
      deliver(call);
   }
}

void kv_grpc_stream_end(struct kv_grpc_call *call, enum kv_code code, const char *text)
{
   pthread_mutex_lock(&call->stream_lock);
   if (!call->stream.over) {
      call->stream.over = true;
      call->stream.status_code = code;
      call->stream.status_text = grpc_slice_from_copied_string(text);
      call->stream.status_waits = true;
      if (!call->stream.send_in_flight)
         start_status(call);
   }
   pthread_mutex_unlock(&call->stream_lock);
}

void kv_grpc_stream_send(struct kv_call *base)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   pthread_mutex_lock(&call->stream_lock);
   if (!call->stream.over) {
      KV_INVARIANT(!call->stream.send_in_flight);
      grpc_op ops[2];
      size_t count = add_initial(call, ops);
      ops[count++] = kv_grpc_send_op(call);
      call->stream.send_in_flight = true;
      atomic_store_explicit(&base->progress.awaits_reader, true, memory_order_release);
      start(call, ops, count, &call->stream.sent);
   }
   pthread_mutex_unlock(&call->stream_lock);
}

void kv_grpc_stream_read_next(struct kv_call *base)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   pthread_mutex_lock(&call->stream_lock);
   if (!call->stream.over) {
      kv_call_forget_request(base);
      start_read(call);
   }
   pthread_mutex_unlock(&call->stream_lock);
}
