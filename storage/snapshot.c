#include "storage/snapshot.h"

#include "storage/buffer.h"
#include "storage/codec.h"
#include "storage/file.h"
#include "storage/note.h"
#include "storage/snapshot_block.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define LOAD_BATCH 256

struct reader {
   const kvs_host *host;
   const char *path;
   int fd;
   bool check_only;
   struct snapshot_records records;
   uint64_t offset, size;
   XXH3_state_t *hash;
   struct storage_buffer block;
   uint64_t total_records;
};

static int damaged(const struct reader *reader, uint64_t offset, const char *what, kvs_error *error)
{
   return storage_fail(error, KVS_CORRUPT,
                       "%s: damaged at offset %" PRIu64 " (%s); restore the file from a backup",
                       reader->path, offset, what);
}

/* Reads exactly `size` bytes at the reader's offset, and advances it. */
static int take(struct reader *reader, uint8_t *to, size_t size, kvs_error *error)
{
   size_t got;
   if (size > reader->size - reader->offset)
      return damaged(reader, reader->offset, "the file ends too early", error);
   int code = storage_read_all(reader->fd, reader->path, to, size, reader->offset, &got, error);
   if (code != KVS_OK)
      return code;
   if (got < size)
      return damaged(reader, reader->offset, "the file ends too early", error);
   reader->offset += size;
   return KVS_OK;
}

static int read_header(struct reader *reader, kvs_error *error)
{
   uint8_t header[STORAGE_SNAPSHOT_HEADER_SIZE];
   int code = take(reader, header, sizeof header, error);
   if (code != KVS_OK)
      return code;
   if (memcmp(header, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_SIZE) != 0)
      return damaged(reader, 0, "this is not a snapshot", error);
   if (storage_get32(header + 60) != storage_crc(0, header, 60))
      return damaged(reader, 0, "the header's checksum is wrong", error);
   uint32_t version = storage_get32(header + 8);
   if (version < SNAPSHOT_VERSION_PLAIN || version > SNAPSHOT_VERSION)
      return storage_fail(
          error, KVS_CORRUPT,
          "%s: has format version %" PRIu32
          ", this plug-in reads versions %u to %u; start the newer kvstore that wrote it",
          reader->path, version, SNAPSHOT_VERSION_PLAIN, SNAPSHOT_VERSION);
   reader->records.plain = version == SNAPSHOT_VERSION_PLAIN;
   if (memcmp(header + 16, reader->host->store_id, 16) != 0)
      return storage_fail(error, KVS_CORRUPT, "%s: belongs to another store; remove it from here",
                          reader->path);
   if (storage_get64(header + 32) != reader->records.sequence)
      return damaged(reader, 32, "its sequence is not the one in its name", error);
   XXH3_64bits_update(reader->hash, header, sizeof header);
   return KVS_OK;
}

static int hand_on(const struct reader *reader, uint64_t block_offset, const uint8_t *at,
                   size_t size, uint32_t count, kvs_error *error)
{
   kvs_record records[LOAD_BATCH];
   const uint8_t *end = at + size;
   size_t filled = 0;
   for (uint32_t i = 0; i < count; i++) {
      const char *fault = snapshot_get_record(&reader->records, &at, end, &records[filled]);
      if (fault)
         return damaged(reader, block_offset, fault, error);
      filled++;
      if ((filled == LOAD_BATCH || i + 1 == count) && !reader->check_only) {
         int code = reader->host->load(reader->host, records, filled, error);
         if (code != KVS_OK)
            return code;
      }
      if (filled == LOAD_BATCH)
         filled = 0;
   }
   return at == end ? KVS_OK
                    : damaged(reader, block_offset, "a block is longer than its records", error);
}

/* The rest of a block whose header has been read from `start`. */
static int read_block(struct reader *reader, uint64_t start, const uint8_t *header,
                      kvs_error *error)
{
   if (storage_get32(header + 20) != snapshot_place_crc(header, 20, start))
      return damaged(reader, start, "a block header's checksum is wrong", error);
   uint64_t size = storage_get64(header + 8);
   if (size > STORAGE_SNAPSHOT_BLOCK_SIZE_MAX || size > reader->size - reader->offset)
      return damaged(reader, start, "a block passes the end of the file", error);
   if (size == 0)
      return damaged(reader, start, "a block is empty", error);
   uint8_t *block = storage_buffer_reserve(&reader->block, size);
   if (!block)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a block of %" PRIu64 " bytes",
                          reader->path, size);
   int code = take(reader, block, size, error);
   if (code != KVS_OK)
      return code;
   if (storage_get32(header + 16) != snapshot_payload_crc(block, size))
      return damaged(reader, start, "a block's checksum is wrong", error);
   XXH3_64bits_update(reader->hash, header, STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE);
   XXH3_64bits_update(reader->hash, block, size);
   uint32_t count = storage_get32(header + 4);
   reader->total_records += count;
   storage_note_bytes(reader->host, KVS_LOAD_READ, STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE + size);
   return hand_on(reader, start, block, size, count, error);
}

/* The rest of the footer, whose first bytes have been read from `start`. */
static int read_footer(struct reader *reader, uint64_t start, const uint8_t *first,
                       kvs_error *error)
{
   uint8_t footer[STORAGE_SNAPSHOT_FOOTER_SIZE];
   memcpy(footer, first, STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE);
   int code = take(reader, footer + STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE,
                   sizeof footer - STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE, error);
   if (code != KVS_OK)
      return code;
   if (storage_get32(footer + 36) != snapshot_place_crc(footer, 36, start))
      return damaged(reader, start, "the footer's checksum is wrong", error);
   if (storage_get64(footer + 8) != reader->total_records || storage_get64(footer + 16) != start ||
       storage_get64(footer + 24) != XXH3_64bits_digest(reader->hash))
      return damaged(reader, start, "the whole does not match the footer", error);
   if (reader->offset != reader->size)
      return damaged(reader, reader->offset, "bytes follow the footer", error);
   return KVS_OK;
}

static int read_parts(struct reader *reader, kvs_error *error)
{
   int code = read_header(reader, error);
   while (code == KVS_OK) {
      uint64_t start = reader->offset;
      uint8_t header[STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE];
      code = take(reader, header, sizeof header, error);
      if (code != KVS_OK)
         return code;
      if (storage_get32(header) == SNAPSHOT_FOOTER_MAGIC)
         return read_footer(reader, start, header, error);
      if (storage_get32(header) != SNAPSHOT_BLOCK_MAGIC)
         return damaged(reader, start, "neither a block nor the footer", error);
      code = read_block(reader, start, header, error);
   }
   return code;
}

int storage_snapshot_read(const kvs_host *host, const struct storage_folder *folder,
                          const char *name, uint64_t sequence, bool check_only, kvs_error *error)
{
   char path[PATH_MAX];
   storage_folder_path(folder, name, path);
   struct reader reader = {.host = host,
                           .path = path,
                           .check_only = check_only,
                           .records.sequence = sequence,
                           .hash = XXH3_createState()};
   if (!reader.hash)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a checksum", path);
   XXH3_64bits_reset(reader.hash);
   int code = storage_open(folder, name, O_RDONLY, &reader.fd, &reader.size, error);
   if (code == KVS_OK) {
      storage_note_bytes(host, KVS_LOAD_EXPECTED, reader.size);
      code = read_parts(&reader, error);
      close(reader.fd); /* nothing was written */
   }
   if (code == KVS_OK && !check_only)
      storage_note(host, (kvs_load_note){.kind = KVS_LOAD_FILE,
                                         .file = path,
                                         .bytes = reader.size,
                                         .records = reader.total_records,
                                         .sequence = sequence});
   storage_buffer_free(&reader.block);
   XXH3_freeState(reader.hash);
   return code;
}
