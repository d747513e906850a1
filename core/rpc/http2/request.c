#include "core/rpc/http2/request.h"

#include "core/rpc/http2/call.h"
#include "core/rpc/http2/session.h"
#include "core/rpc/http2/worker.h"
#include "core/rpc/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message of a call with only one lies in the call's arena up to here, in what any call costs. */
#define SMALL_SIZE ((size_t)2048)
#define ASIDE_SIZE_MIN ((size_t)4096)

void kv_http2_request_init(struct kv_http2_request *request)
{
   *request = (struct kv_http2_request){0};
}

static void refuse(struct kv_http2_call *call, const struct kv_status *status)
{
   kv_http2_request_close(call);
   kv_call_refuse(&call->base, status);
}

static void fail(struct kv_http2_call *call, enum kv_code code, const char *text)
{
   struct kv_status status;
   kv_fail(&status, code, "%s", text);
   refuse(call, &status);
}

/* ---- What is kept aside ---- */

/* So that so many bytes can be put behind those that are there. */
static bool reserve_aside(struct kv_http2_request *request, size_t size)
{
   if (request->aside_from > 0) {
      request->aside_size -= request->aside_from;
      memmove(request->aside, request->aside + request->aside_from, request->aside_size);
      request->aside_from = 0;
   }
   if (request->aside_size + size <= request->aside_capacity)
      return true;
   size_t capacity = 2 * (request->aside_size + size);
   capacity = capacity < ASIDE_SIZE_MIN ? ASIDE_SIZE_MIN : capacity;
   uint8_t *aside = realloc(request->aside, capacity);
   if (!aside)
      return false;
   request->aside = aside;
   request->aside_capacity = capacity;
   return true;
}

/* It is charged; what the share has no space for keeps the connection's window shut until then. */
static bool put_aside(struct kv_http2_call *call, const uint8_t *data, size_t size)
{
   struct kv_http2_request *request = &call->request;
   if (!reserve_aside(request, size))
      return false;
   memcpy(request->aside + request->aside_size, data, size);
   request->aside_size += size;
   struct kv_share *share = call->base.connection->share;
   if (kv_share_take(share, KV_CLAIM_SHARE, size, 0)) {
      kv_http2_session_consume(call, size);
   } else {
      kv_share_add(share, size);
      request->unread += size;
   }
   return true;
}

/* So many bytes of it are not needed any more. */
static void pass_aside(struct kv_http2_call *call, size_t size)
{
   struct kv_http2_request *request = &call->request;
   size_t unread = size < request->unread ? size : request->unread;
   request->aside_from += size;
   request->unread -= unread;
   if (size > 0)
      kv_share_give(call->base.connection->share, size);
   kv_http2_session_consume(call, unread);
}

static void drop_aside(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   pass_aside(call, request->aside_size - request->aside_from);
   free(request->aside);
   request->aside = NULL;
   request->aside_from = request->aside_size = request->aside_capacity = 0;
}

/* ---- A message ---- */

static uint8_t *allocate(struct kv_http2_call *call, size_t size)
{
   struct kv_http2_request *request = &call->request;
   struct kv_charge *charge = &call->base.charge;
   request->allocated = false;
   if (request->only_one && size <= SMALL_SIZE)
      return kv_arena_alloc(&call->base.arena, size > 0 ? size : 1);
   if (!(request->only_one ? kv_charge_take_request_and_reserve(charge, size)
                           : kv_charge_take_request(charge, size)))
      return NULL;
   uint8_t *message = malloc(size > 0 ? size : 1);
   request->allocated = message;
   if (!message)
      kv_charge_give_request(charge, size);
   return message;
}

static bool takes(const struct kv_http2_request *request)
{
   return !request->closed && !request->delivered && !request->waits;
}

/* Whether it is the client's turn. Bidi calls may be silent for days. */
static void note_whose_turn(struct kv_http2_call *call)
{
   const struct kv_http2_request *request = &call->request;
   call->base.progress.awaits_sender = request->only_one && takes(request) && !request->ended;
}

void kv_http2_request_open(struct kv_http2_call *call, bool only_one, enum kv_encoding encoding)
{
   call->request.only_one = only_one;
   call->request.encoding = encoding;
   note_whose_turn(call);
}

static void await_memory(struct kv_http2_call *call)
{
   call->request.waits = true;
   kv_account_begin_to_wait(call->base.worker->rpc->account);
   TAILQ_INSERT_TAIL(&kv_http2_call_worker(call)->waiting, call, request.waiting);
   note_whose_turn(call);
}

static void stop_waiting(struct kv_http2_call *call)
{
   if (!call->request.waits)
      return;
   call->request.waits = false;
   kv_account_end_to_wait(call->base.worker->rpc->account);
   TAILQ_REMOVE(&kv_http2_call_worker(call)->waiting, call, request.waiting);
}

/* The prefix is there. */
static void begin_message(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   size_t max = call->base.worker->rpc->options.receive_message_max;
   struct kv_status status;
   request->size = kv_framing_size(request->prefix);
   if (request->prefix[0] > 1) {
      kv_fail(&status, KV_INTERNAL,
              "a message begins with %u, which says neither that it is compressed (1) nor that it "
              "is not (0)",
              request->prefix[0]);
      refuse(call, &status);
   } else if (request->size > max) {
      kv_fail_reason(&status, KV_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request has %zu bytes; the limit is %zu (server setting "
                     "max-message-size); send less at once",
                     request->size, max);
      refuse(call, &status);
   } else {
      request->message = allocate(call, request->size);
      if (!request->message)
         await_memory(call);
      else if (request->only_one && KV_FRAMING_PREFIX_SIZE + request->size > KV_HTTP2_STREAM_WINDOW)
         kv_http2_session_widen(call, KV_FRAMING_PREFIX_SIZE + request->size);
   }
}

/* Takes some of the bytes; returns how many. */
static size_t take(struct kv_http2_call *call, const uint8_t *data, size_t size)
{
   struct kv_http2_request *request = &call->request;
   size_t taken;
   if (request->prefix_size < KV_FRAMING_PREFIX_SIZE) {
      size_t wanted = (size_t)(KV_FRAMING_PREFIX_SIZE - request->prefix_size);
      taken = size < wanted ? size : wanted;
      memcpy(request->prefix + request->prefix_size, data, taken);
      request->prefix_size += (uint8_t)taken;
      if (taken == wanted)
         begin_message(call);
   } else {
      size_t wanted = request->size - request->arrived;
      taken = size < wanted ? size : wanted;
      memcpy(request->message + request->arrived, data, taken);
      request->arrived += taken;
   }
   return taken;
}

static bool is_complete(const struct kv_http2_request *request)
{
   return request->message && request->arrived == request->size;
}

/* Takes all that it can. */
static size_t take_all(struct kv_http2_call *call, const uint8_t *data, size_t size)
{
   struct kv_http2_request *request = &call->request;
   size_t taken = 0;
   request->taking = true;
   while (takes(request) && (taken < size || is_complete(request))) {
      if (!is_complete(request))
         taken += take(call, data + taken, size - taken);
      if (is_complete(request)) {
         request->delivered = true;
         kv_http2_call_request(call, request->prefix[0] == 1, request->size);
      }
   }
   request->taking = false;
   return taken;
}

/* What it will never take. */
static bool is_over(const struct kv_http2_request *request)
{
   return request->closed || (request->delivered && request->only_one);
}

/* The client's side is over, and so is all that it sent. */
static void handle_end(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   if (!request->ended || !takes(request) || request->aside_from < request->aside_size)
      return;
   if (request->prefix_size > 0)
      fail(call, KV_INTERNAL, "the client ended the call in the middle of a message");
   else if (request->only_one)
      fail(call, KV_INTERNAL, "the call has no request message");
   else
      kv_http2_call_half_closed(call);
}

static void take_aside(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   size_t taken = take_all(call, request->aside + request->aside_from,
                           request->aside_size - request->aside_from);
   if (request->closed)
      return;
   pass_aside(call, taken);
   if (!request->only_one)
      kv_http2_session_consume_stream(call, taken);
   if (request->aside_from == request->aside_size || is_over(request))
      drop_aside(call);
}

void kv_http2_request_receive(struct kv_http2_call *call, const uint8_t *data, size_t size)
{
   struct kv_http2_request *request = &call->request;
   call->base.progress.received++;
   size_t taken = request->aside ? 0 : take_all(call, data, size);
   if (taken > 0 && !request->only_one)
      kv_http2_session_consume_stream(call, taken);
   if (is_over(request))
      taken = size;
   kv_http2_session_consume(call, taken);
   if (taken < size && !put_aside(call, data + taken, size - taken)) {
      kv_http2_session_consume(call, size - taken);
      fail(call, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this request");
   }
   note_whose_turn(call);
}

void kv_http2_request_end(struct kv_http2_call *call)
{
   call->request.ended = true;
   handle_end(call);
   note_whose_turn(call);
}

void kv_http2_request_next(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   if (request->closed)
      return;
   request->prefix_size = 0;
   request->delivered = false;
   if (request->taking)
      return; /* called by the handler: take_all goes on */
   if (request->aside)
      take_aside(call);
   handle_end(call);
}

bool kv_http2_request_try_again(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   stop_waiting(call);
   begin_message(call);
   if (request->waits)
      return false;
   if (request->aside)
      take_aside(call);
   handle_end(call);
   note_whose_turn(call);
   return true;
}

void kv_http2_request_drop(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   kv_inflater_destroy(request->inflater);
   request->inflater = NULL;
   if (request->allocated)
      free(request->message);
   request->message = NULL;
   request->allocated = false;
   request->arrived = 0;
}

void kv_http2_request_close(struct kv_http2_call *call)
{
   struct kv_http2_request *request = &call->request;
   request->closed = true;
   stop_waiting(call);
   drop_aside(call);
   note_whose_turn(call);
}

/* ---- Compressed messages ---- */

static bool get_piece(void *context, size_t index, struct kv_slice *piece)
{
   const struct kv_http2_request *request = context;
   *piece = kv_slice(request->message, request->size);
   return index == 0;
}

static enum kv_code unpack(struct kv_http2_call *call, bool *ready, struct kv_slice *unpacked,
                           struct kv_status *status)
{
   struct kv_http2_request *request = &call->request;
   const struct kv_packed packed = {request->encoding == KV_GZIP, get_piece, request};
   enum kv_code code = kv_unpack(&call->base, &packed, &request->inflater, ready, unpacked, status);
   if (code != KV_OK || !*ready)
      return code;
   kv_http2_request_drop(call);
   request->message = (uint8_t *)unpacked->data;
   request->allocated = true;
   return KV_OK;
}

enum kv_code kv_http2_join_request(struct kv_call *base, bool *ready, struct kv_slice *message,
                                   struct kv_status *status)
{
   struct kv_http2_call *call = kv_http2_call_of(base);
   struct kv_http2_request *request = &call->request;
   if (request->prefix[0] == 0) {
      *ready = true;
      *message = kv_slice(request->message, request->size);
      return KV_OK;
   }
   switch (request->encoding) {
   case KV_GZIP:
   case KV_DEFLATE:
      return unpack(call, ready, message, status);
   case KV_IDENTITY:
      return kv_unpack_refuse(false, status);
   case KV_ENCODING_UNKNOWN:
      call->lists_encodings = true;
      return kv_unpack_refuse(true, status);
   }
   __builtin_unreachable();
}
