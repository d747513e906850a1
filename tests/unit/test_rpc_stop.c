#include "tests/support/rpc_fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void *stop_patiently(void *rpc)
{
   kv_rpc_stop(rpc, PATIENCE_S * 1000);
   return NULL;
}

static void *stop_very_patiently(void *rpc)
{
   kv_rpc_stop(rpc, 10 * PATIENCE_S * 1000);
   return NULL;
}

/* Until nobody listens any more: then the server is being stopped. */
static void await_refusal(int port)
{
   struct sockaddr_in address = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port)};
   bool refused = false;
   while (!refused) {
      int fd = socket(AF_INET, SOCK_STREAM, 0);
      refused = connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
      close(fd);
   }
}

static void stopping_awaits_a_call_in_flight(void **state)
{
   struct world *world = *state;
   struct caller caller;
   pthread_t stopper;
   begin_call(&caller, world, "/test.Test/Hold", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, world->rpc), 0);
   await_refusal(world->port);
   put_message(world->service.held[0], kv_slice_of("in time"));
   kv_call_reply(world->service.held[0]);
   assert_receives(&caller, kv_slice_of("in time"));
   assert_ends(&caller, KV_OK, "");
   pthread_join(stopper, NULL);
}

/* As from a client that does not know of the stop yet: it has not read that it is to go away. */
static void calls_that_come_while_stopping_are_unavailable(void **state)
{
   struct world *world = *state;
   struct caller caller;
   pthread_t stopper;
   begin_call(&caller, world, "/test.Test/Hold", kv_slice_of("x"));
   struct http2_client *client = http2_open(world->port);
   http2_call(client, 1, "/test.Test/Echo", 5, kv_slice_of("hello"));
   await_count(&world->service, &world->service.requests, 2);
   assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, world->rpc), 0);
   await_refusal(world->port);
   http2_call(client, 3, "/test.Test/Echo", 5, kv_slice_of("hello"));
   http2_call(client, 5, "/test.Test/Count", 4, kv_slice("\5\0\0\0", 4));
   assert_true(http2_await_field(client, 3, "grpc-status: 14"));
   assert_true(http2_await_text(client, 5, "is stopping"));
   kv_call_reply(world->service.held[0]);
   assert_answered(&caller);
   pthread_join(stopper, NULL);
   assert_int_equal(count_of(&world->service, &world->service.requests), 2);
   http2_close(client);
}

static void slow_calls_that_wait_for_their_turn_while_stopping_are_unavailable(void **state)
{
   struct world *world = *state;
   const uint32_t three = 3;
   struct caller first, unary, stream;
   pthread_t stopper;
   begin_call(&first, world, "/test.Test/Turns", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   begin_call(&unary, world, "/test.Test/Turns", kv_slice_of("x"));
   begin_call(&stream, world, "/test.Test/SlowCount", number(&three));
   assert_echoes(world, kv_slice_of("they have arrived"));
   assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, world->rpc), 0);
   await_refusal(world->port);
   open_gate(&world->service);
   assert_answered(&first);
   assert_ends(&unary, KV_UNAVAILABLE, "the server is stopping; try again");
   assert_ends(&stream, KV_UNAVAILABLE, "the server is stopping; try again");
   pthread_join(stopper, NULL);
   assert_int_equal(count_of(&world->service, &world->service.requests), 2);
}

static void stopping_cancels_a_stream_that_never_ends(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin_call(&caller, world, "/test.Test/HoldStream", kv_slice_of("x"));
   await_count(&world->service, &world->service.requests, 1);
   kv_rpc_stop(world->rpc, 10);
   assert_int_equal(world->service.closed, 1);
   finish_call(&caller);
   assert_int_not_equal(caller.code, GRPC_STATUS_OK);
   grpc_slice_unref(caller.text);
}

/* The client neither closes its connection nor has a call: the grace is not for it. */
static void stopping_waits_for_no_connection_without_calls(void **state)
{
   struct world *world = *state;
   const struct timespec soon = {.tv_sec = time(NULL) + PATIENCE_S};
   pthread_t stopper;
   int fd = connect_raw(world->port);
   write_all(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
   write_frame(fd, 4, 0, 0, kv_slice(NULL, 0));
   char greeting;
   assert_int_equal(read(fd, &greeting, 1), 1);
   assert_int_equal(pthread_create(&stopper, NULL, stop_very_patiently, world->rpc), 0);
   assert_int_equal(pthread_timedjoin_np(stopper, NULL, &soon), 0);
   close(fd);
}

static void a_server_that_was_never_started_can_be_destroyed(void **state)
{
   struct world *world = *state;
   struct kv_status status;
   struct kv_rpc *rpc = create_rpc(&world->service);
   assert_int_equal(kv_rpc_listen(rpc, "127.0.0.1:0", NULL, &status), KV_OK);
   kv_rpc_destroy(rpc);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rpc_set_up, rpc_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(stopping_awaits_a_call_in_flight),
       CASE(calls_that_come_while_stopping_are_unavailable),
       CASE(slow_calls_that_wait_for_their_turn_while_stopping_are_unavailable),
       CASE(stopping_cancels_a_stream_that_never_ends),
       CASE(stopping_waits_for_no_connection_without_calls),
       CASE(a_server_that_was_never_started_can_be_destroyed),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
