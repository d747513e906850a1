/* The log as a whole: what is written comes back, also when the disk is full. */
#include "tests/support/log_fixture.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

static void effects_come_back_in_order(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   assert_string_equal(fixture->text, "");
   must_write(fixture, 1, "a", "1");
   kvs_record batch[] = {log_host_effect(2, "b", "2"), log_host_effect(5, "a", NULL),
                         log_host_effect(6, "c", "")};
   batch[2].expires_at_ms = 99;
   assert_int_equal(storage_log_write(fixture->log, batch, 3, false, &fixture->error), KVS_OK);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 b=2 a! c= ");
   assert_int_equal(fixture->last_sequence, 6);
   assert_int_equal(fixture->host.loaded[3].expires_at_ms, 99);
   assert_int_equal(fixture->host.loaded[3].sequence, 6);
   assert_string_equal(fixture->host.warnings, "");
}

static void log_goes_on_after_each_restart(void **state)
{
   struct fixture *fixture = *state;
   char key[16];
   for (uint64_t i = 1; i <= 5; i++) {
      load_well(fixture);
      load_well(fixture); /* a restart without a write leaves no segment behind */
      snprintf(key, sizeof key, "k%" PRIu64, i);
      must_write(fixture, i, key, "v");
   }
   load_well(fixture);
   assert_string_equal(fixture->text, "k1=v k2=v k3=v k4=v k5=v ");
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 6);
}

static void files_and_directories_are_private_whatever_the_umask(void **state)
{
   struct fixture *fixture = *state;
   char path[512];
   struct stat status;
   mode_t before = umask(0377);
   load_well(fixture);
   umask(before);
   log_host_path(&fixture->host, "aof", path);
   assert_int_equal(stat(path, &status), 0);
   assert_int_equal(status.st_mode & 07777, 0700);
   log_host_path(&fixture->host, SEGMENT_1, path);
   assert_int_equal(stat(path, &status), 0);
   assert_int_equal(status.st_mode & 07777, 0600);
}

static void effects_that_the_snapshot_holds_are_not_loaded_again(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   must_write(fixture, 3, "c", "3");
   fixture->base = (struct storage_snapshot_found){true, 2, 2};
   load_well(fixture);
   assert_string_equal(fixture->text, "c=3 ");
   assert_int_equal(fixture->last_sequence, 3);
}

static void what_the_host_answers_ends_the_load(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   fixture->host.load_result = KVS_INVALID;
   assert_int_equal(load(fixture), KVS_INVALID);
   assert_string_equal(fixture->error.text, "the test refuses");
}

/* ---- No space ------------------------------------------------------------------------------ */

/* Lets files grow to `size` bytes only: what is beyond fails with EFBIG. */
static void limit_files(rlim_t size)
{
   struct rlimit limit;
   assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
   limit.rlim_cur = size;
   assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void batch_without_space_leaves_no_trace(void **state)
{
   struct fixture *fixture = *state;
   static char large[5000];
   memset(large, 'x', sizeof large - 1);
   signal(SIGXFSZ, SIG_IGN);
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   shut(fixture);
   load_well(fixture); /* in segment 2 nothing is reserved yet */
   limit_files(4096);
   /* The first unit fits, the second does not: neither may come back. */
   kvs_record batch[] = {log_host_effect(2, "b", "2"), log_host_effect(3, "c", large)};
   assert_int_equal(storage_log_write(fixture->log, batch, 2, false, &fixture->error),
                    KVS_NO_SPACE);
   must_write(fixture, 4, "d", "4");
   assert_int_equal(storage_log_write(fixture->log, batch, 2, false, &fixture->error),
                    KVS_NO_SPACE);
   limit_files(RLIM_INFINITY);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 d=4 ");
   assert_string_equal(fixture->host.warnings, "");
}

static void no_space_for_a_new_segment_leaves_the_old_one_in_use(void **state)
{
   struct fixture *fixture = *state;
   static char filler[3900];
   memset(filler, 'x', sizeof filler - 1);
   signal(SIGXFSZ, SIG_IGN);
   fixture->settings.segment_size = 4096;
   load_well(fixture);
   must_write(fixture, 1, "a", filler);
   limit_files(40);
   assert_int_equal(write_one(fixture, 2, "b", filler), KVS_NO_SPACE);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 1);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".tmp"), 0);
   limit_files(RLIM_INFINITY);
   must_write(fixture, 2, "b", "2");
   must_write(fixture, 3, "c", filler);
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 3);
}

static void full_disk_does_not_keep_the_data_from_being_loaded(void **state)
{
   struct fixture *fixture = *state;
   signal(SIGXFSZ, SIG_IGN);
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   shut(fixture);
   limit_files(40);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 ");
   assert_int_equal(write_one(fixture, 2, "b", "2"), KVS_NO_SPACE);
   limit_files(RLIM_INFINITY);
   must_write(fixture, 2, "b", "2");
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 b=2 ");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       LOG_CASE(effects_come_back_in_order),
       LOG_CASE(log_goes_on_after_each_restart),
       LOG_CASE(files_and_directories_are_private_whatever_the_umask),
       LOG_CASE(effects_that_the_snapshot_holds_are_not_loaded_again),
       LOG_CASE(what_the_host_answers_ends_the_load),
       LOG_CASE(batch_without_space_leaves_no_trace),
       LOG_CASE(no_space_for_a_new_segment_leaves_the_old_one_in_use),
       LOG_CASE(full_disk_does_not_keep_the_data_from_being_loaded),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
