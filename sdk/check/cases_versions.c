/* Versions, deletes of what has expired, and the history of the data. */
#include "sdk/check/cases.h"
#include "sdk/check/driver.h"
#include "sdk/check/spy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAR_MS INT64_C(4102444800000)

static struct workload versions_workload(const struct check_subject *subject)
{
   return (struct workload){.seed = subject->seed,
                            .keys = 60,
                            .run_min = 2,
                            .run_max = 5,
                            .joined_percent = 30,
                            .value_max = 200};
}

static void write_groups(struct driver *driver, uint64_t first, uint64_t count)
{
   const struct workload workload = versions_workload(driver->subject);
   struct batch batch = {0};
   uint64_t sequence = 0; /* numbered when it is written */
   for (uint64_t group = first; group < first + count; group++) {
      batch_add_group(&batch, &sequence, &workload, group);
      driver_write(driver, &batch);
      batch_reset(&batch);
   }
   batch_deinit(&batch);
}

/* ---- Versions ------------------------------------------------------------------------------ */

/* A checkpoint, and nothing else, whatever the plug-in promises. */
static void reload_checkpoint(struct driver *driver)
{
   driver_tick(driver, KVS_TICK_CHECKPOINT);
   struct kv_store *expected = driver->store;
   driver->store = NULL;
   driver_close(driver);
   driver_open_and_compare(driver, expected, "a checkpoint and a kill");
   kv_store_destroy(expected);
}

/* driver_open_and_compare compares the versions. */
void case_versions(const struct check_subject *subject)
{
   if (!(subject->plugin->flags & KVS_PLUGIN_VERSIONS))
      check_skip("it does not set KVS_PLUGIN_VERSIONS");
   const struct workload workload = versions_workload(subject);
   struct driver driver;
   struct batch batch = {0};
   uint64_t sequence = 0;
   driver_begin(&driver, subject, "versions");
   /* What another mode has written is in the view alone. */
   for (uint64_t group = 0; group < 40; group++)
      batch_add_group(&batch, &sequence, &workload, group);
   driver_publish(&driver, &batch);
   batch_deinit(&batch);
   reload_checkpoint(&driver);
   for (uint64_t round = 0; round < 4; round++) {
      write_groups(&driver, 40 + round * 10, 10);
      if (round % 2 == 0)
         reload_checkpoint(&driver);
      else
         driver_reload(&driver);
   }
   reload_checkpoint(&driver); /* of what has not changed */
   driver_end(&driver);
}

/* ---- Deletes of what has expired ----------------------------------------------------------- */

static void add(struct batch *batch, uint32_t kind, const char *key, uint32_t flags)
{
   uint64_t sequence = 0;
   const bool set = kind == KVS_SET;
   batch_add(batch, &sequence, kind, key, strlen(key), set ? "value" : NULL, set ? 5 : 0);
   kvs_record *record = &batch->records[batch->count - 1];
   record->flags = flags;
   record->expires_at_ms = set ? FAR_MS : 0;
}

static bool begins_with(kvs_bytes key, const char *text)
{
   return key.size >= strlen(text) && memcmp(key.data, text, strlen(text)) == 0;
}

static void check_expired(const kvs_record *record)
{
   if (!(record->flags & KVS_RECORD_EXPIRED))
      return;
   if (record->kind != KVS_DELETE || !begins_with(record->key, "expired"))
      check_fail("on_load hands over a record with KVS_RECORD_EXPIRED that was written without it "
                 "(sequence %" PRIu64 ")",
                 record->sequence);
}

void case_expired(const struct check_subject *subject)
{
   struct driver driver;
   struct batch batch = {0};
   spy.loaded = check_expired;
   driver_begin(&driver, subject, "expired");
   add(&batch, KVS_SET, "expired 1", 0);
   add(&batch, KVS_SET, "expired 2", 0);
   add(&batch, KVS_SET, "deleted", 0);
   add(&batch, KVS_SET, "stays", 0);
   driver_write(&driver, &batch);
   batch_reset(&batch);
   /* Joined with another one, and alone. */
   add(&batch, KVS_DELETE, "expired 1", KVS_RECORD_EXPIRED | KVS_RECORD_JOINED);
   add(&batch, KVS_DELETE, "deleted", 0);
   add(&batch, KVS_DELETE, "expired 2", KVS_RECORD_EXPIRED);
   driver_write(&driver, &batch);
   batch_deinit(&batch);
   driver_reload(&driver);
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   driver_reload(&driver);
   driver_end(&driver);
}

/* ---- History ------------------------------------------------------------------------------- */

/* What the host's observer is told during a load, against the workload. */
struct history {
   const struct batch *written;
   bool begun;
   uint64_t above;
   size_t next; /* of the records written */
};

static void begin_history(void *context, uint64_t sequence)
{
   struct history *history = context;
   history->begun = true;
   history->above = sequence;
   history->next = 0;
   while (history->next < history->written->count &&
          history->written->records[history->next].sequence <= sequence)
      history->next++;
}

static bool same_bytes(kvs_bytes a, kvs_bytes b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void take_change(void *context, const kvs_record *record, const struct kv_entry *previous)
{
   (void)previous;
   struct history *history = context;
   if (history->next == history->written->count)
      check_fail("its history has a change of sequence %" PRIu64 ", and none was written",
                 record->sequence);
   const kvs_record *written = &history->written->records[history->next++];
   if (record->sequence != written->sequence)
      check_fail("its history is complete above %" PRIu64
                 ", it says, and has the change of sequence "
                 "%" PRIu64 " where that of %" PRIu64 " must be",
                 history->above, record->sequence, written->sequence);
   if (record->kind != written->kind || !same_bytes(record->key, written->key) ||
       !same_bytes(record->value, written->value) ||
       record->expires_at_ms != written->expires_at_ms)
      check_fail("in its history, the change of sequence %" PRIu64
                 " is another one than was written",
                 record->sequence);
   if ((record->flags ^ written->flags) & KVS_RECORD_JOINED)
      check_fail("in its history, the change of sequence %" PRIu64 " has KVS_RECORD_JOINED %s",
                 record->sequence, record->flags & KVS_RECORD_JOINED ? "added" : "dropped");
}

/* The same groups, all in one batch, so that the history can be compared with them. */
static void write_noted(struct driver *driver, struct batch *written, uint64_t first,
                        uint64_t count)
{
   const struct workload workload = versions_workload(driver->subject);
   uint64_t sequence = model_sequence(driver->store);
   for (uint64_t group = first; group < first + count; group++)
      batch_add_group(written, &sequence, &workload, group);
   write_groups(driver, first, count);
}

static void reload_history(struct driver *driver, struct history *history, const char *what)
{
   history->begun = false;
   driver_reload(driver);
   if (!history->begun)
      check_skip("it does not say that its loads have the history of the data");
   if (history->next != history->written->count)
      check_fail("after %s its history ends %zu changes before the last one that was acknowledged",
                 what, history->written->count - history->next);
}

void case_history(const struct check_subject *subject)
{
   struct batch written = {0};
   struct history history = {.written = &written};
   const struct kv_instance_observer observer = {
       .context = &history, .complete_above = begin_history, .loaded = take_change};
   struct driver driver = {.observer = &observer};
   driver_begin_observed(&driver, subject, "history");
   write_noted(&driver, &written, 0, 20);
   reload_history(&driver, &history, "a restart");
   driver_tick(&driver, KVS_TICK_CHECKPOINT);
   reload_history(&driver, &history, "a checkpoint");
   for (uint64_t round = 1; round <= 3; round++) {
      write_noted(&driver, &written, round * 20, 20);
      reload_history(&driver, &history, "a restart");
      driver_tick(&driver, KVS_TICK_CHECKPOINT);
      write_noted(&driver, &written, 100 + round * 20, 10);
      reload_history(&driver, &history, "a checkpoint and more writes");
   }
   batch_deinit(&written);
   driver_end(&driver);
}
