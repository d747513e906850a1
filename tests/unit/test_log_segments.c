/* The segments of a log: when one begins, when one is removed, and which must be there. */
#include "tests/support/log_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Fills several small segments with k1=v... and returns how many effects it wrote. */
static uint64_t fill_segments_with(struct fixture *fixture, size_t segments, const char *value)
{
   char key[16];
   uint64_t sequence = fixture->last_sequence;
   fixture->settings.segment_size = 4096;
   load_well(fixture);
   while (log_host_count(&fixture->host, "aof", ".log") < segments) {
      snprintf(key, sizeof key, "k%" PRIu64, ++sequence);
      must_write(fixture, sequence, key, value);
   }
   shut(fixture);
   return sequence;
}

static uint64_t fill_segments(struct fixture *fixture, size_t segments)
{
   return fill_segments_with(fixture, segments, "v");
}

static void full_segment_is_followed_by_the_next(void **state)
{
   struct fixture *fixture = *state;
   uint64_t count = fill_segments(fixture, 4);
   size_t size;
   free(log_host_read_file(&fixture->host, SEGMENT_2, &size));
   assert_true(size <= 4096);
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, count);
   assert_int_equal(fixture->last_sequence, count);
}

static void batch_larger_than_a_segment_gets_one_of_its_own(void **state)
{
   struct fixture *fixture = *state;
   static char large[3 << 20];
   memset(large, 'x', sizeof large - 1);
   fixture->settings.segment_size = 4096;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", large);
   must_write(fixture, 3, "c", "3");
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 3);
   assert_int_equal(fixture->host.loaded[1].value.size, sizeof large - 1);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 4);
}

static void every_flipped_byte_of_an_older_segment_is_refused(void **state)
{
   struct fixture *fixture = *state;
   fill_segments(fixture, 3);
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_2, &size);
   size -=
       STORAGE_RECORD_HEADER_SIZE; /* the record that announces the successor is no longer needed */
   for (size_t at = 0; at < size; at++) {
      bytes[at] ^= 0x80;
      log_host_write_file(&fixture->host, SEGMENT_2, bytes, size);
      assert_int_equal(load(fixture), KVS_CORRUPT);
      assert_non_null(strstr(fixture->error.text, SEGMENT_2));
      bytes[at] ^= 0x80;
   }
   free(bytes);
}

static void missing_segment_is_named(void **state)
{
   struct fixture *fixture = *state;
   char path[512];
   fill_segments(fixture, 4);
   log_host_path(&fixture->host, SEGMENT_2, path);
   assert_int_equal(unlink(path), 0);
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, SEGMENT_2));
}

static void missing_last_segment_is_named(void **state)
{
   struct fixture *fixture = *state;
   char path[512];
   fill_segments(fixture, 3);
   load_well(fixture);
   log_host_path(&fixture->host, "aof/0000000004.log", path);
   assert_int_equal(unlink(path), 0);
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, "aof/0000000004.log"));
}

static void missing_first_segment_is_named_unless_a_snapshot_covers_it(void **state)
{
   struct fixture *fixture = *state;
   char path[512];
   uint64_t count = fill_segments(fixture, 3);
   log_host_path(&fixture->host, SEGMENT_1, path);
   assert_int_equal(unlink(path), 0);
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, SEGMENT_1));
   fixture->base = (struct storage_snapshot_found){true, count - 1, count - 1};
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 1);
}

static void segment_of_another_log_is_refused(void **state)
{
   struct fixture *fixture = *state;
   size_t size;
   /* The same store, number, sequences and sizes; only the values differ. */
   fill_segments_with(fixture, 3, "w");
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &size);
   log_host_copy(&fixture->host, "none", "aof");
   fixture->last_sequence = 0;
   fill_segments_with(fixture, 3, "v");
   log_host_write_file(&fixture->host, SEGMENT_1, bytes, size);
   free(bytes);
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, SEGMENT_1));
}

static void covered_segments_are_removed_and_no_others(void **state)
{
   struct fixture *fixture = *state;
   uint64_t count = fill_segments(fixture, 4);
   load_well(fixture);
   /* All but the last effect, which stands in segment 4; loading has begun segment 5. */
   storage_log_remove_covered(fixture->log, count - 2);
   assert_false(log_host_has_file(&fixture->host, SEGMENT_2));
   assert_true(log_host_has_file(&fixture->host, "aof/0000000003.log"));
   storage_log_remove_covered(fixture->log, count - 1);
   assert_false(log_host_has_file(&fixture->host, "aof/0000000003.log"));
   assert_true(log_host_has_file(&fixture->host, "aof/0000000004.log"));
   fixture->base = (struct storage_snapshot_found){true, count - 1, count - 1};
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 1);
}

static void effects_that_only_a_snapshot_held_are_missed_without_it(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_NO;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   size_t size = data_size(fixture, SEGMENT_1);
   must_write(fixture, 3, "c", "3");
   shut(fixture);
   size_t all;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &all);
   /* Power fails: the log has lost 3, the snapshot at 3 is safe. The log goes on at 4. */
   put_segment(fixture, bytes, size);
   free(bytes);
   fixture->base = (struct storage_snapshot_found){true, 3, 3};
   load_well(fixture);
   must_write(fixture, 4, "d", "4");
   load_well(fixture);
   assert_string_equal(fixture->text, "d=4 ");
   /* With only an older snapshot, 3 would be lost silently. */
   fixture->base = (struct storage_snapshot_found){true, 1, 1};
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, "snapshot"));
}

static void log_that_does_not_reach_the_damaged_snapshot_is_refused(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   fixture->base = (struct storage_snapshot_found){true, 1, 2};
   load_well(fixture);
   assert_string_equal(fixture->text, "b=2 ");
   fixture->base = (struct storage_snapshot_found){true, 1, 3};
   assert_int_equal(load(fixture), KVS_CORRUPT);
}

static void log_that_had_a_snapshot_is_refused_without_one(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 100, "a", "1"); /* joins a store that is in progress */
   storage_log_snapshot_taken(fixture->log, 100);
   must_write(fixture, 101, "b", "2");
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, "00000000000000000100.snapshot"));
   fixture->base = (struct storage_snapshot_found){true, 100, 100};
   load_well(fixture);
   assert_string_equal(fixture->text, "b=2 ");
}

static void snapshot_without_any_log_is_refused(void **state)
{
   struct fixture *fixture = *state;
   fixture->base = (struct storage_snapshot_found){true, 5, 5};
   assert_int_equal(load(fixture), KVS_CORRUPT);
}

static void interrupted_creation_of_a_segment_leaves_no_trace(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   shut(fixture);
   log_host_write_file(&fixture->host, SEGMENT_2 ".tmp", "KVLOG", 5);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 ");
   assert_false(log_host_has_file(&fixture->host, SEGMENT_2 ".tmp"));
}

static void segment_is_filled_to_its_very_size(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   const size_t end = data_size(fixture, SEGMENT_1);
   /* A second one of the same size ends where a segment may. */
   fixture->settings.segment_size = end + (end - STORAGE_SEGMENT_HEADER_SIZE);
   log_host_remove(&fixture->host, "aof", 0);
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 1);
   must_write(fixture, 3, "c", "3");
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 2);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       LOG_CASE(full_segment_is_followed_by_the_next),
       LOG_CASE(batch_larger_than_a_segment_gets_one_of_its_own),
       LOG_CASE(every_flipped_byte_of_an_older_segment_is_refused),
       LOG_CASE(missing_segment_is_named),
       LOG_CASE(missing_last_segment_is_named),
       LOG_CASE(missing_first_segment_is_named_unless_a_snapshot_covers_it),
       LOG_CASE(segment_of_another_log_is_refused),
       LOG_CASE(covered_segments_are_removed_and_no_others),
       LOG_CASE(effects_that_only_a_snapshot_held_are_missed_without_it),
       LOG_CASE(log_that_does_not_reach_the_damaged_snapshot_is_refused),
       LOG_CASE(log_that_had_a_snapshot_is_refused_without_one),
       LOG_CASE(snapshot_without_any_log_is_refused),
       LOG_CASE(interrupted_creation_of_a_segment_leaves_no_trace),
       LOG_CASE(segment_is_filled_to_its_very_size),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
