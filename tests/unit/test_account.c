/* The account of what connections hold: who gets memory, and who does not. */
#include "core/rpc/account.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MAX ((size_t)1024 * 1024)
#define PIECE ((size_t)1024)
#define SHARES 6

struct world {
   struct kv_account *account;
   struct kv_share *shares[SHARES];
};

/* Takes pieces until there are no more; returns their total size. */
static size_t take_all(struct kv_share *share, enum kv_claim claim)
{
   size_t taken = 0;
   while (kv_share_take(share, claim, PIECE, 0))
      taken += PIECE;
   return taken;
}

static void what_is_given_back_can_be_taken_again(void **state)
{
   struct world *world = *state;
   struct kv_share *share = world->shares[0];
   size_t first = take_all(share, KV_CLAIM_SHARE);
   assert_int_equal(kv_share_held(share), first);
   assert_int_equal(kv_account_held(world->account), first);
   kv_share_give(share, first);
   assert_int_equal(kv_share_held(share), 0);
   assert_int_equal(take_all(share, KV_CLAIM_SHARE), first);
   kv_share_give(share, first);
}

static void a_connection_gets_no_more_than_it_leaves_free(void **state)
{
   struct world *world = *state;
   size_t taken = take_all(world->shares[0], KV_CLAIM_SHARE);
   assert_in_range(taken, MAX / 4, MAX / 2);
   kv_share_give(world->shares[0], taken);
}

static void connections_that_want_all_leave_memory_for_the_next_one(void **state)
{
   struct world *world = *state;
   size_t taken[SHARES - 1];
   for (size_t i = 0; i + 1 < SHARES; i++)
      taken[i] = take_all(world->shares[i], KV_CLAIM_SHARE);
   assert_true(kv_share_take(world->shares[SHARES - 1], KV_CLAIM_SHARE, PIECE, 0));
   kv_share_give(world->shares[SHARES - 1], PIECE);
   for (size_t i = 0; i + 1 < SHARES; i++)
      kv_share_give(world->shares[i], taken[i]);
}

static void who_holds_hardly_anything_gets_a_little_when_all_others_get_no_more(void **state)
{
   struct world *world = *state;
   size_t most = MAX - MAX / 8;
   assert_true(kv_share_take(world->shares[0], KV_CLAIM_WORK, most, 0));
   assert_true(kv_share_take(world->shares[1], KV_CLAIM_SHARE, PIECE, 0));
   assert_false(kv_share_take(world->shares[0], KV_CLAIM_WORK, PIECE, most));
   assert_false(kv_share_take(world->shares[1], KV_CLAIM_SHARE, 8 * PIECE, PIECE));
   kv_share_give(world->shares[0], most);
   kv_share_give(world->shares[1], PIECE);
}

static void so_do_many_connections_that_hold_little_each(void **state)
{
   enum { MANY = 600 };
   struct world *world = *state;
   struct kv_share *shares[MANY];
   for (size_t i = 0; i < MANY; i++) {
      shares[i] = kv_share_open(world->account);
      assert_non_null(shares[i]);
   }
   for (size_t round = 0; round < 4; round++) /* none is faster than the others */
      for (size_t i = 0; i < MANY; i++)
         kv_share_take(shares[i], KV_CLAIM_SHARE, PIECE, 0);
   assert_true(kv_share_take(world->shares[0], KV_CLAIM_SHARE, PIECE, 0));
   kv_share_give(world->shares[0], PIECE);
   for (size_t i = 0; i < MANY; i++) {
      kv_share_give(shares[i], kv_share_held(shares[i]));
      kv_share_close(shares[i]);
   }
}

static void calls_and_replies_leave_memory_for_work(void **state)
{
   struct world *world = *state;
   size_t taken[SHARES];
   for (size_t i = 0; i < SHARES; i++)
      taken[i] = take_all(world->shares[i], KV_CLAIM_SHARE);
   assert_true(kv_share_take(world->shares[0], KV_CLAIM_WORK, MAX / 5, taken[0]));
   assert_false(kv_share_take(world->shares[1], KV_CLAIM_WORK, MAX / 5, taken[1]));
   kv_share_give(world->shares[0], MAX / 5);
   for (size_t i = 0; i < SHARES; i++)
      kv_share_give(world->shares[i], taken[i]);
}

static void one_call_gets_more_than_a_fair_share(void **state)
{
   struct world *world = *state;
   assert_true(kv_share_take(world->shares[0], KV_CLAIM_SHARE, MAX / 4, 0));
   assert_true(kv_share_take(world->shares[1], KV_CLAIM_SHARE, MAX / 2, 0));
   assert_false(kv_share_take(world->shares[2], KV_CLAIM_SHARE, MAX / 4, 0));
   kv_share_give(world->shares[0], MAX / 4);
   kv_share_give(world->shares[1], MAX / 2);
}

static void so_does_one_that_asks_piece_by_piece(void **state)
{
   struct world *world = *state;
   size_t own = 0;
   while (kv_share_take(world->shares[0], KV_CLAIM_SHARE, PIECE, own) && own < 2 * MAX)
      own += PIECE;
   assert_int_equal(own, 2 * MAX);
   assert_false(kv_share_take(world->shares[1], KV_CLAIM_SHARE, PIECE, 0));
   kv_share_give(world->shares[0], own + PIECE);
}

static void a_call_that_is_alone_may_be_larger_than_the_account(void **state)
{
   struct world *world = *state;
   assert_true(kv_share_take(world->shares[0], KV_CLAIM_SHARE, 2 * MAX, 0));
   assert_false(kv_share_take(world->shares[1], KV_CLAIM_SHARE, 1, 0));
   kv_share_give(world->shares[0], 2 * MAX);
   assert_true(kv_share_take(world->shares[1], KV_CLAIM_SHARE, 1, 0));
   assert_false(kv_share_take(world->shares[0], KV_CLAIM_SHARE, 2 * MAX, 0));
   kv_share_give(world->shares[1], 1);
}

static void a_refusal_names_the_limit_and_what_is_held(void **state)
{
   struct world *world = *state;
   struct kv_status status;
   kv_share_add(world->shares[0], 1234);
   kv_share_add(world->shares[1], 4321);
   assert_int_equal(kv_share_refusal(world->shares[0], &status), KV_RESOURCE_EXHAUSTED);
   assert_non_null(strstr(status.text, "max-wire-memory"));
   assert_non_null(strstr(status.text, "5555 of at most 1048576 bytes"));
   assert_non_null(strstr(status.text, "this connection 1234"));
   kv_share_give(world->shares[0], 1234);
   kv_share_give(world->shares[1], 4321);
}

static void a_share_lives_until_all_was_given_back(void **state)
{
   (void)state;
   struct kv_account *account = kv_account_create(MAX);
   struct kv_share *share = kv_share_open(account);
   kv_share_add(share, 2);
   kv_share_close(share);
   kv_account_close(account);
   kv_share_give(share, 1);
   assert_int_equal(kv_account_held(account), 1);
   kv_share_give(share, 1); /* frees both; the address sanitizer checks that */
}

static void work_on_a_large_request_is_begun_while_the_part_for_work_is_not_reserved(void **state)
{
   struct world *world = *state;
   assert_true(kv_account_begin_work(world->account, MAX / 4));
   assert_true(kv_account_begin_work(world->account, 2 * MAX));
   assert_false(kv_account_begin_work(world->account, 1));
   kv_account_end_work(world->account, 2 * MAX);
   assert_true(kv_account_begin_work(world->account, 1));
   assert_false(kv_account_begin_work(world->account, 1));
   kv_account_end_work(world->account, MAX / 4 + 1);
}

static void what_connections_hold_is_at_most_half_and_leaves_less_to_calls(void **state)
{
   struct world *world = *state;
   assert_true(kv_account_stand(world->account, MAX / 2));
   assert_false(kv_account_stand(world->account, 1));
   assert_int_equal(kv_account_held(world->account), MAX / 2);
   size_t taken = take_all(world->shares[0], KV_CLAIM_SHARE);
   assert_in_range(taken, MAX / 8, MAX / 4);
   kv_share_give(world->shares[0], taken);
   kv_account_leave(world->account, MAX / 2);
   assert_false(kv_account_stand(world->account, MAX / 2 + 1));
}

static void a_call_that_is_alone_may_be_so_while_connections_are_open(void **state)
{
   struct world *world = *state;
   assert_true(kv_account_stand(world->account, MAX / 4));
   assert_true(kv_share_take(world->shares[0], KV_CLAIM_SHARE, 2 * MAX, 0));
   assert_true(kv_share_is_nearly_alone(world->shares[0]));
   kv_share_give(world->shares[0], 2 * MAX);
   kv_account_leave(world->account, MAX / 4);
}

struct greedy {
   struct kv_share *share;
   atomic_bool ended;
   atomic_size_t refused;
};

static void *ask_for_too_much(void *context)
{
   struct greedy *greedy = context;
   while (!atomic_load(&greedy->ended) && !kv_share_take(greedy->share, KV_CLAIM_WORK, MAX, 0))
      atomic_fetch_add(&greedy->refused, 1);
   return NULL;
}

static void what_is_refused_takes_nothing_from_others_meanwhile(void **state)
{
   struct world *world = *state;
   struct greedy greedy = {.share = world->shares[1]};
   pthread_t thread;
   kv_share_add(world->shares[2], PIECE);
   assert_int_equal(pthread_create(&thread, NULL, ask_for_too_much, &greedy), 0);
   size_t allowed = 0;
   const size_t tries = 100000;
   while (atomic_load(&greedy.refused) == 0)
      sched_yield();
   while (allowed < tries && kv_share_take(world->shares[0], KV_CLAIM_SHARE, PIECE, 0)) {
      kv_share_give(world->shares[0], PIECE);
      allowed++;
   }
   atomic_store(&greedy.ended, true);
   assert_int_equal(pthread_join(thread, NULL), 0);
   assert_int_equal(allowed, tries);
   assert_int_equal(kv_share_held(world->shares[1]), 0);
   kv_share_give(world->shares[2], PIECE);
}

static int open_shares(void **state)
{
   static struct world world;
   world.account = kv_account_create(MAX);
   for (size_t i = 0; i < SHARES; i++)
      world.shares[i] = kv_share_open(world.account);
   *state = &world;
   return 0;
}

static int close_shares(void **state)
{
   struct world *world = *state;
   if (kv_account_held(world->account) != 0)
      return -1;
   for (size_t i = 0; i < SHARES; i++)
      kv_share_close(world->shares[i]);
   kv_account_close(world->account);
   return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_shares, close_shares)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(what_is_given_back_can_be_taken_again),
       CASE(a_connection_gets_no_more_than_it_leaves_free),
       CASE(connections_that_want_all_leave_memory_for_the_next_one),
       CASE(who_holds_hardly_anything_gets_a_little_when_all_others_get_no_more),
       CASE(so_do_many_connections_that_hold_little_each),
       CASE(calls_and_replies_leave_memory_for_work),
       CASE(one_call_gets_more_than_a_fair_share),
       CASE(so_does_one_that_asks_piece_by_piece),
       CASE(a_call_that_is_alone_may_be_larger_than_the_account),
       CASE(what_is_refused_takes_nothing_from_others_meanwhile),
       CASE(a_refusal_names_the_limit_and_what_is_held),
       CASE(a_share_lives_until_all_was_given_back),
       CASE(what_connections_hold_is_at_most_half_and_leaves_less_to_calls),
       CASE(a_call_that_is_alone_may_be_so_while_connections_are_open),
       CASE(work_on_a_large_request_is_begun_while_the_part_for_work_is_not_reserved),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
