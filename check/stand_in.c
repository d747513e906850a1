#include "check/stand_in.h"

#include "storage/file.h"
#include "storage/journal.h"
#include "storage/note.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Loads nothing, and is never given a write. */
static kvs_plugin stand_in_plugin(const char *name)
{
   return (kvs_plugin){
       .size = sizeof(kvs_plugin),
       .abi_major = KVS_ABI_MAJOR,
       .abi_minor = KVS_ABI_MINOR,
       .name = name,
       .version = "",
       .description = "",
       .promise = KVS_PERIODIC,
       .flags = KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS,
   };
}

enum kv_code stand_in_open(struct kv_instance_config config, const uint8_t store_id[16],
                           struct kv_instance **instance, struct kv_status *status)
{
   memcpy(config.store_id, store_id, sizeof config.store_id);
   enum kv_code code = kv_settings_create(config.plugin, NULL, 0, &config.settings, status);
   return code == KV_OK ? kv_instance_open(&config, instance, status) : code;
}

/* ---- Reading ------------------------------------------------------------------------------- */

struct reading {
   const kvs_host *host;
   bool prefix;
   struct storage_snapshot_set *snapshots;
   struct storage_folder log;
};

static int open_reading(const kvs_host *host, const kvs_setting *settings, size_t count,
                        void **self, kvs_error *error)
{
   (void)settings, (void)count;
   struct reading *reading = calloc(1, sizeof *reading);
   if (!reading)
      return storage_fail(error, KVS_IO, "no memory");
   reading->host = host;
   int code = storage_folder_find(host, STORAGE_LOG_DIRECTORY, &reading->log, error);
   if (code == KVS_OK)
      code = storage_snapshot_set_open(host, &reading->snapshots, error);
   if (code != KVS_OK) {
      storage_folder_close(&reading->log);
      free(reading);
      return code;
   }
   *self = reading;
   return KVS_OK;
}

static int open_prefix(const kvs_host *host, const kvs_setting *settings, size_t count, void **self,
                       kvs_error *error)
{
   int code = open_reading(host, settings, count, self, error);
   if (code == KVS_OK)
      ((struct reading *)*self)->prefix = true;
   return code;
}

static void close_reading(void *self)
{
   struct reading *reading = self;
   storage_snapshot_set_destroy(reading->snapshots);
   storage_folder_close(&reading->log);
   free(reading);
}

static int load_snapshots(void *self, kvs_error *error)
{
   const struct reading *reading = self;
   struct storage_snapshot_found found;
   int code = reading->prefix ? storage_snapshot_set_load(reading->snapshots, true, &found, error)
                              : storage_snapshot_set_load_newest(reading->snapshots, &found, error);
   if (code == KVS_OK)
      reading->host->loaded_to(reading->host, found.sequence);
   return code;
}

static void note(const struct reading *reading, uint64_t segment, kvs_load_note note)
{
   char name[STORAGE_SEGMENT_NAME_SIZE] = "", path[PATH_MAX + STORAGE_SEGMENT_NAME_SIZE];
   if (segment > 0)
      storage_segment_name(segment, name);
   snprintf(path, sizeof path, "%s/%s", reading->log.path, name);
   note.file = path;
   storage_note(reading->host, note);
}

static void finish(const struct reading *reading, const struct storage_snapshot_found *found,
                   const struct storage_recovered *recovered)
{
   const struct storage_given_up *given_up = &recovered->given_up;
   uint64_t end = recovered->newest_link.end, data_end = recovered->newest_tail.data_end;
   uint64_t last = recovered->last_sequence;
   if (given_up->any)
      note(reading, given_up->segment,
           (kvs_load_note){.kind = KVS_LOAD_PASSED_OVER,
                           .text = given_up->reason,
                           .offset = given_up->offset,
                           .sequence = given_up->known_sequence});
   else if (recovered->count > 0 && data_end > end)
      note(reading, recovered->newest.number,
           (kvs_load_note){
               .kind = KVS_LOAD_TORN, .bytes = data_end - end, .offset = end, .sequence = last});
   reading->host->loaded_to(reading->host, last > found->sequence ? last : found->sequence);
   free(recovered->segments);
}

static int load_journal(void *self, kvs_error *error)
{
   const struct reading *reading = self;
   struct storage_snapshot_found found;
   struct storage_recovered recovered;
   int code = storage_snapshot_set_load(reading->snapshots, reading->prefix, &found, error);
   if (code == KVS_OK)
      code = storage_recovery_read(reading->host, &reading->log, &found, reading->prefix,
                                   &recovered, error);
   if (code == KVS_OK)
      finish(reading, &found, &recovered);
   return code;
}

kvs_plugin stand_in_reading(enum kept kept, const char *name, bool prefix)
{
   kvs_plugin plugin = stand_in_plugin(name);
   plugin.open = prefix ? open_prefix : open_reading;
   plugin.close = close_reading;
   if (kept == KEPT_SNAPSHOTS)
      plugin.on_load = load_snapshots;
   else if (kept == KEPT_JOURNAL)
      plugin.on_load = load_journal;
   return plugin;
}

/* ---- Writing ------------------------------------------------------------------------------- */

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
