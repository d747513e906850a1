/* Durations and points in time as people write them. */
#include "client/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void durations_are_read_with_their_units(void **state)
{
   (void)state;
   const struct {
      const char *text;
      int64_t ms;
   } cases[] = {
       {"1ms", 1},         {"500ms", 500},
       {"1s", 1000},       {"90", 90000},
       {"10m", 600000},    {"1h30m", 5400000},
       {"2d", 172800000},  {"1d2h3m4s5ms", 93784005},
       {"0h1s", 1000},     {"9223372036854775807ms", INT64_MAX},
       {"1.5s", 1500},     {"0.5", 500},
       {"1.25h", 4500000}, {"1h0.5m", 3630000},
       {"0.0015s", 1},     {"1000000000", 1000000000000},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      int64_t ms = 0;
      assert_true(times_duration(kv_slice_of(cases[i].text), &ms, (char[TIMES_REASON_SIZE]){0}));
      assert_int_equal(ms, cases[i].ms);
   }
}

static void what_is_no_duration_is_refused(void **state)
{
   (void)state;
   static const char *const cases[] = {
       "",
       "0",
       "0s",
       "s",
       "-5s",
       "+5s",
       "1.",
       ".5s",
       "1.5.5s",
       "0.5ms",
       "0.0000001s",
       "1h 30m",
       "10x",
       "10M",
       "1y",
       "5s10",
       "1h-1",
       "٣m",
       "5m\n",
       "9223372036854775808ms",
       "106751991168d",
       "1111111111111111111111111111111111111111111111111111111111111111111111s"};
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      assert_false(
          times_duration(kv_slice_of(cases[i]), &(int64_t){0}, (char[TIMES_REASON_SIZE]){0}));
   assert_false(times_duration(kv_slice("5s\0", 3), &(int64_t){0}, (char[TIMES_REASON_SIZE]){0}));
}

static void a_reason_says_what_would_do(void **state)
{
   (void)state;
   char reason[TIMES_REASON_SIZE];
   int64_t ms;
   assert_false(times_duration(kv_slice_of("0"), &ms, reason));
   assert_string_equal(reason, "must be a duration above 0, at least 1ms");
   assert_false(times_duration(kv_slice_of("1800000000"), &ms, reason));
   assert_string_equal(reason, "is a duration, of 57 years; give a time as 2027-01-15T08:00:00Z");
   assert_false(times_duration(kv_slice_of("999999999999"), &ms, reason));
   assert_non_null(strstr(reason, "give a time as 2"));
   assert_false(times_point(kv_slice_of("1800000000"), 0, &ms, reason));
   assert_string_equal(reason, "is 1970-01-21; Unix milliseconds have 13 digits, or give "
                               "2027-01-15T08:00:00Z");
   assert_false(times_point(kv_slice_of("18000000000000"), 0, &ms, reason));
   assert_non_null(strstr(reason, "Unix milliseconds have 13 digits"));
   assert_false(times_point(kv_slice_of("2020-01-01"), 1769860800000, &ms, reason));
   assert_string_equal(reason, "is in the past; to have a key gone at once, use del");
   assert_false(times_point(kv_slice_of("1769860800000"), 1769860800000, &ms, reason));
}

static void points_are_read_in_each_offset(void **state)
{
   (void)state;
   const struct {
      const char *text;
      int64_t unix_ms;
   } cases[] = {
       {"2026-01-31T12:00:00Z", 1769860800000},
       {"2026-01-31T12:00:00z", 1769860800000},
       {"2026-01-31 12:00:00Z", 1769860800000},
       {"2026-01-31T12:00:00.25Z", 1769860800250},
       {"2026-01-31T12:00:00.123456789Z", 1769860800123},
       {"2026-01-31T13:30:00+01:30", 1769860800000},
       {"2026-01-31T04:00:00-08:00", 1769860800000},
       {"2024-02-29T00:00:00Z", 1709164800000},
       {"1769860800000", 1769860800000},
       {"2026-01-31", 1769817600000},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      int64_t unix_ms = 0;
      assert_true(
          times_point(kv_slice_of(cases[i].text), 0, &unix_ms, (char[TIMES_REASON_SIZE]){0}));
      assert_int_equal(unix_ms, cases[i].unix_ms);
   }
}

static void what_is_no_point_is_refused(void **state)
{
   (void)state;
   static const char *const cases[] = {
       "",
       "0",
       "1",
       "-1",
       "soon",
       "2026-01-32",
       "2026-01-31x",
       "2026-01",
       "2026-01-31T12:00Z",
       "2026-01-31T12:00:00",
       "2026-01-31T12:00:00+1",
       "2026-01-31T12:00:00+24:00",
       "2026-01-31T12:00:00Zx",
       "2026-02-30T12:00:00Z",
       "2025-02-29T12:00:00Z",
       "2026-13-01T12:00:00Z",
       "1969-12-31T23:59:59Z",
       "99999999999999999999",
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      assert_false(
          times_point(kv_slice_of(cases[i]), 0, &(int64_t){0}, (char[TIMES_REASON_SIZE]){0}));
}

static void durations_are_shown_as_they_are_read(void **state)
{
   (void)state;
   const struct {
      int64_t ms;
      const char *text;
   } cases[] = {{0, "0ms"},           {999, "999ms"},     {1000, "1s"},
                {90000, "1m30s"},     {3600000, "1h"},    {5400000, "1h30m"},
                {86399999, "23h59m"}, {90061000, "1d1h"}, {172800000, "2d"}};
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      char text[TIMES_TEXT_SIZE];
      times_show_duration(cases[i].ms, text);
      assert_string_equal(text, cases[i].text);
   }
}

static void points_are_shown_in_local_time(void **state)
{
   (void)state;
   char text[TIMES_TEXT_SIZE];
   setenv("TZ", "XYZ-1", 1);
   tzset();
   times_show_point(1769860800007, text);
   assert_string_equal(text, "2026-01-31 13:00:00.007");
   times_show_point(INT64_MAX, text);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(durations_are_read_with_their_units),
       cmocka_unit_test(what_is_no_duration_is_refused),
       cmocka_unit_test(a_reason_says_what_would_do),
       cmocka_unit_test(points_are_read_in_each_offset),
       cmocka_unit_test(what_is_no_point_is_refused),
       cmocka_unit_test(durations_are_shown_as_they_are_read),
       cmocka_unit_test(points_are_shown_in_local_time),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
