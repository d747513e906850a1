#include "storage/file.h"
#include "storage/log.h"
#include "storage/note.h"
#include "tests/support/log_host.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* Stands before the C library's: counts syncs, and fails them when a test says so. */
static atomic_int syncs, failing_syncs;
/* Where one of them waits while it is held. */
static atomic_bool holding_sync;
static sem_t sync_held, sync_released;
/* What is appended beside a sync: while it is set, each sync gives it some time to go on. */
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
#define SEGMENT_1 "aof/0000000001.log"
#define SEGMENT_2 "aof/0000000002.log"

struct fixture {
   struct log_host host;
   struct storage_log *log;
   struct storage_log_settings settings;
   struct storage_recovery_base base;
   uint64_t last_sequence;
   kvs_error error;
   char text[4096];
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   char none[512];
   log_host_init(&fixture->host);
   log_host_path(&fixture->host, "none", none);
   assert_int_equal(mkdir(none, 0700), 0);
   fixture->settings = (struct storage_log_settings){STORAGE_LOG_SYNC_ALWAYS, 10 << 20};
   fixture->error.size = sizeof fixture->error;
   atomic_store(&failing_syncs, 0);
   *state = fixture;
   return 0;
}

static void shut(struct fixture *fixture)
{
   if (fixture->log)
      storage_log_destroy(fixture->log);
   fixture->log = NULL;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   atomic_store(&failing_syncs, 0);
   shut(fixture);
   log_host_deinit(&fixture->host);
   free(fixture);
   return 0;
}

/* Opens the log as after a crash, and loads it. */
static int load(struct fixture *fixture)
{
   shut(fixture);
   log_host_forget(&fixture->host);
   assert_int_equal(
       storage_log_create(&fixture->host.host, &fixture->settings, &fixture->log, &fixture->error),
       KVS_OK);
   int code =
       storage_log_load(fixture->log, &fixture->base, &fixture->last_sequence, &fixture->error);
   log_host_loaded_text(&fixture->host, fixture->text, sizeof fixture->text);
   return code;
}

static void load_well(struct fixture *fixture)
{
   int code = load(fixture);
   if (code != KVS_OK)
      print_error("%s\n", fixture->error.text);
   assert_int_equal(code, KVS_OK);
}

static int write_one(struct fixture *fixture, uint64_t sequence, const char *key, const char *value)
{
   kvs_record effect = log_host_effect(sequence, key, value);
   return storage_log_write(fixture->log, &effect, 1, false, &fixture->error);
}

static void must_write(struct fixture *fixture, uint64_t sequence, const char *key,
                       const char *value)
{
   assert_int_equal(write_one(fixture, sequence, key, value), KVS_OK);
}

/* Where the newest record ends: the bytes of the file without the zeroes behind. */
static size_t data_size(struct fixture *fixture, const char *name)
{
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, name, &size);
   while (size > 0 && bytes[size - 1] == 0)
      size--;
   free(bytes);
   return size;
}

/* ---- Writing and reading back -------------------------------------------------------------- */

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

static void effects_that_the_snapshot_holds_are_not_loaded_again(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   must_write(fixture, 3, "c", "3");
   fixture->base = (struct storage_recovery_base){true, 2, 2};
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

/* Puts the directory back to one segment of these bytes. */
static void put_segment(struct fixture *fixture, const uint8_t *bytes, size_t size)
{
   shut(fixture);
   log_host_copy(&fixture->host, "none", "aof");
   log_host_write_file(&fixture->host, SEGMENT_1, bytes, size);
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

static void torn_bytes_are_kept_aside(void **state)
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
   /* The log does not reach what the newest snapshot is known to have held. */
   fixture->base = (struct storage_recovery_base){false, 0, 9};
   assert_int_equal(load(fixture), KVS_CORRUPT);
   uint8_t *bytes_after = log_host_read_file(&fixture->host, SEGMENT_1, &size_after);
   assert_int_equal(size_after, size);
   assert_memory_equal(bytes_after, bytes, size);
   assert_int_equal(log_host_count(&fixture->host, "aof", ".torn"), 0);
   free(bytes);
   free(bytes_after);
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

/* ---- Segments ------------------------------------------------------------------------------ */

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
   assert_int_equal(log_host_count(&fixture->host, "aof", ".log"), 2);
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
       STORAGE_RECORD_HEADER_SIZE; /* the record that says what follows is not needed any more */
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
   fixture->base = (struct storage_recovery_base){true, count - 1, count - 1};
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
   fixture->base = (struct storage_recovery_base){true, count - 1, count - 1};
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 1);
}

static void effects_that_only_a_snapshot_held_are_missed_when_it_is_gone(void **state)
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
   fixture->base = (struct storage_recovery_base){true, 3, 3};
   load_well(fixture);
   must_write(fixture, 4, "d", "4");
   load_well(fixture);
   assert_string_equal(fixture->text, "d=4 ");
   /* With only an older snapshot, 3 would be lost silently. */
   fixture->base = (struct storage_recovery_base){true, 1, 1};
   assert_int_equal(load(fixture), KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, "snapshot"));
}

static void log_that_does_not_reach_the_damaged_snapshot_is_refused(void **state)
{
   struct fixture *fixture = *state;
   load_well(fixture);
   must_write(fixture, 1, "a", "1");
   must_write(fixture, 2, "b", "2");
   fixture->base = (struct storage_recovery_base){true, 1, 2};
   load_well(fixture);
   assert_string_equal(fixture->text, "b=2 ");
   fixture->base = (struct storage_recovery_base){true, 1, 3};
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
   fixture->base = (struct storage_recovery_base){true, 100, 100};
   load_well(fixture);
   assert_string_equal(fixture->text, "b=2 ");
}

static void snapshot_without_any_log_is_refused(void **state)
{
   struct fixture *fixture = *state;
   fixture->base = (struct storage_recovery_base){true, 5, 5};
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

/* ---- No room ------------------------------------------------------------------------------- */

/* Lets files grow to `size` bytes only: what is beyond fails with EFBIG. */
static void limit_files(rlim_t size)
{
   struct rlimit limit;
   assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
   limit.rlim_cur = size;
   assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void batch_without_room_leaves_no_trace(void **state)
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

static void no_room_for_a_new_segment_leaves_the_old_one_in_use(void **state)
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

/* ---- Failed syncs -------------------------------------------------------------------------- */

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
   /* The thread may still be on its way from the failed sync to the lock. */
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
   fixture->base = (struct storage_recovery_base){true, 500, 500};
   load_well(fixture);
   assert_int_equal(fixture->host.loaded_count, 2500);
}

/* Writes until it is told to stop, or until so many syncs have been made beside it that whoever
 * waits for the last of them waits for ever. */
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

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(effects_come_back_in_order),
       CASE(log_goes_on_after_each_restart),
       CASE(files_and_directories_are_private_whatever_the_umask),
       CASE(batch_is_one_sync_and_only_where_it_must_be),
       CASE(effects_that_the_snapshot_holds_are_not_loaded_again),
       CASE(what_the_host_answers_ends_the_load),
       CASE(run_cut_at_any_byte_is_taken_as_a_whole_or_not_at_all),
       CASE(run_with_missing_pages_is_not_taken),
       CASE(torn_bytes_are_kept_aside),
       CASE(unsynced_records_behind_a_hole_do_not_make_it_damage),
       CASE(every_flipped_byte_of_a_durable_record_is_refused),
       CASE(idle_tick_protects_the_last_record_with_a_mark),
       CASE(write_after_a_mark_protects_the_mark),
       CASE(sealed_log_is_trimmed_and_protected_to_the_end),
       CASE(marked_log_gets_no_second_mark),
       CASE(restart_protects_all_that_it_loaded),
       CASE(remedy_stands_whole_at_the_end_however_long_the_text),
       CASE(refused_load_leaves_a_torn_end_where_it_is),
       CASE(failed_read_is_no_damage_and_changes_nothing),
       CASE(full_segment_is_followed_by_the_next),
       CASE(segment_is_synced_before_the_next_begins),
       CASE(batch_larger_than_a_segment_gets_one_of_its_own),
       CASE(every_flipped_byte_of_an_older_segment_is_refused),
       CASE(missing_segment_is_named),
       CASE(missing_last_segment_is_named),
       CASE(missing_first_segment_is_named_unless_a_snapshot_covers_it),
       CASE(segment_of_another_log_is_refused),
       CASE(covered_segments_are_removed_and_no_others),
       CASE(effects_that_only_a_snapshot_held_are_missed_when_it_is_gone),
       CASE(log_that_does_not_reach_the_damaged_snapshot_is_refused),
       CASE(log_that_had_a_snapshot_is_refused_without_one),
       CASE(snapshot_without_any_log_is_refused),
       CASE(interrupted_creation_of_a_segment_leaves_no_trace),
       CASE(segment_is_filled_to_its_very_size),
       CASE(batch_without_room_leaves_no_trace),
       CASE(no_room_for_a_new_segment_leaves_the_old_one_in_use),
       CASE(full_disk_does_not_keep_the_data_from_being_loaded),
       CASE(nothing_is_taken_after_a_failed_sync),
       CASE(everysec_syncs_an_idle_tail),
       CASE(what_is_written_during_a_sync_is_not_covered_by_it),
       CASE(failed_sync_of_the_thread_is_met_by_the_next_write),
       CASE(writes_ticks_and_removals_go_on_side_by_side),
       CASE(segment_ends_although_writes_never_pause),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
