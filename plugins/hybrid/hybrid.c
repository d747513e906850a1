/*
 * hybrid: every batch is in the log before it is acknowledged. A snapshot at intervals, when the
 * log outgrows the data or the disk, and at the end, keeps the log, and so the next start, short.
 * Several snapshots are kept, as far as the disk has space for them.
 */
#include "storage/journal.h"
#include "storage/options.h"

enum {
   OPTION_FSYNC,
   OPTION_AOF_MAX_SIZE,
   OPTION_SNAPSHOT_INTERVAL,
   OPTION_MAX_SNAPSHOTS,
   OPTION_SNAPSHOT_RATE,
   OPTION_COUNT
};

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_FSYNC] = STORAGE_OPTION_FSYNC,
    [OPTION_AOF_MAX_SIZE] =
        STORAGE_OPTION_AOF_MAX_SIZE("a snapshot is taken when the log has grown"),
    [OPTION_SNAPSHOT_INTERVAL] = STORAGE_OPTION_SNAPSHOT_INTERVAL,
    [OPTION_MAX_SNAPSHOTS] = STORAGE_OPTION_MAX_SNAPSHOTS,
    [OPTION_SNAPSHOT_RATE] = STORAGE_OPTION_SNAPSHOT_RATE,
};

static int open_hybrid(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                       kvs_error *error)
{
   int code = storage_check_count("hybrid", OPTION_COUNT, count, error);
   if (code != KVS_OK)
      return code;
   const struct storage_journal_settings journal = {
       .log = {.sync = (enum storage_log_sync)settings[OPTION_FSYNC].integer,
               .segment_size = (uint64_t)settings[OPTION_AOF_MAX_SIZE].integer},
       .snapshots = {.kept = (size_t)settings[OPTION_MAX_SNAPSHOTS].integer,
                     .rate = (uint64_t)settings[OPTION_SNAPSHOT_RATE].integer},
       .interval_ms = (uint64_t)settings[OPTION_SNAPSHOT_INTERVAL].integer * 1000};
   return storage_journal_open(host, &journal, self, error);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "hybrid",
    .version = "1.0.0",
    .description = "Logs every change before it is acknowledged, with regular snapshots",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_hybrid,
    .on_load = storage_journal_on_load,
    .on_write = storage_journal_on_write,
    .on_tick = storage_journal_on_tick,
    .close = storage_journal_close,
};
