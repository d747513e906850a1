/* A switch, and what fails in it: the old mode must be as it was, whichever hook it is. */
#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* Of the fixture in use, for what a checkpoint does besides. */
static struct control_fixture *current;

static int set_up(void **state)
{
   int result = control_fixture_set_up(state);
   current = *state;
   return result;
}

static void assert_old_mode_is_as_before(struct control_fixture *fixture)
{
   assert_int_equal(control_fixture_generation(fixture), 1);
   assert_true(control_fixture_has_generation(fixture, 1));
   assert_false(control_fixture_has_generation(fixture, 2));
   assert_int_equal(control_script.opens - control_script.closes, 1);
   assert_true(fixture->writable);
   unsigned writes = control_script.writes;
   assert_int_equal(control_fixture_set(fixture, "k", "after"), KV_OK);
   assert_int_equal(control_script.writes - writes, 1);
   assert_int_equal(control_fixture_last_save(fixture), 0);
}

static void the_same_plug_in_and_options_need_no_switch(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_configure(fixture, "1"), KV_OK);
   assert_int_equal(control_script.opens, 1);
   assert_int_equal(control_fixture_generation(fixture), 1);
}

static void other_options_and_another_plug_in_begin_a_fresh_generation_each(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_int_equal(control_fixture_generation(fixture), 2);
   assert_int_equal(control_fixture_configure_to(fixture, "periodic", "2"), KV_OK);
   assert_int_equal(control_fixture_generation(fixture), 3);
   assert_int_equal(control_fixture_configure_to(fixture, "volatile", "2"), KV_OK);
   assert_int_equal(control_fixture_generation(fixture), 4);
   assert_int_equal(control_script.opens - control_script.closes, 1);
   for (unsigned number = 1; number < 4; number++)
      assert_false(control_fixture_has_generation(fixture, number));
}

static void an_unknown_plug_in_or_option_opens_nothing(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_configure_to(fixture, "unknown", "1"), KV_NOT_FOUND);
   assert_int_equal(control_fixture_configure(fixture, "10"), KV_INVALID_ARGUMENT);
   assert_int_equal(control_script.opens, 1);
   assert_old_mode_is_as_before(fixture);
}

static void a_candidate_that_does_not_open_leaves_the_old_mode(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.open = KVS_INVALID;
   unsigned opens = control_script.opens;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_INVALID_ARGUMENT);
   assert_int_equal(control_script.opens - opens, 1);
   control_script.closes++; /* what does not open is not closed */
   assert_old_mode_is_as_before(fixture);
}

static void a_candidate_that_does_not_load_leaves_the_old_mode(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.load = KVS_IO;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_UNAVAILABLE);
   assert_old_mode_is_as_before(fixture);
}

static void a_candidate_without_its_checkpoint_leaves_the_old_mode(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.checkpoint = KVS_IO;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_UNAVAILABLE);
   assert_old_mode_is_as_before(fixture);
}

static void write_meanwhile(void)
{
   control_script.in_checkpoint = NULL;
   assert_int_equal(control_fixture_set(current, "k", "meanwhile"), KV_OK);
}

static void a_candidate_that_refuses_a_write_leaves_the_old_mode(void **state)
{
   struct control_fixture *fixture = *state;
   static const int codes[] = {KVS_IO, KVS_NO_SPACE};
   for (size_t i = 0; i < 2; i++) {
      control_script.in_checkpoint = write_meanwhile;
      control_script.chosen = control_script.opens + 1;
      control_script.chosen_writes = 0;
      control_script.chosen_write = codes[i];
      assert_int_not_equal(control_fixture_configure(fixture, "2"), KV_OK);
      assert_non_null(strstr(fixture->status.text, "told to fail"));
      assert_int_equal(control_script.chosen_writes, 1);
      assert_old_mode_is_as_before(fixture);
   }
}

static void what_is_written_during_a_switch_is_synced_by_the_candidate(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = write_meanwhile;
   control_script.chosen = 2;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_int_equal(control_script.chosen_writes, 1);
   assert_int_equal(control_script.chosen_flags, KVS_WRITE_SYNC);
   assert_int_equal(control_fixture_set(fixture, "k", "after"), KV_OK);
   assert_int_equal(control_script.chosen_writes, 2);
   assert_int_equal(control_script.chosen_flags, 0);
}

static void a_candidate_of_checkpoints_makes_a_second_one_of_what_was_written(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = write_meanwhile;
   assert_int_equal(control_fixture_configure_to(fixture, "periodic", "1"), KV_OK);
   assert_int_equal(control_script.checkpoints, 2);
   assert_int_equal(control_script.entries, 1);
   assert_int_equal(control_fixture_last_save(fixture), 1);
   /* Where nothing was written there is no need. */
   assert_int_equal(control_fixture_configure_to(fixture, "scripted", "1"), KV_OK);
   assert_int_equal(control_fixture_configure_to(fixture, "periodic", "1"), KV_OK);
   assert_int_equal(control_script.checkpoints, 4);
}

static void a_second_checkpoint_that_fails_leaves_the_old_mode(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = write_meanwhile;
   control_script.failing_checkpoint = 2;
   assert_int_equal(control_fixture_configure_to(fixture, "periodic", "1"), KV_UNAVAILABLE);
   assert_int_equal(control_script.checkpoints, 2);
   assert_old_mode_is_as_before(fixture);
}

static void a_volatile_mode_cannot_be_saved(void **state)
{
   struct control_fixture *fixture = *state;
   uint64_t sequence;
   assert_int_equal(control_fixture_configure_to(fixture, "volatile", "1"), KV_OK);
   unsigned checkpoints = control_script.checkpoints;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_FAILED_PRECONDITION);
   assert_int_equal(control_script.checkpoints, checkpoints);
   assert_int_equal(control_fixture_last_save(fixture), 0);
}

static void a_save_that_fails_is_no_save_and_breaks_nothing(void **state)
{
   struct control_fixture *fixture = *state;
   uint64_t sequence = 0;
   assert_int_equal(control_fixture_set(fixture, "a", "1"), KV_OK);
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_int_equal(sequence, 1);
   assert_int_equal(control_fixture_last_save(fixture), 1);
   control_script.checkpoint = KVS_IO;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_UNAVAILABLE);
   assert_true(fixture->writable);
   assert_int_equal(control_fixture_set(fixture, "a", "2"), KV_OK);
}

static void save_meanwhile(void)
{
   control_script.first_host->saved(control_script.first_host, 1);
}

static void
a_save_of_the_old_mode_during_a_switch_is_shown_and_one_of_the_candidate_is_not(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_set(fixture, "a", "1"), KV_OK);
   assert_int_equal(control_fixture_set(fixture, "a", "2"), KV_OK);
   control_script.in_checkpoint = save_meanwhile;
   control_script.checkpoint = KVS_IO; /* after it was reported as saved at 2 */
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_UNAVAILABLE);
   assert_int_equal(control_fixture_last_save(fixture), 1);
}

/* ---- Validation ---- */

struct validation {
   struct kv_control_request request;
   enum kv_code code;
};

static void validate(struct control_fixture *fixture, void *context)
{
   struct validation *validation = context;
   struct kv_settings *settings;
   validation->code =
       kv_control_try(fixture->control, &validation->request, &settings, &fixture->status);
   if (validation->code == KV_OK)
      kv_settings_destroy(settings);
}

static void a_validation_opens_a_candidate_and_changes_nothing(void **state)
{
   struct control_fixture *fixture = *state;
   struct validation validation = {.request = {.plugin = "periodic"}};
   control_fixture_run(fixture, validate, &validation);
   assert_int_equal(validation.code, KV_OK);
   assert_int_equal(control_script.opens, 2);
   assert_old_mode_is_as_before(fixture);
   control_script.open = KVS_INVALID;
   control_fixture_run(fixture, validate, &validation);
   assert_int_equal(validation.code, KV_INVALID_ARGUMENT);
   control_script.closes++; /* what does not open is not closed */
   assert_old_mode_is_as_before(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, control_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(the_same_plug_in_and_options_need_no_switch),
       TEST(other_options_and_another_plug_in_begin_a_fresh_generation_each),
       TEST(an_unknown_plug_in_or_option_opens_nothing),
       TEST(a_candidate_that_does_not_open_leaves_the_old_mode),
       TEST(a_candidate_that_does_not_load_leaves_the_old_mode),
       TEST(a_candidate_without_its_checkpoint_leaves_the_old_mode),
       TEST(a_candidate_that_refuses_a_write_leaves_the_old_mode),
       TEST(what_is_written_during_a_switch_is_synced_by_the_candidate),
       TEST(a_candidate_of_checkpoints_makes_a_second_one_of_what_was_written),
       TEST(a_second_checkpoint_that_fails_leaves_the_old_mode),
       TEST(a_volatile_mode_cannot_be_saved),
       TEST(a_save_that_fails_is_no_save_and_breaks_nothing),
       TEST(a_save_of_the_old_mode_during_a_switch_is_shown_and_one_of_the_candidate_is_not),
       TEST(a_validation_opens_a_candidate_and_changes_nothing),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
