/*
 * snapshot: all data in one file, at intervals, at Save and when the server stops. A write is
 * acknowledged in memory; after a crash the last snapshot is loaded.
 */
#include "storage/folder.h"
#include "storage/layout.h"
#include "storage/options.h"
#include "storage/schedule.h"
#include "storage/snapshot_set.h"

#include <stdlib.h>

enum { OPTION_SNAPSHOT_INTERVAL, OPTION_MAX_SNAPSHOTS, OPTION_SNAPSHOT_RATE, OPTION_COUNT };

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_SNAPSHOT_INTERVAL] = STORAGE_OPTION_SNAPSHOT_INTERVAL,
    [OPTION_MAX_SNAPSHOTS] = STORAGE_OPTION_MAX_SNAPSHOTS,
    [OPTION_SNAPSHOT_RATE] = STORAGE_OPTION_SNAPSHOT_RATE,
};

struct snapshot {
   const kvs_host *host;
   struct storage_snapshot_set *set;
   struct storage_schedule schedule;
};

/* This mode has no log. Where there is one, ACTIVE belongs to another mode. */
static int refuse_log(const kvs_host *host, kvs_error *error)
{
   struct storage_folder log;
   int code = storage_folder_find(host, STORAGE_LOG_DIRECTORY, &log, error);
   bool found = log.fd >= 0 || code == KVS_CORRUPT;
   storage_folder_close(&log);
   if (code != KVS_OK && code != KVS_CORRUPT)
      return code;
   if (!found)
      return KVS_OK;
   return storage_fail(error, KVS_CORRUPT,
                       "%s: holds the log of another mode (from offset 0 of its first segment); "
                       "restore the ACTIVE that belongs to it, or move it away to go on without it",
                       log.path);
}

static int open_snapshot(const kvs_host *host, const kvs_setting *settings, size_t count,
                         void **self, kvs_error *error)
{
   int code = storage_check_count("snapshot", OPTION_COUNT, count, error);
   if (code == KVS_OK)
      code = refuse_log(host, error);
   if (code != KVS_OK)
      return code;
   struct snapshot *snapshot = calloc(1, sizeof *snapshot);
   if (!snapshot)
      return storage_fail(error, KVS_NO_SPACE, "no memory");
   snapshot->host = host;
   snapshot->schedule.interval_ms = (uint64_t)settings[OPTION_SNAPSHOT_INTERVAL].integer * 1000;
   const struct storage_snapshot_settings kept = {
       .kept = (size_t)settings[OPTION_MAX_SNAPSHOTS].integer,
       .rate = (uint64_t)settings[OPTION_SNAPSHOT_RATE].integer};
   code = storage_snapshot_set_create(host, &kept, &snapshot->set, error);
   if (code != KVS_OK) {
      free(snapshot);
      return code;
   }
   *self = snapshot;
   return KVS_OK;
}

/* Holds space for the next one, if necessary by removing older ones. */
static int keep_space(const struct snapshot *snapshot, const kvs_tick *tick, kvs_error *error)
{
   int64_t missing;
   int code;
   do
      code = storage_snapshot_set_keep_space(snapshot->set, tick, &missing, error);
   while (code == KVS_NO_SPACE && storage_snapshot_set_drop_oldest(snapshot->set));
   return code;
}

static int on_load(void *self, kvs_error *error)
{
   const struct snapshot *snapshot = self;
   struct storage_snapshot_found found;
   int code = storage_snapshot_set_load_newest(snapshot->set, &found, error);
   if (code == KVS_OK && !found.loaded)
      code = storage_snapshot_set_begin(snapshot->set, error);
   if (code != KVS_OK)
      return code;
   snapshot->host->loaded_to(snapshot->host, found.sequence);
   /* Before anything else can take it; the first tick knows the amount better. */
   const kvs_tick most = {.view_bytes = storage_snapshot_set_bytes(snapshot->set)};
   kvs_error ignored = {.size = sizeof ignored};
   (void)keep_space(snapshot, &most, &ignored);
   return KVS_OK;
}

static int on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                    kvs_error *error)
{
   (void)self, (void)records, (void)count, (void)flags, (void)error;
   return KVS_OK; /* the next view has it */
}

/* `lost`: the newest one was removed by somebody. */
static int take_snapshot(struct snapshot *snapshot, const kvs_tick *tick, bool lost,
                         kvs_error *error)
{
   int code = KVS_OK;
   kvs_error ignored = {.size = sizeof ignored};
   if (lost || tick->view_sequence > storage_snapshot_set_newest(snapshot->set)) {
      code = keep_space(snapshot, tick, error);
      if (code == KVS_OK)
         code = storage_snapshot_set_write(snapshot->set, tick, error);
      if (code == KVS_OK)
         (void)keep_space(snapshot, tick, &ignored); /* the next tick reports it */
   }
   storage_schedule_next(&snapshot->schedule, tick, code != KVS_OK);
   return code;
}

static int on_tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct snapshot *snapshot = self;
   bool due = storage_schedule_due(&snapshot->schedule, tick);
   int code = storage_snapshot_set_check(snapshot->set, error);
   if (code == KVS_OK && tick->reason == KVS_TICK_PERIODIC && !due)
      return keep_space(snapshot, tick, error);
   return code == KVS_IO ? code : take_snapshot(snapshot, tick, code != KVS_OK, error);
}

static void close_snapshot(void *self)
{
   struct snapshot *snapshot = self;
   storage_snapshot_set_destroy(snapshot->set);
   free(snapshot);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "snapshot",
    .version = "1.0.0",
    .description =
        "Writes all data to a file every so often; a crash loses what came after the last one",
    .promise = KVS_PERIODIC,
    .flags = KVS_PLUGIN_PROMPT | KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_snapshot,
    .on_load = on_load,
    .on_write = on_write,
    .on_tick = on_tick,
    .close = close_snapshot,
};
