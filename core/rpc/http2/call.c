#include "core/rpc/http2/call.h"

#include "core/rpc/engine.h"
#include "core/rpc/http2/connection.h"
#include "core/rpc/http2/response.h"
#include "core/rpc/http2/worker.h"
#include "core/rpc/metadata.h"

#include <stdlib.h>

/* Closed calls that a worker keeps: what a burst needed beyond that goes back to the system at
 * once, and the rest when it has not been needed for a while. */
#define POOL_MAX 256

struct kv_http2_call *kv_http2_call_of(struct kv_call *call)
{
   return (struct kv_http2_call *)((char *)call - offsetof(struct kv_http2_call, base));
}

struct kv_http2_connection *kv_http2_call_connection(const struct kv_http2_call *call)
{
   return kv_http2_connection_of(call->base.connection);
}

struct kv_http2_worker *kv_http2_call_worker(const struct kv_http2_call *call)
{
   return kv_http2_worker_of(call->base.worker);
}

/* ---- The pool ---- */

static struct kv_http2_call *make(struct kv_http2_worker *worker)
{
   struct kv_http2_call *call = malloc(sizeof *call);
   if (!call)
      return NULL;
   kv_call_init(&call->base, &kv_engine_http2, &worker->base);
   kv_http2_reply_init(&call->reply);
   call->request = (struct kv_http2_request){0};
   call->head = (struct kv_http2_head){0};
   atomic_init(&call->asked, 0);
   return call;
}

struct kv_http2_call *kv_http2_call_create(struct kv_http2_connection *connection, int32_t stream)
{
   struct kv_http2_worker *worker = connection->worker;
   struct kv_http2_call *call = worker->pool;
   if (call) {
      worker->pool = call->next;
      worker->pool_size--;
      if (worker->pool_unused > worker->pool_size)
         worker->pool_unused = worker->pool_size;
   } else {
      call = make(worker);
      if (!call)
         return NULL;
   }
   call->base.connection = &connection->base;
   call->stream = stream;
   call->open = call->answered = call->done = call->written = false;
   call->lists_encodings = call->queued = call->responded = call->sending = false;
   atomic_store_explicit(&call->over, false, memory_order_relaxed);
   call->code = KV_OK;
   call->text = NULL;
   kv_http2_request_init(&call->request);
   kv_http2_head_begin(&call->head);
   call->added = NULL;
   call->last_added = &call->added;
   call->added_count = 0;
   call->base.method = NULL;
   call->base.given_to_handler = false;
   LIST_INSERT_HEAD(&connection->calls, call, siblings);
   connection->call_count++;
   return call;
}

static void destroy(struct kv_http2_call *call)
{
   kv_http2_reply_destroy(&call->reply);
   kv_http2_head_destroy(&call->head);
   free(call);
}

static void give_to_pool(struct kv_http2_worker *worker, struct kv_http2_call *call)
{
   if (worker->pool_size >= POOL_MAX) {
      destroy(call);
      return;
   }
   call->next = worker->pool;
   worker->pool = call;
   worker->pool_size++;
}

void kv_http2_call_pool_shrink(struct kv_http2_worker *worker)
{
   for (; worker->pool && worker->pool_unused > 0; worker->pool_unused--) {
      struct kv_http2_call *next = worker->pool->next;
      destroy(worker->pool);
      worker->pool = next;
      worker->pool_size--;
   }
   worker->pool_unused = worker->pool_size;
}

void kv_http2_call_pool_destroy(struct kv_http2_worker *worker)
{
   worker->pool_unused = worker->pool_size;
   kv_http2_call_pool_shrink(worker);
}

/* ---- Its end ---- */

static bool is_stream(const struct kv_http2_call *call)
{
   return call->base.method && call->base.method->kind != KV_RPC_UNARY;
}

/* A handler may be using it just now: it is released when the worker is through with this turn's
 * handlers and writes. */
static void note_done(struct kv_http2_call *call)
{
   struct kv_http2_worker *worker = kv_http2_call_worker(call);
   if (call->done)
      return;
   call->done = true;
   call->next_done = worker->done;
   worker->done = call;
}

void kv_http2_call_stream_closed(struct kv_http2_call *call)
{
   call->stream = 0;
   LIST_REMOVE(call, siblings);
   kv_http2_request_close(call);
   if (!call->answered)
      atomic_store(&call->base.cancelled, true);
   note_done(call);
}

static bool is_needed(const struct kv_http2_call *call)
{
   if (call->stream != 0 || call->queued || atomic_load(&call->asked) != 0)
      return true;
   return call->open && !is_stream(call) && call->request.delivered && !call->answered;
}

static void release(struct kv_http2_call *call)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   struct kv_http2_worker *worker = connection->worker;
   kv_http2_reply_drop(&call->reply);
   if (call->open)
      kv_call_close(&call->base);
   else
      kv_http2_request_drop(call);
   give_to_pool(worker, call);
   kv_http2_connection_call_ended(connection);
}

void kv_http2_call_release_if_done(struct kv_http2_call *call)
{
   const struct kv_rpc_method *method = call->base.method;
   call->done = false;
   if (call->stream == 0 && !call->queued && is_stream(call) && call->base.given_to_handler) {
      call->base.given_to_handler = false;
      if (method->closed)
         method->closed(method->service, &call->base);
   }
   if (!is_needed(call))
      release(call);
}

/* ---- What its handler asks for ---- */

static void do_end(struct kv_http2_call *call)
{
   call->answered = true;
   atomic_store_explicit(&call->base.progress.awaits_reader, true, memory_order_relaxed);
   kv_http2_request_close(call);
   if (call->stream != 0)
      kv_http2_response_end(call);
   else
      note_done(call);
   if (!is_stream(call))
      kv_call_drop_large_request(&call->base);
}

static void do_asked(struct kv_http2_call *call, unsigned what)
{
   if ((what & KV_HTTP2_SEND) && call->stream != 0)
      kv_http2_response_send(call);
   if ((what & KV_HTTP2_READ_NEXT) && !(what & KV_HTTP2_END))
      kv_http2_request_next(call);
   if (what & KV_HTTP2_END)
      do_end(call);
   if ((what & KV_HTTP2_NOTIFY) && call->stream != 0 && !atomic_load(&call->over))
      call->base.method->notified(call->base.method->service, &call->base);
}

/* Once `asked` is 0 another thread may bring the call again, and then has call->next. */
void kv_http2_call_do_asked(struct kv_http2_call *call)
{
   do_asked(call, atomic_exchange(&call->asked, 0));
   if (call->stream == 0)
      note_done(call);
}

/* After what was asked for before. */
static void ask(struct kv_http2_call *call, unsigned what)
{
   struct kv_http2_worker *worker = kv_http2_call_worker(call);
   bool own = kv_http2_worker_is_current(worker);
   if (own && atomic_load_explicit(&call->asked, memory_order_relaxed) == 0)
      do_asked(call, what);
   else if (atomic_fetch_or(&call->asked, what) == 0)
      kv_http2_worker_bring(worker, call);
}

uint8_t *kv_http2_message(struct kv_call *base, size_t size)
{
   return kv_http2_reply_message(&kv_http2_call_of(base)->reply, &base->charge, size);
}

bool kv_http2_insert(struct kv_call *base, size_t at, struct kv_slice bytes, struct kv_piece *piece)
{
   return kv_http2_reply_insert(&kv_http2_call_of(base)->reply, at, bytes, piece);
}

void kv_http2_send(struct kv_call *base)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   if (atomic_load(&call->over))
      return;
   kv_http2_reply_seal(&call->reply);
   atomic_store_explicit(&base->progress.awaits_reader, true, memory_order_release);
   ask(call, KV_HTTP2_SEND);
}

void kv_http2_read_next(struct kv_call *base)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   if (atomic_load(&call->over))
      return;
   kv_call_forget_request(base);
   ask(call, KV_HTTP2_READ_NEXT);
}

/* Never at once: who notifies may hold what the handler needs. */
void kv_http2_notify(struct kv_call *base)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   if (atomic_fetch_or(&call->asked, KV_HTTP2_NOTIFY) == 0)
      kv_http2_worker_bring(kv_http2_call_worker(call), call);
}

void kv_http2_end(struct kv_call *base, enum kv_code code, const char *text)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   if (atomic_exchange(&call->over, true))
      return;
   call->code = code;
   if (code != KV_OK) {
      call->text = kv_arena_copy(&base->arena, text, strlen(text) + 1);
      if (!call->text)
         call->text = "";
   } else if (!is_stream(call)) {
      kv_http2_reply_seal(&call->reply);
   }
   atomic_store_explicit(&base->progress.awaits_reader, true, memory_order_release);
   ask(call, KV_HTTP2_END);
}

size_t kv_http2_metadata(struct kv_call *base, const char *name, struct kv_slice *value)
{
   const struct kv_http2_call *call = kv_http2_call_of(base);
   size_t count = kv_http2_head_metadata(&call->head, kv_slice_of(name), value);
   if (count == 0 || !kv_metadata_is_binary(kv_slice_of(name)))
      return count;
   base->keeps_arena = true;
   size_t size;
   struct kv_slice list = *value, text; /* a proxy may have joined several values */
   if (!kv_fields_next_value(&list, &text))
      return 0;
   uint8_t *bytes = kv_arena_alloc(&base->arena, kv_fields_decoded_size_max(text.size));
   if (!bytes || !kv_fields_decode_binary(text, bytes, &size))
      return 0;
   *value = kv_slice(bytes, size);
   return count;
}

bool kv_http2_add_metadata(struct kv_call *base, enum kv_rpc_metadata where, const char *name,
                           struct kv_slice value)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   struct kv_http2_added *added = NULL;
   if (call->added_count < KV_HTTP2_ADDED_MAX)
      added = kv_arena_alloc(&base->arena, sizeof *added);
   if (!added)
      return false;
   if (kv_metadata_is_binary(kv_slice_of(name))) {
      char *text = kv_arena_alloc(&base->arena, kv_fields_encoded_size(value.size) + 1);
      if (!text)
         return false;
      value = kv_slice(text, kv_fields_encode_binary(value, text));
   }
   *added = (struct kv_http2_added){.where = where, .name = name, .value = value};
   *call->last_added = added;
   call->last_added = &added->next;
   call->added_count++;
   return true;
}

void kv_http2_drop_request(struct kv_call *base)
{
   kv_http2_request_drop(kv_http2_call_of(base));
}

/* nghttp2 keeps the stream until the status has left; the call does not wait for that. */
void kv_http2_abort(struct kv_call *base, enum kv_code code, const char *text,
                    struct kv_slice details)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   if (call->stream == 0)
      return;
   if (is_stream(call))
      atomic_store(&call->over, true);
   kv_http2_response_abort(call, code, text, details);
   kv_http2_call_stream_closed(call);
   atomic_store(&base->cancelled, true);
}

/* ---- Its requests ---- */

/* Gives a stream's request, or the end of the client's side, to the handler. */
static void deliver(struct kv_http2_call *call)
{
   struct kv_call *base = &call->base;
   struct kv_slice message;
   struct kv_status status;
   bool ready;
   if (!base->given_to_handler && kv_call_may_begin(base, &status) != KV_OK) {
      kv_call_refuse(base, &status);
   } else if (!call->request.delivered) {
      base->given_to_handler = true;
      base->method->half_closed(base->method->service, base);
   } else if (kv_http2_join_request(base, &ready, &message, &status) != KV_OK) {
      kv_call_refuse(base, &status);
   } else {
      base->given_to_handler = true;
      base->method->request(base->method->service, base, message);
   }
}

void kv_http2_begin_wait(struct kv_call *base)
{
   kv_http2_call_of(base)->queued = true;
}

bool kv_http2_end_wait(struct kv_call *base)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   call->queued = false;
   if (call->stream == 0)
      note_done(call);
   return call->stream != 0;
}

static void take_turn(struct kv_call *base)
{
   if (kv_http2_end_wait(base))
      deliver(kv_http2_call_of(base));
}

void kv_http2_call_request(struct kv_http2_call *call, bool packed, size_t size)
{
   kv_http2_call_worker(call)->handled++;
   call->base.packed = packed;
   if (!is_stream(call)) {
      kv_call_begin_unary(&call->base, packed, size);
      return;
   }
   if (!call->base.given_to_handler)
      kv_call_arrived(&call->base, size);
   if (!call->base.given_to_handler && (call->base.method->slow || packed)) {
      kv_http2_begin_wait(&call->base);
      kv_turn_await(&call->base, take_turn);
   } else {
      deliver(call);
   }
}

void kv_http2_call_half_closed(struct kv_http2_call *call)
{
   deliver(call);
}

/* ---- Its reply ---- */

void kv_http2_call_written(struct kv_http2_call *call)
{
   struct kv_call *base = &call->base;
   kv_http2_reply_written(&call->reply);
   if (call->reply.left > 0)
      return;
   call->sending = false;
   base->progress.sent++;
   kv_http2_reply_drop(&call->reply);
   kv_charge_drop_reply(&base->charge);
   if (atomic_load(&call->over))
      return;
   atomic_store_explicit(&base->progress.awaits_reader, false, memory_order_relaxed);
   if (!base->method->sent)
      return;
   if (base->method->slow)
      kv_turn_answer(base->worker);
   base->method->sent(base->method->service, base);
}
