#include "tests/support/rpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Turns ---- */

static void each_call_that_comes_alone_is_a_turn(void **state)
{
   struct world *world = *state;
   struct caller caller;
   for (unsigned i = 0; i < 40; i++) {
      begin_call(&caller, world, "/test.Test/Leave", kv_slice_of("x"));
      assert_answered(&caller);
   }
   assert_int_equal(count_of(&world->service, &world->service.turns), 40);
}

/* Keeps a worker at the gate until so many calls have been sent behind it, all on one connection,
 * where two calls are in flight already. */
static struct http2_client *gather(struct world *world, const char *const *paths, unsigned count)
{
   struct service *service = &world->service;
   unsigned before = count_of(service, &service->requests);
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Hold", 1, kv_slice_of("x"));
   await_count(service, &service->requests, before + 1);
   http2_call(client, 3, "/test.Test/Gate", 1, kv_slice_of("x"));
   await_count(service, &service->requests, before + 2);
   for (unsigned i = 0; i < count; i++)
      http2_call(client, 5 + 2 * i, paths[i], 1, kv_slice_of("x"));
   open_gate(service);
   return client;
}

/* How many turns end for a burst of calls, of which so many are left unanswered until then. */
#define LEFT 12

static unsigned turns_of_a_burst(struct world *world)
{
   struct service *service = &world->service;
   const char *paths[2 * LEFT];
   for (unsigned i = 0; i < LEFT; i++) {
      paths[2 * i] = "/test.Test/Leave";
      paths[2 * i + 1] = "/test.Test/Echo";
   }
   unsigned turns = count_of(service, &service->turns);
   unsigned answered = count_of(service, &service->answered);
   struct http2_client *client = gather(world, paths, 2 * LEFT);
   await_count(service, &service->answered, answered + LEFT);
   turns = count_of(service, &service->turns) - turns;
   kv_call_reply(service->held[service->held_count - 1]);
   http2_close(client);
   return turns;
}

/* What has arrived is for gRPC to say: on a busy machine it may hand a burst on call by call. That
 * it never hands on several at a time would be this engine's fault. */
static void a_turn_ends_once_for_all_that_have_arrived(void **state)
{
   unsigned rounds = 0, turns;
   do
      turns = turns_of_a_burst(*state);
   while (turns > LEFT / 2 && ++rounds < 50);
   assert_in_range(turns, 1, LEFT / 2);
}

/* Each message that has left lets the stream send the next one, until the client's window is full.
 */
static void a_turn_that_goes_on_and_on_is_cut(void **state)
{
   const uint32_t end = UINT32_MAX;
   struct world *world = *state;
   struct service *service = &world->service;
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Gate", 1, kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   http2_call(client, 3, "/test.Test/Count", sizeof end, number(&end));
   http2_call(client, 5, "/test.Test/Leave", 1, kv_slice_of("x"));
   open_gate(service);
   await_count(service, &service->answered, 1);
   assert_in_range(service->counted_before, 0, 1000);
   http2_vanish(client);
   await_count(service, &service->closed, 1);
}

/* Whatever comes in one go while the worker is kept at the gate. */
static void the_end_of_a_turn_does_not_wait_for_slow_calls(void **state)
{
   static const char *const paths[] = {"/test.Test/Leave", "/test.Test/Slow", "/test.Test/Leave",
                                       "/test.Test/Slow"};
   struct world *world = *state;
   struct service *service = &world->service;
   for (unsigned round = 0; round < 50; round++) {
      struct caller gate, callers[4];
      unsigned before = count_of(service, &service->requests);
      begin_call(&gate, world, "/test.Test/Gate", kv_slice(NULL, 0));
      await_count(service, &service->requests, before + 1);
      for (size_t i = 0; i < 4; i++)
         begin_call(&callers[i], world, paths[i], kv_slice(NULL, 0));
      open_gate(service);
      assert_answered(&gate);
      for (size_t i = 0; i < 4; i++)
         assert_answered(&callers[i]);
      pthread_mutex_lock(&service->lock);
      bool were_behind = service->were_behind;
      pthread_mutex_unlock(&service->lock);
      assert_false(were_behind);
   }
}

/* ---- Slow calls ---- */

static void a_slow_call_that_hands_its_worker_back_lets_others_be_served(void **state)
{
   struct world *world = *state;
   struct caller slow;
   begin_call(&slow, world, "/test.Test/Turns", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   for (unsigned i = 0; i < 200; i++)
      assert_echoes(world, kv_slice_of("meanwhile"));
   open_gate(&world->service);
   assert_answered(&slow);
}

static void a_slow_call_learns_that_it_was_cancelled(void **state)
{
   struct world *world = *state;
   struct caller slow;
   begin_call(&slow, world, "/test.Test/Turns", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   grpc_call_cancel(slow.call, NULL);
   assert_ends(&slow, KV_CANCELLED, NULL);
   await_count(&world->service, &world->service.closed, 1);
   assert_echoes(world, kv_slice_of("still here"));
}

/* They wait behind another slow one; the echo shows that the server knows of the cancelling. */
static void a_slow_call_that_is_cancelled_before_its_turn_is_never_begun(void **state)
{
   struct world *world = *state;
   struct service *service = &world->service;
   const uint32_t three = 3;
   struct caller first, cancelled, cancelled_stream, last;
   begin_call(&first, world, "/test.Test/Turns", kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   begin_call(&cancelled, world, "/test.Test/Turns", kv_slice_of("x"));
   begin_call(&cancelled_stream, world, "/test.Test/SlowCount", number(&three));
   begin_call(&last, world, "/test.Test/SlowCount", number(&three));
   assert_echoes(world, kv_slice_of("they have arrived"));
   grpc_call_cancel(cancelled.call, NULL);
   grpc_call_cancel(cancelled_stream.call, NULL);
   assert_ends(&cancelled, KV_CANCELLED, NULL);
   assert_ends(&cancelled_stream, KV_CANCELLED, NULL);
   assert_echoes(world, kv_slice_of("they are cancelled"));
   open_gate(service);
   assert_answered(&first);
   for (uint32_t i = 0; i < three; i++)
      assert_receives(&last, number(&i));
   assert_ends(&last, KV_OK, "");
   await_count(service, &service->closed, 1);
   assert_int_equal(count_of(service, &service->requests), 1 + 2 + 1);
}

static void a_stream_that_hands_its_worker_back_lets_others_be_served(void **state)
{
   static const uint32_t three = 3;
   struct world *world = *state;
   struct service *service = &world->service;
   struct caller waiting, slow;
   begin_call(&waiting, world, "/test.Test/StreamTurns", kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   for (unsigned i = 0; i < 200; i++)
      assert_echoes(world, kv_slice_of("meanwhile"));
   begin_call(&slow, world, "/test.Test/SlowCount", number(&three));
   for (uint32_t i = 0; i < three; i++)
      assert_receives(&slow, number(&i));
   assert_ends(&slow, KV_OK, "");
   open_gate(service);
   assert_ends(&waiting, KV_OK, "");
   await_count(service, &service->closed, 2);
}

/* It goes on again and again meanwhile. */
static void
a_stream_that_has_handed_its_worker_back_is_closed_once_when_it_is_cancelled(void **state)
{
   struct world *world = *state;
   struct service *service = &world->service;
   struct caller waiting;
   begin_call(&waiting, world, "/test.Test/StreamTurns", kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   grpc_call_cancel(waiting.call, NULL);
   assert_ends(&waiting, KV_CANCELLED, NULL);
   await_count(service, &service->closed, 1);
   unsigned counted = count_of(service, &service->counted);
   for (unsigned i = 0; i < 20; i++)
      assert_echoes(world, kv_slice_of("still here"));
   assert_int_equal(count_of(service, &service->counted), counted);
   assert_int_equal(count_of(service, &service->closed), 1);
}

/* ---- Deadlines: of a client that does not look at them itself ---- */

static const char DEADLINE_EXCEEDED[] = "grpc-status: 4";

static void sleep_ms(long ms)
{
   const struct timespec time = {.tv_nsec = ms * 1000000};
   nanosleep(&time, NULL);
}

/* They wait behind a slow one; the echo, which may come last, shows that they have arrived. */
static void a_call_whose_deadline_has_passed_is_never_begun(void **state)
{
   static const char *const paths[] = {"/test.Test/Turns", "/test.Test/SlowCount"};
   struct world *world = *state;
   struct service *service = &world->service;
   for (unsigned i = 0; i < 2; i++) {
      struct http2_client *client = http2_open(world->port);
      http2_call(client, 1, "/test.Test/Turns", 1, kv_slice_of("x"));
      await_count(service, &service->requests, 3 * i + 1);
      http2_call_within(client, 3, paths[i], "1m", 1, kv_slice_of("x"));
      http2_call(client, 5, "/test.Test/Echo", 4, kv_slice_of("here"));
      assert_true(http2_await_data(client, 5, kv_slice_of("here")));
      sleep_ms(20);
      open_gate(service);
      assert_true(http2_await_data(client, 1, kv_slice("\0\0\0\0\0", 5))); /* an empty reply */
      assert_true(http2_await_field(client, 3, DEADLINE_EXCEEDED));
      close_gate(service);
      assert_echoes(world, kv_slice_of("still here"));
      assert_int_equal(count_of(service, &service->requests), 3 * i + 3);
      http2_close(client);
   }
}

static void a_call_that_its_handler_leaves_waiting_is_ended_by_its_deadline(void **state)
{
   static const char *const paths[] = {"/test.Test/Hold", "/test.Test/HoldStream"};
   struct world *world = *state;
   for (unsigned i = 0; i < 2; i++) {
      struct http2_client *client = http2_open(world->port);
      http2_call_within(client, 1, paths[i], "300m", 1, kv_slice_of("x"));
      await_count(&world->service, &world->service.requests, i + 1);
      assert_true(http2_await_field(client, 1, DEADLINE_EXCEEDED));
      http2_close(client);
   }
   await_count(&world->service, &world->service.closed, 1);
   kv_call_reply(world->service.held[0]);
   assert_echoes(world, kv_slice_of("still here"));
}

/* The worker is kept at the gate meanwhile, or it would end the call itself. */
static void a_reply_that_is_there_after_the_deadline_is_not_sent(void **state)
{
   static const char *const paths[] = {"/test.Test/Hold", "/test.Test/HoldStream"};
   struct world *world = *state;
   struct service *service = &world->service;
   for (unsigned i = 0; i < 2; i++) {
      struct http2_client *client = http2_open(world->port);
      http2_call(client, 1, "/test.Test/Gate", 1, kv_slice_of("x"));
      await_count(service, &service->requests, 3 * i + 1);
      http2_call_within(client, 3, paths[i], "500m", 1, kv_slice_of("x"));
      http2_call(client, 5, "/test.Test/Gate", 1, kv_slice_of("x"));
      open_gate(service);
      await_count(service, &service->requests, 3 * i + 3);
      sleep_ms(520);
      put_message(service->held[i], kv_slice_of("too late"));
      if (i == 0)
         kv_call_reply(service->held[i]);
      else
         kv_call_send(service->held[i]);
      open_gate(service);
      assert_true(http2_await_field(client, 3, DEADLINE_EXCEEDED));
      http2_close(client);
   }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rpc_set_up, rpc_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(each_call_that_comes_alone_is_a_turn),
       CASE(a_turn_ends_once_for_all_that_have_arrived),
       CASE(a_turn_that_goes_on_and_on_is_cut),
       CASE(the_end_of_a_turn_does_not_wait_for_slow_calls),
       CASE(a_slow_call_that_hands_its_worker_back_lets_others_be_served),
       CASE(a_slow_call_learns_that_it_was_cancelled),
       CASE(a_slow_call_that_is_cancelled_before_its_turn_is_never_begun),
       CASE(a_stream_that_hands_its_worker_back_lets_others_be_served),
       CASE(a_stream_that_has_handed_its_worker_back_is_closed_once_when_it_is_cancelled),
       CASE(a_call_whose_deadline_has_passed_is_never_begun),
       CASE(a_call_that_its_handler_leaves_waiting_is_ended_by_its_deadline),
       CASE(a_reply_that_is_there_after_the_deadline_is_not_sent),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
