/* The counts and times of calls, on threads with cells of their own and others. */
#include "core/metrics/calls.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define METHODS 3
#define THREADS 2
#define CALLS 300000
#define OTHERS 4

static int set_up(void **state)
{
   *state = kv_call_metrics_create(METHODS, THREADS);
   assert_non_null(*state);
   return 0;
}

static int tear_down(void **state)
{
   kv_call_metrics_destroy(*state);
   return 0;
}

static void a_call_counts_for_its_method_and_code_alone(void **state)
{
   struct kv_call_figures figures;
   kv_call_metrics_count(*state, 0, 1, 5, 100);
   kv_call_metrics_read(*state, 1, &figures);
   assert_int_equal(figures.codes[5], 1);
   assert_int_equal(kv_call_figures_count(&figures), 1);
   assert_int_equal(figures.total_ns, 100);
   for (size_t other = 0; other < METHODS; other += 2) {
      kv_call_metrics_read(*state, other, &figures);
      assert_int_equal(kv_call_figures_count(&figures), 0);
      assert_int_equal(figures.total_ns, 0);
   }
}

static void the_cells_of_all_threads_are_added_up(void **state)
{
   struct kv_call_figures figures;
   for (unsigned thread = 0; thread <= THREADS; thread++)
      kv_call_metrics_count(*state, thread, 2, 0, 10);
   kv_call_metrics_read(*state, 2, &figures);
   assert_int_equal(figures.codes[0], THREADS + 1);
   assert_int_equal(figures.total_ns, 10 * (THREADS + 1));
}

static void a_bucket_holds_the_times_up_to_its_end(void **state)
{
   struct kv_call_figures figures;
   kv_call_metrics_count(*state, 0, 0, 0, 2048);
   kv_call_metrics_count(*state, 0, 0, 0, 2049);
   kv_call_metrics_read(*state, 0, &figures);
   size_t last = kv_histogram_bucket(KV_CALL_SHAPE, 2047);
   assert_int_equal(kv_histogram_bucket_end(KV_CALL_SHAPE, last), 2047);
   assert_int_equal(figures.buckets[last], 1);
   assert_int_equal(figures.buckets[last + 1], 1);
}

static void no_time_at_all_and_one_of_hours_have_a_bucket(void **state)
{
   struct kv_call_figures figures;
   kv_call_metrics_count(*state, 0, 0, 16, 0);
   kv_call_metrics_count(*state, 0, 0, 0, UINT64_MAX / 2);
   kv_call_metrics_read(*state, 0, &figures);
   assert_int_equal(figures.buckets[0], 1);
   assert_int_equal(figures.buckets[KV_CALL_BUCKETS - 1], 1);
}

static pthread_barrier_t all_there;

static void *count_as_another(void *metrics)
{
   pthread_barrier_wait(&all_there);
   for (int i = 0; i < CALLS; i++)
      kv_call_metrics_count(metrics, THREADS, 0, 0, 1);
   return NULL;
}

static void threads_without_a_number_lose_no_count_to_each_other(void **state)
{
   struct kv_call_figures figures;
   pthread_t threads[OTHERS];
   assert_int_equal(pthread_barrier_init(&all_there, NULL, OTHERS), 0);
   for (size_t i = 0; i < OTHERS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, count_as_another, *state), 0);
   for (size_t i = 0; i < OTHERS; i++)
      pthread_join(threads[i], NULL);
   pthread_barrier_destroy(&all_there);
   kv_call_metrics_read(*state, 0, &figures);
   assert_int_equal(figures.codes[0], OTHERS * CALLS);
   assert_int_equal(figures.total_ns, OTHERS * CALLS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_call_counts_for_its_method_and_code_alone),
       CASE(the_cells_of_all_threads_are_added_up),
       CASE(a_bucket_holds_the_times_up_to_its_end),
       CASE(no_time_at_all_and_one_of_hours_have_a_bucket),
       CASE(threads_without_a_number_lose_no_count_to_each_other),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
