#include "core/rpc/charge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX ((size_t)8 * 1024 * 1024)
#define COST ((size_t)1000)

struct world {
   struct kv_account *account;
   struct kv_share *share;
   struct kv_charge call;
};

static size_t held(const struct world *world)
{
   return kv_share_held(world->share);
}

static void mark(void *owner)
{
   *(bool *)owner = true;
}

/* ---- The call and its request ---- */

static void a_call_counts_from_its_arrival_to_its_end(void **state)
{
   struct world *world = *state;
   assert_int_equal(held(world), COST);
   assert_true(kv_charge_take(&world->call, 300));
   assert_true(kv_charge_take_request(&world->call, 500));
   assert_int_equal(held(world), COST + 800);
   kv_charge_forget_request(&world->call);
   assert_int_equal(held(world), COST + 300);
   kv_charge_end(&world->call, 100);
   assert_int_equal(held(world), 100);
}

static void a_call_that_the_account_has_no_space_for_is_refused_and_holds_nothing(void **state)
{
   struct world *world = *state;
   struct kv_charge second;
   struct kv_status status;
   kv_share_add(world->share, MAX);
   assert_false(kv_charge_begin(&second, world->account, world->share, COST, 10, &status));
   assert_int_equal(status.code, KV_RESOURCE_EXHAUSTED);
   kv_share_give(world->share, MAX);
   assert_int_equal(held(world), COST);
}

static void what_is_refused_is_not_counted_and_says_so(void **state)
{
   struct world *world = *state;
   struct kv_status status;
   assert_int_equal(kv_charge_exhausted(&world->call, &status), KV_RESOURCE_EXHAUSTED);
   assert_null(strstr(status.text, "max-wire-memory"));
   kv_share_add(world->share, MAX);
   assert_false(kv_charge_take(&world->call, 10));
   assert_false(kv_charge_take_request(&world->call, 10));
   assert_false(kv_charge_reply(&world->call, 10000));
   assert_int_equal(kv_charge_exhausted(&world->call, &status), KV_RESOURCE_EXHAUSTED);
   assert_non_null(strstr(status.text, "max-wire-memory"));
   kv_share_give(world->share, MAX);
   assert_int_equal(held(world), COST);
   assert_true(kv_charge_take(&world->call, 10)); /* there is space again */
}

static void nothing_is_refused_to_a_call_that_has_taken_effect(void **state)
{
   struct world *world = *state;
   struct kv_status status;
   uint8_t *data;
   kv_share_add(world->share, MAX);
   kv_charge_carried_out(&world->call);
   assert_true(kv_charge_take(&world->call, 10));
   assert_true(kv_charge_reply(&world->call, 10000));
   kv_piece_end(kv_charge_allocate(&world->call, 10, &data));
   assert_int_equal(kv_charge_exhausted(&world->call, &status), KV_INTERNAL);
   kv_share_give(world->share, MAX);
}

static void work_on_large_requests_waits_for_the_part_of_the_account_that_is_for_it(void **state)
{
   struct world *world = *state;
   struct kv_charge second;
   struct kv_status status;
   assert_true(kv_charge_begin(&second, world->account, world->share, COST, 0, &status));
   assert_true(kv_charge_begin_work(&world->call, MAX));
   assert_true(kv_charge_is_large(&world->call, COST));
   assert_false(kv_charge_begin_work(&second, 1));
   assert_false(kv_charge_is_large(&second, COST));
   kv_charge_unpacked(&world->call, 1); /* it was small after all */
   assert_true(kv_charge_begin_work(&second, MAX));
   kv_charge_end(&second, 0);
   assert_true(kv_charge_begin_work(&second, MAX));
   kv_charge_end(&second, 0);
}

/* ---- Large replies ---- */

static void a_reply_counts_until_its_last_piece_has_left(void **state)
{
   struct world *world = *state;
   uint8_t *data;
   struct kv_piece *first = kv_charge_allocate(&world->call, 1000, &data);
   memset(data, 1, 1000);
   struct kv_piece *second = kv_charge_allocate(&world->call, 500, &data);
   memset(data, 1, 500);
   assert_int_equal(kv_charge_outbound(&world->call), 1500);
   size_t before = held(world);
   kv_piece_end(second);
   assert_int_equal(held(world), before - 500);
   kv_charge_drop_reply(&world->call);
   assert_int_equal(held(world), before - 500);
   kv_piece_end(first);
   assert_int_equal(held(world), COST);
}

static void a_reply_is_refused_when_the_account_has_no_space_left(void **state)
{
   struct world *world = *state;
   uint8_t *data;
   bool released = false;
   kv_share_add(world->share, MAX);
   assert_null(kv_charge_allocate(&world->call, 64, &data));
   assert_null(kv_charge_refer(&world->call, 1, mark, &released));
   assert_false(released);
   kv_share_give(world->share, MAX);
}

static void one_reply_may_be_larger_than_the_account_in_pieces_too(void **state)
{
   struct world *world = *state;
   struct kv_piece *pieces[3];
   uint8_t *data;
   for (size_t i = 0; i < 3; i++) {
      pieces[i] = kv_charge_allocate(&world->call, MAX / 2, &data);
      assert_non_null(pieces[i]);
   }
   for (size_t i = 0; i < 3; i++)
      kv_piece_end(pieces[i]);
}

static void bytes_referred_to_are_released_when_their_piece_ends(void **state)
{
   struct world *world = *state;
   bool released = false;
   struct kv_piece *piece = kv_charge_refer(&world->call, 100, mark, &released);
   assert_int_equal(kv_charge_outbound(&world->call), 100);
   assert_false(released);
   kv_piece_end(piece);
   assert_true(released);
}

/* An engine may free the pieces of a connection after the server has been destroyed. */
static void replies_may_outlive_their_server(void **state)
{
   (void)state;
   struct kv_account *account = kv_account_create(MAX);
   struct kv_share *share = kv_share_open(account);
   struct kv_charge call;
   struct kv_status status;
   bool released = false;
   uint8_t *data;
   assert_true(kv_charge_begin(&call, account, share, COST, 0, &status));
   struct kv_piece *own = kv_charge_allocate(&call, 100, &data);
   struct kv_piece *foreign = kv_charge_refer(&call, 1, mark, &released);
   kv_charge_drop_reply(&call);
   kv_charge_end(&call, 0);
   kv_share_close(share);
   kv_account_close(account);
   memset(data, 1, 100);
   kv_piece_end(own);
   assert_false(released);
   kv_piece_end(foreign);
   assert_true(released);
}

static int create(void **state)
{
   static struct world world;
   struct kv_status status;
   world.account = kv_account_create(MAX);
   world.share = kv_share_open(world.account);
   *state = &world;
   return kv_charge_begin(&world.call, world.account, world.share, COST, 0, &status) ? 0 : -1;
}

static int end(void **state)
{
   struct world *world = *state;
   kv_charge_drop_reply(&world->call);
   kv_charge_end(&world->call, 0);
   bool empty = held(world) == 0;
   kv_share_close(world->share);
   kv_account_close(world->account);
   return empty ? 0 : -1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, create, end)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_call_counts_from_its_arrival_to_its_end),
       CASE(a_call_that_the_account_has_no_space_for_is_refused_and_holds_nothing),
       CASE(what_is_refused_is_not_counted_and_says_so),
       CASE(nothing_is_refused_to_a_call_that_has_taken_effect),
       CASE(work_on_large_requests_waits_for_the_part_of_the_account_that_is_for_it),
       CASE(a_reply_counts_until_its_last_piece_has_left),
       CASE(a_reply_is_refused_when_the_account_has_no_space_left),
       CASE(one_reply_may_be_larger_than_the_account_in_pieces_too),
       CASE(bytes_referred_to_are_released_when_their_piece_ends),
       cmocka_unit_test(replies_may_outlive_their_server),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
