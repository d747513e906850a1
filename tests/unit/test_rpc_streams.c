#include "tests/support/rpc_fixture.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_stream_delivers_every_message_in_order(void **state)
{
   struct world *world = *state;
   struct caller caller;
   const uint32_t end = 2000;
   begin_call(&caller, world, "/test.Test/Count", number(&end));
   for (uint32_t i = 0; i < end; i++)
      assert_receives(&caller, number(&i));
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_OK, "");
   await_count(&world->service, &world->service.closed, 1);
}

static void a_stream_whose_client_cancels_is_closed_once(void **state)
{
   struct world *world = *state;
   struct caller caller;
   const uint32_t end = UINT32_MAX, first = 0;
   begin_call(&caller, world, "/test.Test/Count", number(&end));
   assert_receives(&caller, number(&first));
   grpc_call_cancel(caller.call, NULL);
   assert_ends(&caller, KV_CANCELLED, NULL);
   await_count(&world->service, &world->service.closed, 1);
   kv_rpc_stop(world->rpc, 0);
   assert_int_equal(world->service.closed, 1);
}

static void a_stream_whose_client_vanishes_is_closed_once(void **state)
{
   struct world *world = *state;
   const uint32_t end = UINT32_MAX;
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Count", sizeof end, number(&end));
   await_count(&world->service, &world->service.requests, 1);
   http2_vanish(client);
   await_count(&world->service, &world->service.closed, 1);
   /* This one may be cancelled before its handler sees it. */
   client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/HoldStream", sizeof end, number(&end));
   http2_vanish(client);
   kv_rpc_stop(world->rpc, 0);
   assert_int_equal(world->service.closed, world->service.requests);
}

static void a_stream_may_fail_while_a_message_is_in_flight(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin_call(&caller, world, "/test.Test/HoldStream", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   put_message(world->service.held[0], kv_slice_of("last words"));
   kv_call_send(world->service.held[0]);
   kv_call_fail(world->service.held[0], KV_ABORTED, "enough");
   assert_receives(&caller, kv_slice_of("last words"));
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_ABORTED, "enough");
   await_count(&world->service, &world->service.closed, 1);
}

static void both_sides_of_a_bidi_call_talk_in_turn(void **state)
{
   struct world *world = *state;
   struct caller caller = open_call(world, "/test.Test/Chat");
   await_status_from_now(&caller);
   for (uint32_t i = 0; i < 100; i++) {
      send_message(&caller, number(&i));
      assert_receives(&caller, number(&i));
   }
   assert_int_equal(count_of(&world->service, &world->service.half_closed), 0);
   half_close(&caller);
   assert_null(receive_message(&caller));
   assert_ends(&caller, KV_OK, "");
   await_count(&world->service, &world->service.closed, 1);
   assert_int_equal(count_of(&world->service, &world->service.half_closed), 1);
   assert_int_equal(count_of(&world->service, &world->service.requests), 100);
}

/* More messages than a connection may have resets (flood.c): what a client sends is no reset. */
static void a_conversation_may_have_thousands_of_messages(void **state)
{
   struct world *world = *state;
   struct caller caller = open_call(world, "/test.Test/Chat");
   await_status_from_now(&caller);
   for (uint32_t i = 0; i < 4000; i++) {
      send_message(&caller, number(&i));
      assert_receives(&caller, number(&i));
   }
   half_close(&caller);
   assert_ends(&caller, KV_OK, "");
}

static void a_bidi_call_without_any_message_is_half_closed_at_once(void **state)
{
   struct world *world = *state;
   struct caller caller = open_call(world, "/test.Test/Chat");
   await_status_from_now(&caller);
   half_close(&caller);
   assert_ends(&caller, KV_OK, "");
   await_count(&world->service, &world->service.closed, 1);
   assert_int_equal(count_of(&world->service, &world->service.half_closed), 1);
}

static void a_bidi_call_whose_client_vanishes_is_closed(void **state)
{
   struct world *world = *state;
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Chat", 5, kv_slice_of("hello"));
   await_count(&world->service, &world->service.requests, 1);
   http2_vanish(client);
   await_count(&world->service, &world->service.closed, 1);
}

static void a_stream_that_is_notified_hears_it_on_its_worker(void **state)
{
   struct world *world = *state;
   struct service *service = &world->service;
   struct caller caller = open_call(world, "/test.Test/Listen");
   await_status_from_now(&caller);
   send_message(&caller, kv_slice_of("x"));
   await_count(service, &service->requests, 1);
   for (uint32_t i = 1; i <= 100; i++) {
      kv_call_notify(service->held[0]);
      assert_receives(&caller, number(&i));
      pthread_mutex_lock(&service->lock);
      assert_false(pthread_equal(service->notified_on, pthread_self()));
      pthread_mutex_unlock(&service->lock);
   }
   half_close(&caller);
   assert_ends(&caller, KV_OK, "");
   await_count(service, &service->closed, 1);
}

/* As whoever notifies does: under a lock that `closed` takes, too. */
static void *notify_until_closed(void *argument)
{
   struct service *service = argument;
   for (bool open = true; open;) {
      pthread_mutex_lock(&service->lock);
      open = service->held[0];
      if (open)
         kv_call_notify(service->held[0]);
      pthread_mutex_unlock(&service->lock);
      sched_yield(); /* to `closed`, which waits for the lock */
   }
   return NULL;
}

static void a_stream_may_be_notified_until_it_is_closed(void **state)
{
   struct world *world = *state;
   struct service *service = &world->service;
   pthread_t thread;
   for (unsigned round = 1; round <= 20; round++) {
      struct caller caller = open_call(world, "/test.Test/Listen");
      await_status_from_now(&caller);
      send_message(&caller, kv_slice_of("x"));
      await_count(service, &service->requests, round);
      assert_int_equal(pthread_create(&thread, NULL, notify_until_closed, service), 0);
      assert_non_null(receive_message(&caller));
      grpc_call_cancel(caller.call, NULL);
      assert_ends(&caller, KV_CANCELLED, NULL);
      await_count(service, &service->closed, round);
      pthread_join(thread, NULL);
      pthread_mutex_lock(&service->lock);
      service->held_count = 0;
      pthread_mutex_unlock(&service->lock);
   }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rpc_set_up, rpc_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_stream_delivers_every_message_in_order),
       CASE(a_stream_whose_client_cancels_is_closed_once),
       CASE(a_stream_whose_client_vanishes_is_closed_once),
       CASE(a_stream_may_fail_while_a_message_is_in_flight),
       CASE(both_sides_of_a_bidi_call_talk_in_turn),
       CASE(a_conversation_may_have_thousands_of_messages),
       CASE(a_bidi_call_without_any_message_is_half_closed_at_once),
       CASE(a_bidi_call_whose_client_vanishes_is_closed),
       CASE(a_stream_that_is_notified_hears_it_on_its_worker),
       CASE(a_stream_may_be_notified_until_it_is_closed),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
