/*
 * aof: every batch is in the log before it is acknowledged. When the log outgrows the data or the
 * disk, and when a checkpoint is asked for, a snapshot takes the place of what was logged before
 * it.
 */
#include "storage/file.h"
#include "storage/journal.h"
#include "storage/pace.h"

#include <stdlib.h>

/* In the order of the options. */
enum { OPTION_FSYNC, OPTION_AOF_MAX_SIZE, OPTION_SNAPSHOT_RATE, OPTION_COUNT };

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_FSYNC] = {.name = "fsync",
                      .type = KVS_OPTION_CHOICE,
                      .default_value = "always",
                      .choices = "always|everysec|no",
                      .help = "when a write reaches stable storage: before it is acknowledged, "
                              "within a second, or when the kernel writes it back"},
    [OPTION_AOF_MAX_SIZE] = {.name = "aof_max_size",
                             .type = KVS_OPTION_SIZE,
                             .default_value = "10485760",
                             .minimum = 4096,
                             .maximum = INT64_C(1) << 40,
                             .help =
                                 "size of a log segment; the log is compacted when it has grown "
                                 "by this much and by twice the data"},
    [OPTION_SNAPSHOT_RATE] = STORAGE_PACE_OPTION,
};

struct aof {
   struct storage_journal *journal;
};

static int open_aof(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                    kvs_error *error)
{
   if (count != OPTION_COUNT)
      return storage_fail(error, KVS_INVALID, "aof takes %d settings, not %zu", OPTION_COUNT,
                          count);
   struct aof *aof = calloc(1, sizeof *aof);
   if (!aof)
      return storage_fail(error, KVS_NO_SPACE, "no memory");
   /* The choices stand in the order of enum storage_log_sync. */
   struct storage_journal_settings journal = {
       .log = {.sync = (enum storage_log_sync)settings[OPTION_FSYNC].integer,
               .segment_size = (uint64_t)settings[OPTION_AOF_MAX_SIZE].integer},
       .snapshots = {.kept = 1, .rate = (uint64_t)settings[OPTION_SNAPSHOT_RATE].integer}};
   int code = storage_journal_create(host, &journal, &aof->journal, error);
   if (code != KVS_OK) {
      free(aof);
      return code;
   }
   *self = aof;
   return KVS_OK;
}

static int on_load(void *self, kvs_error *error)
{
   const struct aof *aof = self;
   return storage_journal_load(aof->journal, error);
}

static int on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                    kvs_error *error)
{
   const struct aof *aof = self;
   return storage_journal_write(aof->journal, records, count, flags, error);
}

static int on_tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   const struct aof *aof = self;
   if (tick->reason == KVS_TICK_CHECKPOINT)
      return storage_journal_checkpoint(aof->journal, tick, error);
   if (tick->reason == KVS_TICK_SHUTDOWN)
      return storage_journal_seal(aof->journal, error);
   return storage_journal_tick(aof->journal, tick, error);
}

static void close_aof(void *self)
{
   struct aof *aof = self;
   storage_journal_destroy(aof->journal);
   free(aof);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "aof",
    .version = "1.0.0",
    .description = "Logs every change before it is acknowledged",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_COPIES,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_aof,
    .on_load = on_load,
    .on_write = on_write,
    .on_tick = on_tick,
    .close = close_aof,
};
