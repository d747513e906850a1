/* A paced snapshot slows down only while nobody waits for it. */
#include "storage/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* More than a day's work at the lowest rate. */
#define ENDLESS ((uint64_t)1 << 40)

struct fixture {
   kvs_host host; /* first: the callback gets back from it to the whole */
   unsigned asked, awaited_from;
};

static uint32_t count_and_answer(const kvs_host *host)
{
   struct fixture *fixture = (struct fixture *)host;
   return ++fixture->asked >= fixture->awaited_from;
}

static struct fixture fixture_of(unsigned awaited_from)
{
   return (struct fixture){.host = {.size = sizeof(kvs_host), .awaited = count_and_answer},
                           .awaited_from = awaited_from};
}

static void keep(const struct fixture *fixture, uint32_t reason, uint64_t rate, uint64_t done)
{
   const kvs_tick tick = {.size = sizeof tick, .reason = reason};
   struct storage_pace pace;
   storage_pace_begin(&pace, &fixture->host, &tick, rate);
   storage_pace_keep(&pace, done);
   storage_pace_keep(&pace, done + 1);
}

static void a_periodic_tick_waits_until_somebody_waits_for_it(void **state)
{
   (void)state;
   struct fixture fixture = fixture_of(3);
   keep(&fixture, KVS_TICK_PERIODIC, (uint64_t)STORAGE_PACE_MIN, ENDLESS);
   assert_int_equal(fixture.asked, 3); /* and was not asked for what came after */
}

static void what_somebody_waits_for_from_the_start_is_not_paced(void **state)
{
   (void)state;
   struct fixture fixture = fixture_of(1);
   keep(&fixture, KVS_TICK_CHECKPOINT, (uint64_t)STORAGE_PACE_MIN, ENDLESS);
   keep(&fixture, KVS_TICK_SHUTDOWN, (uint64_t)STORAGE_PACE_MIN, ENDLESS);
   assert_int_equal(fixture.asked, 0);
}

static void without_a_rate_nothing_is_paced(void **state)
{
   (void)state;
   struct fixture fixture = fixture_of(1);
   keep(&fixture, KVS_TICK_PERIODIC, 0, ENDLESS);
   assert_int_equal(fixture.asked, 0);
}

static void a_host_that_does_not_know_is_not_asked(void **state)
{
   (void)state;
   struct fixture fixture = fixture_of(1);
   fixture.host.size = offsetof(kvs_host, awaited);
   keep(&fixture, KVS_TICK_PERIODIC, (uint64_t)STORAGE_PACE_MIN, STORAGE_PACE_MIN / 16);
   fixture.host.size = sizeof fixture.host;
   fixture.host.awaited = NULL;
   keep(&fixture, KVS_TICK_PERIODIC, (uint64_t)STORAGE_PACE_MIN, STORAGE_PACE_MIN / 16);
   assert_int_equal(fixture.asked, 0);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_periodic_tick_waits_until_somebody_waits_for_it),
       cmocka_unit_test(what_somebody_waits_for_from_the_start_is_not_paced),
       cmocka_unit_test(without_a_rate_nothing_is_paced),
       cmocka_unit_test(a_host_that_does_not_know_is_not_asked),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
