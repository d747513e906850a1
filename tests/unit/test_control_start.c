/* The start and the end of the control plane, and what Status is shown of it. */
#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* What is active, as Status shows it. */
struct shown {
   char plugin[32], level[32], last_error[KV_STATUS_TEXT_SIZE];
   uint64_t generation, last_save_sequence, refused_writes, closes;
};

static void copy_state(void *context, const struct kv_control_state *state)
{
   struct shown *shown = context;
   strcpy(shown->plugin, state->plugin->name);
   strcpy(shown->level, state->settings[0].text);
   strcpy(shown->last_error, state->last_error);
   shown->generation = state->generation;
   shown->last_save_sequence = state->last_save_sequence;
   shown->refused_writes = state->refused_writes;
   shown->closes = state->closes.calls;
}

static struct shown inspect(struct control_fixture *fixture)
{
   struct shown shown;
   kv_control_inspect(fixture->control, copy_state, &shown);
   return shown;
}

static void assert_shown(struct control_fixture *fixture, const char *plugin, const char *level,
                         uint64_t generation)
{
   struct shown shown = inspect(fixture);
   assert_string_equal(shown.plugin, plugin);
   assert_string_equal(shown.level, level);
   assert_int_equal(shown.generation, generation);
}

/* ---- The start ---- */

static void an_empty_directory_begins_in_the_mode_of_the_choice(void **state)
{
   struct control_fixture *fixture = *state;
   assert_shown(fixture, "scripted", "1", 1);
   assert_true(control_fixture_has_generation(fixture, 1));
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

static void a_restart_comes_back_in_the_mode_and_options_configured_last(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_configure_to(fixture, "periodic", "7"), KV_OK);
   assert_int_equal(control_fixture_restart(fixture), KV_OK);
   assert_shown(fixture, "periodic", "7", 2);
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

static void a_restart_takes_a_choice_that_is_recorded_already(void **state)
{
   struct control_fixture *fixture = *state;
   const struct kv_mode_option option = {"level", "01"}; /* means the same */
   const struct kv_control_request choice = {"scripted", &option, 1};
   assert_int_equal(control_fixture_restart_as(fixture, &choice), KV_OK);
   assert_shown(fixture, "scripted", "1", 1);
}

static void assert_refused(struct control_fixture *fixture, const struct kv_control_request *choice,
                           const char *remedy)
{
   unsigned opens = control_script.opens;
   assert_int_equal(control_fixture_restart_as(fixture, choice), KV_FAILED_PRECONDITION);
   assert_non_null(strstr(fixture->status.text, remedy));
   assert_int_equal(control_script.opens, opens);
   assert_int_equal(control_fixture_restart(fixture), KV_OK);
   assert_shown(fixture, "scripted", "1", 1);
}

static void a_restart_refuses_another_mode_than_the_recorded_one(void **state)
{
   const struct kv_control_request choice = {.plugin = "periodic"};
   assert_refused(*state, &choice, "kvstore-cli configure periodic");
}

static void a_restart_refuses_another_option_than_the_recorded_one(void **state)
{
   const struct kv_mode_option option = {"level", "2"};
   const struct kv_control_request choice = {NULL, &option, 1};
   assert_refused(*state, &choice, "kvstore-cli configure scripted level=2");
}

static void a_start_whose_load_fails_leaves_the_files_to_the_next_one(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.load = KVS_CORRUPT;
   assert_int_equal(control_fixture_restart(fixture), KV_DATA_LOSS);
   assert_true(control_fixture_has_generation(fixture, 1));
   control_script.load = KVS_OK;
   assert_int_equal(control_fixture_restart(fixture), KV_OK);
   assert_shown(fixture, "scripted", "1", 1);
   assert_int_equal(control_script.opens - control_script.closes, 1);
}

/* ---- The end ---- */

static void the_end_takes_one_last_checkpoint_of_all_data(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_set(fixture, "a", "1"), KV_OK);
   assert_int_equal(control_fixture_set(fixture, "b", "2"), KV_OK);
   assert_int_equal(control_fixture_stop(fixture), KV_OK);
   assert_int_equal(control_script.shutdowns, 1);
   assert_int_equal(control_script.entries, 2);
   assert_int_equal(inspect(fixture).last_save_sequence, 2);
}

static void the_end_reports_a_last_checkpoint_that_failed(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.checkpoint = KVS_NO_SPACE;
   assert_int_equal(control_fixture_stop(fixture), KV_RESOURCE_EXHAUSTED);
   assert_non_null(strstr(fixture->status.text, "told to fail"));
}

static void after_the_end_writes_are_refused(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_stop(fixture), KV_OK);
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_UNAVAILABLE);
   assert_int_equal(control_script.writes, 0);
}

/* ---- What Status is shown ---- */

static struct control_fixture *looked_at;
static struct shown seen;

static void look(void)
{
   seen = inspect(looked_at);
}

static void until_a_switch_is_recorded_the_old_mode_is_shown(void **state)
{
   struct control_fixture *fixture = looked_at = *state;
   control_script.in_checkpoint = look;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   assert_int_equal(control_fixture_configure_to(fixture, "periodic", "3"), KV_OK);
   assert_string_equal(seen.plugin, "scripted");
   assert_string_equal(seen.level, "1");
   assert_int_equal(seen.generation, 1);
   assert_int_equal(seen.last_save_sequence, 0);
   assert_shown(fixture, "periodic", "3", 2);
   assert_int_equal(inspect(fixture).last_save_sequence, 1);
   assert_int_equal(inspect(fixture).closes, 1);
}

static void refused_writes_are_counted_and_their_reason_is_shown(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.write = KVS_NO_SPACE;
   for (unsigned i = 1; i <= 3; i++) {
      assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_RESOURCE_EXHAUSTED);
      assert_int_equal(inspect(fixture).refused_writes, i);
   }
   assert_non_null(strstr(inspect(fixture).last_error, "told to fail"));
   assert_true(fixture->writable);
   control_script.write = KVS_OK;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, control_fixture_set_up, control_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(an_empty_directory_begins_in_the_mode_of_the_choice),
       TEST(a_restart_comes_back_in_the_mode_and_options_configured_last),
       TEST(a_restart_takes_a_choice_that_is_recorded_already),
       TEST(a_restart_refuses_another_mode_than_the_recorded_one),
       TEST(a_restart_refuses_another_option_than_the_recorded_one),
       TEST(a_start_whose_load_fails_leaves_the_files_to_the_next_one),
       TEST(the_end_takes_one_last_checkpoint_of_all_data),
       TEST(the_end_reports_a_last_checkpoint_that_failed),
       TEST(after_the_end_writes_are_refused),
       TEST(until_a_switch_is_recorded_the_old_mode_is_shown),
       TEST(refused_writes_are_counted_and_their_reason_is_shown),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
