/* The account of large replies: what counts, what is refused, and what happens to messages that
 * outlive their server. */
#include "core/rpc/outbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX ((size_t)1000)

static void mark(void *owner)
{
   *(bool *)owner = true;
}

static void beyond_the_bound_messages_are_refused_until_others_are_gone(void **state)
{
   struct kv_outbound *outbound = *state;
   grpc_slice first, second, third;
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, MAX - 1, &first));
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, 1, &second));
   assert_false(kv_outbound_allocate(outbound, &(size_t){0}, 1, &third));
   grpc_slice_unref(second);
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, 1, &third));
   grpc_slice_unref(first);
   grpc_slice_unref(third);
}

static void a_message_larger_than_the_bound_goes_out_alone(void **state)
{
   struct kv_outbound *outbound = *state;
   grpc_slice large, small;
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, 2 * MAX, &large));
   assert_false(kv_outbound_allocate(outbound, &(size_t){0}, 1, &small));
   grpc_slice_unref(large);
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, 1, &small));
   assert_false(kv_outbound_allocate(outbound, &(size_t){0}, 2 * MAX, &large));
   grpc_slice_unref(small);
}

static void so_does_one_that_is_made_of_parts(void **state)
{
   struct kv_outbound *outbound = *state;
   grpc_slice parts[3], other;
   size_t counted = 0;
   for (size_t i = 0; i < 3; i++)
      assert_true(kv_outbound_allocate(outbound, &counted, MAX / 2, &parts[i]));
   assert_int_equal(counted, 3 * (MAX / 2));
   assert_false(kv_outbound_allocate(outbound, &(size_t){0}, 1, &other));
   for (size_t i = 0; i < 3; i++)
      grpc_slice_unref(parts[i]);
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, MAX, &other));
   counted = 0;
   assert_false(kv_outbound_allocate(outbound, &counted, MAX / 2, &parts[0]));
   assert_int_equal(counted, 0);
   grpc_slice_unref(other);
}

static void bytes_referred_to_are_released_with_the_last_part_of_their_message(void **state)
{
   struct kv_outbound *outbound = *state;
   /* Long, as gRPC copies what is short. */
   static const char value[] = "a value that is sent from where it is, in parts, copied nowhere";
   bool released = false;
   grpc_slice whole;
   assert_true(kv_outbound_refer(outbound, &(size_t){0}, kv_bytes(value, sizeof value), mark,
                                 &released, &whole));
   assert_ptr_equal(GRPC_SLICE_START_PTR(whole), value);
   grpc_slice part = grpc_slice_sub(whole, 8, sizeof value);
   grpc_slice_unref(whole);
   assert_false(released);
   assert_ptr_equal(GRPC_SLICE_START_PTR(part), value + 8);
   grpc_slice_unref(part);
   assert_true(released);
}

static void bytes_refused_stay_with_their_owner(void **state)
{
   struct kv_outbound *outbound = *state;
   bool released = false;
   grpc_slice first, second;
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, MAX, &first));
   assert_false(
       kv_outbound_refer(outbound, &(size_t){0}, kv_bytes("x", 1), mark, &released, &second));
   grpc_slice_unref(first);
   assert_false(released);
}

/* gRPC may free the parts of a connection after the server is gone. */
static void messages_may_outlive_their_server(void **state)
{
   (void)state;
   struct kv_outbound *outbound = kv_outbound_create(MAX);
   bool released = false;
   grpc_slice own, foreign;
   assert_true(kv_outbound_allocate(outbound, &(size_t){0}, 10, &own));
   assert_true(
       kv_outbound_refer(outbound, &(size_t){0}, kv_bytes("x", 1), mark, &released, &foreign));
   kv_outbound_close(outbound);
   memset(GRPC_SLICE_START_PTR(own), 1, 10);
   grpc_slice_unref(own);
   assert_false(released);
   grpc_slice_unref(foreign);
   assert_true(released);
}

static int create(void **state)
{
   *state = kv_outbound_create(MAX);
   return *state ? 0 : -1;
}

static int close_it(void **state)
{
   kv_outbound_close(*state);
   return 0;
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(beyond_the_bound_messages_are_refused_until_others_are_gone,
                                       create, close_it),
       cmocka_unit_test_setup_teardown(a_message_larger_than_the_bound_goes_out_alone, create,
                                       close_it),
       cmocka_unit_test_setup_teardown(so_does_one_that_is_made_of_parts, create, close_it),
       cmocka_unit_test_setup_teardown(
           bytes_referred_to_are_released_with_the_last_part_of_their_message, create, close_it),
       cmocka_unit_test_setup_teardown(bytes_refused_stay_with_their_owner, create, close_it),
       cmocka_unit_test(messages_may_outlive_their_server),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
