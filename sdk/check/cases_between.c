/* What the host may do between two hooks, each case provoked, and not left to a race. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"
#include "sdk/check/spy.h"

#include <stdio.h>
#include <string.h>

static struct workload between_workload(const struct check_subject *subject)
{
   return (struct workload){.seed = subject->seed,
                            .keys = 40,
                            .run_min = 2,
                            .run_max = 6,
                            .joined_percent = 30,
                            .value_max = 300};
}

static void add_group(const struct driver *driver, struct batch *batch, uint64_t group)
{
   const struct workload workload = between_workload(driver->subject);
   uint64_t sequence = 0; /* numbered when it is written */
   batch_add_group(batch, &sequence, &workload, group);
}

static void write_groups(struct driver *driver, uint64_t first, uint64_t count)
{
   struct batch batch = {0};
   for (uint64_t group = first; group < first + count; group++) {
      add_group(driver, &batch, group);
      driver_write(driver, &batch);
      batch_reset(&batch);
   }
   batch_deinit(&batch);
}

/* ---- Between on_write and the publication -------------------------------------------------- */

/* on_write takes the group; then come the ticks, P or C, before any view holds it. */
static void hold_back(struct driver *driver, uint64_t group, const char *ticks)
{
   struct batch batch = {0};
   add_group(driver, &batch, group);
   driver_take(driver, &batch);
   for (; *ticks; ticks++)
      driver_tick(driver, *ticks == 'C' ? KVS_TICK_CHECKPOINT : KVS_TICK_PERIODIC);
   driver_publish(driver, &batch);
   batch_deinit(&batch);
}

void case_unpublished(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "unpublished");
   hold_back(&driver, 0, "CC"); /* the very first one: the view is of sequence 0 */
   driver_reload(&driver);
   hold_back(&driver, 1, "CC");
   driver_reload(&driver);
   for (uint64_t group = 2; group < 60; group++) {
      static const char *const ticks[] = {"", "C", "PCPC", "CCC", "P"};
      hold_back(&driver, group, ticks[group % 5]);
      if (group % 7 == 0)
         driver_reload(&driver);
   }
   driver_reload(&driver);
   driver_end(&driver);
}

/* ---- Between the taking of a view and on_tick ---------------------------------------------- */

/* A plug-in that keeps checkpoints comes back with this one, or with a later state. */
static void check_checkpoint(struct driver *driver, struct kv_store *checkpoint)
{
   struct kv_store *latest = driver->store;
   driver->store = NULL;
   driver_close(driver);
   driver_open(driver);
   char difference[512];
   uint64_t sequence = model_sequence(driver->store);
   if (sequence < model_sequence(checkpoint))
      check_fail("a finished checkpoint is gone after a kill");
   if (sequence == model_sequence(checkpoint) &&
       !model_equal(driver->subject->plugin, checkpoint, driver->store, difference,
                    sizeof difference))
      check_fail("after a checkpoint that writes had passed, and a kill: %s", difference);
   kv_store_destroy(latest);
}

void case_behind(const struct check_subject *subject)
{
   struct driver driver;
   driver_begin(&driver, subject, "behind");
   for (uint64_t round = 0; round < 4; round++) {
      write_groups(&driver, round * 40, 10);
      struct kv_store *checkpoint = model_copy(driver.store);
      struct kv_store_view *view = driver_view(&driver);
      write_groups(&driver, round * 40 + 10, 30);
      driver_tick_view(&driver, round % 2 == 0 ? KVS_TICK_CHECKPOINT : KVS_TICK_PERIODIC, view);
      driver_tick_view(&driver, KVS_TICK_CHECKPOINT, view);
      kv_store_view_destroy(view);
      if (subject->plugin->promise == KVS_DURABLE)
         driver_reload(&driver);
      else
         check_checkpoint(&driver, checkpoint);
      kv_store_destroy(checkpoint);
   }
   driver_end(&driver);
}

/* ---- A switch ------------------------------------------------------------------------------ */

/* The data of another mode: written past this instance. */
static void write_past(struct driver *driver, uint64_t groups)
{
   struct batch batch = {0};
   const struct workload workload = between_workload(driver->subject);
   uint64_t sequence = 0;
   for (uint64_t group = 0; group < groups; group++)
      batch_add_group(&batch, &sequence, &workload, group);
   driver_publish(driver, &batch);
   batch_deinit(&batch);
}

/* It is given `count` batches and some ticks before its first checkpoint, whose view has none of
 * them. They set and delete what the view has. */
static void attach(const struct check_subject *subject, const char *name, uint64_t count,
                   const char *ticks)
{
   struct driver driver;
   driver_begin(&driver, subject, name);
   write_past(&driver, 60);
   struct kv_store_view *view = driver_view(&driver);
   write_groups(&driver, 60, count);
   driver_tick_view(&driver, KVS_TICK_CHECKPOINT, view);
   kv_store_view_destroy(view);
   hold_back(&driver, 60 + count, ticks);
   driver_reload(&driver);
   write_groups(&driver, 61 + count, 3);
   driver_reload(&driver);
   driver_end(&driver);
}

void case_attach(const struct check_subject *subject)
{
   attach(subject, "idle", 0, "");
   attach(subject, "one", 1, "C");
   attach(subject, "few", 5, "PPP"); /* most keys of the view stay as it has them */
   attach(subject, "many", 50, "PCC");
   attach(subject, "shadow", 50, "PPP");
}

/* ---- A view that is read ------------------------------------------------------------------- */

void case_short_reads(const struct check_subject *subject)
{
   spy.short_reads = true;
   struct driver driver;
   driver_begin(&driver, subject, "short");
   write_past(&driver, 60); /* only the view has the data */
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_reload(&driver);
   driver_end(&driver);
}

/* The host is at fault here, so nothing is asked of the data. But a plug-in never ends its host: a
 * hook can return an error. */
void case_view_size(const struct check_subject *subject)
{
   spy.understates_view = true;
   struct driver driver;
   struct kv_status status;
   driver_begin(&driver, subject, "view-size");
   write_groups(&driver, 0, 20);
   static const uint32_t reasons[] = {KVS_TICK_PERIODIC, KVS_TICK_CHECKPOINT, KVS_TICK_SHUTDOWN};
   for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
      (void)driver_try_tick(&driver, reasons[i], &status);
   driver_close(&driver);
   driver_end(&driver);
}

/* ---- A load that the host ends ------------------------------------------------------------- */

/* Refuses the `nth` record that on_load hands over. False when there are fewer. */
static bool refuse_load(struct driver *driver, uint64_t nth, int result, enum kv_code expected)
{
   struct kv_status status;
   struct kv_store *kept = driver->store;
   driver->store = NULL;
   driver_close(driver);
   spy.refuse_load_at = nth;
   spy.refuse_load_with = result;
   spy.load_refused = false;
   enum kv_code code = driver_try_open(driver, &status);
   spy.refuse_load_at = 0;
   if (spy.load_refused && code != expected)
      check_fail(
          "host->load has refused a record with code %d, and on_load %s; it must give up and "
          "return that code",
          result, code == KV_OK ? "returns KVS_OK" : status.text);
   if (code == KV_OK)
      driver_close(driver);
   driver_open_and_compare(driver, kept, "a load that the host ended, and a restart");
   kv_store_destroy(kept);
   return spy.load_refused;
}

void case_load_refused(const struct check_subject *subject)
{
   static const struct {
      uint64_t nth;
      int result;
      enum kv_code expected;
   } refusals[] = {{1, KVS_IO, KV_UNAVAILABLE},
                   {2, KVS_CORRUPT, KV_DATA_LOSS},
                   {7, KVS_NO_SPACE, KV_RESOURCE_EXHAUSTED}};
   struct driver driver;
   spy.refuse_load_at = UINT64_MAX; /* the stand-in has to be there from the first instance on */
   driver_begin(&driver, subject, "refused");
   write_groups(&driver, 0, 20);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   write_groups(&driver, 20, 20);
   if (subject->plugin->promise != KVS_DURABLE)
      driver_tick(&driver, KVS_TICK_CHECKPOINT);
   for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
      if (!refuse_load(&driver, refusals[i].nth, refusals[i].result, refusals[i].expected))
         check_fail("on_load hands over fewer than %llu records, and more are kept",
                    (unsigned long long)refusals[i].nth);
   driver_end(&driver);
}
