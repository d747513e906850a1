/* A disk that fails. What the fault library does not see cannot be made to fail; a case that made
 * nothing fail says so. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"
#include "sdk/check/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct workload disk_workload(const struct check_subject *subject)
{
   return (struct workload){.seed = subject->seed,
                            .keys = 60,
                            .run_min = 2,
                            .run_max = 20,
                            .joined_percent = 40,
                            .value_max = 2000};
}

struct disk {
   struct driver driver;
   struct workload workload;
   uint64_t next_group;
   bool failed; /* on_write said so: the instance is given no further batch */
};

static void begin(struct disk *disk, const struct check_subject *subject, const char *what,
                  uint64_t n)
{
   char name[64];
   snprintf(name, sizeof name, "%.40s-%" PRIu64, what, n);
   *disk = (struct disk){.workload = disk_workload(subject)};
   driver_begin(&disk->driver, subject, name);
   faults_watch(disk->driver.directory);
}

static enum kv_code write_group(struct disk *disk, uint32_t flags, struct kv_status *status)
{
   struct batch batch = {0};
   uint64_t sequence = 0;
   batch_add_group(&batch, &sequence, &disk->workload, disk->next_group++);
   enum kv_code code = driver_try_write(&disk->driver, &batch, flags, status);
   batch_deinit(&batch);
   if (code != KV_OK && strstr(status->text, "gave no reason"))
      check_fail("on_write fails without a reason: fill in error->text");
   if (code != KV_OK && code != KV_RESOURCE_EXHAUSTED && code != KV_UNAVAILABLE)
      check_fail("on_write may fail with KVS_NO_SPACE or KVS_IO, but: %s", status->text);
   disk->failed |= code == KV_UNAVAILABLE;
   return code;
}

static void must_write(struct disk *disk, const char *when)
{
   struct kv_status status;
   if (write_group(disk, 0, &status) != KV_OK)
      check_fail("%s on_write still fails: %s", when, status.text);
}

/* The state is that of the model, or, after KVS_IO, the rejected batch may be there on top. */
static void check_kept(struct disk *disk, const char *what)
{
   struct driver *driver = &disk->driver;
   struct kv_store *expected = driver->store;
   driver->store = NULL;
   if (!disk->failed) {
      driver_open_and_compare(driver, expected, what);
      kv_store_destroy(expected);
      return;
   }
   char difference[512];
   driver_open(driver);
   if (!model_equal(driver->subject->plugin, expected, driver->store, difference,
                    sizeof difference)) {
      uint64_t sequence = model_sequence(expected);
      struct batch batch = {0};
      batch_add_group(&batch, &sequence, &disk->workload, disk->next_group - 1);
      model_apply(expected, batch.records, batch.count);
      batch_deinit(&batch);
      char other[512];
      if (!model_equal(driver->subject->plugin, expected, driver->store, other, sizeof other))
         check_fail("after %s: %s", what, difference);
   }
   kv_store_destroy(expected);
}

/* ---- No space ------------------------------------------------------------------------------ */

/* Writes until something fails, at most `count` groups. */
static void write_into_fault(struct disk *disk, int count)
{
   struct kv_status status;
   enum kv_code code = KV_OK;
   for (int i = 0; code == KV_OK && i < count; i++)
      code = write_group(disk, KVS_WRITE_SYNC, &status);
   if (code == KV_RESOURCE_EXHAUSTED)
      write_group(disk, 0, &status); /* stays open, and may fail again */
}

/* A tick must not write what was refused. An instance that has failed gets one more tick when the
 * server ends before a fresh one has taken over. */
static void tick_after_failure(struct disk *disk, uint64_t n)
{
   struct kv_status status;
   if (disk->failed) {
      check_context(", after on_write has failed");
      driver_try_tick(&disk->driver, KVS_TICK_SHUTDOWN, &status);
      check_context("%s", "");
   } else
      driver_tick(&disk->driver, n % 2 == 0 ? KVS_TICK_CHECKPOINT : KVS_TICK_PERIODIC);
}

static bool fill_in_write(const struct check_subject *subject, uint64_t n)
{
   struct disk disk;
   begin(&disk, subject, "write", n);
   for (int i = 0; i < 3; i++)
      must_write(&disk, "before the disk is full");
   faults_arm(FAULT_WRITE, FAULT_FAIL, ENOSPC, n);
   write_into_fault(&disk, 20);
   bool hit = faults_hits() > 0;
   faults_heal();
   tick_after_failure(&disk, n);
   for (int i = 0; !disk.failed && i < 3; i++)
      must_write(&disk, "with space on the disk again,");
   if (subject->plugin->promise != KVS_DURABLE)
      driver_tick(&disk.driver, KVS_TICK_CHECKPOINT);
   driver_close(&disk.driver);
   check_kept(&disk, "a full disk and a restart");
   driver_end(&disk.driver);
   return hit;
}

/* A state that the workload went through, not older than `least`. */
static void check_state(struct disk *disk, uint64_t least, const char *what)
{
   struct model model;
   char difference[512];
   driver_open(&disk->driver);
   uint64_t sequence = model_sequence(disk->driver.store);
   if (sequence < least)
      check_fail("after %s it came back with sequence %" PRIu64 ", and %" PRIu64 " was promised",
                 what, sequence, least);
   model_begin(&model, &disk->workload);
   if (!model_move_to(&model, sequence))
      check_fail("after %s it came back with sequence %" PRIu64
                 ", which is within a joined run or beyond the last batch",
                 what, sequence);
   if (!model_equal(disk->driver.subject->plugin, model.store, disk->driver.store, difference,
                    sizeof difference))
      check_fail("after %s: %s", what, difference);
   model_end(&model);
}

/* Whether there was a sync since there were `before`, and none succeeded. A single failed one may
 * be of housekeeping, which loses nothing. */
static bool all_syncs_failed(uint64_t before)
{
   return faults_hits() > 0 && faults_hits() == faults_count(FAULT_SYNC) - before;
}

static void check_tick_code(enum kv_code code, const struct kv_status *status, bool sync_failed)
{
   if (code != KV_OK && code != KV_RESOURCE_EXHAUSTED && code != KV_UNAVAILABLE)
      check_fail("on_tick may fail with KVS_NO_SPACE or KVS_IO, but: %s", status->text);
   if (code != KV_OK && strstr(status->text, "gave no reason"))
      check_fail("on_tick fails without a reason: fill in error->text");
   if (code == KV_OK && sync_failed)
      check_fail("on_tick reports a finished checkpoint although nothing could be synced");
}

/* Writes that come after a checkpoint that failed, until one is refused. */
static void write_on(struct disk *disk)
{
   struct kv_status status;
   for (int i = 0; i < 3 && write_group(disk, 0, &status) == KV_OK; i++) {
   }
}

/* The tick that fails from its n-th call on, and what is left when the server then dies. True when
 * there was such a call. */
struct bad_tick {
   uint32_t reason, kinds; /* KVS_TICK_*, FAULT_* */
   int error;
   uint64_t n;
};

static bool fail_in_tick(const struct check_subject *subject, const struct bad_tick *bad)
{
   struct disk disk;
   struct kv_status status;
   char name[40];
   snprintf(name, sizeof name, "tick-%u-%u", bad->reason, bad->kinds);
   begin(&disk, subject, name, bad->n);
   for (int i = 0; i < 5; i++)
      must_write(&disk, "before a checkpoint");
   driver_tick(&disk.driver, KVS_TICK_CHECKPOINT);
   uint64_t least = model_sequence(disk.driver.store);
   for (int i = 0; i < 5; i++)
      must_write(&disk, "after a checkpoint");
   uint64_t syncs = faults_count(FAULT_SYNC);
   faults_before_power_cut();
   faults_arm(bad->kinds, FAULT_FAIL, bad->error, bad->n);
   enum kv_code code = driver_try_tick(&disk.driver, bad->reason, &status);
   bool hit = faults_hits() > 0;
   faults_heal();
   check_tick_code(code, &status, (bad->kinds & FAULT_SYNC) && all_syncs_failed(syncs));
   if (code == KV_OK)
      least = model_sequence(disk.driver.store);
   else if (bad->reason == KVS_TICK_CHECKPOINT && bad->n % 2 == 1)
      write_on(&disk);
   else if (bad->reason == KVS_TICK_CHECKPOINT && bad->error == ENOSPC) {
      driver_tick(&disk.driver, KVS_TICK_CHECKPOINT); /* space again: it must succeed */
      least = model_sequence(disk.driver.store);
   }
   if (subject->plugin->promise == KVS_DURABLE)
      least = model_sequence(disk.driver.store);
   driver_close(&disk.driver);
   bool cut = code == KV_OK && faults_power_cut() > 0;
   check_state(
       &disk, least,
       cut ? "a checkpoint that was reported as done although the sync of a file failed, and "
             "a power cut"
           : "a checkpoint that met a failing disk, and a restart");
   driver_end(&disk.driver);
   return hit;
}

/* A checkpoint, and that of an orderly end. */
static bool fail_in_ticks(const struct check_subject *subject, uint32_t kinds, int error,
                          uint64_t n)
{
   struct bad_tick bad = {.reason = KVS_TICK_CHECKPOINT, .kinds = kinds, .error = error, .n = n};
   bool hit = fail_in_tick(subject, &bad);
   bad.reason = KVS_TICK_SHUTDOWN;
   return fail_in_tick(subject, &bad) || hit;
}

enum { CALLS_MAX = 12 };

/* Tries `fault` at each call until there is none left to fail. */
static bool fail_each(bool (*fault)(const struct check_subject *subject, uint64_t n),
                      const struct check_subject *subject)
{
   bool any = false;
   for (uint64_t n = 1; n <= CALLS_MAX && fault(subject, n); n++)
      any = true;
   return any;
}

static bool fill_in_tick(const struct check_subject *subject, uint64_t n)
{
   return fail_in_ticks(subject, FAULT_WRITE, ENOSPC, n);
}

void case_disk_full(const struct check_subject *subject)
{
   bool in_write = fail_each(fill_in_write, subject);
   bool in_tick = fail_each(fill_in_tick, subject);
   if (!in_write && !in_tick)
      check_skip("it writes in ways that the fault library does not see");
}

/* ---- Syncs --------------------------------------------------------------------------------- */

/* Files opened O_SYNC or O_DSYNC need no call. */
static bool has_synchronous_file(void)
{
   bool found = false;
   for (int fd = 3; fd < 1024; fd++) {
      int flags = fcntl(fd, F_GETFL);
      found |= flags >= 0 && (flags & O_DSYNC);
   }
   return found;
}

/* For a durable plug-in a batch, for others a checkpoint. */
static void must_sync(struct disk *disk, bool durable)
{
   struct kv_status status;
   uint64_t before = faults_count(FAULT_SYNC);
   if (write_group(disk, KVS_WRITE_SYNC, &status) != KV_OK)
      check_fail("on_write fails: %s", status.text);
   if (!durable)
      driver_tick(&disk->driver, KVS_TICK_CHECKPOINT);
   if (has_synchronous_file())
      check_skip("it has a file open that is synchronous by itself");
   if (faults_count(FAULT_SYNC) == before)
      check_fail("%s returns KVS_OK and has synced nothing: a power cut would lose the data",
                 durable ? "on_write with KVS_WRITE_SYNC" : "on_tick with KVS_TICK_CHECKPOINT");
}

void case_sync(const struct check_subject *subject)
{
   struct disk disk;
   begin(&disk, subject, "sync", 0);
   for (int i = 0; i < 10; i++)
      must_sync(&disk, subject->plugin->promise == KVS_DURABLE);
   driver_reload(&disk.driver);
   driver_end(&disk.driver);
}

static bool fail_sync_in_write(const struct check_subject *subject, uint64_t n)
{
   struct disk disk;
   struct kv_status status;
   begin(&disk, subject, "write-sync", n);
   for (int i = 0; i < 3; i++)
      must_write(&disk, "before a sync fails");
   faults_arm(FAULT_SYNC, FAULT_FAIL, EIO, n);
   enum kv_code code = KV_OK;
   uint64_t syncs = 0;
   for (int i = 0; code == KV_OK && faults_hits() == 0 && i < 8; i++) {
      syncs = faults_count(FAULT_SYNC);
      code = write_group(&disk, KVS_WRITE_SYNC, &status);
   }
   bool hit = faults_hits() > 0;
   if (code == KV_OK && subject->plugin->promise == KVS_DURABLE && all_syncs_failed(syncs))
      check_fail("on_write with KVS_WRITE_SYNC returns KVS_OK although its sync failed");
   faults_heal();
   tick_after_failure(&disk, n);
   if (!disk.failed)
      must_write(&disk, "after a failed sync, with the disk sound again,");
   if (subject->plugin->promise != KVS_DURABLE)
      driver_tick(&disk.driver, KVS_TICK_CHECKPOINT);
   driver_close(&disk.driver);
   check_kept(&disk, "a failed sync and a restart");
   driver_end(&disk.driver);
   return hit;
}

static bool fail_sync_in_tick(const struct check_subject *subject, uint64_t n)
{
   return fail_in_ticks(subject, FAULT_SYNC, EIO, n);
}

void case_sync_fails(const struct check_subject *subject)
{
   bool in_write = fail_each(fail_sync_in_write, subject);
   bool in_tick = fail_each(fail_sync_in_tick, subject);
   if (!in_write && !in_tick)
      check_skip("it syncs in ways that the fault library does not see");
}
