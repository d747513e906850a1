/* What is known of a plug-in's syncs, and how long writes have waited for one. */
#include "core/host/sync_timing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND ((uint64_t)1000000000)

static int create(void **state)
{
   *state = kv_sync_timing_create();
   return *state ? 0 : -1;
}

static int destroy(void **state)
{
   kv_sync_timing_destroy(*state);
   return 0;
}

static struct kv_sync_figures read_now(struct kv_sync_timing *timing)
{
   struct kv_sync_figures figures;
   kv_sync_timing_read(timing, &figures);
   return figures;
}

static void a_plug_in_that_does_not_tell_is_not_known(void **state)
{
   kv_sync_timing_written(*state, 5);
   struct kv_sync_figures figures = read_now(*state);
   assert_false(figures.known);
   assert_int_equal(figures.lag_ns, 0);
}

static void syncs_are_counted_with_their_time(void **state)
{
   const kvs_syncs *syncs = kv_sync_timing_extension(*state);
   assert_int_equal(syncs->size, sizeof *syncs);
   syncs->synced(syncs, 1, 1000);
   syncs->synced(syncs, 2, 3000);
   struct kv_sync_figures figures = read_now(*state);
   assert_true(figures.known);
   assert_int_equal(figures.syncs.calls, 2);
   assert_int_equal(figures.syncs.total_ns, 4000);
   assert_int_equal(figures.syncs.max_ns, 3000);
}

static void a_write_waits_until_a_sync_covers_it(void **state)
{
   const kvs_syncs *syncs = kv_sync_timing_extension(*state);
   kv_sync_timing_written(*state, 1);
   uint64_t lag_ns = read_now(*state).lag_ns;
   kv_sync_timing_written(*state, 2);
   assert_true(read_now(*state).lag_ns >= lag_ns); /* the oldest counts */
   syncs->synced(syncs, 2, 10);
   assert_int_equal(read_now(*state).lag_ns, 0);
}

static void a_write_that_came_while_a_sync_ran_waits_since_that_began(void **state)
{
   const kvs_syncs *syncs = kv_sync_timing_extension(*state);
   kv_sync_timing_written(*state, 1);
   kv_sync_timing_written(*state, 2);
   syncs->synced(syncs, 1, SECOND);
   assert_true(read_now(*state).lag_ns >= SECOND);
   syncs->synced(syncs, 2, 10);
   assert_int_equal(read_now(*state).lag_ns, 0);
}

static void a_write_whose_sync_ended_before_it_returned_does_not_wait(void **state)
{
   const kvs_syncs *syncs = kv_sync_timing_extension(*state);
   syncs->synced(syncs, 7, 10);
   kv_sync_timing_written(*state, 7);
   assert_int_equal(read_now(*state).lag_ns, 0);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(a_plug_in_that_does_not_tell_is_not_known, create, destroy),
       cmocka_unit_test_setup_teardown(syncs_are_counted_with_their_time, create, destroy),
       cmocka_unit_test_setup_teardown(a_write_waits_until_a_sync_covers_it, create, destroy),
       cmocka_unit_test_setup_teardown(a_write_that_came_while_a_sync_ran_waits_since_that_began,
                                       create, destroy),
       cmocka_unit_test_setup_teardown(a_write_whose_sync_ended_before_it_returned_does_not_wait,
                                       create, destroy),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
