#include "tests/support/plugin_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Reads and syncs of files with this in their names fail; "" means no file. */
static char failing_name[64];

static bool is_failing(int fd)
{
   char link[64], path[512];
   snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
   ssize_t length = failing_name[0] ? readlink(link, path, sizeof path - 1) : -1;
   path[length > 0 ? length : 0] = '\0';
   errno = EIO;
   return length > 0 && strstr(path, failing_name);
}

/* They replace the C library's. */
ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
   return is_failing(fd) ? -1 : syscall(SYS_pread64, fd, data, size, offset);
}

int fdatasync(int fd)
{
   return is_failing(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
   return is_failing(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

static size_t count_snapshots(const struct fixture *fixture)
{
   return log_host_count(&fixture->host, "snapshots", ".snapshot");
}

static size_t count_segments(const struct fixture *fixture)
{
   return log_host_count(&fixture->host, "aof", ".log");
}

/* Writes some segments' worth, then lets a snapshot be taken. */
static void grow(struct fixture *fixture, int rounds)
{
   char value[1001], key[16];
   memset(value, 'v', 1000);
   value[1000] = '\0';
   for (int i = 0; i < rounds; i++) {
      value[0] = (char)('0' + i);
      for (int k = 0; k < 10; k++) {
         snprintf(key, sizeof key, "k%d", k);
         must_write(fixture, key, value);
      }
      must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   }
}

static void snapshot_and_log_together_survive_a_kill(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   must_write(fixture, "a", "1");
   must_write(fixture, "b", "1");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_write(fixture, "b", NULL);
   must_write(fixture, "c", "1");
   must_survive(fixture, "");
   must_write(fixture, "d", "1");
   must_survive(fixture, "fsync=everysec");
   must_survive(fixture, "fsync=no");
}

static void snapshot_is_taken_each_interval_when_something_changed(void **state)
{
   struct fixture *fixture = *state;
   const char *settings = "snapshot_interval=10";
   open_well(fixture, settings);
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_PERIODIC, 0);
   must_tick(fixture, KVS_TICK_PERIODIC, 9999);
   assert_int_equal(count_snapshots(fixture), 0);
   must_tick(fixture, KVS_TICK_PERIODIC, 1);
   assert_int_equal(count_snapshots(fixture), 1);
   must_tick(fixture, KVS_TICK_PERIODIC, 10000);
   assert_int_equal(count_snapshots(fixture), 1);
   /* A change after a quiet time waits for its interval. */
   must_tick(fixture, KVS_TICK_PERIODIC, 5000);
   must_write(fixture, "a", "2");
   must_tick(fixture, KVS_TICK_PERIODIC, 4999);
   assert_int_equal(count_snapshots(fixture), 1);
   must_tick(fixture, KVS_TICK_PERIODIC, 1);
   assert_int_equal(count_snapshots(fixture), 2);
   must_survive(fixture, settings);
}

static void snapshot_that_failed_is_tried_again_before_the_interval_is_over(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "snapshot_interval=300");
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_PERIODIC, 0);
   strcpy(failing_name, ".snapshot");
   assert_int_not_equal(plugin_session_tick(&fixture->session, KVS_TICK_PERIODIC, 300000), KVS_OK);
   failing_name[0] = '\0';
   must_tick(fixture, KVS_TICK_PERIODIC, 29999);
   assert_int_equal(count_snapshots(fixture), 0);
   must_tick(fixture, KVS_TICK_PERIODIC, 1);
   assert_int_equal(count_snapshots(fixture), 1);
   /* And then at the interval again. */
   must_write(fixture, "a", "2");
   must_tick(fixture, KVS_TICK_PERIODIC, 299999);
   assert_int_equal(count_snapshots(fixture), 1);
   must_tick(fixture, KVS_TICK_PERIODIC, 1);
   assert_int_equal(count_snapshots(fixture), 2);
}

static void shutdown_takes_a_snapshot_when_something_changed(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_SHUTDOWN, 0);
   assert_int_equal(count_snapshots(fixture), 1);
   must_survive(fixture, "");
   fixture->host.saved_to = 0;
   must_tick(fixture, KVS_TICK_SHUTDOWN, 0);
   assert_int_equal(count_snapshots(fixture), 1);
   assert_int_equal(fixture->host.saved_to, 0); /* nor was the existing one rewritten */
   must_survive(fixture, "");
}

static void only_so_many_snapshots_and_their_log_are_kept(void **state)
{
   struct fixture *fixture = *state;
   const char *settings = "max_snapshots=3 aof_max_size=4096";
   open_well(fixture, settings);
   grow(fixture, 3);
   size_t segments = count_segments(fixture);
   assert_int_equal(count_snapshots(fixture), 3);
   grow(fixture, 5);
   assert_int_equal(count_snapshots(fixture), 3);
   assert_true(count_segments(fixture) <= segments + 1);
   must_survive(fixture, settings);
}

static void damaged_newest_snapshot_is_passed_over_as_the_log_covers_it(void **state)
{
   struct fixture *fixture = *state;
   const char *settings = "max_snapshots=3 aof_max_size=4096";
   open_well(fixture, settings);
   grow(fixture, 6);
   must_write(fixture, "last", "one");
   log_host_damage(&fixture->host, "snapshots", 0);
   must_survive(fixture, settings);
   log_host_damage(&fixture->host, "snapshots", 1);
   must_survive(fixture, settings);
   must_write(fixture, "after", "that");
   must_survive(fixture, settings);
   /* All three are damaged: nothing is left from which the log could continue. */
   plugin_session_close(&fixture->session);
   log_host_damage(&fixture->host, "snapshots", 2);
   assert_int_equal(reopen(fixture, settings), KVS_CORRUPT);
}

/* The log would make up for it, as for a damaged one, but nothing says that it is damaged. */
static void snapshot_that_cannot_be_read_for_now_is_refused_and_changes_nothing(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   grow(fixture, 3);
   strcpy(fixture->expected, plugin_session_text(&fixture->session));
   size_t snapshots = count_snapshots(fixture), segments = count_segments(fixture);
   snprintf(failing_name, sizeof failing_name, "%020llu.snapshot",
            (unsigned long long)fixture->session.sequence);
   assert_int_equal(reopen(fixture, ""), KVS_IO);
   failing_name[0] = '\0';
   assert_int_equal(count_snapshots(fixture), snapshots);
   assert_int_equal(count_segments(fixture), segments);
   open_well(fixture, "");
   assert_string_equal(plugin_session_text(&fixture->session), fixture->expected);
}

static void damaged_newest_snapshot_is_refused_when_the_log_has_a_gap(void **state)
{
   struct fixture *fixture = *state;
   const char *settings = "max_snapshots=3 aof_max_size=4096";
   open_well(fixture, settings);
   grow(fixture, 6);
   must_write(fixture, "last", "one");
   plugin_session_close(&fixture->session);
   log_host_damage(&fixture->host, "snapshots", 0);
   log_host_remove_oldest(&fixture->host, "aof");
   size_t segments = count_segments(fixture);
   assert_true(segments > 2);
   /* Removes segments until not even the second newest snapshot has its log. */
   while (reopen(fixture, settings) == KVS_OK)
      log_host_remove_oldest(&fixture->host, "aof");
   assert_non_null(strstr(fixture->session.error.text, ".log"));
}

static void damaged_newest_snapshot_is_refused_when_the_log_ends_before_it(void **state)
{
   struct fixture *fixture = *state;
   size_t size;
   open_well(fixture, "fsync=no");
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_write(fixture, "b", "1");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   plugin_session_close(&fixture->session);
   /* A power cut takes b from the log, not from the newer snapshot; that one is damaged later. */
   uint8_t *bytes = log_host_read_file(&fixture->host, "aof/0000000002.log", &size);
   log_host_write_file(&fixture->host, "aof/0000000002.log", bytes, 80);
   free(bytes);
   log_host_damage(&fixture->host, "snapshots", 0);
   assert_int_equal(reopen(fixture, "fsync=no"), KVS_CORRUPT);
}

static void missing_log_beside_a_snapshot_is_refused(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_write(fixture, "b", "1");
   plugin_session_close(&fixture->session);
   while (count_segments(fixture) > 0)
      log_host_remove_oldest(&fixture->host, "aof");
   assert_int_equal(reopen(fixture, ""), KVS_CORRUPT);
}

static void torn_end_after_a_snapshot_is_cut_off(void **state)
{
   struct fixture *fixture = *state;
   size_t size;
   open_well(fixture, "");
   must_write(fixture, "a", "1");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_write(fixture, "b", "1");
   strcpy(fixture->expected, plugin_session_text(&fixture->session));
   must_write(fixture, "c", "1");
   plugin_session_close(&fixture->session);
   /* The checkpoint has begun segment 2. */
   uint8_t *bytes = log_host_read_file(&fixture->host, "aof/0000000002.log", &size);
   while (size > 0 && bytes[size - 1] == 0)
      size--;
   log_host_write_file(&fixture->host, "aof/0000000002.log", bytes, size - 1);
   free(bytes);
   open_well(fixture, "");
   assert_string_equal(plugin_session_text(&fixture->session), fixture->expected);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".torn"), 1);
}

static void versions_and_times_of_expiry_survive_a_snapshot(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   must_write(fixture, "c", "1");
   kvs_record record = log_host_effect(2, "a", "2");
   record.expires_at_ms = 4102444800000;
   assert_int_equal(plugin_session_write_batch(&fixture->session, &record, 1, 0), KVS_OK);
   must_write(fixture, "b", "3");
   must_write(fixture, "gone", "4");
   must_write(fixture, "gone", NULL);
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_write(fixture, "c", "6");
   for (int i = 0; i < 2; i++) {
      open_well(fixture, "");
      assert_string_equal(plugin_session_details(&fixture->session),
                          "a@2/4102444800000 b@3/0 c@6/0 ");
      must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   }
}

/* The text of what was loaded from where the history begins. */
static const char *history_text(const struct fixture *fixture, char *text, size_t size)
{
   struct log_host part = fixture->host;
   assert_true(part.history_begin <= part.loaded_count);
   part.loaded += part.history_begin;
   part.loaded_count -= part.history_begin;
   return log_host_loaded_text(&part, text, size);
}

static void the_history_of_a_load_begins_behind_the_snapshot(void **state)
{
   struct fixture *fixture = *state;
   char text[256];
   open_well(fixture, "");
   assert_int_equal(fixture->host.history_sequence, 0);
   must_write(fixture, "a", "1");
   must_write(fixture, "a", "2");
   open_well(fixture, "");
   assert_int_equal(fixture->host.history_sequence, 0);
   assert_string_equal(history_text(fixture, text, sizeof text), "a=1 a=2 ");
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   must_write(fixture, "b", "3");
   kvs_record record = log_host_effect(4, "a", NULL);
   record.flags = KVS_RECORD_EXPIRED;
   assert_int_equal(plugin_session_write_batch(&fixture->session, &record, 1, 0), KVS_OK);
   open_well(fixture, "");
   assert_int_equal(fixture->host.history_sequence, 2);
   assert_string_equal(history_text(fixture, text, sizeof text), "b=3 a! ");
   assert_int_equal(fixture->host.loaded[fixture->host.loaded_count - 1].flags, KVS_RECORD_EXPIRED);
}

/* No host takes a view in the middle of a run, but the history may not go back if one did. */
static void of_a_run_that_a_snapshot_ends_in_only_the_rest_is_loaded(void **state)
{
   struct fixture *fixture = *state;
   char text[256];
   kvs_record run[] = {log_host_effect(1, "a", "1"), log_host_effect(2, "b", "2")};
   run[0].flags = KVS_RECORD_JOINED;
   open_well(fixture, "");
   assert_int_equal(plugin_session_write_batch(&fixture->session, run, 2, 0), KVS_OK);
   fixture->session.sequence = 1;
   fixture->session.model_count = 1;
   must_tick(fixture, KVS_TICK_CHECKPOINT, 0);
   fixture->session.model_count = 2;
   open_well(fixture, "");
   assert_int_equal(fixture->host.history_sequence, 1);
   assert_string_equal(history_text(fixture, text, sizeof text), "b=2 ");
   assert_string_equal(plugin_session_details(&fixture->session), "a@1/0 b@2/0 ");
}

/* A snapshot of it would be taken for damage when the log is gone. */
static void a_view_with_a_version_above_its_own_makes_no_snapshot(void **state)
{
   struct fixture *fixture = *state;
   open_well(fixture, "");
   must_write(fixture, "a", "1");
   must_write(fixture, "b", "2");
   fixture->session.sequence = 1; /* of the next tick's view, whose record of b is of 2 */
   assert_int_equal(plugin_session_tick(&fixture->session, KVS_TICK_CHECKPOINT, 0), KVS_IO);
   fixture->session.sequence = 2;
   must_survive(fixture, "");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       PLUGIN_CASE(snapshot_and_log_together_survive_a_kill),
       PLUGIN_CASE(snapshot_is_taken_each_interval_when_something_changed),
       PLUGIN_CASE(snapshot_that_failed_is_tried_again_before_the_interval_is_over),
       PLUGIN_CASE(shutdown_takes_a_snapshot_when_something_changed),
       PLUGIN_CASE(only_so_many_snapshots_and_their_log_are_kept),
       PLUGIN_CASE(damaged_newest_snapshot_is_passed_over_as_the_log_covers_it),
       PLUGIN_CASE(snapshot_that_cannot_be_read_for_now_is_refused_and_changes_nothing),
       PLUGIN_CASE(damaged_newest_snapshot_is_refused_when_the_log_has_a_gap),
       PLUGIN_CASE(damaged_newest_snapshot_is_refused_when_the_log_ends_before_it),
       PLUGIN_CASE(missing_log_beside_a_snapshot_is_refused),
       PLUGIN_CASE(torn_end_after_a_snapshot_is_cut_off),
       PLUGIN_CASE(versions_and_times_of_expiry_survive_a_snapshot),
       PLUGIN_CASE(the_history_of_a_load_begins_behind_the_snapshot),
       PLUGIN_CASE(of_a_run_that_a_snapshot_ends_in_only_the_rest_is_loaded),
       PLUGIN_CASE(a_view_with_a_version_above_its_own_makes_no_snapshot),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
