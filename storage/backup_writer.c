#include "storage/backup.h"
#include "storage/backup_layout.h"
#include "storage/buffer.h"
#include "storage/file.h"
#include "storage/snapshot_block.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NO_MEMORY "no memory for a backup"

struct storage_backup_writer {
   struct storage_backup_sink sink;
   XXH3_state_t *hash;
   uint64_t offset;
   uint64_t sequence, keys, bytes;       /* that the header speaks of */
   uint64_t written_keys, written_bytes; /* that there are */
   uint8_t *block;                       /* records of the block being filled */
   size_t block_size, block_capacity;
   uint32_t block_records;
};

static int append(struct storage_backup_writer *writer, const void *data, size_t size,
                  kvs_error *error)
{
   XXH3_128bits_update(writer->hash, data, size);
   writer->offset += size;
   return writer->sink.write(writer->sink.context, data, size, error);
}

static int write_header(struct storage_backup_writer *writer,
                        const struct storage_backup_info *info, kvs_error *error)
{
   size_t mode_size = strlen(info->mode);
   if (mode_size >= STORAGE_BACKUP_MODE_SIZE)
      return storage_fail(error, KVS_INVALID,
                          "the mode and its options are too long for a backup (%zu bytes, limit "
                          "%zu)",
                          mode_size, STORAGE_BACKUP_MODE_SIZE - 1);
   size_t size = BACKUP_HEADER_SIZE + mode_size + BACKUP_CHECKSUM_SIZE;
   uint8_t *header = calloc(1, size);
   if (!header)
      return storage_fail(error, KVS_NO_SPACE, NO_MEMORY);
   memcpy(header, BACKUP_MAGIC, BACKUP_MAGIC_SIZE);
   storage_put32(header + 8, info->sealed ? BACKUP_VERSION_SEALED : BACKUP_VERSION);
   storage_put32(header + 12, (uint32_t)mode_size);
   memcpy(header + 16, info->store_id, sizeof info->store_id);
   storage_put64(header + 32, info->sequence);
   storage_put64(header + 40, (uint64_t)info->created_ms);
   storage_put64(header + 48, info->keys);
   storage_put64(header + 56, info->bytes);
   memcpy(header + BACKUP_HEADER_SIZE, info->mode, mode_size);
   storage_put32(header + size - BACKUP_CHECKSUM_SIZE,
                 storage_crc(0, header, size - BACKUP_CHECKSUM_SIZE));
   int code = append(writer, header, size, error);
   free(header);
   return code;
}

int storage_backup_begin(const struct storage_backup_sink *sink,
                         const struct storage_backup_info *info,
                         struct storage_backup_writer **writer, kvs_error *error)
{
   struct storage_backup_writer *created = calloc(1, sizeof *created);
   if (!created)
      return storage_fail(error, KVS_NO_SPACE, NO_MEMORY);
   *created = (struct storage_backup_writer){.sink = *sink,
                                             .hash = XXH3_createState(),
                                             .sequence = info->sequence,
                                             .keys = info->keys,
                                             .bytes = info->bytes,
                                             .block = malloc(STORAGE_SNAPSHOT_BLOCK_SIZE),
                                             .block_capacity = STORAGE_SNAPSHOT_BLOCK_SIZE};
   int code =
       created->hash && created->block ? KVS_OK : storage_fail(error, KVS_NO_SPACE, NO_MEMORY);
   if (code == KVS_OK) {
      XXH3_128bits_reset(created->hash);
      code = write_header(created, info, error);
   }
   if (code == KVS_OK)
      *writer = created;
   else
      storage_backup_writer_destroy(created);
   return code;
}

void storage_backup_writer_destroy(struct storage_backup_writer *writer)
{
   if (!writer)
      return;
   XXH3_freeState(writer->hash);
   free(writer->block);
   free(writer);
}

static int flush_block(struct storage_backup_writer *writer, kvs_error *error)
{
   if (writer->block_records == 0)
      return KVS_OK;
   uint8_t header[STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE];
   snapshot_put_block_header(header, writer->block_records, writer->block, writer->block_size,
                             writer->offset);
   int code = append(writer, header, sizeof header, error);
   if (code == KVS_OK)
      code = append(writer, writer->block, writer->block_size, error);
   writer->block_size = 0;
   writer->block_records = 0;
   return code;
}

static int reserve_block(struct storage_backup_writer *writer, size_t size, kvs_error *error)
{
   if (writer->block_capacity - writer->block_size >= size)
      return KVS_OK;
   uint8_t *block = realloc(writer->block, writer->block_size + size);
   if (!block)
      return storage_fail(error, KVS_NO_SPACE, NO_MEMORY);
   writer->block = block;
   writer->block_capacity = writer->block_size + size;
   return KVS_OK;
}

int storage_backup_add(struct storage_backup_writer *writer, const kvs_record *record,
                       kvs_error *error)
{
   size_t size = snapshot_record_size(record);
   int code = KVS_OK;
   if (record->sequence == 0 || record->sequence > writer->sequence)
      return storage_fail(error, KVS_INVALID,
                          "a record is of no sequence up to that of the backup");
   if (writer->block_size + size > STORAGE_SNAPSHOT_BLOCK_SIZE)
      code = flush_block(writer, error);
   if (code == KVS_OK)
      code = reserve_block(writer, size, error);
   if (code != KVS_OK)
      return code;
   snapshot_put_record(writer->block + writer->block_size, record);
   writer->block_size += size;
   writer->block_records++;
   writer->written_keys++;
   writer->written_bytes += record->key.size + record->value.size;
   return KVS_OK;
}

int storage_backup_finish(struct storage_backup_writer *writer,
                          uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE], kvs_error *error)
{
   XXH128_canonical_t canonical;
   if (writer->written_keys != writer->keys || writer->written_bytes != writer->bytes)
      return storage_fail(error, KVS_INVALID, "the data is not what the backup's header says");
   int code = flush_block(writer, error);
   if (code != KVS_OK)
      return code;
   uint8_t footer[BACKUP_FOOTER_SIZE] = {0};
   storage_put32(footer, BACKUP_FOOTER_MAGIC);
   storage_put64(footer + 8, writer->keys);
   storage_put64(footer + 16, writer->offset);
   XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(writer->hash));
   memcpy(footer + 24, canonical.digest, sizeof canonical.digest);
   storage_put32(footer + 44, snapshot_place_crc(footer, 44, writer->offset));
   code = append(writer, footer, sizeof footer, error);
   XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(writer->hash));
   memcpy(digest, canonical.digest, STORAGE_BACKUP_DIGEST_SIZE);
   return code;
}

uint64_t storage_backup_size_limit(const struct storage_backup_info *info)
{
   uint64_t records = info->bytes + info->keys * (uint64_t)STORAGE_SNAPSHOT_RECORD_HEADER_SIZE;
   /* Any two successive blocks together exceed the size of one. */
   uint64_t blocks = 2 * records / STORAGE_SNAPSHOT_BLOCK_SIZE + 1;
   return BACKUP_HEADER_SIZE + strlen(info->mode) + BACKUP_CHECKSUM_SIZE + records +
          blocks * STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE + BACKUP_FOOTER_SIZE;
}
