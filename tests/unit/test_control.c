#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define SECOND_MS 1000

/* ---- Ticks ---- */

static void the_active_plug_in_is_ticked_once_a_second(void **state)
{
   struct control_fixture *fixture = *state;
   for (unsigned second = 1; second <= 5; second++) {
      control_fixture_advance(fixture, SECOND_MS - 1);
      assert_int_equal(control_script.ticks, second - 1);
      control_fixture_advance(fixture, 1);
      assert_int_equal(control_script.ticks, second);
   }
}

static void copy_error(void *context, const struct kv_control_state *state)
{
   strcpy(context, state->last_error);
}

static void ticks_go_on_after_some_that_failed(void **state)
{
   struct control_fixture *fixture = *state;
   char error[KV_STATUS_TEXT_SIZE];
   control_script.tick = KVS_IO;
   for (unsigned second = 1; second <= 3; second++) {
      control_fixture_advance(fixture, SECOND_MS);
      assert_int_equal(control_script.ticks, second);
   }
   kv_control_inspect(fixture->control, copy_error, error);
   assert_non_null(strstr(error, "told to fail"));
   control_script.tick = KVS_OK;
   for (unsigned second = 4; second <= 6; second++) {
      control_fixture_advance(fixture, SECOND_MS);
      assert_int_equal(control_script.ticks, second);
   }
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

/* ---- Repairs ---- */

/* The active plug-in fails, and so does each attempt to open another one. */
static void break_down(struct control_fixture *fixture)
{
   control_script.write = KVS_IO;
   control_script.open = KVS_IO;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_UNAVAILABLE);
   control_fixture_advance(fixture, 0);
   assert_false(fixture->writable);
}

/* The number of repairs attempted by the end of each second. */
static void assert_attempts(struct control_fixture *fixture, unsigned before,
                            const unsigned *seconds, size_t count)
{
   unsigned now = 0;
   for (size_t i = 0; i < count; i++) {
      for (; now < seconds[i]; now++) {
         assert_int_equal(control_script.opens - before, i);
         control_fixture_advance(fixture, SECOND_MS);
      }
      assert_int_equal(control_script.opens - before, i + 1);
   }
}

static void mend(struct control_fixture *fixture, unsigned seconds)
{
   control_script.write = KVS_OK;
   control_script.open = KVS_OK;
   for (unsigned second = 0; second < seconds; second++) {
      assert_false(fixture->writable);
      control_fixture_advance(fixture, SECOND_MS);
   }
   assert_true(fixture->writable);
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

static void repairs_are_tried_at_growing_intervals_up_to_a_minute(void **state)
{
   static const unsigned seconds[] = {0, 1, 3, 7, 15, 31, 63, 123, 183};
   struct control_fixture *fixture = *state;
   unsigned before = control_script.opens;
   break_down(fixture);
   assert_attempts(fixture, before, seconds, sizeof seconds / sizeof seconds[0]);
   mend(fixture, 60);
}

static void the_interval_of_repairs_begins_anew_after_one_that_worked(void **state)
{
   static const unsigned seconds[] = {0, 1, 3, 7, 15};
   struct control_fixture *fixture = *state;
   for (int round = 0; round < 3; round++) {
      unsigned before = control_script.opens;
      break_down(fixture);
      assert_attempts(fixture, before, seconds, sizeof seconds / sizeof seconds[0]);
      mend(fixture, 16);
   }
}

static void ticks_go_on_in_the_fresh_generation(void **state)
{
   struct control_fixture *fixture = *state;
   break_down(fixture);
   mend(fixture, 1);
   unsigned before = control_script.ticks;
   control_fixture_advance(fixture, SECOND_MS);
   control_fixture_advance(fixture, SECOND_MS);
   assert_int_equal(control_script.ticks - before, 2);
}

static void save_repairs_at_once_and_tells_what_is_in_it(void **state)
{
   struct control_fixture *fixture = *state;
   uint64_t sequence = 0;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   break_down(fixture);
   assert_int_not_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_false(fixture->writable);
   control_script.write = KVS_OK;
   control_script.open = KVS_OK;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_int_equal(sequence, 1);
   assert_true(fixture->writable);
}

/* ---- Switches ---- */

static void a_switch_that_works_leaves_the_new_generation_alone(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_int_equal(control_fixture_generation(fixture), 2);
   assert_false(control_fixture_has_generation(fixture, 1));
   assert_true(control_fixture_has_generation(fixture, 2));
   assert_int_equal(control_script.closes, 1);
}

static void a_switch_that_fails_leaves_the_old_generation_alone(void **state)
{
   struct control_fixture *fixture = *state;
   for (int round = 0; round < 3; round++) {
      control_script.checkpoint = KVS_NO_SPACE;
      assert_int_equal(control_fixture_configure(fixture, "2"), KV_RESOURCE_EXHAUSTED);
      assert_int_equal(control_fixture_generation(fixture), 1);
      assert_true(control_fixture_has_generation(fixture, 1));
      assert_false(control_fixture_has_generation(fixture, 2));
      assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   }
   assert_int_equal(control_script.opens - control_script.closes, 1);
}

/* Which generation a restart would come back to. */
static uint64_t recorded_generation(struct control_fixture *fixture)
{
   struct kv_active active = {0};
   bool found = false;
   assert_int_equal(
       kv_data_directory_inspect_active(fixture->directory, &active, &found, &fixture->status),
       KV_OK);
   assert_true(found);
   uint64_t generation = active.generation;
   kv_active_deinit(&active);
   return generation;
}

static void fail_the_record(void)
{
   control_fixture_fail_directory_syncs(1);
}

static void fail_the_record_and_its_withdrawal(void)
{
   control_fixture_fail_directory_syncs(2);
}

static void a_record_that_fails_is_withdrawn(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = fail_the_record;
   assert_int_not_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_int_equal(recorded_generation(fixture), 1);
   assert_false(control_fixture_has_generation(fixture, 2));
   assert_true(fixture->writable);
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

/* The disk may have either record, so both generations must be there, and nothing may be
 * acknowledged that one of them lacks. */
static void a_record_that_cannot_be_withdrawn_keeps_both_generations_and_ends_writing(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = fail_the_record_and_its_withdrawal;
   assert_int_not_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_true(control_fixture_has_generation(fixture, 1));
   assert_true(control_fixture_has_generation(fixture, 2));
   assert_false(fixture->writable);
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_UNAVAILABLE);
}

static void after_a_record_in_doubt_a_fresh_generation_settles_it(void **state)
{
   struct control_fixture *fixture = *state;
   control_script.in_checkpoint = fail_the_record_and_its_withdrawal;
   assert_int_not_equal(control_fixture_configure(fixture, "2"), KV_OK);
   control_script.in_checkpoint = NULL;
   control_fixture_advance(fixture, SECOND_MS);
   assert_true(fixture->writable);
   uint64_t generation = control_fixture_generation(fixture);
   assert_int_equal(recorded_generation(fixture), generation);
   for (unsigned number = 1; number < generation; number++)
      assert_false(control_fixture_has_generation(fixture, number));
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
}

static void the_checkpoint_of_a_switch_is_the_last_save_only_when_the_switch_worked(void **state)
{
   struct control_fixture *fixture = *state;
   uint64_t sequence;
   assert_int_equal(control_fixture_set(fixture, "k", "1"), KV_OK);
   control_script.checkpoint = KVS_NO_SPACE;
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_RESOURCE_EXHAUSTED);
   assert_int_equal(control_fixture_last_save(fixture), 0);
   control_script.checkpoint = KVS_OK;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_int_equal(control_fixture_last_save(fixture), 1);
   assert_int_equal(control_fixture_set(fixture, "k", "2"), KV_OK);
   assert_int_equal(control_fixture_configure(fixture, "2"), KV_OK);
   assert_int_equal(control_fixture_last_save(fixture), 2);
}

/* ---- Shadow runs ---- */

/* A run that stayed due would keep the control thread awake forever, and would make each tick
 * believe that somebody waits for its end. */
static void a_shadow_run_counts_what_was_mirrored_and_is_then_due_no_more(void **state)
{
   struct control_fixture *fixture = *state;
   for (int i = 0; i < 5; i++)
      assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   assert_int_equal(control_fixture_shadow(fixture).records, 0);
   assert_int_equal(control_fixture_last_save(fixture), 0);
   uint64_t sequence;
   assert_int_equal(control_fixture_save(fixture, &sequence), KV_OK);
   assert_false(control_script.awaited);
}

static void a_shadow_that_gives_back_the_live_data_at_its_sequence_is_equal(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   assert_int_equal(control_fixture_delete(fixture, "k"), KV_OK);
   control_script.loaded_to = 2; /* the plug-in keeps nothing except this */
   assert_int_equal(control_fixture_shadow(fixture).outcome, KV_SHADOW_EQUAL);
}

static void a_shadow_with_another_sequence_differs_even_if_all_entries_are_equal(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   assert_int_equal(control_fixture_delete(fixture, "k"), KV_OK);
   static const uint64_t others[] = {0, 1, 3};
   for (size_t i = 0; i < 3; i++) {
      control_script.loaded_to = others[i];
      assert_int_equal(control_fixture_shadow(fixture).outcome, KV_SHADOW_DIFFERENT);
   }
}

static void a_shadow_without_the_live_data_differs(void **state)
{
   struct control_fixture *fixture = *state;
   assert_int_equal(control_fixture_set(fixture, "k", "v"), KV_OK);
   control_script.loaded_to = 1;
   assert_int_equal(control_fixture_shadow(fixture).outcome, KV_SHADOW_DIFFERENT);
   assert_int_equal(control_fixture_generation(fixture), 1);
   assert_false(control_fixture_has_generation(fixture, 2));
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, control_fixture_set_up, control_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(the_active_plug_in_is_ticked_once_a_second),
       TEST(ticks_go_on_after_some_that_failed),
       TEST(repairs_are_tried_at_growing_intervals_up_to_a_minute),
       TEST(the_interval_of_repairs_begins_anew_after_one_that_worked),
       TEST(ticks_go_on_in_the_fresh_generation),
       TEST(save_repairs_at_once_and_tells_what_is_in_it),
       TEST(a_switch_that_works_leaves_the_new_generation_alone),
       TEST(a_switch_that_fails_leaves_the_old_generation_alone),
       TEST(a_record_that_fails_is_withdrawn),
       TEST(a_record_that_cannot_be_withdrawn_keeps_both_generations_and_ends_writing),
       TEST(after_a_record_in_doubt_a_fresh_generation_settles_it),
       TEST(the_checkpoint_of_a_switch_is_the_last_save_only_when_the_switch_worked),
       TEST(a_shadow_run_counts_what_was_mirrored_and_is_then_due_no_more),
       TEST(a_shadow_that_gives_back_the_live_data_at_its_sequence_is_equal),
       TEST(a_shadow_with_another_sequence_differs_even_if_all_entries_are_equal),
       TEST(a_shadow_without_the_live_data_differs),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
