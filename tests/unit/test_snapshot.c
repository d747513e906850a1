#include "tests/support/plugin_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SETTINGS "snapshot_interval=10 max_snapshots=3"

static void a_snapshot_is_taken_when_due_and_something_changed(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, SETTINGS);
   must_tick(fixture, KVS_TICK_PERIODIC, 0);
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_PERIODIC, 9999);
   assert_int_equal(fixture->host.saved_to, 0);
   must_tick(fixture, KVS_TICK_PERIODIC, 1);
   assert_int_equal(fixture->host.saved_to, 1);
   /* Not again as long as nothing has changed, whoever asks. */
   fixture->host.saved_to = 0;
   must_tick(fixture, KVS_TICK_PERIODIC, 10000);
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_tick(fixture, KVS_TICK_SHUTDOWN, 0);
   assert_int_equal(fixture->host.saved_to, 0);
   open_well(fixture, SETTINGS);
   assert_string_equal(plugin_session_text(&fixture->session), "a=1 ");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       PLUGIN_CASE(a_snapshot_is_taken_when_due_and_something_changed),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
