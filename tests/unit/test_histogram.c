#include "core/support/histogram.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE KV_HISTOGRAM_SIZE(3, 16)
static const struct kv_histogram_shape shape = {3, SIZE};

static void buckets_follow_on_one_another_without_gap_or_overlap(void **state)
{
   (void)state;
   uint64_t value = 0;
   for (size_t bucket = 0; bucket < SIZE - 1; bucket++) {
      uint64_t end = kv_histogram_bucket_end(shape, bucket);
      assert_int_equal(kv_histogram_bucket(shape, value), bucket);
      assert_int_equal(kv_histogram_bucket(shape, end), bucket);
      value = end + 1;
   }
   assert_int_equal(kv_histogram_bucket(shape, value), SIZE - 1);
}

static void an_end_is_above_its_values_by_less_than_their_part(void **state)
{
   (void)state;
   for (uint64_t value = 0; value < 60000; value++) {
      uint64_t end = kv_histogram_bucket_end(shape, kv_histogram_bucket(shape, value));
      assert_true(end >= value && (end - value) * 8 <= value);
   }
}

static void the_last_bucket_takes_all_that_is_above(void **state)
{
   (void)state;
   assert_int_equal(kv_histogram_bucket(shape, 65535), SIZE - 1);
   assert_int_equal(kv_histogram_bucket(shape, 65536), SIZE - 1);
   assert_int_equal(kv_histogram_bucket(shape, UINT64_MAX), SIZE - 1);
   assert_int_equal(kv_histogram_bucket_end(shape, SIZE - 1), UINT64_MAX);
}

static void a_rank_is_found_in_the_bucket_of_its_value(void **state)
{
   (void)state;
   uint64_t counts[SIZE] = {0};
   counts[kv_histogram_bucket(shape, 2)] = 3;
   counts[kv_histogram_bucket(shape, 9)] = 1;
   assert_int_equal(kv_histogram_at_rank(shape, counts, 1), 2);
   assert_int_equal(kv_histogram_at_rank(shape, counts, 3), 2);
   assert_int_equal(kv_histogram_at_rank(shape, counts, 4), 9);
   assert_int_equal(kv_histogram_at_rank(shape, counts, 5), UINT64_MAX);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(buckets_follow_on_one_another_without_gap_or_overlap),
       cmocka_unit_test(an_end_is_above_its_values_by_less_than_their_part),
       cmocka_unit_test(the_last_bucket_takes_all_that_is_above),
       cmocka_unit_test(a_rank_is_found_in_the_bucket_of_its_value),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
