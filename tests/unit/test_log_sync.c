/* When a log syncs, what a failed call makes of it, and what goes on side by side. */
#include "tests/support/log_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Replaces the C library's: counts syncs, and fails them when a test says so. */
static atomic_int syncs, failing_syncs;
/* Where one of them waits while it is held. */
static atomic_bool holding_sync;
static sem_t sync_held, sync_released;
/* What is appended during a sync: while set, each sync gives it some time to go on. */
static atomic_uint_fast64_t *_Atomic appended_beside;
/* The file of the first sync after this was emptied. */
static char first_synced[512] = "-";

#define BESIDE_MS 50

static void await_append(void)
{
   atomic_uint_fast64_t *appended = atomic_load(&appended_beside);
   uint64_t before = appended ? atomic_load(appended) : 0;
   for (int ms = 0; appended && ms < BESIDE_MS && atomic_load(appended) == before; ms++)
      usleep(1000);
}

int fdatasync(int fd)
{
   atomic_fetch_add(&syncs, 1);
   await_append();
   if (atomic_exchange(&holding_sync, false)) {
      sem_post(&sync_held);
      while (sem_wait(&sync_released) != 0)
         continue;
   }
   if (first_synced[0] == '\0') {
      char name[64];
      snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
      ssize_t size = readlink(name, first_synced, sizeof first_synced - 1);
      first_synced[size > 0 ? size : 0] = '\0';
   }
   if (atomic_load(&failing_syncs) > 0) {
      errno = EIO;
      return -1;
   }
   return (int)syscall(SYS_fdatasync, fd);
}

/* The same for reads. */
static bool failing_reads;

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
   if (failing_reads) {
      errno = EIO;
      return -1;
   }
   return syscall(SYS_pread64, fd, data, size, offset);
}

#define PATIENCE_MS 60000

static void batch_is_one_sync_and_only_where_it_must_be(void **state)
{
   struct fixture *fixture = *state;
   kvs_record batch[] = {log_host_effect(1, "a", "1"), log_host_effect(2, "b", "2")};
   load_well(fixture);
   int before = atomic_load(&syncs);
   assert_int_equal(storage_log_write(fixture->log, batch, 2, false, &fixture->error), KVS_OK);
   assert_int_equal(atomic_load(&syncs), before + 1);

   fixture->settings.sync = STORAGE_LOG_SYNC_NO;
   load_well(fixture);
   before = atomic_load(&syncs);
   batch[0].sequence = 3, batch[1].sequence = 4;
   assert_int_equal(storage_log_write(fixture->log, batch, 2, false, &fixture->error), KVS_OK);
   assert_int_equal(atomic_load(&syncs), before);
   batch[0].sequence = 5, batch[1].sequence = 6;
   assert_int_equal(storage_log_write(fixture->log, batch, 2, true, &fixture->error), KVS_OK);
   assert_int_equal(atomic_load(&syncs), before + 1);
}

static void segment_is_synced_before_the_next_begins(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_NO;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   storage_log_snapshot_taken(fixture->log, 0);
   first_synced[0] = '\0';
   must_write(fixture, 2, "b", "2");
   assert_true(log_host_has_file(&fixture->host, SEGMENT_2));
   assert_non_null(strstr(first_synced, SEGMENT_1));
   /* And when it cannot be synced, no other begins. */
   storage_log_snapshot_taken(fixture->log, 0);
   atomic_store(&failing_syncs, 1);
   assert_int_equal(write_one(fixture, 3, "c", "3"), KVS_IO);
   atomic_store(&failing_syncs, 0);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 2);
}

static void failed_read_is_no_damage_and_changes_nothing(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   shut(fixture);
   size_t before, after;
   uint8_t *bytes = log_host_read_file(&fixture->host, SEGMENT_1, &before);
   failing_reads = true;
   assert_int_equal(load(fixture), KVS_IO);
   failing_reads = false;
   uint8_t *bytes_after = log_host_read_file(&fixture->host, SEGMENT_1, &after);
   assert_int_equal(after, before);
   assert_memory_equal(bytes_after, bytes, before);
   free(bytes);
   free(bytes_after);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 ");
}

static void nothing_is_taken_after_a_failed_sync(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   atomic_store(&failing_syncs, 1);
   assert_int_equal(write_one(fixture, 2, "b", "2"), KVS_IO);
   atomic_store(&failing_syncs, 0);
   assert_int_equal(write_one(fixture, 3, "c", "3"), KVS_IO);
   assert_non_null(strstr(fixture->error.text, "earlier failure"));
   assert_int_equal(storage_log_seal(fixture->log, &fixture->error), KVS_IO);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 ");
}

/* Waits until the log's own thread has called fdatasync once more. */
static void await_sync(int before)
{
   for (int ms = 0; atomic_load(&syncs) == before; ms++) {
      assert_int_not_equal(ms, PATIENCE_MS);
      usleep(1000);
   }
}

static void everysec_syncs_an_idle_tail(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_EVERYSEC;
   load_well(fixture);
   int before = atomic_load(&syncs);
   must_write(fixture, 1, "a", "1");
   await_sync(before);
   must_write(fixture, 2, "b", "2");
   assert_int_equal(storage_log_seal(fixture->log, &fixture->error), KVS_OK);
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 b=2 ");
}

static void what_is_written_during_a_sync_is_not_covered_by_it(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_EVERYSEC;
   load_well(fixture);
   sem_init(&sync_held, 0, 0);
   sem_init(&sync_released, 0, 0);
   atomic_store(&holding_sync, true);
   must_write(fixture, 1, "a", "1");
   while (sem_wait(&sync_held) != 0)
      continue;
   must_write(fixture, 2, "b", "2");
   int before = atomic_load(&syncs);
   sem_post(&sync_released);
   await_sync(before); /* that of "b", which nobody asks for */
   load_well(fixture);
   assert_string_equal(fixture->text, "a=1 b=2 ");
   sem_destroy(&sync_held);
   sem_destroy(&sync_released);
}

static void failed_sync_of_the_thread_is_met_by_the_next_write(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_EVERYSEC;
   load_well(fixture);
   int before = atomic_load(&syncs);
   atomic_store(&failing_syncs, 1);
   must_write(fixture, 1, "a", "1");
   await_sync(before);
   /* The thread may still be between the failed sync and the lock. */
   uint64_t sequence = 2;
   while (write_one(fixture, sequence, "b", "2") == KVS_OK)
      sequence++;
   atomic_store(&failing_syncs, 0);
   assert_int_equal(write_one(fixture, sequence + 1, "c", "3"), KVS_IO);
}

/* Writes beside the test's ticks. */
struct writing {
   struct fixture *fixture;
   uint64_t count;
   int code;
   atomic_uint_fast64_t written;
   atomic_bool ended;
};

static void *run_writing(void *argument)
{
   struct writing *writing = argument;
   kvs_error error = {.size = sizeof error};
   for (uint64_t i = 1; i <= writing->count && writing->code == KVS_OK; i++) {
      kvs_record effect = log_host_effect(i, "key", "value");
      writing->code = storage_log_write(writing->fixture->log, &effect, 1, i % 50 == 0, &error);
      atomic_store(&writing->written, i);
   }
   atomic_store(&writing->ended, true);
   return NULL;
}

static void writes_ticks_and_removals_go_on_side_by_side(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings = (struct storage_log_settings){STORAGE_LOG_SYNC_EVERYSEC, 4096};
   load_well(fixture);
   struct writing writing = {.fixture = fixture, .count = 3000, .code = KVS_OK};
   pthread_t thread;
   assert_int_equal(pthread_create(&thread, NULL, run_writing, &writing), 0);
   uint64_t asked = 0; /* for a segment: not at each write, which could take minutes of syncs */
   do {
      assert_int_equal(storage_log_tick(fixture->log, &fixture->error), KVS_OK);
      uint64_t written = atomic_load(&writing.written);
      if (written >= asked + 20) {
         storage_log_snapshot_taken(fixture->log, 0);
         struct storage_log_border border;
         assert_int_equal(storage_log_rotate(fixture->log, &border, &fixture->error), KVS_OK);
         assert_true(border.sequence >= written);
         asked = written;
      }
      storage_log_remove_covered(fixture->log, 500);
      assert_true(storage_log_appended(fixture->log) < 1 << 20);
   } while (!atomic_load(&writing.ended));
   pthread_join(thread, NULL);
   assert_int_equal(writing.code, KVS_OK);
   fixture->base = (struct storage_snapshot_found){true, 500, 500};
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 2500);
}

/* Writes until it is stopped, or until so many syncs have been made meanwhile that a waiter for the
 * last one would wait forever. */
#define SYNCS_BESIDE_MAX 20

static void *run_writing_on(void *argument)
{
   struct writing *writing = argument;
   kvs_error error = {.size = sizeof error};
   int before = atomic_load(&syncs);
   for (uint64_t i = 1; !atomic_load(&writing->ended) && writing->code == KVS_OK; i++) {
      kvs_record effect = log_host_effect(i, "key", "value");
      writing->code = storage_log_write(writing->fixture->log, &effect, 1, false, &error);
      atomic_store(&writing->written, i);
      if (atomic_load(&syncs) - before > SYNCS_BESIDE_MAX)
         atomic_store(&writing->ended, true);
      usleep(100);
   }
   return NULL;
}

static void segment_ends_although_writes_never_pause(void **state)
{
   struct fixture *fixture = *state;
   fixture->settings.sync = STORAGE_LOG_SYNC_NO;
   load_well(fixture);
   struct writing writing = {.fixture = fixture, .code = KVS_OK};
   pthread_t thread;
   assert_int_equal(pthread_create(&thread, NULL, run_writing_on, &writing), 0);
   while (atomic_load(&writing.written) == 0)
      sched_yield();
   int before = atomic_load(&syncs);
   atomic_store(&appended_beside, &writing.written);
   struct storage_log_border border;
   int code = storage_log_rotate(fixture->log, &border, &fixture->error);
   atomic_store(&appended_beside, NULL);
   int during = atomic_load(&syncs) - before;
   atomic_store(&writing.ended, true);
   pthread_join(thread, NULL);
   assert_int_equal(code, KVS_OK);
   assert_int_equal(writing.code, KVS_OK);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 2);
   /* One of what there was, and one of what was being appended. */
   assert_in_range(during, 1, 2);
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, atomic_load(&writing.written));
}

/* A start settles what it finds, whoever wrote it. */
static void what_was_loaded_is_told_to_be_durable(void **state)
{
   struct fixture *fixture = *state;
   static const enum storage_log_sync policies[] = {STORAGE_LOG_SYNC_ALWAYS,
                                                    STORAGE_LOG_SYNC_EVERYSEC, STORAGE_LOG_SYNC_NO};
   uint64_t sequence = 0;
   load_well(fixture);
   assert_int_equal(atomic_load(&fixture->host.synced_to), 0); /* there is nothing yet */
   for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
      fixture->settings.sync = STORAGE_LOG_SYNC_NO;
      load_well(fixture);
      must_write(fixture, ++sequence, "k", "v");
      must_write(fixture, ++sequence, "k", "w");
      shut(fixture);
      atomic_store(&fixture->host.synced_to, 0);
      fixture->settings.sync = policies[i];
      load_well(fixture);
      /* Where the policy is to sync nothing, nothing is told. */
      assert_int_equal(atomic_load(&fixture->host.synced_to),
                       policies[i] == STORAGE_LOG_SYNC_NO ? 0 : sequence);
   }
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       LOG_CASE(batch_is_one_sync_and_only_where_it_must_be),
       LOG_CASE(failed_read_is_no_damage_and_changes_nothing),
       LOG_CASE(segment_is_synced_before_the_next_begins),
       LOG_CASE(nothing_is_taken_after_a_failed_sync),
       LOG_CASE(everysec_syncs_an_idle_tail),
       LOG_CASE(what_is_written_during_a_sync_is_not_covered_by_it),
       LOG_CASE(failed_sync_of_the_thread_is_met_by_the_next_write),
       LOG_CASE(writes_ticks_and_removals_go_on_side_by_side),
       LOG_CASE(what_was_loaded_is_told_to_be_durable),
       LOG_CASE(segment_ends_although_writes_never_pause),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
