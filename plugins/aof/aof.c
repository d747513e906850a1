/*
 * aof: every batch is in the log before it is acknowledged. When the log outgrows the data or the
 * disk, and at each checkpoint, a snapshot takes the place of what was logged before it.
 */
#include "storage/journal.h"
#include "storage/options.h"

enum { OPTION_FSYNC, OPTION_AOF_MAX_SIZE, OPTION_SNAPSHOT_RATE, OPTION_COUNT };

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_FSYNC] = STORAGE_OPTION_FSYNC,
    [OPTION_AOF_MAX_SIZE] = STORAGE_OPTION_AOF_MAX_SIZE("the log is compacted when it has grown"),
    [OPTION_SNAPSHOT_RATE] = STORAGE_OPTION_SNAPSHOT_RATE,
};

static int open_aof(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                    kvs_error *error)
{
   int code = storage_check_count("aof", OPTION_COUNT, count, error);
   if (code != KVS_OK)
      return code;
   const struct storage_journal_settings journal = {
       .log = {.sync = (enum storage_log_sync)settings[OPTION_FSYNC].integer,
               .segment_size = (uint64_t)settings[OPTION_AOF_MAX_SIZE].integer},
       .snapshots = {.kept = 1, .rate = (uint64_t)settings[OPTION_SNAPSHOT_RATE].integer}};
   return storage_journal_open(host, &journal, self, error);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "aof",
    .version = "1.0.0",
    .description = "Logs every change before it is acknowledged",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_aof,
    .on_load = storage_journal_on_load,
    .on_write = storage_journal_on_write,
    .on_tick = storage_journal_on_tick,
    .close = storage_journal_close,
};
