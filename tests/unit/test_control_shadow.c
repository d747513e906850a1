/* A shadow run that lasts: what it is given, how it ends early, and that the active mode does not
 * depend on it. */
#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define RUN_MS 10000

struct run {
   struct kv_shadow_request request;
   atomic_bool cancelled;
   unsigned answers;
   bool reported;
   struct kv_shadow_report report;
   struct kv_status status;
};

static bool is_cancelled(struct kv_shadow_request *request)
{
   return ((const struct run *)request)->cancelled;
}

static void note_done(struct kv_shadow_request *request, const struct kv_shadow_report *report,
                      const struct kv_status *status)
{
   struct run *run = (struct run *)request;
   run->answers++;
   run->reported = report;
   if (report)
      run->report = *report;
   else
      run->status = *status;
}

static void begin_on_control_thread(struct control_fixture *fixture, void *context)
{
   kv_control_shadow(fixture->control, context);
}

static void begin(struct control_fixture *fixture, struct run *run, const char *plugin)
{
   *run = (struct run){.request = {.plugin = {.plugin = plugin},
                                   .seconds = RUN_MS / 1000,
                                   .is_cancelled = is_cancelled,
                                   .done = note_done}};
   control_script.chosen = control_script.opens + 1;
   control_script.chosen_writes = 0;
   control_fixture_run(fixture, begin_on_control_thread, &run->request);
}

static void assert_nothing_is_left(struct control_fixture *fixture, const struct run *run)
{
   assert_int_equal(run->answers, 1);
   assert_int_equal(control_fixture_generation(fixture), 1);
   assert_false(control_fixture_has_generation(fixture, 2));
   assert_int_equal(control_script.opens - control_script.closes, 1);
   unsigned writes = control_script.chosen_writes;
   assert_int_equal(control_fixture_set(fixture, "k", "after"), KV_OK);
   assert_int_equal(control_script.chosen_writes, writes);
}

static void a_shadow_is_given_each_batch_unsynced_until_its_time_is_over(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   assert_int_equal(control_fixture_set(fixture, "k", "before"), KV_OK);
   begin(fixture, &run, "scripted");
   assert_int_equal(control_script.checkpoints, 1);
   assert_int_equal(control_script.entries, 1);
   assert_int_equal(control_fixture_set(fixture, "k", "1"), KV_OK);
   assert_int_equal(control_fixture_set(fixture, "k", "2"), KV_OK);
   assert_int_equal(control_script.chosen_writes, 2);
   assert_int_equal(control_script.chosen_flags, 0);
   control_fixture_advance(fixture, RUN_MS - 1);
   assert_int_equal(run.answers, 0);
   control_fixture_advance(fixture, 1);
   assert_true(run.reported);
   assert_int_equal(run.report.outcome, KV_SHADOW_DIFFERENT); /* the plug-in keeps nothing */
   assert_int_equal(run.report.records, 2);
   assert_int_equal(run.report.sequence, 3);
   assert_int_equal(run.report.shadow_writes.calls, 2);
   assert_int_equal(run.report.active_writes.calls, 2);
   assert_int_equal(run.report.mirrored_ms, RUN_MS);
   assert_nothing_is_left(fixture, &run);
}

static void a_shadow_is_ticked_as_often_as_the_active_plug_in(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   begin(fixture, &run, "scripted");
   unsigned ticks = control_script.ticks;
   control_fixture_advance(fixture, 1000);
   control_fixture_advance(fixture, 1000);
   assert_int_equal(control_script.ticks - ticks, 4);
   run.cancelled = true;
   control_fixture_advance(fixture, 1000);
   assert_nothing_is_left(fixture, &run);
}

static void a_shadow_that_refuses_a_write_costs_no_acknowledgement(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   begin(fixture, &run, "scripted");
   control_script.chosen_write = KVS_IO;
   assert_int_equal(control_fixture_set(fixture, "k", "1"), KV_OK);
   assert_int_equal(control_fixture_set(fixture, "k", "2"), KV_OK);
   assert_int_equal(control_script.chosen_writes, 1);
   control_fixture_advance(fixture, 0);
   assert_true(run.reported);
   assert_int_equal(run.report.outcome, KV_SHADOW_FAILED);
   assert_non_null(strstr(run.report.failure.text, "told to fail"));
   assert_true(fixture->writable);
   assert_nothing_is_left(fixture, &run);
}

static void a_shadow_that_does_not_open_or_load_or_checkpoint_is_reported_as_failed(void **state)
{
   struct control_fixture *fixture = *state;
   atomic_int *const hooks[] = {&control_script.open, &control_script.load,
                                &control_script.checkpoint};
   for (size_t i = 0; i < 3; i++) {
      struct run run;
      *hooks[i] = KVS_IO;
      begin(fixture, &run, "scripted");
      *hooks[i] = KVS_OK;
      assert_true(run.reported);
      assert_int_equal(run.report.outcome, KV_SHADOW_FAILED);
      control_script.closes += i == 0; /* what does not open is not closed */
      assert_nothing_is_left(fixture, &run);
   }
}

static void a_volatile_shadow_has_nothing_to_compare(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   begin(fixture, &run, "volatile");
   control_fixture_advance(fixture, RUN_MS);
   assert_int_equal(run.report.outcome, KV_SHADOW_NOTHING_KEPT);
   assert_nothing_is_left(fixture, &run);
}

static void assert_abandoned(const struct run *run, enum kv_code code, const char *reason)
{
   assert_int_equal(run->answers, 1);
   assert_false(run->reported);
   assert_int_equal(run->status.code, code);
   assert_non_null(strstr(run->status.text, reason));
   assert_int_equal(control_script.opens - control_script.closes, 1);
}

static void a_run_ends_with_its_call(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   begin(fixture, &run, "scripted");
   run.cancelled = true;
   control_fixture_advance(fixture, 0);
   assert_abandoned(&run, KV_CANCELLED, "its call was cancelled");
   assert_nothing_is_left(fixture, &run);
}

static void a_run_ends_with_the_server(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   begin(fixture, &run, "scripted");
   kv_control_wind_down(fixture->control);
   assert_int_equal(control_fixture_stop(fixture), KV_OK);
   assert_abandoned(&run, KV_UNAVAILABLE, "the server is stopping");
   assert_false(control_fixture_has_generation(fixture, 2));
}

static void a_run_ends_when_the_active_plug_in_fails(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run;
   begin(fixture, &run, "scripted");
   control_script.write = KVS_IO;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_UNAVAILABLE);
   control_script.write = KVS_OK;
   control_fixture_advance(fixture, 0);
   assert_abandoned(&run, KV_UNAVAILABLE, "the active plug-in failed");
   assert_true(fixture->writable); /* and is repaired */
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

static void during_a_run_neither_a_switch_nor_a_second_run_begins_but_a_save_does(void **state)
{
   struct control_fixture *fixture = *state;
   struct run run, second;
   uint64_t sequence;
   begin(fixture, &run, "scripted");
   begin(fixture, &second, "scripted");
   assert_int_equal(second.answers, 1);
   assert_false(second.reported);
   assert_int_equal(second.status.code, KV_FAILED_PRECONDITION);
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_FAILED_PRECONDITION);
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_int_equal(run.answers, 0);
   run.cancelled = true;
   control_fixture_advance(fixture, 0);
   assert_nothing_is_left(fixture, &run);
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, control_fixture_set_up, control_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_shadow_is_given_each_batch_unsynced_until_its_time_is_over),
       TEST(a_shadow_is_ticked_as_often_as_the_active_plug_in),
       TEST(a_shadow_that_refuses_a_write_costs_no_acknowledgement),
       TEST(a_shadow_that_does_not_open_or_load_or_checkpoint_is_reported_as_failed),
       TEST(a_volatile_shadow_has_nothing_to_compare),
       TEST(a_run_ends_with_its_call),
       TEST(a_run_ends_with_the_server),
       TEST(a_run_ends_when_the_active_plug_in_fails),
       TEST(during_a_run_neither_a_switch_nor_a_second_run_begins_but_a_save_does),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
