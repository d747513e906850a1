#include "storage/backup.h"

#include "storage/backup_layout.h"
#include "storage/buffer.h"
#include "storage/file.h"
#include "storage/snapshot_block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define VISIT_BATCH 256

struct reader {
   int fd;
   const char *path;
   const struct storage_backup_visitor *visitor;
   struct storage_backup_info info;
   struct snapshot_records records;
   uint64_t offset, size;
   uint64_t keys, bytes; /* read so far */
   XXH3_state_t *hash;
   char *mode;
   struct storage_buffer block;
};

static int damaged(const struct reader *reader, uint64_t offset, const char *what, kvs_error *error)
{
   return storage_fail(error, KVS_CORRUPT,
                       "%s: damaged at offset %" PRIu64 " (%s); use another backup", reader->path,
                       offset, what);
}

/* Reads exactly `size` bytes and advances. */
static int take(struct reader *reader, void *to, size_t size, kvs_error *error)
{
   size_t got = 0;
   if (size > reader->size - reader->offset)
      return damaged(reader, reader->offset, "the file ends too early", error);
   int code = storage_read_all(reader->fd, reader->path, to, size, reader->offset, &got, error);
   if (code == KVS_OK && got < size)
      code = damaged(reader, reader->offset, "the file ends too early", error);
   reader->offset += size;
   return code;
}

static bool is_text(const char *text, size_t size)
{
   return memchr(text, '\0', size) == NULL;
}

static int read_mode(struct reader *reader, const uint8_t *header, kvs_error *error)
{
   size_t size = storage_get32(header + 12);
   uint8_t checksum[BACKUP_CHECKSUM_SIZE];
   if (size >= STORAGE_BACKUP_MODE_SIZE)
      return damaged(reader, 12, "the mode's text is too long", error);
   reader->mode = malloc(size + 1);
   if (!reader->mode)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory to read it", reader->path);
   int code = take(reader, reader->mode, size, error);
   if (code == KVS_OK)
      code = take(reader, checksum, sizeof checksum, error);
   if (code != KVS_OK)
      return code;
   uint32_t crc = storage_crc(storage_crc(0, header, BACKUP_HEADER_SIZE), reader->mode, size);
   if (storage_get32(checksum) != crc || !is_text(reader->mode, size))
      return damaged(reader, 0, "the header's checksum is wrong", error);
   reader->mode[size] = '\0';
   XXH3_128bits_update(reader->hash, header, BACKUP_HEADER_SIZE);
   XXH3_128bits_update(reader->hash, reader->mode, size);
   XXH3_128bits_update(reader->hash, checksum, sizeof checksum);
   return KVS_OK;
}

static int read_header(struct reader *reader, kvs_error *error)
{
   uint8_t header[BACKUP_HEADER_SIZE];
   if (reader->size < sizeof header)
      return damaged(reader, reader->size, "the file ends too early", error);
   int code = take(reader, header, sizeof header, error);
   if (code != KVS_OK)
      return code;
   if (memcmp(header, BACKUP_MAGIC, BACKUP_MAGIC_SIZE) != 0)
      return damaged(reader, 0, "this is not a backup of kvstore", error);
   uint32_t version = storage_get32(header + 8);
   if (version < BACKUP_VERSION_PLAIN || version > BACKUP_VERSION_SEALED)
      return storage_fail(error, KVS_CORRUPT,
                          "%s: has format version %" PRIu32 ", this program reads versions %u to "
                          "%u; use the newer kvstore that wrote it",
                          reader->path, version, BACKUP_VERSION_PLAIN, BACKUP_VERSION_SEALED);
   reader->info.sealed = version == BACKUP_VERSION_SEALED || version == BACKUP_VERSION_PLAIN_SEALED;
   reader->records.plain = version < BACKUP_VERSION;
   code = read_mode(reader, header, error);
   if (code != KVS_OK)
      return code;
   memcpy(reader->info.store_id, header + 16, sizeof reader->info.store_id);
   reader->info.sequence = reader->records.sequence = storage_get64(header + 32);
   reader->info.created_ms = (int64_t)storage_get64(header + 40);
   reader->info.keys = storage_get64(header + 48);
   reader->info.bytes = storage_get64(header + 56);
   reader->info.mode = reader->mode;
   return reader->visitor->begin
              ? reader->visitor->begin(reader->visitor->context, &reader->info, error)
              : KVS_OK;
}

static int hand_on(struct reader *reader, uint64_t start, const uint8_t *at, size_t size,
                   uint32_t count, kvs_error *error)
{
   kvs_record records[VISIT_BATCH];
   const uint8_t *end = at + size;
   const struct storage_backup_visitor *visitor = reader->visitor;
   size_t filled = 0;
   for (uint32_t i = 0; i < count; i++) {
      const char *fault = snapshot_get_record(&reader->records, &at, end, &records[filled]);
      if (fault)
         return damaged(reader, start, fault, error);
      reader->keys++;
      reader->bytes += records[filled].key.size + records[filled].value.size;
      if (++filled < VISIT_BATCH && i + 1 < count)
         continue;
      int code =
          visitor->records ? visitor->records(visitor->context, records, filled, error) : KVS_OK;
      if (code != KVS_OK)
         return code;
      filled = 0;
   }
   return at == end ? KVS_OK : damaged(reader, start, "a block is longer than its records", error);
}

static int read_block(struct reader *reader, uint64_t start, const uint8_t *header,
                      kvs_error *error)
{
   if (storage_get32(header + 20) != snapshot_place_crc(header, 20, start))
      return damaged(reader, start, "a block header's checksum is wrong", error);
   uint64_t size = storage_get64(header + 8);
   if (size == 0 || size > STORAGE_SNAPSHOT_BLOCK_SIZE_MAX || size > reader->size - reader->offset)
      return damaged(reader, start, "a block passes the end of the file", error);
   uint8_t *block = storage_buffer_reserve(&reader->block, size);
   if (!block)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a block of %" PRIu64 " bytes",
                          reader->path, size);
   int code = take(reader, block, size, error);
   if (code != KVS_OK)
      return code;
   if (storage_get32(header + 16) != snapshot_payload_crc(block, size))
      return damaged(reader, start, "a block's checksum is wrong", error);
   XXH3_128bits_update(reader->hash, header, STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE);
   XXH3_128bits_update(reader->hash, block, size);
   return hand_on(reader, start, block, size, storage_get32(header + 4), error);
}

static int read_footer(struct reader *reader, uint64_t start, const uint8_t *first,
                       kvs_error *error)
{
   uint8_t footer[BACKUP_FOOTER_SIZE];
   XXH128_canonical_t digest;
   memcpy(footer, first, STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE);
   int code = take(reader, footer + STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE,
                   sizeof footer - STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE, error);
   if (code != KVS_OK)
      return code;
   if (storage_get32(footer + 44) != snapshot_place_crc(footer, 44, start))
      return damaged(reader, start, "the footer's checksum is wrong", error);
   XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(reader->hash));
   if (storage_get64(footer + 8) != reader->keys || reader->keys != reader->info.keys ||
       reader->bytes != reader->info.bytes || storage_get64(footer + 16) != start ||
       memcmp(footer + 24, digest.digest, sizeof digest.digest) != 0)
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
      if (storage_get32(header) == BACKUP_FOOTER_MAGIC)
         return read_footer(reader, start, header, error);
      if (storage_get32(header) != SNAPSHOT_BLOCK_MAGIC)
         return damaged(reader, start, "neither a block nor the footer", error);
      code = read_block(reader, start, header, error);
   }
   return code;
}

int storage_backup_read(int fd, const char *path, const struct storage_backup_visitor *visitor,
                        kvs_error *error)
{
   struct stat file;
   if (fstat(fd, &file) != 0)
      return storage_fail_errno(error, errno, "%s: cannot be looked at", path);
   if (!S_ISREG(file.st_mode))
      return storage_fail(error, KVS_INVALID, "%s: is no regular file", path);
   struct reader reader = {.fd = fd,
                           .path = path,
                           .visitor = visitor,
                           .size = (uint64_t)file.st_size,
                           .hash = XXH3_createState()};
   if (!reader.hash)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a checksum", path);
   XXH3_128bits_reset(reader.hash);
   int code = read_parts(&reader, error);
   storage_buffer_free(&reader.block);
   free(reader.mode);
   XXH3_freeState(reader.hash);
   return code;
}
