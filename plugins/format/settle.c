/* What a start changes in a log that was read and found sound. */
#include "plugins/format/file.h"
#include "plugins/format/note.h"
#include "plugins/format/recovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Keeps an unfinished write aside. *cut is false when there is no room for it: then it stays where
 * it is, and is not used. */
static int keep_torn(const kvs_host *host, const char *directory,
                     const struct format_recovered *recovered, struct format_segment_reader *reader,
                     bool *cut, kvs_error *error)
{
   const struct format_segment_tail *tail = &recovered->newest_tail;
   char aside[PATH_MAX], fate[NAME_MAX + 64], line[PATH_MAX + NAME_MAX + 256];
   int code = format_segment_keep_torn(directory, reader, tail, aside, error);
   if (code == KVS_IO)
      return code;
   *cut = code == KVS_OK;
   snprintf(fate, sizeof fate, "%s %s",
            *cut ? "cut off and kept as" : "left in place and not used: no room for",
            strrchr(aside, '/') + 1);
   snprintf(line, sizeof line,
            "%s: an unfinished write of %" PRIu64 " bytes at offset %" PRIu64
            " after sequence %" PRIu64 " (durable up to %" PRIu64 " at least) was %s",
            reader->path, tail->data_end - reader->offset, reader->offset, recovered->last_sequence,
            recovered->newest_durable_sequence, fate);
   host->log(host, KVS_LOG_WARNING, line);
   format_note(host, (kvs_load_note){.kind = KVS_LOAD_TORN,
                                     .file = reader->path,
                                     .text = fate,
                                     .bytes = tail->data_end - reader->offset,
                                     .offset = reader->offset,
                                     .sequence = recovered->last_sequence});
   return KVS_OK;
}

/* Cuts what an unfinished write has left off the newest segment and makes the rest durable. */
static int settle_newest(const kvs_host *host, const char *directory,
                         const struct format_recovered *recovered, kvs_error *error)
{
   struct format_segment_reader reader;
   uint64_t end = recovered->newest_link.end;
   int code =
       format_segment_open(directory, recovered->newest.number, host->store_id, &reader, error);
   if (code != KVS_OK)
      return code;
   reader.offset = end;
   bool cut = true;
   if (recovered->newest_tail.data_end > end)
      code = keep_torn(host, directory, recovered, &reader, &cut, error);
   int fd = -1;
   if (code == KVS_OK)
      code = format_open(reader.path, O_RDWR, &fd, error);
   if (code == KVS_OK)
      code =
          cut ? format_truncate(fd, reader.path, end, error) : format_sync(fd, reader.path, error);
   if (fd >= 0)
      close(fd);
   format_segment_close(&reader);
   return code == KVS_OK ? KVS_OK : KVS_IO;
}

/* Removes what interrupted creations have left. */
static int remove_temporaries(const char *directory, kvs_error *error)
{
   DIR *listing = opendir(directory);
   int code = KVS_OK;
   const struct dirent *entry;
   if (!listing)
      code = format_fail_errno(error, errno, "%s: cannot read the directory", directory);
   while (listing && code == KVS_OK && (entry = readdir(listing)))
      if (format_ends_in(entry->d_name, FORMAT_SEGMENT_TEMPORARY) &&
          unlinkat(dirfd(listing), entry->d_name, 0) != 0)
         code = format_fail_errno(error, errno, "%s/%s: cannot remove", directory, entry->d_name);
   if (listing)
      closedir(listing);
   return code == KVS_OK ? KVS_OK : KVS_IO;
}

int format_recovery_settle(const kvs_host *host, const char *directory,
                           const struct format_recovered *recovered, kvs_error *error)
{
   int code = remove_temporaries(directory, error);
   if (code == KVS_OK && recovered->count > 0)
      code = settle_newest(host, directory, recovered, error);
   return code;
}
