/* Large replies: that they are counted until they have left. */
#include "core/rpc/grpc/outbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX ((size_t)8 * 1024 * 1024)

struct world {
   struct kv_account *account;
   struct kv_share *share;
   struct kv_outbound *outbound;
};

static void mark(void *owner)
{
   *(bool *)owner = true;
}

static void a_reply_counts_until_its_last_byte_has_left(void **state)
{
   struct world *world = *state;
   size_t before = kv_share_held(world->share);
   grpc_slice first, second;
   assert_true(kv_outbound_allocate(world->outbound, 0, 1000, &first));
   assert_true(kv_outbound_allocate(world->outbound, 0, 500, &second));
   assert_int_equal(kv_outbound_size(world->outbound), 1500);
   assert_int_equal(kv_share_held(world->share), before + 1500);
   grpc_slice part = grpc_slice_sub(first, 0, 100);
   grpc_slice_unref(first);
   grpc_slice_unref(second);
   assert_int_equal(kv_share_held(world->share), before + 1000);
   grpc_slice_unref(part);
   assert_int_equal(kv_share_held(world->share), before);
}

static void a_reply_is_refused_when_the_account_has_no_room(void **state)
{
   struct world *world = *state;
   grpc_slice slice;
   bool released = false;
   kv_share_add(world->share, MAX);
   assert_false(kv_outbound_allocate(world->outbound, 0, 64, &slice));
   assert_false(kv_outbound_refer(world->outbound, 0, kv_slice("x", 1), mark, &released, &slice));
   assert_false(released);
   kv_share_give(world->share, MAX);
}

static void one_reply_may_be_larger_than_the_account_in_parts_too(void **state)
{
   struct world *world = *state;
   grpc_slice parts[3];
   for (size_t i = 0; i < 3; i++)
      assert_true(kv_outbound_allocate(world->outbound, 0, MAX / 2, &parts[i]));
   for (size_t i = 0; i < 3; i++)
      grpc_slice_unref(parts[i]);
}

static void bytes_referred_to_are_released_with_the_last_part_of_their_message(void **state)
{
   struct world *world = *state;
   /* Long, as gRPC copies what is short. */
   static const char value[] = "a value that is sent from where it is, in parts, copied nowhere";
   bool released = false;
   grpc_slice whole;
   assert_true(kv_outbound_refer(world->outbound, 0, kv_slice(value, sizeof value), mark, &released,
                                 &whole));
   assert_ptr_equal(GRPC_SLICE_START_PTR(whole), value);
   grpc_slice part = grpc_slice_sub(whole, 8, sizeof value);
   grpc_slice_unref(whole);
   assert_false(released);
   assert_ptr_equal(GRPC_SLICE_START_PTR(part), value + 8);
   grpc_slice_unref(part);
   assert_true(released);
}

/* gRPC may free the parts of a connection after the server is gone. */
static void replies_may_outlive_their_server(void **state)
{
   (void)state;
   struct kv_account *account = kv_account_create(MAX);
   struct kv_share *share = kv_share_open(account);
   struct kv_outbound *outbound = kv_outbound_create(share);
   bool released = false;
   grpc_slice own, foreign;
   assert_true(kv_outbound_allocate(outbound, 0, 100, &own));
   assert_true(kv_outbound_refer(outbound, 0, kv_slice("x", 1), mark, &released, &foreign));
   kv_outbound_close(outbound);
   kv_share_close(share);
   kv_account_close(account);
   memset(GRPC_SLICE_START_PTR(own), 1, 100);
   grpc_slice_unref(own);
   assert_false(released);
   grpc_slice_unref(foreign);
   assert_true(released);
}

static int create(void **state)
{
   static struct world world;
   world.account = kv_account_create(MAX);
   world.share = kv_share_open(world.account);
   world.outbound = kv_outbound_create(world.share);
   *state = &world;
   return 0;
}

static int close_it(void **state)
{
   struct world *world = *state;
   kv_outbound_close(world->outbound);
   bool empty = kv_share_held(world->share) == 0;
   kv_share_close(world->share);
   kv_account_close(world->account);
   return empty ? 0 : -1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, create, close_it)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_reply_counts_until_its_last_byte_has_left),
       CASE(a_reply_is_refused_when_the_account_has_no_room),
       CASE(one_reply_may_be_larger_than_the_account_in_parts_too),
       CASE(bytes_referred_to_are_released_with_the_last_part_of_their_message),
       cmocka_unit_test(replies_may_outlive_their_server),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
