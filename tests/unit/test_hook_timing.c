#include "core/host/hook_timing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t now_ns = 1;
static unsigned clock_reads;

uint64_t __wrap_kv_clock_monotonic_ns(void);
uint64_t __wrap_kv_clock_monotonic_ns(void)
{
   clock_reads++;
   return now_ns;
}

static void call(struct kv_hook_timing *timing, enum kv_hook hook, uint64_t ns, bool failed)
{
   kv_hook_timing_begin(timing, hook);
   now_ns += ns;
   kv_hook_timing_end(timing, hook, failed);
}

static struct kv_hook_figures read_figures(const struct kv_hook_timing *timing, enum kv_hook hook)
{
   struct kv_hook_figures figures;
   kv_hook_timing_read(timing, hook, &figures);
   return figures;
}

static struct kv_hook_timing *create(uint64_t budget_ns)
{
   struct kv_hook_timing *timing = kv_hook_timing_create("name", budget_ns);
   assert_non_null(timing);
   return timing;
}

static void calls_failures_and_times_are_counted_apart_for_each_hook(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(0);
   call(timing, KV_HOOK_WRITE, 100, false);
   call(timing, KV_HOOK_WRITE, 300, true);
   call(timing, KV_HOOK_TICK, 7, false);
   struct kv_hook_figures write = read_figures(timing, KV_HOOK_WRITE);
   assert_int_equal(write.calls, 2);
   assert_int_equal(write.errors, 1);
   assert_int_equal(write.total_ns, 400);
   assert_int_equal(write.max_ns, 300);
   assert_int_equal(kv_hook_figures_mean_ns(&write), 200);
   assert_int_equal(read_figures(timing, KV_HOOK_TICK).max_ns, 7);
   assert_int_equal(read_figures(timing, KV_HOOK_LOAD).calls, 0);
   kv_hook_timing_destroy(timing);
}

static void without_a_timing_a_call_costs_not_even_a_look_at_the_clock(void **state)
{
   (void)state;
   clock_reads = 0;
   call(NULL, KV_HOOK_WRITE, 100, false);
   assert_int_equal(clock_reads, 0);
   assert_int_equal(read_figures(NULL, KV_HOOK_WRITE).calls, 0);
   struct kv_hook_timing *timing = create(0);
   call(timing, KV_HOOK_WRITE, 100, false);
   assert_int_equal(clock_reads, 2);
   kv_hook_timing_destroy(timing);
}

static void a_percentile_is_at_most_a_quarter_too_high_and_never_too_low(void **state)
{
   (void)state;
   for (uint64_t ns = 1; ns < (uint64_t)1 << 41; ns += ns / 3 + 1) {
      struct kv_hook_timing *timing = create(0);
      call(timing, KV_HOOK_WRITE, ns, false);
      call(timing, KV_HOOK_WRITE, 8 * ns, false);
      struct kv_hook_figures figures = read_figures(timing, KV_HOOK_WRITE);
      uint64_t median_ns = kv_hook_figures_percentile_ns(&figures, 500);
      assert_in_range(median_ns, ns, ns + ns / 4);
      assert_int_equal(kv_hook_figures_percentile_ns(&figures, 1000), 8 * ns);
      kv_hook_timing_destroy(timing);
   }
}

static void a_percentile_leaves_its_part_of_the_calls_above(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(0);
   for (int i = 0; i < 990; i++)
      call(timing, KV_HOOK_WRITE, 1000, false);
   for (int i = 0; i < 10; i++)
      call(timing, KV_HOOK_WRITE, 1000000, false);
   struct kv_hook_figures figures = read_figures(timing, KV_HOOK_WRITE);
   assert_in_range(kv_hook_figures_percentile_ns(&figures, 990), 1000, 1250);
   assert_int_equal(kv_hook_figures_percentile_ns(&figures, 991), 1000000);
   figures = read_figures(timing, KV_HOOK_TICK);
   assert_int_equal(kv_hook_figures_percentile_ns(&figures, 990), 0);
   kv_hook_timing_destroy(timing);
}

static void a_percentile_of_few_calls_is_the_lowest_that_reaches_its_part(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(0);
   for (uint64_t ns = 1; ns <= 3; ns++)
      call(timing, KV_HOOK_WRITE, ns, false);
   struct kv_hook_figures figures = read_figures(timing, KV_HOOK_WRITE);
   assert_int_equal(kv_hook_figures_percentile_ns(&figures, 500), 2);
   assert_int_equal(kv_hook_figures_percentile_ns(&figures, 990), 3);
   kv_hook_timing_destroy(timing);
}

static void a_time_beyond_all_buckets_is_the_longest(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(0);
   call(timing, KV_HOOK_WRITE, UINT64_MAX / 2, false);
   struct kv_hook_figures figures = read_figures(timing, KV_HOOK_WRITE);
   assert_int_equal(figures.max_ns, UINT64_MAX / 2);
   assert_int_equal(figures.buckets[KV_HOOK_BUCKETS - 1], 1);
   kv_hook_timing_destroy(timing);
}

static void figures_since_leave_out_what_was_before(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(0);
   call(timing, KV_HOOK_WRITE, 5000, true);
   struct kv_hook_figures before = read_figures(timing, KV_HOOK_WRITE);
   struct kv_hook_figures since = before;
   kv_hook_figures_since(&since, &before);
   assert_int_equal(since.calls, 0);
   assert_int_equal(since.max_ns, 0);
   call(timing, KV_HOOK_WRITE, 100, false);
   since = read_figures(timing, KV_HOOK_WRITE);
   kv_hook_figures_since(&since, &before);
   assert_int_equal(since.calls, 1);
   assert_int_equal(since.errors, 0);
   assert_int_equal(since.total_ns, 100);
   assert_in_range(since.max_ns, 100, 125);
   call(timing, KV_HOOK_WRITE, 6000, false);
   since = read_figures(timing, KV_HOOK_WRITE);
   kv_hook_figures_since(&since, &before);
   assert_int_equal(since.max_ns, 6000);
   kv_hook_timing_destroy(timing);
}

static void figures_add_up(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(0);
   call(timing, KV_HOOK_CLOSE, 100, false);
   struct kv_hook_figures sum = read_figures(timing, KV_HOOK_CLOSE);
   call(timing, KV_HOOK_CLOSE, 50, true);
   struct kv_hook_figures more = read_figures(timing, KV_HOOK_CLOSE);
   kv_hook_figures_add(&sum, &more);
   assert_int_equal(sum.calls, 3);
   assert_int_equal(sum.errors, 1);
   assert_int_equal(sum.total_ns, 250);
   assert_int_equal(sum.max_ns, 100);
   kv_hook_timing_destroy(timing);
}

static void the_time_of_a_call_in_flight_is_known(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(10);
   uint64_t first, second;
   assert_int_equal(kv_hook_timing_running_ns(timing, KV_HOOK_WRITE, &first), 0);
   assert_int_equal(first, 0);
   kv_hook_timing_begin(timing, KV_HOOK_WRITE);
   now_ns += 5;
   assert_int_equal(kv_hook_timing_running_ns(timing, KV_HOOK_WRITE, &first), 5);
   kv_hook_timing_end(timing, KV_HOOK_WRITE, false);
   assert_int_equal(kv_hook_timing_running_ns(timing, KV_HOOK_WRITE, NULL), 0);
   kv_hook_timing_begin(timing, KV_HOOK_WRITE);
   now_ns += 1;
   assert_int_equal(kv_hook_timing_running_ns(timing, KV_HOOK_WRITE, &second), 1);
   assert_int_not_equal(first, second);
   kv_hook_timing_destroy(timing);
}

static void budgets_follow_from_that_of_a_write(void **state)
{
   (void)state;
   struct kv_hook_timing *timing = create(10);
   assert_int_equal(kv_hook_timing_budget_ns(timing, KV_HOOK_WRITE), 10);
   assert_int_equal(kv_hook_timing_budget_ns(timing, KV_HOOK_OPEN), 10 * KV_HOOK_BUDGET_OPEN);
   assert_int_equal(kv_hook_timing_budget_ns(timing, KV_HOOK_TICK), 10 * KV_HOOK_BUDGET_ALL_DATA);
   assert_int_equal(kv_hook_timing_budget_ns(timing, KV_HOOK_LOAD), 10 * KV_HOOK_BUDGET_ALL_DATA);
   kv_hook_timing_destroy(timing);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(calls_failures_and_times_are_counted_apart_for_each_hook),
       cmocka_unit_test(without_a_timing_a_call_costs_not_even_a_look_at_the_clock),
       cmocka_unit_test(a_percentile_is_at_most_a_quarter_too_high_and_never_too_low),
       cmocka_unit_test(a_percentile_leaves_its_part_of_the_calls_above),
       cmocka_unit_test(a_percentile_of_few_calls_is_the_lowest_that_reaches_its_part),
       cmocka_unit_test(a_time_beyond_all_buckets_is_the_longest),
       cmocka_unit_test(figures_since_leave_out_what_was_before),
       cmocka_unit_test(figures_add_up),
       cmocka_unit_test(the_time_of_a_call_in_flight_is_known),
       cmocka_unit_test(budgets_follow_from_that_of_a_write),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
