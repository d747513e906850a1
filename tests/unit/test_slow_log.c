/* The latest calls that took long. */
#include "core/observe/slow_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static void add(struct kv_slow_log *log, uint64_t number)
{
   kv_slow_log_add(log, &(struct kv_event){.method = "/a.B/C", .duration_us = number});
}

static void a_call_of_the_threshold_is_slow_and_one_a_little_shorter_is_not(void **state)
{
   struct kv_slow_log *log = kv_slow_log_create(100);
   (void)state;
   assert_int_equal(kv_slow_log_threshold_ms(log), 100);
   assert_true(kv_slow_log_wants(log, 100 * MS));
   assert_false(kv_slow_log_wants(log, 100 * MS - 1));
   assert_true(kv_slow_log_wants(log, UINT64_MAX));
   kv_slow_log_destroy(log);
}

static void no_call_is_slow_where_the_threshold_is_0(void **state)
{
   struct kv_slow_log *log = kv_slow_log_create(0);
   (void)state;
   assert_false(kv_slow_log_wants(log, 0));
   assert_false(kv_slow_log_wants(log, UINT64_MAX));
   kv_slow_log_destroy(log);
}

static void the_newest_is_read_first_and_no_more_than_asked_for(void **state)
{
   struct kv_slow_log *log = kv_slow_log_create(1);
   struct kv_event events[3];
   uint64_t total;
   (void)state;
   assert_int_equal(kv_slow_log_read(log, events, 3, &total), 0);
   assert_int_equal(total, 0);
   for (uint64_t i = 1; i <= 5; i++)
      add(log, i);
   assert_int_equal(kv_slow_log_read(log, events, 3, &total), 3);
   assert_int_equal(total, 5);
   for (uint64_t i = 0; i < 3; i++)
      assert_int_equal(events[i].duration_us, 5 - i);
   kv_slow_log_destroy(log);
}

static void only_the_latest_1024_are_kept_but_all_are_counted(void **state)
{
   struct kv_slow_log *log = kv_slow_log_create(1);
   static struct kv_event events[KV_SLOW_LOG_SIZE + 1];
   uint64_t total;
   (void)state;
   for (uint64_t i = 1; i <= 2500; i++)
      add(log, i);
   assert_int_equal(kv_slow_log_read(log, events, KV_SLOW_LOG_SIZE + 1, &total), 1024);
   assert_int_equal(total, 2500);
   assert_int_equal(events[0].duration_us, 2500);
   assert_int_equal(events[1023].duration_us, 2500 - 1023);
   kv_slow_log_destroy(log);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_call_of_the_threshold_is_slow_and_one_a_little_shorter_is_not),
       cmocka_unit_test(no_call_is_slow_where_the_threshold_is_0),
       cmocka_unit_test(the_newest_is_read_first_and_no_more_than_asked_for),
       cmocka_unit_test(only_the_latest_1024_are_kept_but_all_are_counted),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
