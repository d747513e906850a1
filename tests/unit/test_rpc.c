#include "tests/support/rpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Unary calls ---- */

static void a_unary_call_gets_what_its_handler_made(void **state)
{
   assert_echoes(*state, kv_slice_of("hello"));
   assert_echoes(*state, kv_slice(NULL, 0));
}

static void a_message_that_comes_in_many_pieces_arrives_in_one(void **state)
{
   char *large = malloc(LIMIT);
   for (size_t i = 0; i < LIMIT; i++)
      large[i] = (char)(i * 31 >> 3);
   assert_echoes(*state, kv_slice(large, LIMIT));
   free(large);
}

enum { PIECES = 5, PIECES_DROPPED = 1 };

/* What put_in_pieces makes; freed by the caller. */
static struct kv_slice in_pieces(struct kv_slice request)
{
   static const char *const parts[] = {"", "<", ">[", "", "]"};
   char *all = malloc(PIECES * (request.size + 2));
   size_t size = 0;
   for (size_t i = 0; i < PIECES; i++) {
      memcpy(all + size, parts[i], strlen(parts[i]));
      size += strlen(parts[i]);
      memcpy(all + size, request.data, request.size);
      size += request.size;
   }
   return kv_slice(all, size);
}

static void pieces_come_in_their_places_and_are_released(void **state)
{
   struct world *world = *state;
   struct caller caller;
   static const char large[100000] = "large";
   const struct kv_slice requests[] = {kv_slice_of("a"), kv_slice(large, sizeof large)};
   unsigned released = 0;
   for (size_t i = 0; i < 2; i++) {
      struct kv_slice expected = in_pieces(requests[i]);
      begin_call(&caller, world, "/test.Test/Pieces", requests[i]);
      assert_receives(&caller, expected);
      assert_ends(&caller, KV_OK, "");
      await_count(&world->service, &world->service.released, released += PIECES + PIECES_DROPPED);

      caller = open_call(world, "/test.Test/ChatInPieces");
      await_status_from_now(&caller);
      for (int j = 0; j < 2; j++) {
         send_message(&caller, requests[i]);
         assert_receives(&caller, expected);
         await_count(&world->service, &world->service.released,
                     released += PIECES + PIECES_DROPPED);
      }
      half_close(&caller);
      assert_ends(&caller, KV_OK, "");
      free((void *)expected.data);
   }
   assert_int_equal(count_of(&world->service, &world->service.released), released);
}

static void a_failure_carries_its_code_and_text(void **state)
{
   struct caller caller;
   begin_call(&caller, *state, "/test.Test/Fail", kv_slice_of("tea"));
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_NOT_FOUND, "there is no \"tea\": caf\xc3\xa9");
}

static void an_unknown_method_is_answered_and_named(void **state)
{
   for (int i = 0; i < 20; i++) {
      struct caller caller;
      begin_call(&caller, *state, "/test.Test/Nonesuch", kv_slice_of("x"));
      assert_ends(&caller, KV_UNIMPLEMENTED,
                  "unknown method \"/test.Test/Nonesuch\"; this server may be older than "
                  "the client");
   }
}

static void a_call_without_a_message_is_refused(void **state)
{
   static const char *const paths[] = {"/test.Test/Echo", "/test.Test/Count"};
   struct world *world = *state;
   for (size_t i = 0; i < 2; i++) {
      struct caller caller = open_call(world, paths[i]);
      await_status_from_now(&caller);
      half_close(&caller);
      assert_ends(&caller, KV_INTERNAL, "the call has no request message");
   }
   assert_int_equal(count_of(&world->service, &world->service.requests), 0);
   assert_int_equal(count_of(&world->service, &world->service.closed), 0);
}

static void a_message_over_the_limit_is_refused_before_the_handler(void **state)
{
   struct world *world = *state;
   struct caller caller;
   void *large = calloc(1, LIMIT + 1);
   begin_call(&caller, world, "/test.Test/Echo", kv_slice(large, LIMIT + 1));
   assert_ends(&caller, KV_RESOURCE_EXHAUSTED, NULL);
   free(large);
   assert_int_equal(count_of(&world->service, &world->service.requests), 0);
   assert_echoes(world, kv_slice_of("still here"));
}

static void a_reply_to_a_call_that_was_cancelled_is_dropped(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin_call(&caller, world, "/test.Test/Hold", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   grpc_call_cancel(caller.call, NULL);
   assert_ends(&caller, KV_CANCELLED, NULL);
   put_message(world->service.held[0], kv_slice_of("too late"));
   kv_call_reply(world->service.held[0]);
   assert_echoes(world, kv_slice_of("still here"));
}

static void calls_in_flight_are_not_limited_by_the_accept_slots(void **state)
{
   struct world *world = *state;
   struct caller *callers = calloc(MANY_CALLS, sizeof *callers);
   for (size_t i = 0; i < MANY_CALLS; i++)
      begin_call(&callers[i], world, "/test.Test/Hold", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, MANY_CALLS);
   for (size_t i = 0; i < MANY_CALLS; i++)
      kv_call_reply(world->service.held[i]);
   for (size_t i = 0; i < MANY_CALLS; i++) {
      assert_receives(&callers[i], kv_slice(NULL, 0));
      assert_ends(&callers[i], KV_OK, "");
   }
   free(callers);
}

/* ---- Bad clients ---- */

static void half_a_message_reaches_no_handler(void **state)
{
   struct world *world = *state;
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Echo", 200, kv_slice_of("hello"));
   assert_true(http2_await_pong(client));
   assert_echoes(world, kv_slice_of("a whole one"));
   http2_vanish(client);
   assert_echoes(world, kv_slice_of("another"));
   assert_int_equal(count_of(&world->service, &world->service.requests), 2);
}

static void garbage_on_the_port_does_no_harm(void **state)
{
   struct world *world = *state;
   char garbage[4096];
   uint32_t seed = 1;
   for (int i = 0; i < 20; i++) {
      for (size_t j = 0; j < sizeof garbage; j++)
         garbage[j] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
      int fd = connect_raw(world->port);
      if (i % 2 == 1) { /* past the preface, so that frames are garbage */
         write_all(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
         write_frame(fd, 4, 0, 0, kv_slice(NULL, 0));
      }
      write_all(fd, garbage, sizeof garbage);
      close(fd);
   }
   int fd = connect_raw(world->port);
   write_all(fd, "GET / HTTP/1.1\r\nHost: test\r\n\r\n", 30);
   assert_echoes(world, kv_slice_of("still here"));
   close(fd);
}

/* ---- The table ---- */

static void ignore(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service, (void)call, (void)request;
}

static void a_method_that_is_there_twice_is_refused(void **state)
{
   (void)state;
   const struct kv_rpc_method methods[] = {{.path = "/a.B/C", .request = ignore},
                                           {.path = "/a.B/C", .request = ignore}};
   const struct kv_rpc_options options = {.wire = tested_wire(),
                                          .workers = 1,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000};
   struct kv_status status;
   assert_null(kv_rpc_create(&options, methods, 2, &status));
   assert_int_equal(status.code, KV_ALREADY_EXISTS);
   assert_non_null(strstr(status.text, "/a.B/C"));
}

static void an_engine_that_is_not_there_is_refused_with_the_names_of_those_that_are(void **state)
{
   (void)state;
   const struct kv_rpc_options options = {.wire = "pigeon",
                                          .workers = 1,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000};
   struct kv_status status;
   assert_null(kv_rpc_create(&options, NULL, 0, &status));
   assert_int_equal(status.code, KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status.text, "\"pigeon\""));
   assert_non_null(strstr(status.text, "grpc"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rpc_set_up, rpc_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_unary_call_gets_what_its_handler_made),
       CASE(a_message_that_comes_in_many_pieces_arrives_in_one),
       CASE(pieces_come_in_their_places_and_are_released),
       CASE(a_failure_carries_its_code_and_text),
       CASE(an_unknown_method_is_answered_and_named),
       CASE(a_call_without_a_message_is_refused),
       CASE(a_message_over_the_limit_is_refused_before_the_handler),
       CASE(a_reply_to_a_call_that_was_cancelled_is_dropped),
       CASE(calls_in_flight_are_not_limited_by_the_accept_slots),
       CASE(half_a_message_reaches_no_handler),
       CASE(garbage_on_the_port_does_no_harm),
       CASE(a_method_that_is_there_twice_is_refused),
       CASE(an_engine_that_is_not_there_is_refused_with_the_names_of_those_that_are),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
