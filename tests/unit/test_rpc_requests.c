/* How requests may come: in frames of any size, in any pieces, ahead of time, with any end. */
#include "tests/support/wire_fixture.h"

#include "core/rpc/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static char *make_bytes(size_t size)
{
   char *bytes = malloc(size + 1);
   assert_non_null(bytes);
   for (size_t i = 0; i < size; i++)
      bytes[i] = (char)(i * 31 >> 3);
   return bytes;
}

/* ---- Uploads ---- */

static void assert_is_echoed(struct http2_client *client, uint32_t stream, struct kv_slice message,
                             size_t frame_size)
{
   assert_true(wire_upload(client, stream, "/test.Test/Echo", message, frame_size));
   assert_true(http2_await_end(client, stream));
   assert_true(http2_has_field(client, stream, "grpc-status: 0"));
   assert_true(wire_has_message(client, stream, message));
}

static void an_upload_of_any_size_arrives_in_frames_of_any_size(void **state)
{
   static const size_t sizes[] = {0,     1,     2,      11,     1024,   2048,      2049,  9000,
                                  16379, 32762, 32763,  32768,  65530,  65531,     65535, 65536,
                                  70000, 99999, 262144, 300000, 700001, LIMIT - 1, LIMIT};
   static const size_t frame_sizes[] = {1, 2, 5, 999, 4096, 16384};
   char *bytes = make_bytes(LIMIT);
   for (size_t i = 0; i < COUNT(frame_sizes); i++) {
      struct http2_client *client = wire_connect(*state);
      for (size_t j = 0; j < COUNT(sizes); j++)
         if (sizes[j] / frame_sizes[i] <= 10000)
            assert_is_echoed(client, (uint32_t)(2 * j + 1), kv_slice(bytes, sizes[j]),
                             frame_sizes[i]);
      http2_close(client);
   }
   free(bytes);
}

/* The windows are shared by all of them. */
static void uploads_side_by_side_all_arrive(void **state)
{
   enum { UPLOADS = 20, SIZE = 150000, STEP = 10000 };
   char *bytes = make_bytes(SIZE + 5);
   struct http2_client *client = wire_connect(*state);
   memcpy(bytes, (const uint8_t[]){0, 0, SIZE >> 16, SIZE >> 8 & 255, SIZE & 255}, 5);
   for (uint32_t i = 0; i < UPLOADS; i++)
      http2_begin(client, 2 * i + 1, "/test.Test/Echo", NULL);
   for (size_t at = 0; at < SIZE + 5; at += STEP)
      for (uint32_t i = 0; i < UPLOADS; i++) {
         size_t left = SIZE + 5 - at;
         assert_true(http2_upload(client, 2 * i + 1,
                                  kv_slice(bytes + at, left < STEP ? left : STEP), 16384,
                                  left <= STEP));
      }
   for (uint32_t i = 0; i < UPLOADS; i++) {
      assert_true(http2_await_end(client, 2 * i + 1));
      assert_true(wire_has_message(client, 2 * i + 1, kv_slice(bytes + 5, SIZE)));
   }
   http2_close(client);
   free(bytes);
}

static void a_message_may_be_split_at_any_byte_of_its_prefix(void **state)
{
   static const char message[] = "\0\0\0\0\3abc";
   struct http2_client *client = wire_connect(*state);
   for (uint32_t cut = 0; cut < sizeof message; cut++) {
      uint32_t stream = 2 * cut + 1;
      http2_begin(client, stream, "/test.Test/Echo", NULL);
      http2_send_frame(client, HTTP2_DATA, 0, stream, kv_slice(message, cut));
      assert_true(http2_await_pong(client)); /* or both would be read at once */
      http2_send_frame(client, HTTP2_DATA, HTTP2_END_STREAM, stream,
                       kv_slice(message + cut, sizeof message - 1 - cut));
      assert_true(http2_await_end(client, stream));
      assert_true(wire_has_message(client, stream, kv_slice_of("abc")));
   }
   http2_close(client);
}

/* ---- Ends ---- */

static void the_end_may_come_with_data_alone_or_as_trailers(void **state)
{
   static const char message[] = "\0\0\0\0\3abc";
   static const char trailer[] = "\0\3x-t\1v"; /* HPACK: a literal */
   struct http2_client *client = wire_connect(*state);
   for (uint32_t stream = 1; stream <= 11; stream += 2) {
      bool chats = stream > 5;
      http2_begin(client, stream, chats ? "/test.Test/Chat" : "/test.Test/Echo", NULL);
      http2_send_frame(client, HTTP2_DATA, stream % 6 == 1 ? HTTP2_END_STREAM : 0, stream,
                       kv_slice(message, sizeof message - 1));
      if (stream % 6 == 3)
         http2_send_frame(client, HTTP2_DATA, HTTP2_END_STREAM, stream, kv_slice(NULL, 0));
      if (stream % 6 == 5)
         http2_send_frame(client, HTTP2_HEADERS, HTTP2_END_STREAM | HTTP2_END_HEADERS, stream,
                          kv_slice(trailer, sizeof trailer - 1));
      assert_true(http2_await_end(client, stream));
      assert_true(http2_has_field(client, stream, "grpc-status: 0"));
      assert_true(wire_has_message(client, stream, kv_slice_of("abc")));
      assert_int_equal(http2_reset_code(client, stream), -1);
   }
   http2_close(client);
}

static void a_request_that_ends_in_its_middle_reaches_no_handler(void **state)
{
   static const char message[] = "\0\0\0\0\3ab";
   static const char *const paths[] = {"/test.Test/Echo", "/test.Test/Count", "/test.Test/Chat"};
   struct wire *wire = *state;
   struct http2_client *client = wire_connect(wire);
   uint32_t stream = 1;
   size_t count = engine_sees_all() ? COUNT(paths) : COUNT(paths) - 1;
   for (size_t i = 0; i < count; i++)
      for (size_t size = 1; size < sizeof message; size++, stream += 2) {
         http2_begin(client, stream, paths[i], NULL);
         http2_send_frame(client, HTTP2_DATA, HTTP2_END_STREAM, stream, kv_slice(message, size));
         assert_true(http2_await_end(client, stream));
         assert_true(http2_has_field(client, stream, "grpc-status: 13"));
      }
   assert_int_equal(count_of(&wire->service, &wire->service.requests), 0);
   assert_int_equal(count_of(&wire->service, &wire->service.half_closed), 0);
   http2_close(client);
}

/* The client is told before it has sent it. */
static void a_message_that_is_too_large_is_refused_by_its_prefix(void **state)
{
   struct wire *wire = *state;
   struct http2_client *client = wire_connect(wire);
   http2_call(client, 1, "/test.Test/Echo", LIMIT + 1, kv_slice(NULL, 0));
   if (engine_sees_all())
      assert_true(http2_await_field(client, 1, "grpc-status: 8"));
   http2_close(client);
   wire_assert_serves(wire);
}

/* ---- Bidi ---- */

/* Messages that say their number, each `size` bytes; freed by the caller. */
static char *make_messages(uint32_t count, uint32_t size)
{
   char *bytes = calloc(count, 5 + size);
   assert_non_null(bytes);
   for (uint32_t i = 0; i < count; i++) {
      char *at = bytes + (size_t)i * (5 + size);
      at[3] = (char)(size >> 8);
      at[4] = (char)size;
      memcpy(at + 5, &i, sizeof i);
   }
   return bytes;
}

static void several_messages_may_come_in_one_frame(void **state)
{
   enum { MESSAGES = 100, SIZE = 20 };
   struct http2_client *client = wire_connect(*state);
   char *bytes = make_messages(MESSAGES, SIZE);
   const struct kv_slice all = kv_slice(bytes, MESSAGES * (5 + SIZE));
   http2_begin(client, 1, "/test.Test/Chat", NULL);
   http2_send_frame(client, HTTP2_DATA, HTTP2_END_STREAM, 1, all);
   assert_true(http2_await_end(client, 1));
   assert_true(http2_has_field(client, 1, "grpc-status: 0"));
   assert_int_equal(kv_slice_compare(http2_data(client, 1), all), 0);
   free(bytes);
   http2_close(client);
}

/* The handler wants no next one while its reply does not leave. */
static void messages_that_come_ahead_are_kept_and_delivered_in_order(void **state)
{
   enum { MESSAGES = 50, SIZE = 1000 };
   struct wire *wire = *state;
   struct http2_client *client = http2_open_with(wire->port, 0);
   char *bytes = make_messages(MESSAGES, SIZE);
   const struct kv_slice all = kv_slice(bytes, MESSAGES * (5 + SIZE));
   http2_begin(client, 1, "/test.Test/Chat", NULL);
   assert_true(http2_upload(client, 1, all, 3333, true));
   await_count(&wire->service, &wire->service.requests, 1);
   assert_true(http2_await_pong(client));
   assert_int_equal(count_of(&wire->service, &wire->service.requests), 1);
   assert_int_equal(count_of(&wire->service, &wire->service.half_closed), 0);
   assert_in_range(http2_data(client, 1).size, 0, 0);
   http2_widen(client, 1, 1 << 20);
   assert_true(http2_await_end(client, 1));
   assert_true(http2_has_field(client, 1, "grpc-status: 0"));
   assert_int_equal(kv_slice_compare(http2_data(client, 1), all), 0);
   assert_int_equal(count_of(&wire->service, &wire->service.half_closed), 1);
   free(bytes);
   http2_close(client);
}

/* By at least AHEAD messages, up to AHEAD + STEP, which fit into half a window. */
static void a_client_that_is_always_ahead_costs_a_window(void **state)
{
   enum { MESSAGES = 3000, SIZE = 1000, EACH = 5 + SIZE, AHEAD = 10, STEP = 20 };
   struct wire *wire = *state;
   struct http2_client *client = http2_open_with(wire->port, 0);
   char *bytes = make_messages(MESSAGES, SIZE);
   size_t sent = AHEAD, most = 0;
   http2_begin(client, 1, "/test.Test/Chat", NULL);
   assert_true(http2_upload(client, 1, kv_slice(bytes, AHEAD * EACH), 16384, false));
   for (; sent + STEP <= MESSAGES; sent += STEP) {
      assert_true(
          http2_upload(client, 1, kv_slice(bytes + sent * EACH, STEP * EACH), 16384, false));
      http2_widen(client, 0, STEP * EACH);
      http2_widen(client, 1, STEP * EACH);
      assert_true(http2_await_size(client, 1, (sent + STEP - AHEAD) * EACH));
      size_t held = kv_account_held(wire->rpc->account);
      most = held > most ? held : most;
   }
   assert_in_range(most, 0, 200 * 1024);
   assert_int_equal(memcmp(http2_data(client, 1).data, bytes, (sent - AHEAD) * EACH), 0);
   free(bytes);
   http2_close(client);
}

/* ---- Clients that go ---- */

/* The end comes with the last bytes, and nothing is sent to the client that would make it known. */
static void a_client_that_closes_its_side_behind_its_request_is_noticed(void **state)
{
   struct wire *wire = *state;
   struct service *service = &wire->service;
   struct http2_client *client = http2_open(wire->port);
   http2_call(client, 1, "/test.Test/Gate", 1, kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   http2_call(client, 3, "/test.Test/HoldStream", 1, kv_slice_of("x"));
   http2_shut_down(client);
   open_gate(service);
   http2_await_close(client);
   http2_close(client);
}

/* A worker answers it, and only after what has come before; a ping may be answered by another
 * thread. */
static void await_echo(struct http2_client *client, uint32_t stream)
{
   http2_call(client, stream, "/test.Test/Echo", 1, kv_slice_of("x"));
   assert_true(http2_await_field(client, stream, "grpc-status: 0"));
}

static void a_slow_call_that_is_reset_in_its_queue_is_never_begun(void **state)
{
   static const char *const paths[] = {"/test.Test/Turns", "/test.Test/SlowCount"};
   struct wire *wire = *state;
   struct service *service = &wire->service;
   struct http2_client *client = http2_open(wire->port);
   http2_call(client, 1, "/test.Test/Turns", 1, kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   for (uint32_t i = 0; i < 2; i++)
      http2_call(client, 2 * i + 3, paths[i], 4, kv_slice("\3\0\0\0", 4));
   await_echo(client, 7); /* they have arrived */
   for (uint32_t i = 0; i < 2; i++)
      http2_reset(client, 2 * i + 3);
   await_echo(client, 9); /* and are known to be reset */
   open_gate(service);
   assert_true(http2_await_field(client, 1, "grpc-status: 0"));
   http2_call(client, 11, "/test.Test/SlowCount", 4, kv_slice("\3\0\0\0", 4)); /* behind them */
   assert_true(http2_await_field(client, 11, "grpc-status: 0"));
   assert_int_equal(count_of(service, &service->requests), 1 + 2 + 1);
   http2_close(client);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, wire_set_up, wire_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(an_upload_of_any_size_arrives_in_frames_of_any_size),
       CASE(uploads_side_by_side_all_arrive),
       CASE(a_message_may_be_split_at_any_byte_of_its_prefix),
       CASE(the_end_may_come_with_data_alone_or_as_trailers),
       CASE(a_request_that_ends_in_its_middle_reaches_no_handler),
       CASE(a_message_that_is_too_large_is_refused_by_its_prefix),
       CASE(several_messages_may_come_in_one_frame),
       CASE(messages_that_come_ahead_are_kept_and_delivered_in_order),
       CASE(a_client_that_is_always_ahead_costs_a_window),
       CASE(a_client_that_closes_its_side_behind_its_request_is_noticed),
       CASE(a_slow_call_that_is_reset_in_its_queue_is_never_begun),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
