/* Timers on a wheel, with times of the test's own. */
#include "core/watch/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
   struct kv_wheel wheel;
   uint64_t now_ms;
   uint64_t interval_ms; /* after which timers that are due are due again; 0: they are not set */
   unsigned due;         /* with the last turn */
};

static int set_up(void **state)
{
   static struct fixture fixture;
   fixture = (struct fixture){.now_ms = 0};
   kv_wheel_init(&fixture.wheel);
   *state = &fixture;
   return 0;
}

static void note_due(void *context, struct kv_timer *timer)
{
   struct fixture *fixture = context;
   fixture->due++;
   if (fixture->interval_ms > 0)
      kv_wheel_set(&fixture->wheel, timer, fixture->now_ms + fixture->interval_ms);
}

/* How many timers were due; *looked_at: of how many. */
static unsigned turn(struct fixture *fixture, uint64_t now_ms, size_t *looked_at)
{
   fixture->due = 0;
   fixture->now_ms = now_ms;
   *looked_at = kv_wheel_turn(&fixture->wheel, now_ms, note_due, fixture);
   return fixture->due;
}

static void a_timer_is_due_once_and_neither_early_nor_late(void **state)
{
   struct fixture *fixture = *state;
   static const uint64_t times[] = {1, 16, 100, 1000, 1001, 4096, 4097, 100000, 3600000};
   uint64_t begin_ms = 5000;
   size_t looked_at;
   for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
      struct kv_timer timer;
      const uint64_t due_ms = begin_ms + times[i];
      (void)turn(fixture, begin_ms, &looked_at);
      kv_wheel_set(&fixture->wheel, &timer, due_ms);
      uint64_t next_ms = kv_wheel_next(&fixture->wheel);
      for (; next_ms < due_ms; next_ms = kv_wheel_next(&fixture->wheel))
         assert_int_equal(turn(fixture, next_ms, &looked_at), 0);
      assert_true(next_ms < due_ms + KV_WHEEL_SLOT_MS);
      assert_int_equal(turn(fixture, next_ms, &looked_at), 1);
      assert_int_equal(turn(fixture, next_ms + KV_WHEEL_SPAN_MS, &looked_at), 0);
      assert_int_equal(kv_wheel_next(&fixture->wheel), 0);
      begin_ms = due_ms + 2 * KV_WHEEL_SPAN_MS;
   }
}

static void a_timer_that_is_stopped_is_not_due(void **state)
{
   struct fixture *fixture = *state;
   struct kv_timer stopped, other;
   size_t looked_at;
   kv_wheel_set(&fixture->wheel, &stopped, 100);
   kv_wheel_set(&fixture->wheel, &other, 100);
   kv_wheel_stop(&fixture->wheel, &stopped);
   assert_int_equal(turn(fixture, 200, &looked_at), 1);
   assert_int_equal(kv_wheel_next(&fixture->wheel), 0);
}

static void what_is_due_already_is_due_with_the_next_slot(void **state)
{
   struct fixture *fixture = *state;
   struct kv_timer timer;
   size_t looked_at;
   (void)turn(fixture, 1000, &looked_at);
   kv_wheel_set(&fixture->wheel, &timer, 10);
   assert_int_equal(turn(fixture, 1000, &looked_at), 0);
   assert_in_range(kv_wheel_next(&fixture->wheel), 1000, 1000 + KV_WHEEL_SLOT_MS);
   assert_int_equal(turn(fixture, kv_wheel_next(&fixture->wheel), &looked_at), 1);
}

static void after_a_pause_of_any_length_all_that_are_due_are_found(void **state)
{
   struct fixture *fixture = *state;
   enum { TIMERS = 1000 };
   static struct kv_timer timers[TIMERS];
   size_t looked_at;
   for (size_t i = 0; i < TIMERS; i++)
      kv_wheel_set(&fixture->wheel, &timers[i], 100 * i);
   assert_int_equal(turn(fixture, 50000, &looked_at), 501);
   assert_int_equal(turn(fixture, UINT64_C(1) << 40, &looked_at), 499);
   assert_int_equal(kv_wheel_next(&fixture->wheel), 0);
}

/* However often it is turned meanwhile. */
static void each_timer_is_looked_at_once_an_interval(void **state)
{
   struct fixture *fixture = *state;
   enum { TIMERS = 10000, INTERVAL_MS = 1000, INTERVALS = 10 };
   static struct kv_timer timers[TIMERS];
   size_t looked_at, sum = 0, due = 0;
   for (size_t i = 0; i < TIMERS; i++)
      kv_wheel_set(&fixture->wheel, &timers[i], INTERVAL_MS * i / TIMERS);
   fixture->interval_ms = INTERVAL_MS;
   for (uint64_t now_ms = 0; now_ms < INTERVALS * INTERVAL_MS; now_ms++)
      for (int i = 0; i < 10; i++) {
         due += turn(fixture, now_ms, &looked_at);
         sum += looked_at;
      }
   assert_true(due >= (INTERVALS - 1) * TIMERS);
   assert_true(sum <= (INTERVALS + 1) * TIMERS);
}

static void those_of_long_intervals_are_looked_at_once_a_span(void **state)
{
   struct fixture *fixture = *state;
   enum { TIMERS = 1000, SPANS = 5 };
   static struct kv_timer timers[TIMERS];
   size_t looked_at, sum = 0;
   for (size_t i = 0; i < TIMERS; i++)
      kv_wheel_set(&fixture->wheel, &timers[i], 3600000 + i);
   for (uint64_t now_ms = 0; now_ms < SPANS * KV_WHEEL_SPAN_MS; now_ms++) {
      assert_int_equal(turn(fixture, now_ms, &looked_at), 0);
      sum += looked_at;
   }
   assert_true(sum <= SPANS * TIMERS);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_timer_is_due_once_and_neither_early_nor_late),
       CASE(a_timer_that_is_stopped_is_not_due),
       CASE(what_is_due_already_is_due_with_the_next_slot),
       CASE(after_a_pause_of_any_length_all_that_are_due_are_found),
       CASE(each_timer_is_looked_at_once_an_interval),
       CASE(those_of_long_intervals_are_looked_at_once_a_span),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
