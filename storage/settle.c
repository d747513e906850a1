/* What a start changes in a log that it has read and found sound. */
#include "storage/file.h"
#include "storage/note.h"
#include "storage/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Copies an unfinished write to a file of its own. *cut is false when there is no space for it:
 * then it stays where it is, and is not used. */
static int keep_torn(const kvs_host *host, const struct storage_folder *folder,
                     const struct storage_recovered *recovered,
                     struct storage_segment_reader *reader, bool *cut, kvs_error *error)
{
   const struct storage_segment_tail *tail = &recovered->newest_tail;
   char name[STORAGE_TORN_NAME_SIZE], fate[NAME_MAX + 64];
   int code = storage_segment_keep_torn(folder, reader, tail, name, error);
   if (code == KVS_IO)
      return code;
   *cut = code == KVS_OK;
   snprintf(fate, sizeof fate, "%s %s",
            *cut ? "cut off and kept as" : "left in place and not used: no space for", name);
   storage_warn(host,
                "%s: an unfinished write of %" PRIu64 " bytes at offset %" PRIu64
                " after sequence %" PRIu64 " (durable up to %" PRIu64 " at least) was %s",
                reader->path, tail->data_end - reader->offset, reader->offset,
                recovered->last_sequence, recovered->newest_durable_sequence, fate);
   storage_note(host, (kvs_load_note){.kind = KVS_LOAD_TORN,
                                      .file = reader->path,
                                      .text = fate,
                                      .bytes = tail->data_end - reader->offset,
                                      .offset = reader->offset,
                                      .sequence = recovered->last_sequence});
   return KVS_OK;
}

/* Cuts an unfinished write off the newest segment and makes the rest durable. */
static int settle_newest(const kvs_host *host, const struct storage_folder *folder,
                         const struct storage_recovered *recovered, kvs_error *error)
{
   struct storage_segment_reader reader;
   uint64_t end = recovered->newest_link.end;
   int code = storage_segment_open(folder, recovered->newest.number, O_RDWR, host->store_id,
                                   &reader, error);
   if (code != KVS_OK)
      return code;
   reader.offset = end;
   bool cut = true;
   if (recovered->newest_tail.data_end > end)
      code = keep_torn(host, folder, recovered, &reader, &cut, error);
   if (code == KVS_OK)
      code = cut ? storage_truncate(reader.fd, reader.path, end, error)
                 : storage_sync(reader.fd, reader.path, error);
   storage_segment_close(&reader);
   return code;
}

/* Removes leftovers of interrupted creations. */
static int remove_leftover(void *folder, const char *name, kvs_error *error)
{
   return storage_ends_in(name, STORAGE_SEGMENT_TEMPORARY) ? storage_remove(folder, name, error)
                                                           : KVS_OK;
}

int storage_recovery_settle(const kvs_host *host, const struct storage_folder *folder,
                            const struct storage_recovered *recovered, kvs_error *error)
{
   int code = storage_folder_each(folder, remove_leftover, (void *)(uintptr_t)folder, error);
   if (code == KVS_OK && recovered->count > 0)
      code = settle_newest(host, folder, recovered, error);
   return code;
}
