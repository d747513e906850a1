/* What counts as an unfinished write in a log, and what as damage. */
#include "storage/note.h"
#include "tests/support/log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Unfinished writes --------------------------------------------------------------------- */

/* Writes a, then a run of b and c, and gives the segment's bytes and where the run begins. */
static uint8_t *write_run(struct fixture *fixture, size_t *size, size_t *run)
{
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   *run = data_size(fixture, SEGMENT_1);
   kvs_record batch[] = {log_host_effect(2, "b", "2"), log_host_effect(3, "c", "3")};
   batch[0].flags = KVS_RECORD_JOINED;
   assert_int_equal(storage_log_write(fixture->log, batch, 2, false, &fixture->error), KVS_OK);
   shut(fixture);
   *size = data_size(fixture, SEGMENT_1);
   size_t all;
   return log_host_read_file(&fixture->host, SEGMENT_1, &all);
}

static void run_cut_at_any_byte_is_taken_as_a_whole_or_not_at_all(void **state)
{
   struct fixture *fixture = *state;
   size_t size, run;
   uint8_t *bytes = write_run(fixture, &size, &run);
   for (size_t cut = run; cut <= size; cut++) {
      put_segment(fixture, bytes, cut);
      load_well(fixture);
      assert_string_equal(fixture->text, cut < size ? "a=1 " : "a=1 b=2 c=3 ");
      bool torn = cut > run && cut < size;
      assert_int_equal(log_host_count(&fixture->host, "aof", ".torn"), torn);
      assert_int_equal(strstr(fixture->host.warnings, "unfinished") != NULL, torn);
      /* And the log goes on. */
      must_write(fixture, 4, "d", "4");
      load_well(fixture);
      assert_string_equal(fixture->text, cut < size ? "a=1 d=4 " : "a=1 b=2 c=3 d=4 ");
   }
   free(bytes);
}

static void run_with_missing_pages_is_not_taken(void **state)
{
   struct fixture *fixture = *state;
   size_t size, run;
   uint8_t *bytes = write_run(fixture, &size, &run);
   uint8_t *broken = malloc(size);
   for (size_t hole = run; hole + 1 < size; hole++) {
      memcpy(broken, bytes, size);
      memset(broken + run, 0, hole - run + 1);
      put_segment(fixture, broken, size);
      load_well(fixture);
      assert_string_equal(fixture->text, "a=1 ");
      memcpy(broken, bytes, size);
      broken[hole] ^= 0x10;
      put_segment(fixture, broken, size);
      load_well(fixture);
      assert_string_equal(fixture->text, "a=1 ");
   }
   free(broken);
   free(bytes);
}

static void torn_bytes_are_kept_in_another_file(void **state)
{
   struct fixture *fixture = *state;
   size_t size, run, kept_size;
   char name[64];
   uint8_t *bytes = write_run(fixture, &size, &run);
   put_segment(fixture, bytes, size - 1);
   load_well(fixture);
   snprintf(name, sizeof name, "aof/0000000001-%zu.torn", run);
   uint8_t *kept = log_host_read_file(&fixture->host, name, &kept_size);
   assert_int_equal(kept_size, size - 1 - run);
   assert_memory_equal(kept, bytes + run, kept_size);
   assert_int_equal(data_size(fixture, SEGMENT_1), run + STORAGE_RECORD_HEADER_SIZE);
   free(kept);
   free(bytes);
}

static void unsynced_records_behind_a_hole_do_not_make_it_damage(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_NO;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   size_t hole = data_size(fixture, SEGMENT_1);
   must_write(fixture, 2, "b", "2");
   must_write(fixture, 3, "c", "3");
   shut(fixture);
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &size);
   bytes[hole + 3] ^= 1;
   put_segment(fixture, bytes, size);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 ");
   free(bytes);
}

/* ---- Damage -------------------------------------------------------------------------------- */

/* Flips each byte of [begin, end) of the one segment; every load must refuse and name the file. */
static void refuse_all_flips(struct fixture *fixture, const uint8_t *bytes, size_t size,
                             size_t begin, size_t end)
{
   uint8_t *broken = malloc(size);
   for (size_t at = begin; at < end; at++) {
      memcpy(broken, bytes, size);
      broken[at] ^= 0x40;
      put_segment(fixture, broken, size);
      assert_int_equal(load(fixture), KVS_CORRUPT);
      assert_non_null(strstr(fixture->error.text, SEGMENT_1));
      assert_non_null(strstr(fixture->error.text, "offset"));
   }
   free(broken);
}

static void every_flipped_byte_of_a_durable_record_is_refused(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   size_t durable = data_size(fixture, SEGMENT_1);
   must_write(fixture, 3, "c", "3");
   shut(fixture);
   size_t size = data_size(fixture, SEGMENT_1), all;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &all);
   refuse_all_flips(fixture, bytes, size, STORAGE_SEGMENT_HEADER_SIZE, durable);
   free(bytes);
}

static void idle_tick_protects_the_last_record_with_a_mark(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   size_t before = data_size(fixture, SEGMENT_1);
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   assert_int_equal(data_size(fixture, SEGMENT_1), before); /* not idle yet */
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   assert_int_equal(data_size(fixture, SEGMENT_1), before + STORAGE_RECORD_HEADER_SIZE);
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   shut(fixture);
   size_t size = data_size(fixture, SEGMENT_1), all;
   assert_int_equal(size, before + STORAGE_RECORD_HEADER_SIZE);
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &all);
   refuse_all_flips(fixture, bytes, size, STORAGE_SEGMENT_HEADER_SIZE, before);
   /* A damaged mark is no loss. */
   bytes[before + 5] ^= 1;
   put_segment(fixture, bytes, size);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 ");
   free(bytes);
}

static void write_after_a_mark_protects_the_mark(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   size_t mark = data_size(fixture, SEGMENT_1);
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   must_write(fixture, 2, "b", "2");
   must_write(fixture, 3, "c", "3");
   shut(fixture);
   size_t size = data_size(fixture, SEGMENT_1), all;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &all);
   refuse_all_flips(fixture, bytes, size, mark, mark + STORAGE_RECORD_HEADER_SIZE);
   free(bytes);
}

static void sealed_log_is_trimmed_and_protected_to_the_end(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_NO;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   size_t end = data_size(fixture, SEGMENT_1);
   assert_int_equal(storage_log_seal(fixture->log, &fixture->error), KVS_OK);
   shut(fixture);
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &size);
   /* The mark, and that a successor follows; its header protects both record and mark. */
   assert_int_equal(size, end + 2 * STORAGE_RECORD_HEADER_SIZE);
   end += STORAGE_RECORD_HEADER_SIZE;
   for (size_t at = 0; at < end; at++) {
      bytes[at] ^= 0x40;
      log_host_write_file(&fixture->host, SEGMENT_1, bytes, size);
      assert_int_equal(load(fixture), KVS_CORRUPT);
      assert_non_null(strstr(fixture->error.text, SEGMENT_1));
      bytes[at] ^= 0x40;
   }
   for (size_t cut = 0; cut < end; cut++) {
      log_host_write_file(&fixture->host, SEGMENT_1, bytes, cut);
      assert_int_equal(load(fixture), KVS_CORRUPT);
      assert_non_null(strstr(fixture->error.text, SEGMENT_1));
   }
   free(bytes);
}

static void marked_log_gets_no_second_mark(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   size_t end = data_size(fixture, SEGMENT_1);
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
   assert_int_equal(storage_log_seal(fixture->log, &fixture->error), KVS_OK);
   assert_int_equal(data_size(fixture, SEGMENT_1), end + 2 * STORAGE_RECORD_HEADER_SIZE);
}

static void restart_protects_all_that_it_loaded(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   load_well(fixture); /* after a kill, with no mark at the end */
   shut(fixture);
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &size);
   size -= STORAGE_RECORD_HEADER_SIZE; /* where the second segment says that the first one ends */
   for (size_t at = STORAGE_SEGMENT_HEADER_SIZE; at < size; at++) {
      bytes[at] ^= 2;
      log_host_write_file(&fixture->host, SEGMENT_1, bytes, size);
      assert_int_equal(load(fixture), KVS_CORRUPT);
      bytes[at] ^= 2;
   }
   log_host_write_file(&fixture->host, SEGMENT_1, bytes, size - 1);
   assert_int_equal(load(fixture), KVS_CORRUPT);
   free(bytes);
}

static void remedy_stands_whole_at_the_end_however_long_the_text(void **state)
{
   struct fixture *fixture = *state;
   char parent[256], command[300];
   snprintf(parent, sizeof parent, "%s", fixture->host.directory);
   *strrchr(parent, '/') = '\0';
   snprintf(command, sizeof command, ": kvstore-check --recover=prefix %s", parent);
   for (size_t length = 0; length < sizeof fixture->error.text; length++) {
      memset(fixture->error.text, 'x', length);
      fixture->error.text[length] = '\0';
      assert_int_equal(storage_remedy(&fixture->host.host, KVS_CORRUPT, &fixture->error),
                       KVS_CORRUPT);
      const char *found = strstr(fixture->error.text, command);
      assert_non_null(found);
      assert_string_equal(found, command);
   }
   strcpy(fixture->error.text, "as it is");
   assert_int_equal(storage_remedy(&fixture->host.host, KVS_IO, &fixture->error), KVS_IO);
   assert_string_equal(fixture->error.text, "as it is");
}

static void refused_load_leaves_a_torn_end_where_it_is(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   shut(fixture);
   size_t size, size_after;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &size);
   memset(bytes + size - 20, 'x', 20);
   put_segment(fixture, bytes, size);
   /* The log ends before what the newest snapshot is known to have held. */
   fixture->base = (struct storage_snapshot_found){false, 0, 9};
   assert_int_equal(load(fixture), KVS_CORRUPT);
   uint8_t *bytes_after = log_host_read_file(&fixture->host, SEGMENT_1, &size_after);
   assert_int_equal(size_after, size);
   assert_memory_equal(bytes_after, bytes, size);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".torn"), 0);
   free(bytes);
   free(bytes_after);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       LOG_CASE(run_cut_at_any_byte_is_taken_as_a_whole_or_not_at_all),
       LOG_CASE(run_with_missing_pages_is_not_taken),
       LOG_CASE(torn_bytes_are_kept_in_another_file),
       LOG_CASE(unsynced_records_behind_a_hole_do_not_make_it_damage),
       LOG_CASE(every_flipped_byte_of_a_durable_record_is_refused),
       LOG_CASE(idle_tick_protects_the_last_record_with_a_mark),
       LOG_CASE(write_after_a_mark_protects_the_mark),
       LOG_CASE(sealed_log_is_trimmed_and_protected_to_the_end),
       LOG_CASE(marked_log_gets_no_second_mark),
       LOG_CASE(restart_protects_all_that_it_loaded),
       LOG_CASE(remedy_stands_whole_at_the_end_however_long_the_text),
       LOG_CASE(refused_load_leaves_a_torn_end_where_it_is),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
