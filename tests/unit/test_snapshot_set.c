#include "storage/snapshot_set.h"

#include "storage/snapshot.h"
#include "tests/support/log_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
   struct log_host host;
   struct storage_snapshot_set *set;
   kvs_error error;
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   log_host_init(&fixture->host);
   fixture->error.size = sizeof fixture->error;
   *state = fixture;
   return 0;
}

static void shut(struct fixture *fixture)
{
   if (fixture->set)
      storage_snapshot_set_destroy(fixture->set);
   fixture->set = NULL;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   shut(fixture);
   log_host_deinit(&fixture->host);
   free(fixture);
   return 0;
}

static void open_set(struct fixture *fixture, size_t kept)
{
   shut(fixture);
   const struct storage_snapshot_settings settings = {.kept = kept};
   assert_int_equal(
       storage_snapshot_set_create(&fixture->host.host, &settings, &fixture->set, &fixture->error),
       KVS_OK);
}

/* A snapshot without data. */
static void write_one(struct fixture *fixture, uint64_t sequence)
{
   const kvs_tick tick = {
       .size = sizeof tick, .reason = KVS_TICK_CHECKPOINT, .view_sequence = sequence};
   assert_int_equal(storage_snapshot_set_write(fixture->set, &tick, &fixture->error), KVS_OK);
}

/* Of sequences 1 to 3. */
static void open_three(struct fixture *fixture)
{
   open_set(fixture, 5);
   for (uint64_t sequence = 1; sequence <= 3; sequence++)
      write_one(fixture, sequence);
}

/* Loads what there is; only the one of `sequence` may be. */
static void must_load(struct fixture *fixture, uint64_t sequence)
{
   struct storage_snapshot_found found;
   assert_int_equal(storage_snapshot_set_load(fixture->set, false, &found, &fixture->error),
                    KVS_OK);
   assert_int_equal(found.sequence, sequence);
   assert_int_equal(found.newest_sequence, storage_snapshot_set_newest(fixture->set));
   assert_int_equal(fixture->host.loaded_count, 0);
}

static size_t count_files(const struct fixture *fixture)
{
   return log_host_count(&fixture->host, "snapshots", ".snapshot");
}

static void just_so_many_are_kept_as_was_asked(void **state)
{
   struct fixture *fixture = *state;
   for (size_t kept = 1; kept <= 3; kept++) {
      open_set(fixture, kept);
      for (uint64_t sequence = 1; sequence <= 5; sequence++)
         write_one(fixture, 10 * kept + sequence);
      assert_int_equal(count_files(fixture), kept);
      assert_int_equal(storage_snapshot_set_oldest(fixture->set), 10 * kept + 6 - kept);
      assert_int_equal(storage_snapshot_set_newest(fixture->set), 10 * kept + 5);
   }
}

static void the_oldest_give_way_up_to_the_newest(void **state)
{
   struct fixture *fixture = *state;
   open_set(fixture, 5);
   assert_false(storage_snapshot_set_drop_oldest(fixture->set));
   open_three(fixture);
   assert_true(storage_snapshot_set_drop_oldest(fixture->set));
   assert_int_equal(storage_snapshot_set_oldest(fixture->set), 2);
   assert_true(storage_snapshot_set_drop_oldest(fixture->set));
   assert_false(storage_snapshot_set_drop_oldest(fixture->set));
   assert_int_equal(storage_snapshot_set_oldest(fixture->set), 3);
   assert_int_equal(count_files(fixture), 1);
}

static void nothing_gives_way_to_a_damaged_snapshot(void **state)
{
   struct fixture *fixture = *state;
   open_three(fixture);
   log_host_damage(&fixture->host, "snapshots", 0);
   open_set(fixture, 5);
   /* Not loaded: none is known to be sound. */
   assert_false(storage_snapshot_set_drop_oldest(fixture->set));
   assert_int_equal(storage_snapshot_set_bytes(fixture->set), 0);
   must_load(fixture, 2);
   assert_true(storage_snapshot_set_drop_oldest(fixture->set));
   assert_false(storage_snapshot_set_drop_oldest(fixture->set));
   assert_int_equal(storage_snapshot_set_oldest(fixture->set), 2);
   assert_int_equal(count_files(fixture), 2);
}

static void two_damaged_snapshots_are_passed_over_before_anything_is_handed_on(void **state)
{
   struct fixture *fixture = *state;
   struct storage_snapshot_found found;
   open_three(fixture);
   log_host_damage(&fixture->host, "snapshots", 0);
   log_host_damage(&fixture->host, "snapshots", 1);
   open_set(fixture, 5);
   must_load(fixture, 1);
   log_host_damage(&fixture->host, "snapshots", 2);
   assert_int_equal(storage_snapshot_set_load(fixture->set, false, &found, &fixture->error),
                    KVS_CORRUPT);
   assert_int_equal(storage_snapshot_set_load(fixture->set, true, &found, &fixture->error), KVS_OK);
   assert_false(found.loaded);
}

static size_t read_one(kvs_view *view, kvs_record *records, size_t capacity)
{
   size_t *left = (size_t *)(void *)view;
   assert_true(capacity > 0);
   if (*left == 0)
      return 0;
   --*left;
   records[0] = log_host_effect(2, "key", "value");
   return 1;
}

/* Its block is sound, and would be handed on if it were not looked at as a whole before. */
static void nothing_is_handed_on_of_one_that_is_damaged_at_its_end(void **state)
{
   struct fixture *fixture = *state;
   fixture->host.host.view_read = read_one;
   open_set(fixture, 5);
   write_one(fixture, 1);
   size_t left = 1, size;
   const kvs_tick tick = {.size = sizeof tick,
                          .view = (kvs_view *)(void *)&left,
                          .view_sequence = 2,
                          .view_count = 1,
                          .view_bytes = 8};
   assert_int_equal(storage_snapshot_set_write(fixture->set, &tick, &fixture->error), KVS_OK);
   const char *newest = "snapshots/00000000000000000002.snapshot";
   uint8_t *bytes = log_host_read_file(&fixture->host, newest, &size);
   assert_true(size <= storage_snapshot_size_limit(&tick));
   bytes[size - 1] ^= 1;
   log_host_write_file(&fixture->host, newest, bytes, size);
   free(bytes);
   open_set(fixture, 5);
   must_load(fixture, 1);
}

static void room_is_kept_for_the_next_one_and_used_up_by_it(void **state)
{
   struct fixture *fixture = *state;
   const kvs_tick tick = {.size = sizeof tick, .view_bytes = 3 << 20, .view_count = 1000};
   int64_t missing;
   open_set(fixture, 5);
   assert_int_equal(storage_snapshot_set_keep_space(fixture->set, &tick, &missing, &fixture->error),
                    KVS_OK);
   assert_true(missing <= 0);
   if (missing == INT64_MIN)
      skip(); /* this file system cannot keep any */
   const kvs_tick larger = {.size = sizeof larger, .view_bytes = 9 << 20, .view_count = 1000};
   assert_int_equal(
       storage_snapshot_set_keep_space(fixture->set, &larger, &missing, &fixture->error), KVS_OK);
   assert_true(missing <= 0 && missing > -((int64_t)3 << 20));
   /* What is far too much is given back. */
   assert_int_equal(storage_snapshot_set_keep_space(fixture->set, &tick, &missing, &fixture->error),
                    KVS_OK);
   assert_true(missing <= 0 && missing > -((int64_t)1 << 20));
   write_one(fixture, 1);
   size_t size;
   free(log_host_read_file(&fixture->host, "snapshots/00000000000000000001.snapshot", &size));
   assert_int_equal(size, STORAGE_SNAPSHOT_HEADER_SIZE + STORAGE_SNAPSHOT_FOOTER_SIZE);
   assert_int_equal(storage_snapshot_set_bytes(fixture->set), size);
   assert_int_equal(log_host_count(&fixture->host, "snapshots", ""), 3); /* with "." and ".." */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(just_so_many_are_kept_as_was_asked),
       CASE(the_oldest_give_way_up_to_the_newest),
       CASE(nothing_gives_way_to_a_damaged_snapshot),
       CASE(two_damaged_snapshots_are_passed_over_before_anything_is_handed_on),
       CASE(nothing_is_handed_on_of_one_that_is_damaged_at_its_end),
       CASE(room_is_kept_for_the_next_one_and_used_up_by_it),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
