/* Checkpoints, threads, switches. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"
#include "sdk/check/spy.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct workload *usual_workload(const struct check_subject *subject)
{
   static struct workload workload;
   workload = (struct workload){.seed = subject->seed,
                                .keys = 150,
                                .run_min = 2,
                                .run_max = 6,
                                .joined_percent = 20,
                                .value_max = 300};
   return &workload;
}

static void write_groups(struct driver *driver, uint64_t first, uint64_t count)
{
   struct batch batch = {0};
   uint64_t sequence = 0;
   for (uint64_t group = first; group < first + count; group++) {
      batch_add_group(&batch, &sequence, usual_workload(driver->subject), group);
      driver_write(driver, &batch);
      batch_reset(&batch);
   }
   batch_deinit(&batch);
}

void case_checkpoint(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "checkpoint");
   driver_tick(&driver, KVS_TICK_CHECKPOINT); /* of nothing */
   driver_reload(&driver);
   for (uint64_t round = 0; round < 3; round++) {
      write_groups(&driver, round * 30, 30);
      driver_tick(&driver, KVS_TICK_CHECKPOINT);
      struct kv_store *expected = model_copy(driver.store);
      driver_close(&driver); /* abandoned: only the checkpoint counts */
      driver_open_and_compare(&driver, expected, "a checkpoint and a kill");
      kv_store_destroy(expected);
   }
   driver_tick(&driver, KVS_TICK_PERIODIC);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_tick(&driver, KVS_TICK_CHECKPOINT); /* of what is there already */
   write_groups(&driver, 90, 10);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_reload(&driver);
   driver_end(&driver);
}

void case_shutdown(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "shutdown");
   for (uint64_t round = 0; round < 3; round++) {
      write_groups(&driver, round * 20, 20);
      driver_tick(&driver, KVS_TICK_SHUTDOWN);
      driver_close(&driver);
      struct kv_store *expected = driver.store;
      driver.store = NULL;
      if (subject->plugin->promise == KVS_VOLATILE)
         driver_open(&driver);
      else
         driver_open_and_compare(&driver, expected, "an orderly end");
      kv_store_destroy(expected);
   }
   driver_end(&driver);
}

/* ---- on_tick beside on_write --------------------------------------------------------------- */

struct writer {
   struct driver *driver;
   uint64_t first, count; /* groups */
   atomic_bool done;
};

static void *write_all(void *argument)
{
   struct writer *writer = argument;
   write_groups(writer->driver, writer->first, writer->count);
   atomic_store(&writer->done, true);
   return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
   if (pthread_create(thread, NULL, run, argument) != 0)
      check_broken("no thread");
}

void case_ticks_beside_writes(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "beside");
   for (uint64_t round = 0; round < 3; round++) {
      pthread_t thread;
      struct writer writer = {.driver = &driver, .first = round * 300, .count = 300};
      struct kv_status status;
      start(&thread, write_all, &writer);
      for (unsigned i = 0; !atomic_load(&writer.done); i++) {
         uint32_t reason = i % 2 == 0 ? KVS_TICK_CHECKPOINT : KVS_TICK_PERIODIC;
         if (driver_try_tick(&driver, reason, &status) != KV_OK)
            check_fail("on_tick fails beside on_write: %s", status.text);
      }
      pthread_join(thread, NULL);
      if (subject->plugin->promise != KVS_VOLATILE)
         driver_reload(&driver);
   }
   driver_end(&driver);
}

/* ---- Threads ------------------------------------------------------------------------------- */

/* on_write on one commit thread, or with KVS_PLUGIN_PROMPT on a new one for each batch. */
void case_threads(const struct check_subject *subject)
{
   bool prompt = subject->plugin->flags & KVS_PLUGIN_PROMPT;
   struct driver driver;
   driver_begin(&driver, subject, "threads");
   for (uint64_t round = 0; round < (prompt ? 30 : 1); round++) {
      pthread_t thread;
      struct writer writer = {.driver = &driver, .first = round * 10, .count = prompt ? 10 : 300};
      start(&thread, write_all, &writer);
      pthread_join(thread, NULL);
   }
   driver_tick(&driver, KVS_TICK_PERIODIC);
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&driver);
   /* The next instance has another commit thread. */
   pthread_t thread;
   struct writer writer = {.driver = &driver, .first = 500, .count = 10};
   start(&thread, write_all, &writer);
   pthread_join(thread, NULL);
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&driver);
   driver_end(&driver);
}

/* ---- Switches ------------------------------------------------------------------------------ */

/* The state that another mode has brought up: written past this instance. */
static void write_past(struct driver *driver, uint64_t groups)
{
   struct batch batch = {0};
   uint64_t sequence = 0;
   for (uint64_t group = 0; group < groups; group++)
      batch_add_group(&batch, &sequence, usual_workload(driver->subject), group);
   model_apply(driver->store, batch.records, batch.count);
   batch_deinit(&batch);
}

/* As core/control switches: the candidate is opened empty, gets every batch from then on, and a
 * checkpoint of the view at its beginning while those batches come. */
void case_switch_in(const struct check_subject *subject)
{
   struct driver driver;
   pthread_t thread;
   struct kv_status status;
   driver_begin(&driver, subject, "switch-in");
   write_past(&driver, 200);

   struct kv_store_view *view = kv_store_view_create(driver.store);
   if (!view)
      check_broken("no memory for a view");
   struct writer writer = {.driver = &driver, .first = 200, .count = 100};
   start(&thread, write_all, &writer);
   check_step("in on_tick, the checkpoint that a switch begins with");
   if (kv_instance_tick(driver.instance, KVS_TICK_CHECKPOINT, view, &status) != KV_OK)
      check_fail("the checkpoint that a switch begins with fails: %s", status.text);
   pthread_join(thread, NULL);
   kv_store_view_destroy(view);
   driver_reload(&driver);
   write_groups(&driver, 300, 20);
   driver_reload(&driver);
   driver_end(&driver);
}

/* Only the view has the data. */
void case_copies(const struct check_subject *subject)
{
   if (!(subject->plugin->flags & KVS_PLUGIN_COPIES))
      check_skip("it does not set KVS_PLUGIN_COPIES");
   spy.reuses_view = true;
   struct driver driver;
   driver_begin(&driver, subject, "copies");
   write_past(&driver, 200);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_reload(&driver);
   driver_end(&driver);
}

static void remove_directory(const char *path)
{
   char command[CHECK_PATH_SIZE + 32];
   snprintf(command, sizeof command, "exec rm -rf -- '%s'", path);
   if (system(command) != 0)
      check_broken("cannot remove %s", path);
}

void case_switch_out(const struct check_subject *subject)
{
   struct driver old, next;
   driver_begin(&old, subject, "old");
   write_groups(&old, 0, 50);
   driver_begin(&next, subject, "next");
   write_groups(&next, 0, 20);
   driver_close(&old);
   remove_directory(old.directory);
   write_groups(&next, 20, 20);
   driver_tick(&next, KVS_TICK_CHECKPOINT);
   if (subject->plugin->promise != KVS_VOLATILE)
      driver_reload(&next);
   kv_store_destroy(old.store);
   driver_end(&next);
}
