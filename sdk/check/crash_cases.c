/* The cases that kill, and what the killed processes do. */
#include "sdk/check/crash.h"
#include "sdk/check/driver.h"
#include "sdk/check/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct workload mixed_workload(const struct check_subject *subject)
{
   return (struct workload){.seed = subject->seed,
                            .keys = 200,
                            .run_min = 2,
                            .run_max = 12,
                            .joined_percent = 30,
                            .value_max = 400};
}

/* Joined runs of many large records, so that an end finds one half written. */
static struct workload joined_workload(const struct check_subject *subject)
{
   return (struct workload){.seed = subject->seed,
                            .keys = 500,
                            .run_min = 40,
                            .run_max = WORKLOAD_RUN_MAX,
                            .joined_percent = 100,
                            .value_max = 3000};
}

static void pause_us(uint64_t us)
{
   struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
   while (nanosleep(&left, &left) != 0 && errno == EINTR) {
   }
}

/* ---- After the kill ------------------------------------------------------------------------ */

/* The state that is left must be one that the workload went through, not older than promised. */
static void check_rest(struct crash *crash, struct model *model, uint64_t least, const char *when)
{
   const struct crash_progress *progress = crash->progress;
   uint64_t attempted = progress->attempted;
   struct driver driver;
   char difference[512];
   driver_begin_over(&driver, crash->subject, crash->directory, crash->resumed);
   crash->resumed = true;
   uint64_t sequence = model_sequence(driver.store);
   if (sequence < least)
      check_fail("killed %s, it came back with sequence %" PRIu64 ", and %" PRIu64
                 " was %s before: %" PRIu64 " acknowledged effects are lost",
                 when, sequence, least,
                 crash->subject->plugin->promise == KVS_DURABLE ? "acknowledged"
                                                                : "in a finished checkpoint",
                 least - sequence);
   if (attempted > 0 && sequence > attempted)
      check_fail("killed %s, it came back with sequence %" PRIu64 ", and no batch went beyond "
                 "%" PRIu64,
                 when, sequence, attempted);
   if (!model_move_to(model, sequence))
      check_fail("killed %s, it came back with sequence %" PRIu64 ", which is in the middle of a "
                 "joined run: of its records either all are kept or none",
                 when, sequence);
   if (!model_equal(crash->subject->plugin, model->store, driver.store, difference,
                    sizeof difference))
      check_fail("killed %s, it came back with another state than the one at the sequence that it "
                 "declares (%" PRIu64 "): %s",
                 when, sequence, difference);
   driver_end(&driver);
}

static uint64_t promised(const struct crash *crash, uint64_t before)
{
   uint64_t kept = crash->subject->plugin->promise == KVS_DURABLE ? crash->progress->acked
                                                                  : crash->progress->checkpoint;
   return kept > before ? kept : before;
}

/* ---- Cases --------------------------------------------------------------------------------- */

static void wait_for_acks(struct crash *crash, uint64_t sequence)
{
   while (crash->progress->acked < sequence && !crash->progress->finished)
      pause_us(200);
}

void crash_case_kill(const struct check_subject *subject)
{
   struct workload workload = mixed_workload(subject);
   struct crash crash;
   struct model model;
   uint64_t random = subject->seed, least = 0;
   crash_begin(&crash, subject);
   model_begin(&model, &workload);
   crash_make_directory(&crash, "killed");
   crash_start(&crash, "acknowledged", model.groups);
   crash_wait(&crash);
   check_rest(&crash, &model, promised(&crash, 0), "right after an acknowledgement");
   least = model_sequence(model.store);
   for (unsigned round = 0; round < subject->rounds; round++) {
      char when[64];
      snprintf(when, sizeof when, "in round %u", round + 1);
      crash_start(&crash, "mixed", model.groups);
      /* Some die while they open and load, most while they write. */
      if (round % 4 != 3)
         wait_for_acks(&crash, model_sequence(model.store) + 1 + workload_random(&random) % 400);
      pause_us(workload_random(&random) % 20000);
      crash_kill(&crash);
      least = promised(&crash, least);
      check_rest(&crash, &model, least, when);
      least = model_sequence(model.store);
   }
   model_end(&model);
}

/* The worker dies at the n-th call of one on_write, for each n until it no longer comes to it. */
static void tear_each_call(struct crash *crash, struct workload *workload)
{
   for (uint64_t n = 1; n <= 40; n++) {
      struct model model;
      char name[32], when[64];
      snprintf(name, sizeof name, "torn-%" PRIu64, n);
      snprintf(when, sizeof when, "in write call %" PRIu64 " of a joined batch", n);
      crash_make_directory(crash, name);
      crash_start(crash, "torn", n);
      crash_wait(crash);
      model_begin(&model, workload);
      check_rest(crash, &model, promised(crash, 0), when);
      model_end(&model);
      if (crash->progress->finished)
         break;
   }
}

void crash_case_joined(const struct check_subject *subject)
{
   struct workload workload = joined_workload(subject);
   struct crash crash;
   struct model model;
   uint64_t random = subject->seed, least = 0;
   crash_begin(&crash, subject);
   if (faults_available())
      tear_each_call(&crash, &workload);
   crash_make_directory(&crash, "killed");
   model_begin(&model, &workload);
   for (unsigned round = 0; round < subject->rounds / 2 + 1; round++) {
      crash_start(&crash, "joined", model.groups);
      wait_for_acks(&crash, model_sequence(model.store) + 1);
      pause_us(workload_random(&random) % 10000);
      crash_kill(&crash);
      least = promised(&crash, least);
      check_rest(&crash, &model, least, "while joined batches were written");
      least = model_sequence(model.store);
   }
   model_end(&model);
}

/* ---- In the worker ------------------------------------------------------------------------- */

struct work {
   struct driver driver;
   struct workload workload;
   struct crash_progress *progress;
   uint64_t next_group;
   uint64_t number; /* what the case gave */
};

/* Writes groups in batches of 1 to `groups_max`. */
static void write_batch(struct work *work, uint64_t *random, unsigned groups_max)
{
   struct batch batch = {0};
   struct kv_status status;
   uint64_t sequence = model_sequence(work->driver.store);
   unsigned groups = 1 + (unsigned)(workload_random(random) % groups_max);
   for (unsigned i = 0; i < groups; i++)
      batch_add_group(&batch, &sequence, &work->workload, work->next_group++);
   work->progress->attempted = sequence;
   if (driver_try_write(&work->driver, &batch, 0, &status) != KV_OK)
      check_fail("on_write refuses a batch of %zu records: %s", batch.count, status.text);
   work->progress->acked = sequence;
   batch_deinit(&batch);
}

/* The batch whose writes are torn. That a write was short may be reported, and ends the plug-in's
 * work as well as a kill does. */
static void write_torn_batch(struct work *work)
{
   struct batch batch = {0};
   struct kv_status status;
   uint64_t sequence = model_sequence(work->driver.store);
   batch_add_group(&batch, &sequence, &work->workload, work->next_group);
   work->progress->attempted = sequence;
   enum kv_code code = driver_try_write(&work->driver, &batch, 0, &status);
   if (code == KV_OK && work->driver.subject->plugin->promise != KVS_DURABLE)
      code = driver_try_tick(&work->driver, KVS_TICK_CHECKPOINT, &status);
   if (code != KV_OK)
      _exit(0);
   work->progress->acked = sequence;
}

/* The control thread of the worker. */
static void *tick_for_ever(void *argument)
{
   struct work *work = argument;
   struct kv_status status;
   for (uint64_t count = 0;; count++) {
      uint32_t reason = count % 3 == 0 ? KVS_TICK_CHECKPOINT : KVS_TICK_PERIODIC;
      struct kv_store_view *view = kv_store_view_create(work->driver.store);
      uint64_t sequence = kv_version_sequence(kv_store_view_version(view));
      if (kv_instance_tick(work->driver.instance, reason, view, &status) != KV_OK)
         check_fail("on_tick fails: %s", status.text);
      kv_store_view_destroy(view);
      if (reason == KVS_TICK_CHECKPOINT)
         work->progress->checkpoint = sequence;
      pause_us(2000);
   }
   return NULL;
}

static void work_until_killed(struct work *work, unsigned groups_max)
{
   pthread_t ticks;
   uint64_t random = work->workload.seed + work->next_group;
   if (pthread_create(&ticks, NULL, tick_for_ever, work) != 0)
      check_broken("no thread");
   for (;;) {
      write_batch(work, &random, groups_max);
      /* A plug-in that does not wait for a disk would write more than is worth reading. */
      if (work->next_group % 64 < groups_max)
         pause_us(1000);
   }
}

/* Dies with no tick since the last acknowledgement, whatever else the machine does: a kill from
 * outside may come when a checkpoint has just made good for what on_write did not. */
static void work_until_acknowledged(struct work *work)
{
   uint64_t random = work->workload.seed;
   for (int i = 0; i < 3; i++)
      write_batch(work, &random, 5);
   kill(getpid(), SIGKILL);
}

static void work_until_torn(struct work *work)
{
   uint64_t random = work->workload.seed;
   for (int i = 0; i < 3; i++)
      write_batch(work, &random, 1);
   driver_tick(&work->driver, KVS_TICK_CHECKPOINT);
   work->progress->checkpoint = work->progress->acked;
   faults_watch(work->driver.directory);
   faults_arm(FAULT_WRITE | FAULT_SYNC | FAULT_RENAME, FAULT_TEAR_THEN_KILL, 0, work->number);
   write_torn_batch(work);
   work->progress->finished = 1;
   _exit(0);
}

static struct crash_progress *map_progress(int fd)
{
   struct crash_progress *progress =
       mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
   if (progress == MAP_FAILED)
      check_broken("no shared memory: %s", strerror(errno));
   close(fd);
   return progress;
}

void crash_work(const char *worker, struct check_subject *subject, const char *argument)
{
   struct work work = {0};
   char *end;
   int fd = (int)strtol(argument, &end, 10);
   work.number = strtoull(end, &end, 10);
   work.progress = map_progress(fd);
   bool resumed = strtol(end, &end, 10) != 0;
   driver_begin_over(&work.driver, subject, end + 1, resumed);
   work.progress->opened = 1;
   bool torn = strcmp(worker, "torn") == 0;
   bool joined = torn || strcmp(worker, "joined") == 0;
   work.workload = joined ? joined_workload(subject) : mixed_workload(subject);
   work.next_group = torn ? 0 : work.number;
   if (torn)
      work_until_torn(&work);
   if (strcmp(worker, "acknowledged") == 0)
      work_until_acknowledged(&work);
   work_until_killed(&work, joined ? 2 : 5);
   _exit(3);
}
