#include "tests/support/rpc_service.h"

#include "core/rpc/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void note(struct service *service, unsigned *counter)
{
   pthread_mutex_lock(&service->lock);
   (*counter)++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

unsigned count_of(struct service *service, const unsigned *counter)
{
   pthread_mutex_lock(&service->lock);
   unsigned value = *counter;
   pthread_mutex_unlock(&service->lock);
   return value;
}

void await_count(struct service *service, const unsigned *counter, unsigned value)
{
   struct timespec deadline;
   clock_gettime(CLOCK_REALTIME, &deadline);
   deadline.tv_sec += PATIENCE_S;
   pthread_mutex_lock(&service->lock);
   while (*counter < value &&
          pthread_cond_timedwait(&service->changed, &service->lock, &deadline) == 0)
      ;
   unsigned reached = *counter;
   pthread_mutex_unlock(&service->lock);
   assert_int_equal(reached, value);
}

const char *tested_wire(void)
{
   return getenv("KVSTORE_TEST_WIRE");
}

bool engine_sees_all(void)
{
   const char *wire = tested_wire();
   return wire && strcmp(wire, "http2") == 0;
}

void assert_nothing_is_charged(const struct kv_rpc *rpc)
{
   if (strcmp(rpc->engine->name, "http2") == 0)
      assert_int_equal(kv_account_held(rpc->account), 0);
}

void put_message(struct kv_call *call, struct kv_slice bytes)
{
   uint8_t *message = kv_call_message(call, bytes.size);
   if (bytes.size > 0)
      memcpy(message, bytes.data, bytes.size);
}

static void echo(void *service, struct kv_call *call, struct kv_slice request)
{
   note(service, &((struct service *)service)->requests);
   put_message(call, request);
   kv_call_reply(call);
}

/* A piece of a message that lies elsewhere. */
struct piece {
   struct service *service;
   char data[];
};

static void release_piece(void *owner)
{
   struct piece *piece = owner;
   struct service *service = piece->service;
   free(piece);
   note(service, &service->released);
}

static void insert(struct service *service, struct kv_call *call, size_t at, struct kv_slice bytes)
{
   struct piece *piece = malloc(sizeof *piece + bytes.size);
   piece->service = service;
   memcpy(piece->data, bytes.data, bytes.size);
   assert_true(kv_call_insert(call, at, kv_slice(piece->data, bytes.size), release_piece, piece));
}

/* The request five times, before, in and behind the four bytes of its own; a message with a piece
 * was begun before and dropped. */
static void put_in_pieces(struct service *service, struct kv_call *call, struct kv_slice request)
{
   put_message(call, kv_slice_of("to be replaced"));
   insert(service, call, 2, request);
   put_message(call, kv_slice_of("<>[]"));
   insert(service, call, 0, request);
   insert(service, call, 1, request);
   insert(service, call, 3, request);
   insert(service, call, 3, request);
   insert(service, call, 4, request);
}

static void echo_in_pieces(void *service, struct kv_call *call, struct kv_slice request)
{
   put_in_pieces(service, call, request);
   kv_call_reply(call);
}

static void fail_politely(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   char *text = kv_arena_alloc(kv_call_arena(call), request.size + 32);
   snprintf(text, request.size + 32, "there is no \"%.*s\": caf\xc3\xa9", (int)request.size,
            (const char *)request.data);
   kv_call_fail(call, KV_NOT_FOUND, text);
}

static void hold(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   pthread_mutex_lock(&service->lock);
   service->held[service->held_count++] = call;
   pthread_mutex_unlock(&service->lock);
   note(service, &service->requests);
}

/* For the end of the turn. */
static void leave_unanswered(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   pthread_mutex_lock(&service->lock);
   service->unanswered[service->unanswered_count++] = call;
   pthread_mutex_unlock(&service->lock);
}

static void answer_at_turn_end(void *owner, unsigned worker)
{
   struct service *service = owner;
   pthread_mutex_lock(&service->lock);
   size_t count = service->unanswered_count;
   service->unanswered_count = 0;
   service->turns += count > 0;
   service->answered += (unsigned)count;
   service->counted_before = service->counted;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
   for (size_t i = 0; i < count; i++) {
      assert_int_equal(kv_call_worker(service->unanswered[i]), worker);
      kv_call_reply(service->unanswered[i]);
   }
}

/* Keeps its worker until the test opens the gate. */
static void wait_at_gate(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   note(service, &service->requests);
   pthread_mutex_lock(&service->lock);
   while (!service->open)
      pthread_cond_wait(&service->changed, &service->lock);
   service->open = false;
   pthread_mutex_unlock(&service->lock);
   put_message(call, request);
   kv_call_reply(call);
}

static void take_long(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   pthread_mutex_lock(&service->lock);
   service->were_behind |= service->unanswered_count > 0;
   pthread_mutex_unlock(&service->lock);
   put_message(call, request);
   kv_call_reply(call);
}

/* Hands its worker back until the gate is open or its call is cancelled. */
static void look_at_gate(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   if (kv_call_is_cancelled(call)) {
      note(service, &service->closed);
      kv_call_fail(call, KV_CANCELLED, "cancelled");
      return;
   }
   pthread_mutex_lock(&service->lock);
   bool open = service->open;
   pthread_mutex_unlock(&service->lock);
   if (open)
      kv_call_reply(call);
   else
      kv_call_yield(call, look_at_gate);
}

/* The same as a stream: it counts how often it goes on, and finishes. */
static void look_at_gate_again(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   pthread_mutex_lock(&service->lock);
   bool open = service->open;
   pthread_mutex_unlock(&service->lock);
   note(service, &service->counted);
   if (open)
      kv_call_finish(call);
   else
      kv_call_yield(call, look_at_gate_again);
}

static void come_to_gate_with_stream(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   note(service, &service->requests);
   look_at_gate_again(owner, call);
}

static void come_to_gate(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   note(service, &service->requests);
   look_at_gate(owner, call);
}

/* Sends the numbers from 0 up to the one requested. */
struct count {
   uint32_t next, end;
};

static void count_on(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   struct count *count = *kv_call_state(call);
   if (count->next == count->end) {
      kv_call_finish(call);
      return;
   }
   put_message(call, kv_slice(&count->next, sizeof count->next));
   count->next++;
   note(service, &service->counted);
   kv_call_send(call);
}

static void count_from_zero(void *service, struct kv_call *call, struct kv_slice request)
{
   struct count *count = kv_arena_alloc(kv_call_arena(call), sizeof *count);
   *count = (struct count){0};
   memcpy(&count->end, request.data, sizeof count->end);
   *kv_call_state(call) = count;
   note(service, &((struct service *)service)->requests);
   count_on(service, call);
}

static void chat(void *service, struct kv_call *call, struct kv_slice request)
{
   note(service, &((struct service *)service)->requests);
   put_message(call, request);
   kv_call_send(call);
}

static void chat_sent(void *service, struct kv_call *call)
{
   (void)service;
   kv_call_read_next(call);
}

static void chat_in_pieces(void *service, struct kv_call *call, struct kv_slice request)
{
   put_in_pieces(service, call, request);
   kv_call_send(call);
}

static void chat_half_closed(void *service, struct kv_call *call)
{
   note(service, &((struct service *)service)->half_closed);
   kv_call_finish(call);
}

static void stream_closed(void *service, struct kv_call *call)
{
   (void)call;
   note(service, &((struct service *)service)->closed);
}

/* Of a stream that sends the number of the last notification when the message before has left. */
struct ear {
   bool sending, has_more;
};

static void hear(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   struct ear *ear = *kv_call_state(call);
   pthread_mutex_lock(&service->lock);
   service->notified_on = pthread_self();
   pthread_mutex_unlock(&service->lock);
   note(service, &service->notified);
   ear->has_more = ear->sending;
   if (ear->sending)
      return;
   ear->sending = true;
   put_message(call, kv_slice(&service->notified, sizeof service->notified));
   kv_call_send(call);
}

static void listen_for_notifications(void *service, struct kv_call *call, struct kv_slice request)
{
   struct ear *ear = kv_arena_alloc(kv_call_arena(call), sizeof *ear);
   *ear = (struct ear){0};
   *kv_call_state(call) = ear;
   hold(service, call, request);
   kv_call_read_next(call);
}

static void heard(void *owner, struct kv_call *call)
{
   const struct service *service = owner;
   struct ear *ear = *kv_call_state(call);
   ear->sending = ear->has_more;
   ear->has_more = false;
   if (!ear->sending)
      return;
   put_message(call, kv_slice(&service->notified, sizeof service->notified));
   kv_call_send(call);
}

/* Nobody may notify it any more. */
static void let_go(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   pthread_mutex_lock(&service->lock);
   for (size_t i = 0; i < service->held_count; i++)
      if (service->held[i] == call)
         service->held[i] = NULL;
   pthread_mutex_unlock(&service->lock);
   note(service, &service->closed);
}

static void set_gate(struct service *service, bool open)
{
   pthread_mutex_lock(&service->lock);
   service->open = open;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

void open_gate(struct service *service)
{
   set_gate(service, true);
}

void close_gate(struct service *service)
{
   set_gate(service, false);
}

struct kv_rpc *create_rpc(struct service *service)
{
   const struct kv_rpc_method methods[] = {
       {.path = "/test.Test/Echo", .service = service, .request = echo},
       {.path = "/test.Test/Pieces", .service = service, .request = echo_in_pieces},
       {.path = "/test.Test/Fail", .service = service, .request = fail_politely},
       {.path = "/test.Test/Hold", .service = service, .request = hold},
       {.path = "/test.Test/Leave", .service = service, .request = leave_unanswered},
       {.path = "/test.Test/Gate", .service = service, .request = wait_at_gate},
       {.path = "/test.Test/Slow", .slow = true, .service = service, .request = take_long},
       {.path = "/test.Test/Turns", .slow = true, .service = service, .request = come_to_gate},
       {.path = "/test.Test/StreamTurns",
        .kind = KV_RPC_SERVER_STREAM,
        .slow = true,
        .service = service,
        .request = come_to_gate_with_stream,
        .closed = stream_closed},
       {.path = "/test.Test/SlowCount",
        .kind = KV_RPC_SERVER_STREAM,
        .slow = true,
        .service = service,
        .request = count_from_zero,
        .sent = count_on,
        .closed = stream_closed},
       {.path = "/test.Test/Count",
        .kind = KV_RPC_SERVER_STREAM,
        .service = service,
        .request = count_from_zero,
        .sent = count_on,
        .closed = stream_closed},
       {.path = "/test.Test/HoldStream",
        .kind = KV_RPC_SERVER_STREAM,
        .service = service,
        .request = hold,
        .closed = stream_closed},
       {.path = "/test.Test/Chat",
        .kind = KV_RPC_BIDI,
        .service = service,
        .request = chat,
        .sent = chat_sent,
        .half_closed = chat_half_closed,
        .closed = stream_closed},
       {.path = "/test.Test/Listen",
        .kind = KV_RPC_BIDI,
        .service = service,
        .request = listen_for_notifications,
        .sent = heard,
        .half_closed = chat_half_closed,
        .notified = hear,
        .closed = let_go},
       {.path = "/test.Test/ChatInPieces",
        .kind = KV_RPC_BIDI,
        .service = service,
        .request = chat_in_pieces,
        .sent = chat_sent,
        .half_closed = chat_half_closed,
        .closed = stream_closed},
   };
   struct kv_status status;
   const struct kv_rpc_options options = {.wire = tested_wire(),
                                          .workers = 2,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000,
                                          .turn_end = answer_at_turn_end,
                                          .context = service};
   struct kv_rpc *rpc =
       kv_rpc_create(&options, methods, sizeof methods / sizeof methods[0], &status);
   assert_non_null(rpc);
   return rpc;
}
