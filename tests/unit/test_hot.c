/* The key prefixes that are used most. */
#include "core/observe/hot.h"
#include "core/support/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 2u
#define NOW_MS UINT64_C(1000000)
#define SECOND_MS UINT64_C(1000)

static int set_up(void **state)
{
   *state = kv_hot_create(THREADS);
   assert_non_null(*state);
   return 0;
}

static int tear_down(void **state)
{
   kv_hot_destroy(*state);
   return 0;
}

static void sample(struct kv_hot *hot, unsigned thread, const char *key, unsigned times,
                   uint64_t now_ms)
{
   for (unsigned i = 0; i < times; i++)
      kv_hot_sample(hot, thread, kv_slice_of(key), now_ms);
}

/* What is listed at that time, as "prefix=samples prefix=samples". */
static void assert_listed(struct kv_hot *hot, uint64_t now_ms, size_t max, const char *expected)
{
   struct kv_hot_prefix *prefixes;
   uint64_t samples;
   char text[1024] = "";
   size_t size = 0, count = kv_hot_list(hot, now_ms, max, &prefixes, &samples);
   assert_non_null(prefixes);
   for (size_t i = 0; i < count && size < sizeof text; i++)
      size += (size_t)snprintf(text + size, sizeof text - size, "%s%.*s=%llu", i > 0 ? " " : "",
                               (int)prefixes[i].size, (const char *)prefixes[i].prefix,
                               (unsigned long long)prefixes[i].samples);
   free(prefixes);
   assert_string_equal(text, expected);
}

static void a_prefix_ends_with_the_last_separator_and_a_key_without_one_is_its_own(void **state)
{
   sample(*state, 0, "user:17:name", 4, NOW_MS);
   sample(*state, 0, "user:17:mail", 1, NOW_MS);
   sample(*state, 0, "path/to/x", 3, NOW_MS);
   sample(*state, 0, "com.example.x", 2, NOW_MS);
   sample(*state, 0, "counter", 1, NOW_MS);
   assert_listed(*state, NOW_MS, 10, "user:17:=5 path/to/=3 com.example.=2 counter=1");
}

static void a_key_is_looked_at_up_to_64_bytes(void **state)
{
   char key[101], expected[80];
   memset(key, 'k', sizeof key - 1);
   key[sizeof key - 1] = '\0';
   key[70] = ':';
   snprintf(expected, sizeof expected, "%.64s=1", key);
   sample(*state, 0, key, 1, NOW_MS);
   assert_listed(*state, NOW_MS, 10, expected);
}

static void the_counts_of_all_threads_add_up_and_the_most_used_come_first(void **state)
{
   sample(*state, 0, "a:1", 2, NOW_MS);
   sample(*state, 1, "a:2", 2, NOW_MS);
   sample(*state, 1, "b:1", 3, NOW_MS);
   sample(*state, 0, "c:1", 1, NOW_MS);
   assert_listed(*state, NOW_MS, 10, "a:=4 b:=3 c:=1");
   assert_listed(*state, NOW_MS, 2, "a:=4 b:=3");
}

static void what_was_used_a_minute_ago_is_no_longer_listed(void **state)
{
   sample(*state, 0, "old:1", 5, NOW_MS);
   sample(*state, 0, "new:1", 1, NOW_MS + 30 * SECOND_MS);
   assert_listed(*state, NOW_MS + 40 * SECOND_MS, 10, "old:=5 new:=1");
   assert_listed(*state, NOW_MS + 70 * SECOND_MS, 10, "new:=1");
   assert_listed(*state, NOW_MS + 3600 * SECOND_MS, 10, "");
   sample(*state, 0, "again:1", 1, NOW_MS + 60 * SECOND_MS); /* the place of the old ones */
   assert_listed(*state, NOW_MS + 60 * SECOND_MS, 10, "again:=1 new:=1");
}

static void a_prefix_that_is_used_much_stands_out_of_ten_thousand_others(void **state)
{
   struct kv_hot_prefix *prefixes;
   uint64_t samples;
   for (unsigned i = 0; i < 10000; i++) {
      char key[32];
      snprintf(key, sizeof key, "cold%u:1", i);
      sample(*state, 0, key, 1, NOW_MS);
      if (i % 10 == 0)
         sample(*state, 0, "hot:1", 1, NOW_MS);
   }
   size_t count = kv_hot_list(*state, NOW_MS, 2, &prefixes, &samples);
   assert_int_equal(count, 2);
   assert_int_equal(samples, 11000);
   assert_memory_equal(prefixes[0].prefix, "hot:", 4);
   assert_in_range(prefixes[0].samples, 500, 1000); /* never above the truth */
   assert_true(prefixes[1].samples < 100);
   free(prefixes);
}

/* A prefix in each 64th call, the others in between. */
static void one_call_in_64_is_looked_at_and_no_rhythm_of_a_client_hides_one(void **state)
{
   struct kv_hot_prefix *prefixes;
   uint64_t samples;
   for (unsigned i = 0; i < 64 * 20000; i++)
      kv_hot_count(*state, 0, kv_slice_of(i % 64 == 63 ? "rare:1" : "often:1"));
   size_t count = kv_hot_list(*state, kv_clock_monotonic_ms(), 2, &prefixes, &samples);
   assert_int_equal(count, 2);
   assert_in_range(samples, 19000, 21000);
   assert_memory_equal(prefixes[0].prefix, "often:", 6);
   assert_in_range(prefixes[1].samples, 200, 450); /* 20000 / 64 = 312 */
   free(prefixes);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
       TEST(a_prefix_ends_with_the_last_separator_and_a_key_without_one_is_its_own),
       TEST(a_key_is_looked_at_up_to_64_bytes),
       TEST(the_counts_of_all_threads_add_up_and_the_most_used_come_first),
       TEST(what_was_used_a_minute_ago_is_no_longer_listed),
       TEST(a_prefix_that_is_used_much_stands_out_of_ten_thousand_others),
       TEST(one_call_in_64_is_looked_at_and_no_rhythm_of_a_client_hides_one),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
