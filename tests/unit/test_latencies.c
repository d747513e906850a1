/* The latencies of the load generator: how exact it is, and what its quantiles mean. */
#include "bench/load/latencies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int setup(void **state)
{
   *state = latencies_create();
   return *state ? 0 : -1;
}

static int teardown(void **state)
{
   latencies_destroy(*state);
   return 0;
}

static void nothing_recorded_reads_as_zero(void **state)
{
   assert_int_equal(latencies_count(*state), 0);
   assert_int_equal(latencies_maximum(*state), 0);
   assert_int_equal(latencies_quantile(*state, 0.5), 0);
   assert_true(latencies_mean(*state) == 0);
}

static void small_values_are_exact(void **state)
{
   for (uint64_t value = 0; value < 256; value++) {
      latencies_reset(*state);
      latencies_record(*state, value);
      latencies_record(*state, 1000000);
      assert_int_equal(latencies_quantile(*state, 0.5), value);
   }
}

/* The value is the lower of two, so that the maximum does not help. */
static void expect_close(struct latencies *latencies, uint64_t value)
{
   latencies_reset(latencies);
   latencies_record(latencies, value);
   latencies_record(latencies, UINT64_MAX);
   uint64_t read = latencies_quantile(latencies, 0.5);
   assert_true(read >= value);
   assert_true(read - value <= value / 100);
}

static void any_value_is_kept_within_one_percent_and_never_too_low(void **state)
{
   for (unsigned bit = 0; bit < 64; bit++) {
      uint64_t power = (uint64_t)1 << bit;
      expect_close(*state, power);
      expect_close(*state, power - 1);
      expect_close(*state, power + power / 2);
      expect_close(*state, power + power / 3);
   }
   expect_close(*state, UINT64_MAX);
}

static void quantiles_are_the_values_at_their_rank(void **state)
{
   for (uint64_t value = 1; value <= 200; value++)
      latencies_record(*state, value);
   assert_int_equal(latencies_quantile(*state, 0), 1);
   assert_int_equal(latencies_quantile(*state, 0.005), 1);
   assert_int_equal(latencies_quantile(*state, 0.5), 100);
   assert_int_equal(latencies_quantile(*state, 0.51), 102);
   assert_int_equal(latencies_quantile(*state, 0.99), 198);
   assert_int_equal(latencies_quantile(*state, 1), 200);
   assert_true(latencies_mean(*state) == 100.5);
}

static void no_quantile_exceeds_the_maximum(void **state)
{
   latencies_record(*state, 1000001);
   assert_int_equal(latencies_maximum(*state), 1000001);
   assert_int_equal(latencies_quantile(*state, 0.5), 1000001);
   assert_int_equal(latencies_quantile(*state, 1), 1000001);
}

static void adding_counts_both_and_changes_only_one(void **state)
{
   struct latencies *other = latencies_create();
   assert_non_null(other);
   latencies_record(*state, 10);
   latencies_record(other, 20);
   latencies_record(other, 30);
   latencies_add(*state, other);
   assert_int_equal(latencies_count(*state), 3);
   assert_int_equal(latencies_quantile(*state, 0.34), 20);
   assert_int_equal(latencies_maximum(*state), 30);
   assert_true(latencies_mean(*state) == 20);
   assert_int_equal(latencies_count(other), 2);
   latencies_destroy(other);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(nothing_recorded_reads_as_zero),
       TEST(small_values_are_exact),
       TEST(any_value_is_kept_within_one_percent_and_never_too_low),
       TEST(quantiles_are_the_values_at_their_rank),
       TEST(no_quantile_exceeds_the_maximum),
       TEST(adding_counts_both_and_changes_only_one),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
