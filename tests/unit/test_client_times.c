/* Durations and points in time as people write them. */
#include "client/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

static void durations_are_read_with_their_units(void **state)
{
   (void)state;
   const struct {
      const char *text;
      int64_t ms;
   } cases[] = {
       {"1ms", 1},        {"500ms", 500},
       {"1s", 1000},      {"90", 90000},
       {"10m", 600000},   {"1h30m", 5400000},
       {"2d", 172800000}, {"1d2h3m4s5ms", 93784005},
       {"0h1s", 1000},    {"9223372036854775807ms", INT64_MAX},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      int64_t ms = 0;
      assert_true(times_duration(kv_slice_of(cases[i].text), &ms));
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
       "1.5h",
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
      assert_false(times_duration(kv_slice_of(cases[i]), &(int64_t){0}));
   assert_false(times_duration(kv_slice("5s\0", 3), &(int64_t){0}));
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
       {"1", 1},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      int64_t unix_ms = 0;
      assert_true(times_point(kv_slice_of(cases[i].text), &unix_ms));
      assert_int_equal(unix_ms, cases[i].unix_ms);
   }
}

static void what_is_no_point_is_refused(void **state)
{
   (void)state;
   static const char *const cases[] = {
       "",
       "0",
       "-1",
       "soon",
       "2026-01-31",
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
      assert_false(times_point(kv_slice_of(cases[i]), &(int64_t){0}));
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
       cmocka_unit_test(points_are_read_in_each_offset),
       cmocka_unit_test(what_is_no_point_is_refused),
       cmocka_unit_test(durations_are_shown_as_they_are_read),
       cmocka_unit_test(points_are_shown_in_local_time),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
