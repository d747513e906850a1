#include "storage/codec.h"
#include "storage/file.h"
#include "storage/segment_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Offsets in a segment's header. */
enum {
   AT_MAGIC = 0,
   AT_VERSION = 8,
   AT_HEADER_SIZE = 12,
   AT_STORE_ID = 16,
   AT_NUMBER = 32,
   AT_BASE_SEQUENCE = 40,
   AT_SNAPSHOT_SEQUENCE = 48,
   AT_PREVIOUS_SEQUENCE = 56,
   AT_PREVIOUS_END = 64,
   AT_PREVIOUS_CHAIN = 72,
   AT_CRC = 76,
};
/* The line end and the high bit show damage by a transfer as text. */
static const uint8_t magic[8] = {'K', 'V', 'L', 'O', 'G', 0x89, '\r', '\n'};

void storage_segment_name(uint64_t number, char name[STORAGE_SEGMENT_NAME_SIZE])
{
   snprintf(name, STORAGE_SEGMENT_NAME_SIZE, "%010" PRIu64 STORAGE_SEGMENT_SUFFIX, number);
}

bool storage_segment_parse_name(const char *name, uint64_t *number)
{
   char expected[STORAGE_SEGMENT_NAME_SIZE];
   if (*name < '0' || *name > '9')
      return false;
   errno = 0;
   *number = strtoull(name, NULL, 10);
   if (errno != 0 || *number == 0)
      return false;
   storage_segment_name(*number, expected);
   return strcmp(name, expected) == 0;
}

static void encode_header(uint8_t *to, const struct storage_segment_header *header)
{
   memcpy(to + AT_MAGIC, magic, sizeof magic);
   storage_put32(to + AT_VERSION, STORAGE_SEGMENT_VERSION);
   storage_put32(to + AT_HEADER_SIZE, STORAGE_SEGMENT_HEADER_SIZE);
   memcpy(to + AT_STORE_ID, header->store_id, 16);
   storage_put64(to + AT_NUMBER, header->number);
   storage_put64(to + AT_BASE_SEQUENCE, header->base_sequence);
   storage_put64(to + AT_SNAPSHOT_SEQUENCE, header->snapshot_sequence);
   storage_put64(to + AT_PREVIOUS_SEQUENCE, header->previous.last_sequence);
   storage_put64(to + AT_PREVIOUS_END, header->previous.end);
   storage_put32(to + AT_PREVIOUS_CHAIN, header->previous.chain);
   storage_put32(to + AT_CRC, storage_crc(0, to, AT_CRC));
}

static void decode_header(const uint8_t *from, struct storage_segment_header *header)
{
   *header = (struct storage_segment_header){
       .number = storage_get64(from + AT_NUMBER),
       .base_sequence = storage_get64(from + AT_BASE_SEQUENCE),
       .snapshot_sequence = storage_get64(from + AT_SNAPSHOT_SEQUENCE),
       .previous = {.last_sequence = storage_get64(from + AT_PREVIOUS_SEQUENCE),
                    .end = storage_get64(from + AT_PREVIOUS_END),
                    .chain = storage_get32(from + AT_PREVIOUS_CHAIN)},
   };
   memcpy(header->store_id, from + AT_STORE_ID, 16);
}

/* Removes `name` for good after a creation that failed with `code`. */
static int withdraw(const struct storage_folder *folder, const char *name, int code)
{
   kvs_error ignored = {.size = sizeof ignored};
   bool removed = storage_remove(folder, name, &ignored) == KVS_OK &&
                  storage_sync_directory(folder, &ignored) == KVS_OK;
   return removed ? code : KVS_IO;
}

int storage_segment_create(const struct storage_folder *folder,
                           const struct storage_segment_header *header, int *fd, uint32_t *chain,
                           kvs_error *error)
{
   kvs_error ignored = {.size = sizeof ignored};
   char name[STORAGE_SEGMENT_NAME_SIZE], temporary[STORAGE_SEGMENT_NAME_SIZE + 4];
   uint8_t bytes[STORAGE_SEGMENT_HEADER_SIZE];
   storage_segment_name(header->number, name);
   snprintf(temporary, sizeof temporary, "%s" STORAGE_TEMPORARY_SUFFIX, name);
   encode_header(bytes, header);
   *chain = storage_get32(bytes + AT_CRC);
   int code = storage_create_with(folder, temporary, bytes, sizeof bytes, fd, error);
   if (code != KVS_OK)
      return code;
   code = storage_rename_durably(folder, temporary, name, error);
   if (code == KVS_OK)
      return KVS_OK;
   close(*fd);
   (void)storage_remove(folder, temporary, &ignored);
   return withdraw(folder, name, code);
}

int storage_segment_look(struct storage_segment_reader *reader, uint64_t offset, size_t size,
                         const uint8_t **bytes, size_t *got, kvs_error *error)
{
   *bytes = NULL;
   *got = 0;
   size_t skipped = 0;
   if (offset >= reader->window_offset && offset <= reader->window_offset + reader->window_size)
      skipped = (size_t)(offset - reader->window_offset);
   else
      reader->window_size = 0;
   if (reader->window_size - skipped < size) {
      size_t wanted = size > STORAGE_SEGMENT_WINDOW ? size : STORAGE_SEGMENT_WINDOW;
      reader->window_offset = offset;
      reader->window_size = skipped = 0;
      if (!storage_buffer_reserve(&reader->window, wanted))
         return storage_fail(error, KVS_NO_SPACE,
                             "%s: no memory to read %zu bytes at offset %" PRIu64, reader->path,
                             size, offset);
      int code = storage_read_all(reader->fd, reader->path, reader->window.data, wanted, offset,
                                  &reader->window_size, error);
      if (code != KVS_OK)
         return KVS_IO;
   }
   size_t available = reader->window_size - skipped;
   *bytes = reader->window.data + skipped;
   *got = available < size ? available : size;
   return KVS_OK;
}

static int check_header(struct storage_segment_reader *reader, const uint8_t *bytes, size_t size,
                        uint64_t number, const uint8_t store_id[16], kvs_error *error)
{
   if (size < STORAGE_SEGMENT_HEADER_SIZE || memcmp(bytes, magic, sizeof magic) != 0 ||
       storage_get32(bytes + AT_CRC) != storage_crc(0, bytes, AT_CRC))
      return storage_fail(error, KVS_CORRUPT,
                          "%s: the segment's header at offset 0 is damaged; restore the file from "
                          "a backup",
                          reader->path);
   uint32_t version = storage_get32(bytes + AT_VERSION);
   if (version != STORAGE_SEGMENT_VERSION)
      return storage_fail(error, KVS_INVALID,
                          "%s: format version %" PRIu32 " at offset %d, this program reads %d; use "
                          "the version that wrote it",
                          reader->path, version, AT_VERSION, STORAGE_SEGMENT_VERSION);
   decode_header(bytes, &reader->header);
   if (memcmp(reader->header.store_id, store_id, 16) != 0)
      return storage_fail(error, KVS_CORRUPT,
                          "%s: belongs to another store (id at offset %d); move it out of this "
                          "directory",
                          reader->path, AT_STORE_ID);
   if (reader->header.number != number)
      return storage_fail(error, KVS_CORRUPT,
                          "%s: holds segment %" PRIu64 " (offset %d); give the file its own name "
                          "back",
                          reader->path, reader->header.number, AT_NUMBER);
   return KVS_OK;
}

int storage_segment_open_file(const struct storage_folder *folder, uint64_t number, int flags,
                              const uint8_t store_id[16], struct storage_segment_reader *reader,
                              kvs_error *error)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   memset(reader, 0, sizeof *reader);
   storage_segment_name(number, name);
   storage_folder_path(folder, name, reader->path);
   int code = storage_open(folder, name, flags, &reader->fd, &reader->size, error);
   if (code != KVS_OK)
      return code == KVS_CORRUPT ? code : KVS_IO;
   reader->salt = storage_record_salt(store_id, number);
   return KVS_OK;
}

int storage_segment_open(const struct storage_folder *folder, uint64_t number, int flags,
                         const uint8_t store_id[16], struct storage_segment_reader *reader,
                         kvs_error *error)
{
   const uint8_t *bytes;
   size_t got;
   int code = storage_segment_open_file(folder, number, flags, store_id, reader, error);
   if (code != KVS_OK)
      return code;
   code = storage_segment_look(reader, 0, STORAGE_SEGMENT_HEADER_SIZE, &bytes, &got, error);
   if (code == KVS_OK)
      code = check_header(reader, bytes, got, number, store_id, error);
   if (code != KVS_OK) {
      storage_segment_close(reader);
      return code;
   }
   reader->offset = STORAGE_SEGMENT_HEADER_SIZE;
   reader->chain = storage_get32(bytes + AT_CRC);
   return KVS_OK;
}

void storage_segment_close(struct storage_segment_reader *reader)
{
   close(reader->fd);
   storage_buffer_free(&reader->window);
   storage_buffer_free(&reader->memory);
}

int storage_segment_next(struct storage_segment_reader *reader,
                         struct storage_record_header *record, bool *found, kvs_error *error)
{
   struct storage_record_place place = {reader->salt, reader->offset};
   const uint8_t *bytes;
   size_t got;
   *found = false;
   int code = storage_segment_look(reader, reader->offset, STORAGE_RECORD_HEADER_SIZE, &bytes, &got,
                                   error);
   if (code != KVS_OK || got < STORAGE_RECORD_HEADER_SIZE ||
       !storage_record_decode_header(bytes, place, record))
      return code;
   size_t size = STORAGE_RECORD_HEADER_SIZE + record->payload_size;
   if (size > reader->size - reader->offset)
      return KVS_OK;
   code = storage_segment_look(reader, reader->offset, size, &bytes, &got, error);
   if (code != KVS_OK || got < size)
      return code;
   /* One more than a mark has, so that there is memory to be had. */
   kvs_record *effects = (kvs_record *)(void *)storage_buffer_reserve(
       &reader->memory, (record->effect_count + (size_t)1) * sizeof *effects);
   if (!effects)
      return storage_fail(error, KVS_NO_SPACE,
                          "%s: no memory for %" PRIu32 " effects at offset %" PRIu64, reader->path,
                          record->effect_count, reader->offset);
   if (!storage_record_decode_effects(record, bytes + STORAGE_RECORD_HEADER_SIZE, effects))
      return KVS_OK;
   reader->effects = effects;
   reader->chain = storage_record_chain(reader->chain, bytes);
   reader->offset += size;
   *found = true;
   return KVS_OK;
}
