#include "check/stand_in.h"
#include "storage/journal.h"
#include "storage/snapshot_set.h"

/* ---- Snapshots ----------------------------------------------------------------------------- */

static int open_snapshots(const kvs_host *host, const kvs_setting *settings, size_t count,
                          void **self, kvs_error *error)
{
   (void)settings, (void)count;
   struct storage_snapshot_set *set;
   const struct storage_snapshot_settings one = {.kept = 1};
   int code = storage_snapshot_set_create(host, &one, &set, error);
   if (code == KVS_OK)
      *self = set;
   return code;
}

static int write_snapshot(void *self, const kvs_tick *tick, kvs_error *error)
{
   return tick->view_sequence > 0 ? storage_snapshot_set_write(self, tick, error) : KVS_OK;
}

static void close_snapshots(void *self)
{
   storage_snapshot_set_destroy(self);
}

/* ---- Journal ------------------------------------------------------------------------------- */

static int open_journal(const kvs_host *host, const kvs_setting *settings, size_t count,
                        void **self, kvs_error *error)
{
   (void)settings, (void)count;
   const struct storage_journal_settings journal_settings = {
       .log = {.sync = STORAGE_LOG_SYNC_ALWAYS, .segment_size = UINT64_C(10) << 20},
       .snapshots = {.kept = 1}};
   return storage_journal_open(host, &journal_settings, self, error);
}

kvs_plugin stand_in_writing(enum kept kept, const char *name)
{
   kvs_plugin plugin = stand_in_plugin(name);
   if (kept == KEPT_SNAPSHOTS) {
      plugin.open = open_snapshots;
      plugin.on_tick = write_snapshot;
      plugin.close = close_snapshots;
   } else {
      plugin.open = open_journal;
      plugin.on_load = storage_journal_on_load;
      plugin.on_tick = storage_journal_on_tick;
      plugin.close = storage_journal_close;
   }
   return plugin;
}
