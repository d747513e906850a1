/* Replies that wait for their reader: for its windows, or for its socket; and how that may end. */
#include "tests/support/wire_fixture.h"

#include "core/rpc/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- The service: messages of pieces that lie in one place ---- */

#define PIECE_SIZE ((size_t)512 * 1024)
/* Four replies of those are more than the system takes for a client that does not read. */
#define PIECES 16
#define BEGIN "the beginning"
#define MESSAGE_SIZE (sizeof BEGIN - 1 + PIECES * PIECE_SIZE)

static const char *the_piece(void)
{
   static char piece[PIECE_SIZE];
   if (piece[1] == 0)
      for (size_t i = 0; i < sizeof piece; i++)
         piece[i] = (char)(i * 7 >> 4 | 1);
   return piece;
}

static void release(void *owner)
{
   struct service *service = owner;
   pthread_mutex_lock(&service->lock);
   service->released++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

static void put_pieces(struct service *service, struct kv_call *call)
{
   put_message(call, kv_slice_of(BEGIN));
   for (size_t i = 0; i < PIECES; i++)
      assert_true(kv_call_insert(call, sizeof BEGIN - 1, kv_slice(the_piece(), PIECE_SIZE), release,
                                 service));
   pthread_mutex_lock(&service->lock);
   service->requests++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

static void reply_in_pieces(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   put_pieces(service, call);
   kv_call_reply(call);
}

/* Without an end. */
static void send_in_pieces(void *service, struct kv_call *call)
{
   put_pieces(service, call);
   kv_call_send(call);
}

static void stream_in_pieces(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   send_in_pieces(service, call);
}

static void echo(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   put_message(call, request);
   kv_call_reply(call);
}

static void note_closed(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   (void)call;
   pthread_mutex_lock(&service->lock);
   service->closed++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

static struct kv_rpc *create(struct service *service)
{
   const struct kv_rpc_method methods[] = {
       {.path = "/test.Test/Pieces", .service = service, .request = reply_in_pieces},
       {.path = "/test.Test/Stream",
        .kind = KV_RPC_SERVER_STREAM,
        .service = service,
        .request = stream_in_pieces,
        .sent = send_in_pieces,
        .closed = note_closed},
       {.path = "/test.Test/Echo", .request = echo},
   };
   return wire_create(methods, sizeof methods / sizeof methods[0], 1);
}

static int set_up(void **state)
{
   return wire_set_up_with(state, create);
}

/* ---- Clients ---- */

static void begin(struct http2_client *client, uint32_t stream, const char *path)
{
   http2_begin(client, stream, path, NULL);
   http2_send_frame(client, HTTP2_DATA, HTTP2_END_STREAM, stream, kv_slice("\0\0\0\0\0", 5));
}

static void assert_is_whole(struct http2_client *client, uint32_t stream)
{
   struct kv_slice data = http2_data(client, stream);
   const char *at = (const char *)data.data + 5;
   assert_int_equal(data.size, 5 + MESSAGE_SIZE);
   assert_memory_equal(at, BEGIN, sizeof BEGIN - 1);
   at += sizeof BEGIN - 1;
   for (size_t i = 0; i < PIECES; i++)
      assert_memory_equal(at + i * PIECE_SIZE, the_piece(), PIECE_SIZE);
   assert_true(http2_has_field(client, stream, "grpc-status: 0"));
}

/* A client whose window has let so much of a reply through. */
static struct http2_client *stop_at(struct wire *wire, const char *path, size_t window)
{
   struct http2_client *client = http2_open_with(wire->port, (int32_t)window);
   http2_widen(client, 0, 1 << 30);
   begin(client, 1, path);
   assert_true(http2_await_size(client, 1, window));
   return client;
}

enum { CALLS = 4 };

/* A client that has windows for all its calls, and reads none of it. When a ping that comes behind
 * them would be answered is not known to it; that the server has begun them all is. */
static struct http2_client *stop_reading(struct wire *wire, const char *path)
{
   struct service *service = &wire->service;
   unsigned before = count_of(service, &service->requests);
   struct http2_client *client = wire_connect(wire);
   for (uint32_t i = 0; i < CALLS; i++)
      begin(client, 2 * i + 1, path);
   await_count(service, &service->requests, before + CALLS);
   wire_assert_serves(wire);
   return client;
}

/* All pieces have been released, each once. */
static void assert_all_released(struct wire *wire)
{
   struct service *service = &wire->service;
   kv_rpc_stop(wire->rpc, 0);
   await_count(service, &service->released, PIECES * count_of(service, &service->requests));
}

/* ---- Windows ---- */

static const char *const paths[] = {"/test.Test/Pieces", "/test.Test/Stream"};

static void a_reply_larger_than_the_window_comes_as_the_window_opens(void **state)
{
   struct wire *wire = *state;
   size_t window = 100;
   struct http2_client *client = stop_at(wire, paths[0], window);
   for (uint32_t step = 1; window < 5 + MESSAGE_SIZE; step = step * 3 / 2 + 1) {
      http2_widen(client, 1, step);
      window += step;
      size_t expected = window < 5 + MESSAGE_SIZE ? window : 5 + MESSAGE_SIZE;
      assert_true(http2_await_size(client, 1, expected));
   }
   assert_true(http2_await_end(client, 1));
   assert_is_whole(client, 1);
   await_count(&wire->service, &wire->service.released, PIECES);
   http2_close(client);
   assert_all_released(wire);
}

static void a_reply_is_released_when_its_stream_is_reset_in_the_middle(void **state)
{
   struct wire *wire = *state;
   for (size_t i = 0; i < 2; i++) {
      struct http2_client *client = stop_at(wire, paths[i], PIECE_SIZE + 1000);
      http2_reset(client, 1);
      await_count(&wire->service, &wire->service.released, (unsigned)(i + 1) * PIECES);
      http2_close(client);
   }
   await_count(&wire->service, &wire->service.closed, 1);
   assert_all_released(wire);
}

static void a_reply_is_released_when_its_client_vanishes_in_the_middle(void **state)
{
   struct wire *wire = *state;
   for (size_t i = 0; i < 2; i++) {
      http2_vanish(stop_at(wire, paths[i], PIECE_SIZE + 1000));
      await_count(&wire->service, &wire->service.released, (unsigned)(i + 1) * PIECES);
   }
   await_count(&wire->service, &wire->service.closed, 1);
   assert_all_released(wire);
}

static void a_reply_is_released_when_the_server_stops_in_the_middle(void **state)
{
   struct wire *wire = *state;
   struct http2_client *unary = stop_at(wire, paths[0], PIECE_SIZE + 1000);
   struct http2_client *stream = stop_at(wire, paths[1], PIECE_SIZE + 1000);
   assert_all_released(wire);
   assert_int_equal(wire->service.closed, 1);
   http2_close(unary);
   http2_close(stream);
}

/* ---- Sockets ---- */

static void replies_that_the_socket_did_not_take_come_when_it_is_read(void **state)
{
   struct wire *wire = *state;
   struct http2_client *client = stop_reading(wire, paths[0]);
   assert_in_range(count_of(&wire->service, &wire->service.released), 0, CALLS * PIECES - 1);
   for (uint32_t i = 0; i < CALLS; i++) {
      assert_true(http2_await_end(client, 2 * i + 1));
      assert_is_whole(client, 2 * i + 1);
   }
   await_count(&wire->service, &wire->service.released, CALLS * PIECES);
   http2_close(client);
   assert_all_released(wire);
}

/* The connection can be used afterwards. */
static void replies_that_the_socket_does_not_take_are_released_when_they_are_reset(void **state)
{
   struct wire *wire = *state;
   for (unsigned i = 0; i < 2; i++) {
      struct http2_client *client = stop_reading(wire, paths[i]);
      for (uint32_t j = 0; j < CALLS; j++)
         http2_reset(client, 2 * j + 1);
      if (engine_sees_all())
         await_count(&wire->service, &wire->service.released, (i + 1) * CALLS * PIECES);
      assert_true(wire_upload(client, 2 * CALLS + 1, "/test.Test/Echo", kv_slice_of("hello"), 100));
      assert_true(http2_await_end(client, 2 * CALLS + 1));
      assert_true(wire_has_message(client, 2 * CALLS + 1, kv_slice_of("hello")));
      await_count(&wire->service, &wire->service.released, (i + 1) * CALLS * PIECES);
      http2_close(client);
   }
   await_count(&wire->service, &wire->service.closed, CALLS);
   assert_all_released(wire);
}

static void
replies_that_the_socket_does_not_take_are_released_when_the_client_vanishes(void **state)
{
   struct wire *wire = *state;
   for (unsigned i = 0; i < 2; i++) {
      http2_vanish(stop_reading(wire, paths[i]));
      await_count(&wire->service, &wire->service.released, (i + 1) * CALLS * PIECES);
   }
   await_count(&wire->service, &wire->service.closed, CALLS);
   assert_all_released(wire);
}

static void replies_that_the_socket_does_not_take_are_released_when_the_server_stops(void **state)
{
   struct wire *wire = *state;
   if (!engine_sees_all())
      skip();
   struct http2_client *unary = stop_reading(wire, paths[0]);
   struct http2_client *stream = stop_reading(wire, paths[1]);
   assert_all_released(wire);
   assert_int_equal(wire->service.closed, CALLS);
   http2_close(unary);
   http2_close(stream);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, wire_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_reply_larger_than_the_window_comes_as_the_window_opens),
       CASE(a_reply_is_released_when_its_stream_is_reset_in_the_middle),
       CASE(a_reply_is_released_when_its_client_vanishes_in_the_middle),
       CASE(a_reply_is_released_when_the_server_stops_in_the_middle),
       CASE(replies_that_the_socket_did_not_take_come_when_it_is_read),
       CASE(replies_that_the_socket_does_not_take_are_released_when_they_are_reset),
       CASE(replies_that_the_socket_does_not_take_are_released_when_the_client_vanishes),
       CASE(replies_that_the_socket_does_not_take_are_released_when_the_server_stops),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
