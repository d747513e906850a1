/* Budgets against clients that send much and ask for nothing. */
#include "core/rpc/http2/flood.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW UINT64_C(123456789) /* any time */
#define A_LOT 1000000u          /* no budget has so many */

static unsigned admitted(struct kv_flood *flood, enum kv_flood_kind kind, uint64_t now_ms)
{
   unsigned count = 0;
   while (count < A_LOT && kv_flood_admit(flood, kind, now_ms))
      count++;
   return count;
}

static void assert_all_admitted(struct kv_flood *flood, enum kv_flood_kind kind, unsigned count,
                                uint64_t now_ms)
{
   for (unsigned i = 0; i < count; i++)
      assert_true(kv_flood_admit(flood, kind, now_ms));
}

/* ---- Floods ---- */

static void a_flood_of_each_kind_ends_the_connection(void **state)
{
   (void)state;
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++) {
      struct kv_flood flood = {0};
      assert_in_range(admitted(&flood, kind, NOW), 100, 2048);
      assert_false(kv_flood_admit(&flood, kind, NOW));
   }
}

static void a_flood_that_goes_on_for_long_ends_the_connection(void **state)
{
   (void)state;
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++) {
      struct kv_flood flood = {0};
      uint64_t now_ms = NOW;
      unsigned count = 0;
      for (; count < A_LOT && kv_flood_admit(&flood, kind, now_ms); count++)
         now_ms += count % 2; /* 2000 a second */
      assert_in_range(count, 100, 5000);
   }
}

static void one_kind_takes_nothing_from_another(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   admitted(&flood, KV_FLOOD_SETTINGS, NOW);
   for (enum kv_flood_kind kind = KV_FLOOD_SETTINGS + 1; kind < KV_FLOOD_KINDS; kind++)
      assert_true(kv_flood_admit(&flood, kind, NOW));
}

static void time_refills_a_budget_to_what_it_was_and_no_further(void **state)
{
   (void)state;
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++) {
      struct kv_flood flood = {0};
      const unsigned at_once = admitted(&flood, kind, NOW);
      const unsigned a_second = admitted(&flood, kind, NOW + 1000);
      assert_in_range(a_second, 10, at_once / 2);
      assert_int_equal(admitted(&flood, kind, NOW + 3000), 2 * a_second);
      assert_int_equal(admitted(&flood, kind, NOW + 1000000000), at_once);
   }
}

static void who_keeps_to_the_rate_meets_no_limit(void **state)
{
   (void)state;
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++) {
      struct kv_flood flood = {0};
      admitted(&flood, kind, NOW);
      const unsigned a_second = admitted(&flood, kind, NOW + 1000);
      memset(&flood, 0, sizeof flood);
      for (unsigned i = 0; i < 100 * a_second; i++)
         assert_true(kv_flood_admit(&flood, kind, NOW + UINT64_C(1000) * i / a_second));
   }
}

static void a_clock_that_stands_or_is_older_than_before_gives_nothing(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   admitted(&flood, KV_FLOOD_SETTINGS, NOW);
   assert_false(kv_flood_admit(&flood, KV_FLOOD_SETTINGS, NOW - 5000));
   assert_false(kv_flood_admit(&flood, KV_FLOOD_SETTINGS, NOW));
}

static void a_machine_that_has_just_started_gives_the_whole_budget(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   assert_all_admitted(&flood, KV_FLOOD_WINDOW_UPDATE, 2000, 1);
   assert_false(kv_flood_admit(&flood, KV_FLOOD_WINDOW_UPDATE, 1));
}

/* ---- What earns ---- */

static void a_client_that_acknowledges_each_data_frame_twice_meets_no_limit(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < A_LOT; i++) {
      kv_flood_sent(&flood);
      assert_all_admitted(&flood, KV_FLOOD_WINDOW_UPDATE, 2, NOW);
   }
}

static void
a_client_that_first_reads_a_window_of_1_gib_may_acknowledge_all_of_it_at_once(void **state)
{
   struct kv_flood flood = {0};
   const unsigned frames = 1024 * 1024 / 16;
   (void)state;
   for (unsigned i = 0; i < frames; i++)
      kv_flood_sent(&flood);
   assert_all_admitted(&flood, KV_FLOOD_WINDOW_UPDATE, 2 * frames, NOW);
}

static void what_was_earned_is_kept_within_a_limit(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < A_LOT; i++) {
      kv_flood_opened(&flood);
      kv_flood_sent(&flood);
      kv_flood_answered(&flood);
   }
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++)
      assert_in_range(admitted(&flood, kind, NOW), 100, 140000);
}

static void earnings_are_not_lost_by_time(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < 1000; i++)
      kv_flood_sent(&flood);
   assert_true(kv_flood_admit(&flood, KV_FLOOD_WINDOW_UPDATE, NOW));
   assert_all_admitted(&flood, KV_FLOOD_WINDOW_UPDATE, 10000, NOW + 3600000);
}

static void a_browser_may_send_priorities_and_unknown_frames_for_each_stream(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < 10000; i++) {
      kv_flood_opened(&flood);
      assert_all_admitted(&flood, KV_FLOOD_PRIORITY, 10, NOW);
      assert_all_admitted(&flood, KV_FLOOD_UNKNOWN, 5, NOW);
   }
}

static void a_client_whose_uploads_are_refused_may_have_a_window_in_flight_for_each(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < 10000; i++) {
      kv_flood_opened(&flood);
      assert_all_admitted(&flood, KV_FLOOD_LATE, 64, NOW);
   }
}

static void a_client_may_cancel_as_many_calls_as_are_answered(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < A_LOT; i++) {
      kv_flood_opened(&flood);
      kv_flood_opened(&flood);
      kv_flood_answered(&flood);
      assert_true(kv_flood_admit(&flood, KV_FLOOD_RESET_BY_CLIENT, NOW));
   }
}

static void all_calls_in_flight_may_be_cancelled_at_once_and_once_more(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   assert_all_admitted(&flood, KV_FLOOD_RESET_BY_CLIENT, 2 * 1024, NOW);
}

static void calls_that_are_begun_and_cancelled_earn_no_more_of_it(void **state)
{
   (void)state;
   for (int by_server = 0; by_server < 2; by_server++) {
      struct kv_flood flood = {0};
      unsigned count = 0;
      do
         kv_flood_opened(&flood);
      while (++count < A_LOT &&
             kv_flood_admit(&flood, by_server ? KV_FLOOD_RESET_BY_SERVER : KV_FLOOD_RESET_BY_CLIENT,
                            NOW));
      assert_in_range(count, 100, 2049);
   }
}

/* ---- Pings ---- */

static void pings_that_keep_the_interval_are_taken_forever(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < 10000; i++)
      assert_true(kv_flood_ping(&flood, NOW + UINT64_C(1000) * i));
}

static void the_third_ping_too_soon_ends_the_connection(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < 3; i++)
      assert_true(kv_flood_ping(&flood, NOW + UINT64_C(999) * i)); /* the first is none too soon */
   assert_false(kv_flood_ping(&flood, NOW + 3 * 999));
   assert_false(kv_flood_ping(&flood, NOW + 3 * 999));
}

static void a_ping_in_time_does_not_forgive_those_too_soon(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < 3; i++)
      assert_true(kv_flood_ping(&flood, NOW));
   assert_true(kv_flood_ping(&flood, NOW + 1000));
   assert_false(kv_flood_ping(&flood, NOW + 1999));
}

static void what_the_server_sends_lets_strikes_and_interval_begin_anew(void **state)
{
   struct kv_flood flood = {0};
   (void)state;
   for (unsigned i = 0; i < A_LOT; i++) { /* as by a client that measures the bandwidth */
      assert_true(kv_flood_ping(&flood, NOW));
      kv_flood_sent(&flood);
   }
   for (unsigned round = 0; round < 10; round++) {
      kv_flood_sent(&flood);
      for (unsigned i = 0; i < 3; i++)
         assert_true(kv_flood_ping(&flood, NOW));
   }
   kv_flood_opened(&flood); /* a call that is not yet answered changes nothing */
   assert_false(kv_flood_ping(&flood, NOW));
}

/* ---- Reasons ---- */

static void a_reason_says_what_was_too_much_and_the_limit(void **state)
{
   char text[KV_FLOOD_REASON_SIZE];
   (void)state;
   assert_string_equal(kv_flood_reason(KV_FLOOD_SETTINGS, text),
                       "too many SETTINGS frames: the limit is 200 at once, 20 a second");
   assert_string_equal(kv_flood_reason(KV_FLOOD_WINDOW_UPDATE, text),
                       "too many WINDOW_UPDATE frames: the limit is 2000 at once, 1000 a second, 4 "
                       "more for each call, 10 more for each HEADERS or DATA frame received");
   assert_string_equal(kv_flood_reason(KV_FLOOD_RESET_BY_CLIENT, text),
                       "too many cancelled calls: the limit is 2048 at once, 100 a second, 1 more "
                       "for each call answered");
   assert_string_equal(kv_flood_ping_reason(text),
                       "too many PING frames: more than 2 came within 1000 ms of the one before, "
                       "with no reply in between");
}

static void each_reason_fits_into_its_text(void **state)
{
   (void)state;
   for (enum kv_flood_kind kind = 0; kind < KV_FLOOD_KINDS; kind++) {
      char text[KV_FLOOD_REASON_SIZE];
      assert_in_range(strlen(kv_flood_reason(kind, text)), 20, KV_FLOOD_REASON_SIZE - 2);
   }
}

static void a_connection_pays_a_few_dozen_bytes(void **state)
{
   (void)state;
   assert_in_range(sizeof(struct kv_flood), 1, 64);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_flood_of_each_kind_ends_the_connection),
       cmocka_unit_test(a_flood_that_goes_on_for_long_ends_the_connection),
       cmocka_unit_test(one_kind_takes_nothing_from_another),
       cmocka_unit_test(time_refills_a_budget_to_what_it_was_and_no_further),
       cmocka_unit_test(who_keeps_to_the_rate_meets_no_limit),
       cmocka_unit_test(a_clock_that_stands_or_is_older_than_before_gives_nothing),
       cmocka_unit_test(a_machine_that_has_just_started_gives_the_whole_budget),
       cmocka_unit_test(a_client_that_acknowledges_each_data_frame_twice_meets_no_limit),
       cmocka_unit_test(
           a_client_that_first_reads_a_window_of_1_gib_may_acknowledge_all_of_it_at_once),
       cmocka_unit_test(what_was_earned_is_kept_within_a_limit),
       cmocka_unit_test(earnings_are_not_lost_by_time),
       cmocka_unit_test(a_browser_may_send_priorities_and_unknown_frames_for_each_stream),
       cmocka_unit_test(a_client_whose_uploads_are_refused_may_have_a_window_in_flight_for_each),
       cmocka_unit_test(a_client_may_cancel_as_many_calls_as_are_answered),
       cmocka_unit_test(all_calls_in_flight_may_be_cancelled_at_once_and_once_more),
       cmocka_unit_test(calls_that_are_begun_and_cancelled_earn_no_more_of_it),
       cmocka_unit_test(pings_that_keep_the_interval_are_taken_forever),
       cmocka_unit_test(the_third_ping_too_soon_ends_the_connection),
       cmocka_unit_test(a_ping_in_time_does_not_forgive_those_too_soon),
       cmocka_unit_test(what_the_server_sends_lets_strikes_and_interval_begin_anew),
       cmocka_unit_test(a_reason_says_what_was_too_much_and_the_limit),
       cmocka_unit_test(each_reason_fits_into_its_text),
       cmocka_unit_test(a_connection_pays_a_few_dozen_bytes),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
