#include "storage/recovery.h"

#include "storage/file.h"
#include "storage/layout.h"
#include "storage/note.h"
#include "storage/scan.h"
#include "storage/snapshot_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One recovery in progress. */
struct recovery {
   const kvs_host *host;
   const struct storage_folder *folder;
   const struct storage_snapshot_found *base;
   struct storage_recovered *recovered;
   bool prefix;                            /* stop where it would be refused */
   struct storage_segment_header *headers; /* one for each segment */
   size_t first, end;                      /* the segments to be read: those that fit together */
   kvs_error *error;
};

/* ---- Which segments there are -------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
   const struct storage_sealed_segment *left = a, *right = b;
   return left->number < right->number ? -1 : left->number > right->number;
}

static int add_segment(struct recovery *recovery, uint64_t number)
{
   struct storage_recovered *recovered = recovery->recovered;
   struct storage_sealed_segment *grown =
       realloc(recovered->segments, (recovered->count + 1) * sizeof *recovered->segments);
   if (!grown)
      return storage_fail(recovery->error, KVS_NO_SPACE, "%s: no memory for the list of segments",
                          recovery->folder->path);
   grown[recovered->count] = (struct storage_sealed_segment){.number = number};
   recovered->segments = grown;
   recovered->count++;
   return KVS_OK;
}

/* Lists a segment, and warns of foreign files. */
static int take_entry(void *context, const char *name, kvs_error *error)
{
   (void)error; /* the recovery's */
   struct recovery *recovery = context;
   uint64_t number;
   if (storage_segment_parse_name(name, &number))
      return add_segment(recovery, number);
   if (name[0] != '.' && !storage_ends_in(name, STORAGE_TORN_SUFFIX) &&
       !storage_ends_in(name, STORAGE_SEGMENT_TEMPORARY))
      storage_warn(recovery->host, "%s/%s is not part of the log and is left alone",
                   recovery->folder->path, name);
   return KVS_OK;
}

static int list_segments(struct recovery *recovery)
{
   int code = storage_folder_each(recovery->folder, take_entry, recovery, recovery->error);
   if (recovery->recovered->count > 0)
      qsort(recovery->recovered->segments, recovery->recovered->count,
            sizeof *recovery->recovered->segments, compare_numbers);
   return code;
}

/* ---- Whether they belong together ---------------------------------------------------------- */

/* A snapshot at `base`, or a newer one, would make up for it. */
static int missing_segment(const struct recovery *recovery, uint64_t number, uint64_t base)
{
   char name[STORAGE_SEGMENT_NAME_SIZE], snapshot[STORAGE_SNAPSHOT_NAME_SIZE];
   storage_segment_name(number, name);
   storage_snapshot_name(base, snapshot);
   return storage_fail(recovery->error, KVS_CORRUPT,
                       "%s/%s: this segment is missing from offset 0 and no snapshot covers it, "
                       "as " STORAGE_SNAPSHOT_DIRECTORY
                       "/%s would (the newest sound one reaches up to "
                       "sequence %" PRIu64 "); restore it from a backup",
                       recovery->folder->path, name, snapshot, recovery->base->sequence);
}

/* The segment `number` was begun when there was a snapshot at `sequence`. */
static int missing_snapshot(const struct recovery *recovery, uint64_t number, uint64_t sequence)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   storage_segment_name(number, name);
   return storage_fail(recovery->error, KVS_CORRUPT,
                       "%s/snapshots/%020" PRIu64
                       ".snapshot, or a newer one, is missing or damaged "
                       "(from offset 0): %s goes on from it (the newest sound one reaches up to "
                       "sequence %" PRIu64 "); restore it from a backup",
                       recovery->host->directory, sequence, name, recovery->base->sequence);
}

static int check_place(const struct recovery *recovery, size_t i)
{
   const struct storage_segment_header *header = &recovery->headers[i];
   const struct storage_snapshot_found *base = recovery->base;
   bool first = i == recovery->first;
   if (!first && header->number != recovery->headers[i - 1].number + 1)
      return missing_segment(recovery, recovery->headers[i - 1].number + 1, header->base_sequence);
   bool follows = !first && header->base_sequence <= header->previous.last_sequence;
   if (follows || header->base_sequence <= base->sequence)
      return KVS_OK;
   const struct storage_segment_header *newest = &recovery->headers[recovery->recovered->count - 1];
   if (newest->snapshot_sequence > base->sequence)
      return missing_snapshot(recovery, newest->number, newest->snapshot_sequence);
   if (first && header->number > 1)
      return missing_segment(recovery, header->number - 1, header->base_sequence);
   return missing_snapshot(recovery, header->number, header->base_sequence);
}

/* Reads the header of segment `i`. */
static int read_header(const struct recovery *recovery, size_t i)
{
   struct storage_segment_reader reader;
   int code = storage_segment_open(recovery->folder, recovery->recovered->segments[i].number,
                                   O_RDONLY, recovery->host->store_id, &reader, recovery->error);
   if (code != KVS_OK)
      return code;
   recovery->headers[i] = reader.header;
   storage_segment_close(&reader);
   return KVS_OK;
}

static bool is_refusal(int code)
{
   return code == KVS_CORRUPT || code == KVS_INVALID;
}

/* Reading for a prefix ends at this place, for the reason in the error. */
static void give_up(const struct recovery *recovery, uint64_t segment, uint64_t offset)
{
   struct storage_given_up *given_up = &recovery->recovered->given_up;
   if (given_up->any)
      return;
   given_up->any = true;
   given_up->segment = segment;
   given_up->offset = offset;
   snprintf(given_up->reason, sizeof given_up->reason, "%s", recovery->error->text);
}

/* For a prefix: begins behind the last segment that the snapshot covers wholly, which its
 * successor's header says. Segments whose headers cannot be read have number 0. */
static int skip_covered(struct recovery *recovery)
{
   for (size_t i = 0; i < recovery->recovered->count; i++) {
      const struct storage_segment_header *header = &recovery->headers[i];
      int code = read_header(recovery, i);
      if (code != KVS_OK && !is_refusal(code))
         return code;
      if (code == KVS_OK && header->previous.last_sequence <= recovery->base->sequence)
         recovery->first = i;
      if (code == KVS_OK &&
          header->previous.last_sequence > recovery->recovered->given_up.known_sequence)
         recovery->recovered->given_up.known_sequence = header->previous.last_sequence;
   }
   return KVS_OK;
}

static int check_headers(struct recovery *recovery)
{
   struct storage_recovered *recovered = recovery->recovered;
   if (recovered->count == 0)
      return KVS_OK;
   recovery->headers = calloc(recovered->count, sizeof *recovery->headers);
   if (!recovery->headers)
      return storage_fail(recovery->error, KVS_NO_SPACE, "%s: no memory for %zu segments",
                          recovery->folder->path, recovered->count);
   const struct storage_segment_header *newest = &recovery->headers[recovered->count - 1];
   int code =
       recovery->prefix ? skip_covered(recovery) : read_header(recovery, recovered->count - 1);
   /* The log may be whole without it, but more than a snapshot may be missing. */
   if (code == KVS_OK && !recovery->prefix && newest->snapshot_sequence > 0 &&
       !recovery->base->loaded)
      return missing_snapshot(recovery, newest->number, newest->snapshot_sequence);
   for (size_t i = recovery->first; code == KVS_OK && i < recovered->count; i++) {
      if (recovery->headers[i].number == 0) /* not read above */
         code = read_header(recovery, i);
      if (code == KVS_OK)
         code = check_place(recovery, i);
      if (code == KVS_OK && i > 0)
         recovered->segments[i - 1].last_sequence = recovery->headers[i].previous.last_sequence;
      if (code == KVS_OK)
         recovery->end = i + 1;
   }
   if (!recovery->prefix || !is_refusal(code))
      return code;
   give_up(recovery, recovered->segments[recovery->end].number, 0);
   return KVS_OK;
}

/* For a prefix: how far the segments from where reading stopped are known to reach. */
static int find_known(struct recovery *recovery)
{
   struct storage_given_up *given_up = &recovery->recovered->given_up;
   for (size_t i = 0; i < recovery->recovered->count; i++) {
      uint64_t number = recovery->recovered->segments[i].number, sequence = 0;
      uint64_t from = number == given_up->segment ? given_up->offset : 0;
      int code = KVS_OK;
      if (number >= given_up->segment)
         code = storage_segment_known_sequence(recovery->folder, number, recovery->host->store_id,
                                               from, &sequence, recovery->error);
      if (code != KVS_OK && !is_refusal(code)) /* nothing is known of what is no file */
         return code;
      if (sequence > given_up->known_sequence)
         given_up->known_sequence = sequence;
   }
   return KVS_OK;
}

/* ---- Reading them -------------------------------------------------------------------------- */

/* Hands on what the snapshot does not hold. */
static int take_effects(void *context, const kvs_record *effects, size_t count, uint64_t size,
                        kvs_error *error)
{
   const struct recovery *recovery = context;
   while (count > 0 && effects->sequence <= recovery->base->sequence)
      effects++, count--;
   if (count == 0)
      return KVS_OK;
   recovery->recovered->bytes += size;
   return recovery->host->load(recovery->host, effects, count, error);
}

static void take_scan(struct recovery *recovery, size_t i, const struct storage_scan *scan)
{
   struct storage_recovered *recovered = recovery->recovered;
   recovered->last_sequence = scan->link.last_sequence;
   recovered->segments[i].last_sequence = scan->link.last_sequence;
   recovered->newest = scan->header;
   recovered->newest_link = scan->link;
   recovered->newest_tail = scan->tail;
   recovered->newest_durable_sequence = scan->durable_sequence;
   storage_note(recovery->host, (kvs_load_note){.kind = KVS_LOAD_FILE,
                                                .file = scan->path,
                                                .bytes = scan->link.end,
                                                .records = scan->effects,
                                                .sequence = scan->link.last_sequence});
}

static int read_segment(struct recovery *recovery, size_t i)
{
   const struct storage_segment_link *next =
       i + 1 < recovery->end ? &recovery->headers[i + 1].previous : NULL;
   const struct storage_scan_sink sink = {take_effects, recovery};
   struct storage_scan scan;
   uint64_t number = recovery->recovered->segments[i].number;
   int code = storage_scan_segment(recovery->host, recovery->folder, number, next, &sink, &scan,
                                   recovery->error);
   if (recovery->prefix && is_refusal(code)) {
      /* This precedes what the headers said, unless it only says that there must be more. */
      recovery->recovered->given_up.any = recovery->recovered->given_up.any && scan.followed;
      give_up(recovery, number, scan.link.end);
      recovery->end = i + 1;
      code = KVS_OK;
   }
   if (code == KVS_OK)
      take_scan(recovery, i, &scan);
   return code;
}

/* A segment that the snapshot covers counts as read. */
static void skip_segment(const struct recovery *recovery, size_t i)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   storage_segment_name(recovery->recovered->segments[i].number, name);
   storage_note_bytes(recovery->host, KVS_LOAD_READ,
                      storage_folder_size_of(recovery->folder, name));
}

static int read_segments(struct recovery *recovery)
{
   const struct storage_recovered *recovered = recovery->recovered;
   int code = KVS_OK;
   for (size_t i = recovery->first; code == KVS_OK && i < recovery->end; i++) {
      bool newest = i + 1 == recovery->end;
      if (!newest && recovered->segments[i].last_sequence <= recovery->base->sequence)
         skip_segment(recovery, i);
      else
         code = read_segment(recovery, i);
   }
   return code;
}

static int check_reach(const struct recovery *recovery)
{
   const struct storage_snapshot_found *base = recovery->base;
   if (recovery->recovered->count == 0 && (base->loaded || storage_resumed(recovery->host)))
      return storage_fail(
          recovery->error, KVS_CORRUPT,
          "%s: all segments of the log are missing (from offset 0 of the first); "
          "restore the directory from a backup (the snapshot reaches up to sequence "
          "%" PRIu64 ")",
          recovery->folder->path, base->sequence);
   uint64_t reached = recovery->recovered->last_sequence > base->sequence
                          ? recovery->recovered->last_sequence
                          : base->sequence;
   if (reached < base->newest_sequence)
      return storage_fail(recovery->error, KVS_CORRUPT,
                          "%s: the newest snapshot, at sequence %" PRIu64 ", is damaged, and the "
                          "older snapshots and the log reach only up to %" PRIu64
                          "; restore the snapshot from a backup",
                          recovery->folder->path, base->newest_sequence, reached);
   return KVS_OK;
}

static int read_log(struct recovery *recovery)
{
   memset(recovery->recovered, 0, sizeof *recovery->recovered);
   int code = list_segments(recovery);
   if (code == KVS_OK)
      code = check_headers(recovery);
   if (code == KVS_OK)
      code = read_segments(recovery);
   if (code == KVS_OK)
      code = check_reach(recovery);
   if (recovery->prefix && is_refusal(code)) {
      give_up(recovery, 0, 0);
      code = KVS_OK;
   }
   if (code == KVS_OK && recovery->recovered->given_up.segment > 0)
      code = find_known(recovery);
   free(recovery->headers);
   if (code != KVS_OK) {
      free(recovery->recovered->segments);
      recovery->recovered->segments = NULL;
   }
   return code;
}

int storage_recovery_read(const kvs_host *host, const struct storage_folder *folder,
                          const struct storage_snapshot_found *base, bool prefix,
                          struct storage_recovered *recovered, kvs_error *error)
{
   struct recovery recovery = {.host = host,
                               .folder = folder,
                               .base = base,
                               .recovered = recovered,
                               .prefix = prefix,
                               .error = error};
   return storage_remedy(host, read_log(&recovery), error);
}
