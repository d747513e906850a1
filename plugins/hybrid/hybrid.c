/*
 * hybrid: every batch is in the log before it is acknowledged, and a snapshot every so often, and
 * when the log outgrows the data or the disk, keeps the log, and so the next start, short. Several
 * snapshots are kept, as far as the disk has room for them.
 */
#include "storage/file.h"
#include "storage/journal.h"
#include "storage/pace.h"

#include <stdlib.h>

/* After a snapshot that failed, the next one is tried no later than this. */
#define RETRY_MS ((uint64_t)30 * 1000)

/* In the order of the options. */
enum {
   OPTION_FSYNC,
   OPTION_AOF_MAX_SIZE,
   OPTION_SNAPSHOT_INTERVAL,
   OPTION_MAX_SNAPSHOTS,
   OPTION_SNAPSHOT_RATE,
   OPTION_COUNT
};

static const kvs_option options[OPTION_COUNT] = {
    [OPTION_FSYNC] = {.name = "fsync",
                      .type = KVS_OPTION_CHOICE,
                      .default_value = "always",
                      .choices = "always|everysec|no",
                      .help = "when a write reaches stable storage: before it is acknowledged, "
                              "within a second, or when the kernel writes it back"},
    [OPTION_AOF_MAX_SIZE] =
        {.name = "aof_max_size",
         .type = KVS_OPTION_SIZE,
         .default_value = "10485760",
         .minimum = 4096,
         .maximum = INT64_C(1) << 40,
         .help = "size of a log segment; a snapshot is taken when the log has grown "
                 "by this much and by twice the data"},
    [OPTION_SNAPSHOT_INTERVAL] = {.name = "snapshot_interval",
                                  .type = KVS_OPTION_INTEGER,
                                  .default_value = "300",
                                  .minimum = 1,
                                  .maximum = 31536000,
                                  .help = "seconds between snapshots, when something has changed"},
    [OPTION_MAX_SNAPSHOTS] = {.name = "max_snapshots",
                              .type = KVS_OPTION_INTEGER,
                              .default_value = "5",
                              .minimum = 1,
                              .maximum = 1000,
                              .help = "how many snapshots are kept, where the disk has room"},
    [OPTION_SNAPSHOT_RATE] = STORAGE_PACE_OPTION,
};

struct hybrid {
   struct storage_journal *journal;
   uint64_t interval_ms;
   uint64_t next_snapshot_ms; /* monotonic; 0 before the first tick */
};

static int open_hybrid(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                       kvs_error *error)
{
   if (count != OPTION_COUNT)
      return storage_fail(error, KVS_INVALID, "hybrid takes %d settings, not %zu", OPTION_COUNT,
                          count);
   struct hybrid *hybrid = calloc(1, sizeof *hybrid);
   if (!hybrid)
      return storage_fail(error, KVS_NO_SPACE, "no memory");
   hybrid->interval_ms = (uint64_t)settings[OPTION_SNAPSHOT_INTERVAL].integer * 1000;
   /* The choices stand in the order of enum storage_log_sync. */
   struct storage_journal_settings journal = {
       .log = {.sync = (enum storage_log_sync)settings[OPTION_FSYNC].integer,
               .segment_size = (uint64_t)settings[OPTION_AOF_MAX_SIZE].integer},
       .snapshots = {.kept = (size_t)settings[OPTION_MAX_SNAPSHOTS].integer,
                     .rate = (uint64_t)settings[OPTION_SNAPSHOT_RATE].integer}};
   int code = storage_journal_create(host, &journal, &hybrid->journal, error);
   if (code != KVS_OK) {
      free(hybrid);
      return code;
   }
   *self = hybrid;
   return KVS_OK;
}

static int on_load(void *self, kvs_error *error)
{
   const struct hybrid *hybrid = self;
   return storage_journal_load(hybrid->journal, error);
}

static int on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                    kvs_error *error)
{
   const struct hybrid *hybrid = self;
   return storage_journal_write(hybrid->journal, records, count, flags, error);
}

static int take_snapshot(struct hybrid *hybrid, const kvs_tick *tick, kvs_error *error)
{
   int code = storage_journal_checkpoint(hybrid->journal, tick, error);
   uint64_t pause_ms = hybrid->interval_ms;
   if (code != KVS_OK && pause_ms > RETRY_MS)
      pause_ms = RETRY_MS;
   hybrid->next_snapshot_ms = tick->monotonic_ms + pause_ms;
   return code;
}

static int take_snapshot_if_due(struct hybrid *hybrid, const kvs_tick *tick, kvs_error *error)
{
   if (hybrid->next_snapshot_ms == 0)
      hybrid->next_snapshot_ms = tick->monotonic_ms + hybrid->interval_ms;
   if (tick->monotonic_ms < hybrid->next_snapshot_ms)
      return KVS_OK;
   return take_snapshot(hybrid, tick, error);
}

/* Both, whatever becomes of the first: either one alone keeps everything. */
static int shut_down(struct hybrid *hybrid, const kvs_tick *tick, kvs_error *error)
{
   int snapshot_code = storage_journal_checkpoint(hybrid->journal, tick, error);
   int log_code = storage_journal_seal(hybrid->journal, error);
   return log_code != KVS_OK ? log_code : snapshot_code;
}

static int on_tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct hybrid *hybrid = self;
   if (tick->reason == KVS_TICK_CHECKPOINT)
      return take_snapshot(hybrid, tick, error);
   if (tick->reason == KVS_TICK_SHUTDOWN)
      return shut_down(hybrid, tick, error);
   int code = storage_journal_tick(hybrid->journal, tick, error);
   return code == KVS_OK ? take_snapshot_if_due(hybrid, tick, error) : code;
}

static void close_hybrid(void *self)
{
   struct hybrid *hybrid = self;
   storage_journal_destroy(hybrid->journal);
   free(hybrid);
}

KVS_EXPORT const kvs_plugin kvstore_plugin = {
    .size = sizeof kvstore_plugin,
    .abi_major = KVS_ABI_MAJOR,
    .abi_minor = KVS_ABI_MINOR,
    .name = "hybrid",
    .version = "1.0.0",
    .description = "Logs every change before it is acknowledged, with regular snapshots",
    .promise = KVS_DURABLE,
    .flags = KVS_PLUGIN_COPIES,
    .options = options,
    .option_count = OPTION_COUNT,
    .open = open_hybrid,
    .on_load = on_load,
    .on_write = on_write,
    .on_tick = on_tick,
    .close = close_hybrid,
};
