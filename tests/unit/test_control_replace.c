/* Other data in place of the store's: before or after, whatever fails on the way. */
#include "tests/support/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* Of the fixture in use, for what a checkpoint does besides. */
static struct control_fixture *current;

struct replacing {
   struct kv_control_replacement replacement;
   enum kv_code code;
};

static int set_up(void **state)
{
   int result = control_fixture_set_up(state);
   current = *state;
   assert_int_equal(control_fixture_set(current, "old", "1"), KV_OK);
   return result;
}

/* The data that a replacement has: `keys` of them, at sequence 5. */
static struct kv_store *make_data(unsigned keys)
{
   struct kv_store *data = kv_store_create();
   struct kv_transaction *transaction = kv_store_begin(data);
   for (unsigned i = 0; i < keys; i++) {
      char key[16];
      snprintf(key, sizeof key, "new%u", i);
      assert_true(kv_transaction_set(transaction, kv_slice_of(key), kv_slice_of("2"), 0, 5));
   }
   kv_transaction_commit(transaction, 5);
   return data;
}

static void replace_on_control_thread(struct control_fixture *fixture, void *context)
{
   struct replacing *replacing = context;
   replacing->code =
       kv_control_replace(fixture->control, &replacing->replacement, &fixture->status);
}

/* With three keys. */
static struct replacing replace(bool over_existing)
{
   struct replacing replacing = {
       .replacement = {.data = make_data(3), .began = 1, .over_existing = over_existing}};
   control_fixture_run(current, replace_on_control_thread, &replacing);
   kv_store_destroy(replacing.replacement.data);
   return replacing;
}

struct state {
   uint64_t sequence, keys;
   bool has_old, has_new;
};

static struct state look(void)
{
   struct kv_store_view *view = kv_store_view_create(current->store);
   const struct kv_version *version = kv_store_view_version(view);
   struct state state = {.sequence = kv_version_sequence(version),
                         .keys = kv_version_count(version),
                         .has_old = kv_version_find(version, kv_slice_of("old")),
                         .has_new = kv_version_find(version, kv_slice_of("new0"))};
   kv_store_view_destroy(view);
   return state;
}

static void assert_all_is_as_before(void)
{
   struct state state = look();
   assert_true(state.has_old && !state.has_new);
   assert_int_equal(control_fixture_generation(current), 1);
   assert_true(control_fixture_has_generation(current, 1));
   assert_false(control_fixture_has_generation(current, 2));
   assert_int_equal(control_script.opens - control_script.closes, 1);
   assert_true(current->writable);
   unsigned writes = control_script.writes;
   assert_int_equal(control_fixture_set(current, "old", "after"), KV_OK);
   assert_int_equal(control_script.writes - writes, 1);
   assert_int_equal(look().sequence, state.sequence + 1);
}

static void expect_old(void)
{
   struct state state = look();
   assert_true(state.has_old && !state.has_new);
   assert_int_equal(state.keys, 1);
}

static void readers_see_the_old_data_until_the_new_is_durable_and_then_the_new(void **state)
{
   (void)state;
   control_script.in_checkpoint = expect_old;
   struct replacing replacing = replace(true);
   assert_int_equal(replacing.code, KV_OK);
   assert_int_equal(control_script.checkpoints, 1);
   assert_int_equal(control_script.entries, 3);
   struct state after = look();
   assert_true(after.has_new && !after.has_old);
   assert_int_equal(after.keys, 3);
   assert_int_equal(after.sequence, replacing.replacement.sequence);
   assert_true(after.sequence > 5);
   assert_int_equal(replacing.replacement.replaced_keys, 1);
   assert_int_equal(control_fixture_generation(current), 2);
   assert_false(control_fixture_has_generation(current, 1));
   assert_int_equal(control_fixture_last_save(current), after.sequence);
   assert_int_equal(control_fixture_set(current, "new0", "3"), KV_OK);
   assert_int_equal(look().sequence, after.sequence + 1);
}

static void write_meanwhile(void)
{
   control_script.in_checkpoint = NULL;
   assert_int_equal(control_fixture_set(current, "meanwhile", "1"), KV_OK);
}

static void what_is_written_before_is_not_given_to_the_candidate_and_what_is_after_is(void **state)
{
   (void)state;
   control_script.in_checkpoint = write_meanwhile;
   control_script.chosen = 2;
   assert_int_equal(replace(true).code, KV_OK);
   assert_int_equal(control_script.chosen_writes, 0);
   assert_int_equal(look().keys, 3);
   assert_int_equal(control_fixture_set(current, "after", "1"), KV_OK);
   assert_int_equal(control_script.chosen_writes, 1);
   assert_int_equal(look().keys, 4);
}

static void write_much_meanwhile(void)
{
   control_script.in_checkpoint = NULL;
   for (int i = 0; i < 3000; i++)
      assert_int_equal(control_fixture_set(current, "old", "1"), KV_OK);
}

static void sequences_go_on_above_all_that_was_written_however_much_that_is(void **state)
{
   (void)state;
   control_script.in_checkpoint = write_much_meanwhile;
   struct replacing replacing = replace(true);
   assert_int_equal(replacing.code, KV_OK);
   assert_int_equal(control_script.checkpoints, 2);
   assert_int_equal(control_script.entries, 3);
   assert_int_equal(replacing.replacement.sequence, 3002);
   assert_int_equal(look().sequence, 3002);
   assert_int_equal(control_fixture_last_save(current), 3002);
}

static void a_second_checkpoint_that_fails_changes_nothing(void **state)
{
   (void)state;
   control_script.in_checkpoint = write_much_meanwhile;
   control_script.failing_checkpoint = 2;
   assert_int_equal(replace(true).code, KV_UNAVAILABLE);
   assert_all_is_as_before();
}

static void keys_are_not_replaced_unless_that_is_asked_for(void **state)
{
   (void)state;
   assert_int_equal(replace(false).code, KV_FAILED_PRECONDITION);
   assert_non_null(strstr(current->status.text, "has 1 keys"));
   assert_int_equal(control_script.checkpoints, 0);
   assert_all_is_as_before();
}

static void a_key_that_is_written_meanwhile_is_not_replaced_either(void **state)
{
   (void)state;
   assert_int_equal(control_fixture_delete(current, "old"), KV_OK);
   control_script.in_checkpoint = write_meanwhile;
   assert_int_equal(replace(false).code, KV_FAILED_PRECONDITION);
   assert_non_null(strstr(current->status.text, "has 1 keys"));
   struct state after = look();
   assert_int_equal(after.keys, 1);
   assert_int_equal(control_fixture_generation(current), 1);
   /* Where there is none it works. */
   assert_int_equal(control_fixture_delete(current, "meanwhile"), KV_OK);
   assert_int_equal(replace(false).code, KV_OK);
   assert_int_equal(look().keys, 3);
}

static void a_candidate_that_does_not_open_load_or_checkpoint_changes_nothing(void **state)
{
   (void)state;
   control_script.open = KVS_INVALID;
   assert_int_equal(replace(true).code, KV_INVALID_ARGUMENT);
   control_script.open = KVS_OK;
   control_script.closes++; /* what does not open is not closed */
   assert_all_is_as_before();
   control_script.load = KVS_IO;
   assert_int_equal(replace(true).code, KV_UNAVAILABLE);
   control_script.load = KVS_OK;
   assert_all_is_as_before();
   control_script.checkpoint = KVS_NO_SPACE;
   assert_int_equal(replace(true).code, KV_RESOURCE_EXHAUSTED);
   control_script.checkpoint = KVS_OK;
   assert_all_is_as_before();
}

static void fail_a_sync(void)
{
   control_fixture_fail_directory_syncs(1);
}

static void fail_syncs(void)
{
   control_fixture_fail_directory_syncs(100);
}

static void a_record_that_fails_changes_nothing(void **state)
{
   (void)state;
   control_script.in_checkpoint = fail_a_sync;
   assert_int_equal(replace(true).code, KV_UNAVAILABLE);
   control_script.in_checkpoint = NULL;
   assert_all_is_as_before();
}

static void a_record_in_doubt_refuses_writes_and_reads_go_on_with_the_old_data(void **state)
{
   (void)state;
   control_script.in_checkpoint = fail_syncs;
   assert_int_equal(replace(true).code, KV_UNAVAILABLE);
   control_script.in_checkpoint = NULL;
   assert_true(look().has_old);
   assert_false(current->writable);
   assert_int_equal(control_fixture_set(current, "old", "2"), KV_UNAVAILABLE);
   /* A restart may come back to either; so both are kept. */
   assert_true(control_fixture_has_generation(current, 1));
   assert_true(control_fixture_has_generation(current, 2));
   control_fixture_fail_directory_syncs(0);
   assert_int_equal(replace(true).code, KV_OK);
   assert_true(current->writable);
   assert_true(look().has_new);
   assert_int_equal(control_fixture_set(current, "new0", "2"), KV_OK);
}

static void a_mode_that_keeps_nothing_takes_other_data_too(void **state)
{
   (void)state;
   assert_int_equal(control_fixture_configure_to(current, "volatile", "1"), KV_OK);
   assert_int_equal(replace(true).code, KV_OK);
   assert_true(look().has_new);
   assert_int_equal(control_fixture_last_save(current), 0);
}

static void a_mode_of_checkpoints_has_the_data_in_one(void **state)
{
   (void)state;
   assert_int_equal(control_fixture_configure_to(current, "periodic", "1"), KV_OK);
   unsigned checkpoints = control_script.checkpoints;
   control_script.in_checkpoint = write_meanwhile;
   struct replacing replacing = replace(true);
   assert_int_equal(replacing.code, KV_OK);
   assert_int_equal(control_script.checkpoints - checkpoints, 1);
   assert_int_equal(control_fixture_last_save(current), replacing.replacement.sequence);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, control_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(readers_see_the_old_data_until_the_new_is_durable_and_then_the_new),
       TEST(what_is_written_before_is_not_given_to_the_candidate_and_what_is_after_is),
       TEST(sequences_go_on_above_all_that_was_written_however_much_that_is),
       TEST(a_second_checkpoint_that_fails_changes_nothing),
       TEST(keys_are_not_replaced_unless_that_is_asked_for),
       TEST(a_key_that_is_written_meanwhile_is_not_replaced_either),
       TEST(a_candidate_that_does_not_open_load_or_checkpoint_changes_nothing),
       TEST(a_record_that_fails_changes_nothing),
       TEST(a_record_in_doubt_refuses_writes_and_reads_go_on_with_the_old_data),
       TEST(a_mode_that_keeps_nothing_takes_other_data_too),
       TEST(a_mode_of_checkpoints_has_the_data_in_one),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
