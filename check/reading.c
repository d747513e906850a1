#include "check/stand_in.h"

#include "storage/file.h"
#include "storage/journal.h"
#include "storage/note.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
   const kvs_host *host;
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

static void close_reading(void *self)
{
   struct reading *reading = self;
   storage_snapshot_set_destroy(reading->snapshots);
   storage_folder_close(&reading->log);
   free(reading);
}

/* ---- The ways to load ---------------------------------------------------------------------- */

typedef int load_snapshot(struct storage_snapshot_set *set, struct storage_snapshot_found *found,
                          kvs_error *error);
typedef int read_log(const kvs_host *host, const struct storage_folder *folder,
                     const struct storage_recovery_base *base, struct storage_recovered *recovered,
                     kvs_error *error);

static int load_snapshots_by(const struct reading *reading, load_snapshot *load, kvs_error *error)
{
   struct storage_snapshot_found found;
   int code = load(reading->snapshots, &found, error);
   if (code == KVS_OK)
      reading->host->loaded_to(reading->host, found.sequence);
   return code;
}

static int load_snapshots(void *self, kvs_error *error)
{
   return load_snapshots_by(self, storage_snapshot_set_load_newest, error);
}

static int load_snapshots_prefix(void *self, kvs_error *error)
{
   return load_snapshots_by(self, storage_snapshot_set_load_sound, error);
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

static int finish(const struct reading *reading, const struct storage_snapshot_found *found,
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
   return KVS_OK;
}

static int load_journal_by(const struct reading *reading, load_snapshot *load, read_log *read,
                           kvs_error *error)
{
   struct storage_snapshot_found found;
   struct storage_recovered recovered;
   int code = load(reading->snapshots, &found, error);
   if (code != KVS_OK)
      return code;
   const struct storage_recovery_base base = storage_journal_base(&found);
   code = read(reading->host, &reading->log, &base, &recovered, error);
   return code == KVS_OK ? finish(reading, &found, &recovered) : code;
}

static int load_journal(void *self, kvs_error *error)
{
   return load_journal_by(self, storage_snapshot_set_load, storage_recovery_read, error);
}

static int load_journal_prefix(void *self, kvs_error *error)
{
   return load_journal_by(self, storage_snapshot_set_load_sound, storage_recovery_read_prefix,
                          error);
}

kvs_plugin stand_in_reading(enum kept kept, const char *name, bool prefix)
{
   kvs_plugin plugin = stand_in_plugin(name);
   plugin.open = open_reading;
   plugin.close = close_reading;
   if (kept == KEPT_SNAPSHOTS)
      plugin.on_load = prefix ? load_snapshots_prefix : load_snapshots;
   else if (kept == KEPT_JOURNAL)
      plugin.on_load = prefix ? load_journal_prefix : load_journal;
   return plugin;
}
