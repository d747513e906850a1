/* The last events of the process. */
#include "core/support/log.h"
#include "core/support/log_events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void the_newest_are_kept_and_come_first(void **state)
{
   static struct kv_log_events log = {.lock = PTHREAD_MUTEX_INITIALIZER};
   struct kv_log_event events[KV_LOG_EVENTS_MAX];
   char text[32];
   (void)state;
   assert_int_equal(kv_log_events_read(&log, events), 0);
   for (int i = 0; i < 2 * KV_LOG_EVENTS_MAX + 1; i++) {
      snprintf(text, sizeof text, "%d", i);
      kv_log_events_add(&log, KV_LOG_INFO, text);
      assert_true(kv_log_events_read(&log, events) <= KV_LOG_EVENTS_MAX);
      assert_string_equal(events[0].text, text);
   }
   assert_int_equal(kv_log_events_read(&log, events), KV_LOG_EVENTS_MAX);
   for (int i = 0; i < KV_LOG_EVENTS_MAX; i++) {
      snprintf(text, sizeof text, "%d", 2 * KV_LOG_EVENTS_MAX - i);
      assert_string_equal(events[i].text, text);
   }
}

static void an_event_of_the_log_is_kept_cleaned_whatever_the_level_and_a_line_is_not(void **state)
{
   struct kv_log_event events[KV_LOG_EVENTS_MAX];
   (void)state;
   kv_log_set_level(KV_LOG_ERROR);
   kv_log(KV_LOG_INFO, "a line");
   kv_log_event(KV_LOG_WARNING, "an \033 event of %d", 7);
   assert_int_equal(kv_log_events_read(kv_log_events(), events), 1);
   assert_string_equal(events[0].text, "an ? event of 7");
   assert_int_equal(events[0].level, KV_LOG_WARNING);
   assert_true(events[0].unix_ms > 1500000000000);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(the_newest_are_kept_and_come_first),
       cmocka_unit_test(an_event_of_the_log_is_kept_cleaned_whatever_the_level_and_a_line_is_not),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
