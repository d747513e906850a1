/* What follows the last valid record of a segment: an unfinished write, or damage. */
#include "storage/file.h"
#include "storage/segment_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether a record header at `offset` says that more than reader->offset was durable. */
static bool proves_durable(const struct storage_segment_reader *reader, const uint8_t *bytes,
                           uint64_t offset)
{
   struct storage_record_place place = {reader->salt, offset};
   struct storage_record_header record;
   return storage_record_decode_header(bytes, place, &record) &&
          record.durable_end > reader->offset;
}

/* Looks through `got` bytes from `offset` on for proof and for the last byte that is not zero. */
static void examine_bytes(const struct storage_segment_reader *reader, const uint8_t *bytes,
                          size_t got, uint64_t offset, struct storage_segment_tail *tail)
{
   const uint8_t *end = bytes + got;
   const uint8_t *at = bytes;
   while (!tail->was_durable && (size_t)(end - at) >= STORAGE_RECORD_HEADER_SIZE) {
      at = memmem(at, (size_t)(end - at), STORAGE_RECORD_MAGIC, STORAGE_RECORD_MAGIC_SIZE);
      if (!at || (size_t)(end - at) < STORAGE_RECORD_HEADER_SIZE)
         break;
      uint64_t candidate = offset + (uint64_t)(at - bytes);
      if (proves_durable(reader, at, candidate)) {
         tail->was_durable = true;
         tail->proof_offset = candidate;
      }
      at++;
   }
   size_t used = got;
   while (used > 0 && bytes[used - 1] == 0)
      used--;
   if (used > 0 && offset + used > tail->data_end)
      tail->data_end = offset + used;
}

int storage_segment_examine_tail(struct storage_segment_reader *reader,
                                 struct storage_segment_tail *tail, kvs_error *error)
{
   *tail = (struct storage_segment_tail){.data_end = reader->offset};
   uint64_t offset = reader->offset;
   while (offset < reader->size) {
      const uint8_t *bytes;
      size_t got;
      int code = storage_segment_look(reader, offset, STORAGE_SEGMENT_WINDOW, &bytes, &got, error);
      if (code != KVS_OK)
         return code;
      examine_bytes(reader, bytes, got, offset, tail);
      if (got < STORAGE_SEGMENT_WINDOW)
         break;
      /* The next stretch overlaps: a header may lie across the border. */
      offset += got - (STORAGE_RECORD_HEADER_SIZE - 1);
   }
   return KVS_OK;
}

/* Goes on to the next valid record header, or to the file's end. */
static int find_header(struct storage_segment_reader *reader, kvs_error *error)
{
   const uint8_t *bytes;
   size_t got;
   struct storage_record_header record;
   while (reader->offset < reader->size) {
      int code =
          storage_segment_look(reader, reader->offset, STORAGE_SEGMENT_WINDOW, &bytes, &got, error);
      if (code != KVS_OK)
         return code;
      if (got < STORAGE_RECORD_HEADER_SIZE)
         break;
      const size_t beginnings = got - (STORAGE_RECORD_HEADER_SIZE - 1);
      const uint8_t *at = memmem(bytes, beginnings + STORAGE_RECORD_MAGIC_SIZE - 1,
                                 STORAGE_RECORD_MAGIC, STORAGE_RECORD_MAGIC_SIZE);
      reader->offset += at ? (size_t)(at - bytes) : beginnings;
      struct storage_record_place place = {reader->salt, reader->offset};
      if (at && storage_record_decode_header(at, place, &record))
         return KVS_OK;
      reader->offset += at != NULL;
   }
   reader->offset = reader->size;
   return KVS_OK;
}

int storage_segment_known_sequence(const struct storage_folder *folder, uint64_t number,
                                   const uint8_t store_id[16], uint64_t from, uint64_t *sequence,
                                   kvs_error *error)
{
   struct storage_segment_reader reader;
   *sequence = 0;
   int code = storage_segment_open_file(folder, number, O_RDONLY, store_id, &reader, error);
   if (code != KVS_OK)
      return code;
   reader.offset = from;
   while ((code = find_header(&reader, error)) == KVS_OK && reader.offset < reader.size) {
      struct storage_record_header record;
      bool found;
      code = storage_segment_next(&reader, &record, &found, error);
      if (code != KVS_OK)
         break;
      uint64_t last = record.durable_sequence;
      if (found && record.effect_count > 0)
         last = reader.effects[record.effect_count - 1].sequence;
      if (last > *sequence)
         *sequence = last;
      reader.offset += !found;
   }
   storage_segment_close(&reader);
   return code;
}

static int copy_tail(struct storage_segment_reader *reader, const struct storage_segment_tail *tail,
                     int fd, const char *path, kvs_error *error)
{
   int code = KVS_OK;
   uint64_t offset = reader->offset;
   while (code == KVS_OK && offset < tail->data_end) {
      uint64_t left = tail->data_end - offset;
      const uint8_t *bytes;
      size_t got;
      code = storage_segment_look(
          reader, offset, left < STORAGE_SEGMENT_WINDOW ? (size_t)left : STORAGE_SEGMENT_WINDOW,
          &bytes, &got, error);
      if (code != KVS_OK || got == 0)
         break;
      struct iovec part = {(void *)(uintptr_t)bytes, got};
      code = storage_write_all(fd, path, &part, 1, offset - reader->offset, error);
      offset += got;
   }
   return code == KVS_OK ? storage_sync(fd, path, error) : code;
}

int storage_segment_keep_torn(const struct storage_folder *folder,
                              struct storage_segment_reader *reader,
                              const struct storage_segment_tail *tail,
                              char name[STORAGE_TORN_NAME_SIZE], kvs_error *error)
{
   kvs_error ignored = {.size = sizeof ignored};
   char path[PATH_MAX];
   int fd;
   snprintf(name, STORAGE_TORN_NAME_SIZE, "%010" PRIu64 "-%" PRIu64 STORAGE_TORN_SUFFIX,
            reader->header.number, reader->offset);
   storage_folder_path(folder, name, path);
   int code = storage_create(folder, name, &fd, error);
   if (code != KVS_OK)
      return code;
   code = copy_tail(reader, tail, fd, path, error);
   close(fd);
   if (code == KVS_OK)
      return storage_sync_directory(folder, error);
   (void)storage_remove(folder, name, &ignored);
   return code;
}
