/* Pairs of acknowledgements and events. */
#include "bench/load/delays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CHANGES_KEPT (UINT64_C(1) << 20)

static int set_up(void **state)
{
   *state = delays_create();
   return *state ? 0 : -1;
}

static int tear_down(void **state)
{
   delays_destroy(*state);
   return 0;
}

static void a_delay_is_from_the_acknowledgement_to_each_event(void **state)
{
   struct delays *delays = *state;
   delays_acknowledge(delays, 5, 1000);
   delays_arrive(delays, 5, 1100);
   delays_arrive(delays, 5, 1200);
   assert_int_equal(latencies_count(delays_take(delays)), 2);
   assert_int_equal(latencies_mean(delays_take(delays)), 150);
   assert_int_equal(latencies_maximum(delays_take(delays)), 200);
}

static void an_event_that_comes_first_has_no_delay(void **state)
{
   struct delays *delays = *state;
   delays_arrive(delays, 5, 1000);
   delays_arrive(delays, 5, 1001);
   assert_int_equal(latencies_count(delays_take(delays)), 0);
   delays_acknowledge(delays, 5, 1002);
   delays_arrive(delays, 5, 1002);
   assert_int_equal(latencies_count(delays_take(delays)), 3);
   assert_int_equal(latencies_maximum(delays_take(delays)), 0);
}

static void what_others_changed_or_what_is_too_old_has_none(void **state)
{
   struct delays *delays = *state;
   delays_arrive(delays, 6, 1000);
   delays_acknowledge(delays, 7, 1000);
   delays_acknowledge(delays, 7 + CHANGES_KEPT, 1001);
   delays_arrive(delays, 7, 1002);
   assert_int_equal(latencies_count(delays_take(delays)), 0);
   delays_arrive(delays, 7 + CHANGES_KEPT, 1004);
   assert_int_equal(latencies_maximum(delays_take(delays)), 3);
}

static void all_changes_of_the_latest_million_are_told_apart(void **state)
{
   struct delays *delays = *state;
   for (uint64_t version = 1; version <= CHANGES_KEPT; version++)
      delays_acknowledge(delays, version, version);
   assert_int_equal(delays_last(delays), CHANGES_KEPT);
   for (uint64_t version = 1; version <= CHANGES_KEPT; version++)
      delays_arrive(delays, version, version + 3);
   assert_int_equal(latencies_count(delays_take(delays)), CHANGES_KEPT);
   assert_int_equal(latencies_quantile(delays_take(delays), 0), 3);
   assert_int_equal(latencies_maximum(delays_take(delays)), 3);
}

static void the_last_one_is_the_highest(void **state)
{
   struct delays *delays = *state;
   assert_int_equal(delays_last(delays), 0);
   delays_acknowledge(delays, 9, 1);
   delays_acknowledge(delays, 4, 2);
   assert_int_equal(delays_last(delays), 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_delay_is_from_the_acknowledgement_to_each_event),
       TEST(an_event_that_comes_first_has_no_delay),
       TEST(what_others_changed_or_what_is_too_old_has_none),
       TEST(all_changes_of_the_latest_million_are_told_apart),
       TEST(the_last_one_is_the_highest),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
