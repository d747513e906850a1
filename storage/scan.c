#include "storage/scan.h"

#include "storage/file.h"
#include "storage/note.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int damaged(const struct storage_scan *scan, const char *proof, kvs_error *error)
{
   return storage_fail(error, KVS_CORRUPT,
                       "%s: damaged at offset %" PRIu64 " after sequence %" PRIu64
                       " (%s); restore the file from a backup",
                       scan->path, scan->link.end, scan->link.last_sequence, proof);
}

/* A segment's last record says that a successor exists, and there is none. */
static int missing_successor(const struct storage_scan *scan,
                             const struct storage_segment_reader *reader, kvs_error *error)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   const char *slash = strrchr(scan->path, '/');
   storage_segment_name(reader->header.number + 1, name);
   return storage_fail(
       error, KVS_CORRUPT,
       "%.*s/%s: this segment is missing from offset 0; the one before says that it "
       "is there; restore it from a backup",
       (int)(slash - scan->path), scan->path, name);
}

/* Checks the order of one record and hands its effects to the sink. */
static int take_record(struct storage_scan *scan, const struct storage_segment_reader *reader,
                       const struct storage_record_header *record,
                       const struct storage_scan_sink *sink, kvs_error *error)
{
   if (record->type == STORAGE_RECORD_EFFECTS) {
      if (record->first_sequence <= scan->link.last_sequence)
         return damaged(scan, "the record at this offset is out of order", error);
      uint64_t size = STORAGE_RECORD_HEADER_SIZE + record->payload_size;
      int code = sink
                     ? sink->take(sink->context, reader->effects, record->effect_count, size, error)
                     : KVS_OK;
      if (code != KVS_OK)
         return code;
      if (scan->effects == 0)
         scan->first_sequence = record->first_sequence;
      scan->effects += record->effect_count;
      scan->link.last_sequence = reader->effects[record->effect_count - 1].sequence;
   } else {
      scan->marks++;
   }
   scan->durable_sequence = record->durable_sequence;
   scan->link.end = reader->offset;
   scan->link.chain = reader->chain;
   return KVS_OK;
}

static int read_records(const kvs_host *host, struct storage_scan *scan,
                        struct storage_segment_reader *reader,
                        const struct storage_segment_link *next,
                        const struct storage_scan_sink *sink, kvs_error *error)
{
   int code = KVS_OK;
   uint64_t noted = 0;
   bool found = true;
   while (code == KVS_OK && found && !(next && reader->offset >= next->end)) {
      struct storage_record_header record;
      code = storage_segment_next(reader, &record, &found, error);
      scan->followed = code == KVS_OK && found && record.type == STORAGE_RECORD_SUCCESSOR;
      if (scan->followed)
         code = missing_successor(scan, reader, error);
      else if (code == KVS_OK && found)
         code = take_record(scan, reader, &record, sink, error);
      if (reader->offset - noted >= STORAGE_NOTE_STEP) {
         storage_note_bytes(host, KVS_LOAD_READ, reader->offset - noted);
         noted = reader->offset;
      }
   }
   storage_note_bytes(host, KVS_LOAD_READ, reader->size - noted);
   return code;
}

static int check_sealed(const struct storage_scan *scan, const struct storage_segment_link *next,
                        kvs_error *error)
{
   if (scan->link.end < next->end)
      return damaged(scan, "the next segment proves that more followed", error);
   if (scan->link.end != next->end || scan->link.chain != next->chain ||
       scan->link.last_sequence != next->last_sequence)
      return damaged(scan, "it is not the segment that the next one follows", error);
   return KVS_OK;
}

/* Only the newest segment can end in an unfinished write. */
static int check_newest(struct storage_scan *scan, struct storage_segment_reader *reader,
                        kvs_error *error)
{
   int code = storage_segment_examine_tail(reader, &scan->tail, error);
   if (code != KVS_OK || !scan->tail.was_durable)
      return code;
   char proof[128];
   snprintf(proof, sizeof proof,
            "no unfinished write: the record at offset %" PRIu64 " says it was durable",
            scan->tail.proof_offset);
   return damaged(scan, proof, error);
}

int storage_scan_segment(const kvs_host *host, const struct storage_folder *folder, uint64_t number,
                         const struct storage_segment_link *next,
                         const struct storage_scan_sink *sink, struct storage_scan *scan,
                         kvs_error *error)
{
   struct storage_segment_reader reader;
   memset(scan, 0, sizeof *scan);
   int code = storage_segment_open(folder, number, O_RDONLY, host->store_id, &reader, error);
   snprintf(scan->path, sizeof scan->path, "%s", reader.path);
   if (code != KVS_OK)
      return code;
   scan->header = reader.header;
   scan->size = reader.size;
   scan->durable_sequence = reader.header.previous.last_sequence;
   scan->link = (struct storage_segment_link){
       .last_sequence = scan->durable_sequence, .end = reader.offset, .chain = reader.chain};
   code = read_records(host, scan, &reader, next, sink, error);
   if (code == KVS_OK)
      code = next ? check_sealed(scan, next, error) : check_newest(scan, &reader, error);
   storage_segment_close(&reader);
   return code;
}
