#include "plugins/format/recovery.h"

#include "plugins/format/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REMEDY_RESTORE "restore it from a backup"
#define REMEDY_CUT                                                                                 \
   "restore the file from a backup; or, to go on with what stands before the damage and lose "     \
   "what "                                                                                         \
   "follows, move all later segments away and cut this one: truncate -s %" PRIu64 " %s"

/* One recovery under way. */
struct recovery {
   const kvs_host *host;
   const char *directory;
   const struct format_recovery_base *base;
   struct format_recovered *recovered;
   struct format_segment_header *headers; /* one for each segment */
   kvs_error *error;
};

static void say(const kvs_host *host, uint32_t level, const char *message, ...)
    __attribute__((format(printf, 3, 4)));
static void say(const kvs_host *host, uint32_t level, const char *message, ...)
{
   char text[2 * KVS_ERROR_TEXT_SIZE];
   va_list arguments;
   va_start(arguments, message);
   vsnprintf(text, sizeof text, message, arguments);
   va_end(arguments);
   host->log(host, level, text);
}

/* ---- Which segments there are -------------------------------------------------------------- */

static bool ends_in(const char *name, const char *ending)
{
   size_t size = strlen(name), ending_size = strlen(ending);
   return size >= ending_size && strcmp(name + size - ending_size, ending) == 0;
}

static int compare_numbers(const void *a, const void *b)
{
   const struct format_sealed_segment *left = a, *right = b;
   return left->number < right->number ? -1 : left->number > right->number;
}

static int add_segment(struct recovery *recovery, uint64_t number)
{
   struct format_recovered *recovered = recovery->recovered;
   struct format_sealed_segment *grown =
       realloc(recovered->segments, (recovered->count + 1) * sizeof *recovered->segments);
   if (!grown)
      return format_fail(recovery->error, KVS_IO, "%s: no memory for the list of segments",
                         recovery->directory);
   grown[recovered->count] = (struct format_sealed_segment){.number = number};
   recovered->segments = grown;
   recovered->count++;
   return KVS_OK;
}

/* Lists a segment, removes what an interrupted creation has left, and mentions strange files. */
static int take_entry(struct recovery *recovery, int directory_fd, const char *name)
{
   uint64_t number;
   if (format_segment_parse_name(name, &number))
      return add_segment(recovery, number);
   if (ends_in(name, ".log.tmp")) {
      if (unlinkat(directory_fd, name, 0) != 0) {
         format_fail_errno(recovery->error, errno, "%s/%s: cannot remove", recovery->directory,
                           name);
         return KVS_IO;
      }
   } else if (name[0] != '.' && !ends_in(name, ".torn")) {
      say(recovery->host, KVS_LOG_WARNING, "%s/%s is no part of the log and is left alone",
          recovery->directory, name);
   }
   return KVS_OK;
}

static int list_segments(struct recovery *recovery)
{
   DIR *listing = opendir(recovery->directory);
   if (!listing) {
      format_fail_errno(recovery->error, errno, "%s: cannot read the directory",
                        recovery->directory);
      return KVS_IO;
   }
   int code = KVS_OK;
   const struct dirent *entry;
   while (code == KVS_OK && (errno = 0, entry = readdir(listing)))
      code = take_entry(recovery, dirfd(listing), entry->d_name);
   if (code == KVS_OK && errno != 0) {
      format_fail_errno(recovery->error, errno, "%s: cannot read the directory",
                        recovery->directory);
      code = KVS_IO;
   }
   closedir(listing);
   if (recovery->recovered->count > 0)
      qsort(recovery->recovered->segments, recovery->recovered->count,
            sizeof *recovery->recovered->segments, compare_numbers);
   return code;
}

/* ---- Whether they belong together ---------------------------------------------------------- */

/* A snapshot at `base`, or a newer one, would make up for it. */
static int missing_segment(const struct recovery *recovery, uint64_t number, uint64_t base)
{
   char name[FORMAT_SEGMENT_NAME_SIZE];
   format_segment_name(number, name);
   return format_fail(recovery->error, KVS_CORRUPT,
                      "%s/%s: this segment is missing from offset 0 and no snapshot covers it, as "
                      "snapshots/%020" PRIu64 ".snapshot would; " REMEDY_RESTORE
                      " (the newest sound one reaches up to sequence %" PRIu64 ")",
                      recovery->directory, name, base, recovery->base->snapshot_sequence);
}

/* The segment `number` was begun when there was a snapshot at `sequence`. */
static int missing_snapshot(const struct recovery *recovery, uint64_t number, uint64_t sequence)
{
   char name[FORMAT_SEGMENT_NAME_SIZE];
   format_segment_name(number, name);
   return format_fail(
       recovery->error, KVS_CORRUPT,
       "%s/snapshots/%020" PRIu64
       ".snapshot, or a newer one, is missing or damaged (from offset 0): %s goes on "
       "from it; " REMEDY_RESTORE " (the newest sound one reaches up to sequence "
       "%" PRIu64 ")",
       recovery->host->directory, sequence, name, recovery->base->snapshot_sequence);
}

static int missing_successor(const struct recovery *recovery,
                             const struct format_segment_reader *reader, uint64_t offset)
{
   char name[FORMAT_SEGMENT_NAME_SIZE];
   format_segment_name(reader->header.number + 1, name);
   return format_fail(recovery->error, KVS_CORRUPT,
                      "%s/%s: this segment is missing from offset 0; the one before says that it "
                      "is there; " REMEDY_RESTORE
                      "; or, to lose what it holds: truncate -s %" PRIu64 " %s",
                      recovery->directory, name, offset, reader->path);
}

static int check_place(const struct recovery *recovery, size_t i)
{
   const struct format_segment_header *header = &recovery->headers[i];
   const struct format_recovery_base *base = recovery->base;
   if (i > 0 && header->number != recovery->headers[i - 1].number + 1)
      return missing_segment(recovery, recovery->headers[i - 1].number + 1, header->base_sequence);
   bool follows = i > 0 && header->base_sequence <= header->previous.last_sequence;
   if (follows || header->base_sequence <= base->snapshot_sequence)
      return KVS_OK;
   const struct format_segment_header *newest = &recovery->headers[recovery->recovered->count - 1];
   if (newest->snapshot_sequence > base->snapshot_sequence)
      return missing_snapshot(recovery, newest->number, newest->snapshot_sequence);
   if (i == 0 && header->number > 1)
      return missing_segment(recovery, header->number - 1, header->base_sequence);
   return missing_snapshot(recovery, header->number, header->base_sequence);
}

static int read_headers(struct recovery *recovery)
{
   struct format_recovered *recovered = recovery->recovered;
   for (size_t i = 0; i < recovered->count; i++) {
      struct format_segment_reader reader;
      int code = format_segment_open(recovery->directory, recovered->segments[i].number,
                                     recovery->host->store_id, &reader, recovery->error);
      if (code != KVS_OK)
         return code;
      recovery->headers[i] = reader.header;
      format_segment_close(&reader);
      if (i > 0)
         recovered->segments[i - 1].last_sequence = reader.header.previous.last_sequence;
   }
   return KVS_OK;
}

static int check_headers(struct recovery *recovery)
{
   const struct format_recovered *recovered = recovery->recovered;
   if (recovered->count == 0)
      return KVS_OK;
   recovery->headers = calloc(recovered->count, sizeof *recovery->headers);
   if (!recovery->headers)
      return format_fail(recovery->error, KVS_IO, "%s: no memory for %zu segments",
                         recovery->directory, recovered->count);
   int code = read_headers(recovery);
   const struct format_segment_header *newest = &recovery->headers[recovered->count - 1];
   if (code == KVS_OK && newest->snapshot_sequence > 0 && !recovery->base->snapshot_loaded)
      code = missing_snapshot(recovery, newest->number, newest->snapshot_sequence);
   for (size_t i = 0; code == KVS_OK && i < recovered->count; i++)
      code = check_place(recovery, i);
   return code;
}

/* ---- Reading them -------------------------------------------------------------------------- */

static int damaged(const struct recovery *recovery, const struct format_segment_reader *reader,
                   const char *proof)
{
   return format_fail(recovery->error, KVS_CORRUPT,
                      "%s: damaged at offset %" PRIu64 " after sequence %" PRIu64
                      " (%s); " REMEDY_CUT,
                      reader->path, reader->offset, recovery->recovered->last_sequence, proof,
                      reader->offset, reader->path);
}

/* Takes over one record: checks its order, hands what is new to the host. */
static int take_record(struct recovery *recovery, const struct format_segment_reader *reader,
                       const struct format_record_header *record)
{
   if (record->type != FORMAT_RECORD_EFFECTS)
      return KVS_OK;
   struct format_recovered *recovered = recovery->recovered;
   if (record->first_sequence <= recovered->last_sequence)
      return damaged(recovery, reader, "the record before this offset is out of order");
   uint64_t last = reader->effects[record->effect_count - 1].sequence;
   recovered->last_sequence = last;
   if (last <= recovery->base->snapshot_sequence)
      return KVS_OK;
   recovered->bytes += FORMAT_RECORD_HEADER_SIZE + record->payload_size;
   return recovery->host->load(recovery->host, reader->effects, record->effect_count,
                               recovery->error);
}

/* Cuts what an unfinished write has left off the newest segment and makes the rest durable. */
static int finish_newest(const struct recovery *recovery, struct format_segment_reader *reader,
                         uint64_t durable_sequence)
{
   struct format_segment_tail tail;
   int code = format_segment_examine_tail(reader, &tail, recovery->error);
   if (code != KVS_OK)
      return KVS_IO;
   if (tail.was_durable) {
      char proof[128];
      snprintf(proof, sizeof proof,
               "no unfinished write: the record at offset %" PRIu64 " says it was durable",
               tail.proof_offset);
      return damaged(recovery, reader, proof);
   }
   bool cut = true;
   if (tail.data_end > reader->offset) {
      char aside[PATH_MAX];
      code = format_segment_keep_torn(recovery->directory, reader, &tail, aside, recovery->error);
      if (code == KVS_IO)
         return code;
      cut = code == KVS_OK;
      say(recovery->host, KVS_LOG_WARNING,
          "%s: an unfinished write of %" PRIu64 " bytes at offset %" PRIu64
          " after sequence %" PRIu64 " (durable up to %" PRIu64 " at least) was %s %s",
          reader->path, tail.data_end - reader->offset, reader->offset,
          recovery->recovered->last_sequence, durable_sequence,
          cut ? "cut off and kept as" : "left in place and is not used: no room for", aside);
   }
   code = cut ? format_truncate(reader->fd, reader->path, reader->offset, recovery->error)
              : format_sync(reader->fd, reader->path, recovery->error);
   return code == KVS_OK ? KVS_OK : KVS_IO;
}

static int check_sealed(const struct recovery *recovery, const struct format_segment_reader *reader,
                        const struct format_segment_link *link)
{
   if (reader->offset == link->end && reader->chain == link->chain &&
       recovery->recovered->last_sequence == link->last_sequence)
      return KVS_OK;
   if (reader->offset < link->end)
      return damaged(recovery, reader, "the next segment proves that more followed");
   return damaged(recovery, reader, "it is not the segment that the next one follows");
}

static int read_segment(struct recovery *recovery, size_t i)
{
   struct format_recovered *recovered = recovery->recovered;
   const struct format_segment_header *header = &recovery->headers[i];
   const struct format_segment_link *link =
       i + 1 < recovered->count ? &recovery->headers[i + 1].previous : NULL;
   struct format_segment_reader reader;
   int code = format_segment_open(recovery->directory, header->number, recovery->host->store_id,
                                  &reader, recovery->error);
   if (code != KVS_OK)
      return code;
   recovered->last_sequence = header->previous.last_sequence;
   uint64_t durable_sequence = recovered->last_sequence;
   bool found = true;
   while (code == KVS_OK && found && !(link && reader.offset >= link->end)) {
      struct format_record_header record;
      code = format_segment_next(&reader, &record, &found, recovery->error);
      if (code == KVS_OK && found) {
         durable_sequence = record.durable_sequence;
         code = take_record(recovery, &reader, &record);
      }
      if (code == KVS_OK && found && record.type == FORMAT_RECORD_SUCCESSOR)
         code = missing_successor(recovery, &reader, reader.offset - FORMAT_RECORD_HEADER_SIZE);
   }
   if (code == KVS_OK)
      code = link ? check_sealed(recovery, &reader, link)
                  : finish_newest(recovery, &reader, durable_sequence);
   recovered->newest = reader.header;
   recovered->newest_link = (struct format_segment_link){
       .last_sequence = recovered->last_sequence, .end = reader.offset, .chain = reader.chain};
   recovered->segments[i].last_sequence = recovered->last_sequence;
   format_segment_close(&reader);
   return code;
}

static int read_segments(struct recovery *recovery)
{
   struct format_recovered *recovered = recovery->recovered;
   for (size_t i = 0; i < recovered->count; i++) {
      bool newest = i + 1 == recovered->count;
      if (!newest && recovered->segments[i].last_sequence <= recovery->base->snapshot_sequence)
         continue;
      int code = read_segment(recovery, i);
      if (code != KVS_OK)
         return code;
   }
   return KVS_OK;
}

static int check_reach(const struct recovery *recovery)
{
   const struct format_recovery_base *base = recovery->base;
   if (recovery->recovered->count == 0 && (base->snapshot_loaded || format_resumed(recovery->host)))
      return format_fail(recovery->error, KVS_CORRUPT,
                         "%s: all segments of the log are missing (from offset 0 of the first); "
                         "restore the directory from a backup (the snapshot reaches up to sequence "
                         "%" PRIu64 ")",
                         recovery->directory, base->snapshot_sequence);
   uint64_t reached = recovery->recovered->last_sequence > base->snapshot_sequence
                          ? recovery->recovered->last_sequence
                          : base->snapshot_sequence;
   if (reached < base->required_sequence)
      return format_fail(recovery->error, KVS_CORRUPT,
                         "%s: the newest snapshot, at sequence %" PRIu64 ", is damaged, and older "
                         "snapshot and log reach only up to %" PRIu64
                         "; restore the snapshot from a backup, or move it away to go on without "
                         "what only it holds",
                         recovery->directory, base->required_sequence, reached);
   return KVS_OK;
}

int format_recover(const kvs_host *host, const char *directory,
                   const struct format_recovery_base *base, struct format_recovered *recovered,
                   kvs_error *error)
{
   struct recovery recovery = {
       .host = host, .directory = directory, .base = base, .recovered = recovered, .error = error};
   memset(recovered, 0, sizeof *recovered);
   int code = list_segments(&recovery);
   if (code == KVS_OK)
      code = check_headers(&recovery);
   if (code == KVS_OK)
      code = read_segments(&recovery);
   if (code == KVS_OK)
      code = check_reach(&recovery);
   free(recovery.headers);
   if (code != KVS_OK) {
      free(recovered->segments);
      recovered->segments = NULL;
   }
   return code;
}
