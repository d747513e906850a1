#include "storage/codec.h"
#include "storage/file.h"
#include "storage/pace.h"
#include "storage/snapshot.h"
#include "storage/snapshot_block.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define READ_BATCH 256

/* The kernel is asked to write back each time this much has been written, so that the sync at the
 * end has little left to do and does not delay the log's. */
#define WRITEBACK_STEP ((uint64_t)4 << 20)

struct writer {
   const char *path;
   int fd;
   uint64_t sequence;
   uint64_t offset, written_back;
   struct storage_pace pace;
   XXH3_state_t *hash;
   uint8_t *block; /* records of the block being filled */
   size_t block_size, block_capacity;
   uint32_t block_records;
   uint64_t total_records;
};

static int append(struct writer *writer, const uint8_t *first, size_t first_size,
                  const uint8_t *second, size_t second_size, kvs_error *error)
{
   struct iovec parts[2] = {{(void *)(uintptr_t)first, first_size},
                            {(void *)(uintptr_t)second, second_size}};
   XXH3_64bits_update(writer->hash, first, first_size);
   if (second_size > 0)
      XXH3_64bits_update(writer->hash, second, second_size);
   int code = storage_write_all(writer->fd, writer->path, parts, second_size > 0 ? 2 : 1,
                                writer->offset, error);
   writer->offset += first_size + second_size;
   return code;
}

static int write_header(struct writer *writer, const kvs_host *host, const kvs_tick *tick,
                        kvs_error *error)
{
   uint8_t header[STORAGE_SNAPSHOT_HEADER_SIZE] = {0};
   memcpy(header, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_SIZE);
   storage_put32(header + 8, SNAPSHOT_VERSION);
   memcpy(header + 16, host->store_id, 16);
   storage_put64(header + 32, tick->view_sequence);
   storage_put64(header + 40, (uint64_t)tick->now_ms);
   storage_put32(header + 60, storage_crc(0, header, 60));
   return append(writer, header, sizeof header, NULL, 0, error);
}

static void write_back(struct writer *writer)
{
   uint64_t size = writer->offset - writer->written_back;
   if (size < WRITEBACK_STEP)
      return;
   /* Only a hint: the sync reports what fails. */
   (void)sync_file_range(writer->fd, (off_t)writer->written_back, (off_t)size,
                         SYNC_FILE_RANGE_WRITE);
   writer->written_back = writer->offset;
}

static int flush_block(struct writer *writer, kvs_error *error)
{
   if (writer->block_records == 0)
      return KVS_OK;
   uint8_t header[STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE];
   snapshot_put_block_header(header, writer->block_records, writer->block, writer->block_size,
                             writer->offset);
   /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): storage_snapshot_write frees the block. */
   int code = append(writer, header, sizeof header, writer->block, writer->block_size, error);
   writer->total_records += writer->block_records;
   writer->block_size = 0;
   writer->block_records = 0;
   if (code == KVS_OK) {
      write_back(writer);
      storage_pace_keep(&writer->pace, writer->offset);
   }
   return code;
}

static int write_footer(struct writer *writer, kvs_error *error)
{
   uint8_t footer[STORAGE_SNAPSHOT_FOOTER_SIZE] = {0};
   storage_put32(footer, SNAPSHOT_FOOTER_MAGIC);
   storage_put64(footer + 8, writer->total_records);
   storage_put64(footer + 16, writer->offset);
   storage_put64(footer + 24, XXH3_64bits_digest(writer->hash));
   storage_put32(footer + 36, snapshot_place_crc(footer, 36, writer->offset));
   return append(writer, footer, sizeof footer, NULL, 0, error);
}

static int reserve_block(struct writer *writer, size_t size, kvs_error *error)
{
   if (writer->block_capacity - writer->block_size >= size)
      return KVS_OK;
   size_t capacity = writer->block_size + size;
   uint8_t *block = realloc(writer->block, capacity);
   if (!block)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a block of %zu bytes",
                          writer->path, capacity);
   writer->block = block;
   writer->block_capacity = capacity;
   return KVS_OK;
}

static int add_record(struct writer *writer, const kvs_record *record, kvs_error *error)
{
   size_t size = snapshot_record_size(record);
   int code = KVS_OK;
   /* A reader would take it for damage, when the log has been removed. */
   if (record->sequence == 0 || record->sequence > writer->sequence)
      return storage_fail(error, KVS_IO,
                          "%s: the view has a record of sequence %" PRIu64
                          ", and is itself of %" PRIu64,
                          writer->path, record->sequence, writer->sequence);
   if (writer->block_size + size > STORAGE_SNAPSHOT_BLOCK_SIZE)
      code = flush_block(writer, error);
   if (code == KVS_OK)
      code = reserve_block(writer, size, error);
   if (code != KVS_OK)
      return code;
   snapshot_put_record(writer->block + writer->block_size, record);
   writer->block_size += size;
   writer->block_records++;
   return KVS_OK;
}

static int write_records(struct writer *writer, const kvs_host *host, kvs_view *view,
                         kvs_error *error)
{
   kvs_record records[READ_BATCH];
   size_t count;
   while (view && (count = host->view_read(view, records, READ_BATCH)) > 0)
      for (size_t i = 0; i < count; i++) {
         int code = add_record(writer, &records[i], error);
         if (code != KVS_OK)
            return code;
      }
   return flush_block(writer, error);
}

static int write_all(struct writer *writer, const kvs_host *host, const kvs_tick *tick,
                     kvs_error *error)
{
   int code = reserve_block(writer, STORAGE_SNAPSHOT_BLOCK_SIZE, error);
   if (code == KVS_OK)
      code = write_header(writer, host, tick, error);
   if (code == KVS_OK)
      code = write_records(writer, host, tick->view, error);
   if (code == KVS_OK)
      code = write_footer(writer, error);
   /* What was allocated ahead may reach further. */
   if (code == KVS_OK)
      code = storage_set_size(writer->fd, writer->path, writer->offset, error);
   return code == KVS_OK ? storage_sync(writer->fd, writer->path, error) : code;
}

uint64_t storage_snapshot_size_limit(const kvs_tick *tick)
{
   uint64_t records =
       tick->view_bytes + tick->view_count * (uint64_t)STORAGE_SNAPSHOT_RECORD_HEADER_SIZE;
   /* Any two successive blocks together exceed the size of one. */
   uint64_t blocks = 2 * records / STORAGE_SNAPSHOT_BLOCK_SIZE + 1;
   return STORAGE_SNAPSHOT_HEADER_SIZE + records + blocks * STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE +
          STORAGE_SNAPSHOT_FOOTER_SIZE;
}

static int create_and_write(struct writer *writer, const struct storage_folder *folder,
                            const char *name, const kvs_host *host, const kvs_tick *tick,
                            struct storage_reserve *space, kvs_error *error)
{
   kvs_error ignored = {.size = sizeof ignored};
   int code = storage_create(folder, name, &writer->fd, error);
   if (code != KVS_OK)
      return code;
   if (space)
      storage_reserve_hand_over(space, writer->fd, storage_snapshot_size_limit(tick));
   code = write_all(writer, host, tick, error);
   if (close(writer->fd) != 0 && code == KVS_OK)
      code = storage_fail_errno(error, errno, "%s: cannot close", writer->path);
   if (code != KVS_OK) /* best effort: the next open removes a leftover, too */
      (void)storage_remove(folder, name, &ignored);
   return code;
}

int storage_snapshot_write(const kvs_host *host, const kvs_tick *tick, uint64_t rate,
                           struct storage_reserve *space, const struct storage_folder *folder,
                           const char *name, kvs_error *error)
{
   char path[PATH_MAX];
   storage_folder_path(folder, name, path);
   struct writer writer = {
       .path = path, .sequence = tick->view_sequence, .hash = XXH3_createState()};
   if (!writer.hash)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a checksum", path);
   XXH3_64bits_reset(writer.hash);
   storage_pace_begin(&writer.pace, host, tick, rate);
   int code = create_and_write(&writer, folder, name, host, tick, space, error);
   free(writer.block);
   XXH3_freeState(writer.hash);
   return code;
}
