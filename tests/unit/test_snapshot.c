#include "tests/support/plugin_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
   struct log_host host;
   struct plugin_session session;
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   log_host_init(&fixture->host);
   *state = fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   plugin_session_close(&fixture->session);
   log_host_deinit(&fixture->host);
   free(fixture);
   return 0;
}

static void open_well(struct fixture *fixture)
{
   plugin_session_close(&fixture->session);
   assert_int_equal(plugin_session_open(&fixture->session, &fixture->host, &kvstore_plugin,
                                        "snapshot_interval=10 max_snapshots=3"),
                    KVS_OK);
}

static void must_tick(struct fixture *fixture, uint32_t reason, uint64_t elapsed_ms)
{
   assert_int_equal(plugin_session_tick(&fixture->session, reason, elapsed_ms), KVS_OK);
}

static void a_snapshot_is_taken_when_due_and_something_changed(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture);
   must_tick(fixture, KVS_TICK_PERIODIC, 0);
   assert_int_equal(plugin_session_write(&fixture->session, "a", "1"), KVS_OK);
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
   open_well(fixture);
   assert_string_equal(plugin_session_text(&fixture->session), "a=1 ");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(a_snapshot_is_taken_when_due_and_something_changed, set_up,
                                       tear_down),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
