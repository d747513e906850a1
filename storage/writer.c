#include "storage/writer.h"

#include "storage/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Space is reserved in steps, so that most syncs find the file's size unchanged. */
#define RESERVE_STEP ((uint64_t)1 << 20)
/* The space that a batch which sets something leaves behind it for deletes: the longest key and
 * more. What deletes leave is freed when the next segment needs it to begin. */
#define SPACE_BEHIND_SETS ((uint64_t)160 << 10)
#define SPACE_BEHIND_DELETES ((uint64_t)32 << 10)

void storage_writer_init(struct storage_writer *writer)
{
   *writer = (struct storage_writer){.fd = -1};
}

void storage_writer_deinit(struct storage_writer *writer)
{
   if (writer->fd >= 0)
      close(writer->fd);
   storage_buffer_free(&writer->buffer);
   storage_writer_init(writer);
}

/* Ends the segment before with a record that says that the one just created follows, so that its
 * loss would be noticed, and frees the unused space. This guards against no crash, so nothing is
 * synced and a failure may pass. */
static void point_to_successor(const struct storage_writer *writer,
                               const struct storage_folder *folder)
{
   kvs_error ignored = {.size = sizeof ignored};
   char name[STORAGE_SEGMENT_NAME_SIZE], path[PATH_MAX];
   int opened = -1, fd = writer->fd;
   storage_segment_name(writer->header.number, name);
   storage_folder_path(folder, name, path);
   if (fd < 0 && storage_open(folder, name, O_WRONLY, &opened, NULL, &ignored) != KVS_OK)
      return;
   if (fd < 0)
      fd = opened;
   struct storage_record_place place = {
       storage_record_salt(writer->header.store_id, writer->header.number), writer->link.end};
   struct storage_record_header record = {.type = STORAGE_RECORD_SUCCESSOR,
                                          .first_sequence = writer->link.last_sequence,
                                          .durable_sequence = writer->link.last_sequence,
                                          .durable_end = writer->link.end};
   uint8_t bytes[STORAGE_RECORD_HEADER_SIZE];
   struct iovec part = {bytes, storage_record_encode(bytes, place, &record, NULL, 0)};
   if (ftruncate(fd, (off_t)place.offset) == 0)
      (void)storage_write_all(fd, path, &part, 1, place.offset, &ignored);
   if (opened >= 0)
      close(opened);
}

/* Continues with the segment open as `fd`, which ends at `link`. */
static void continue_with(struct storage_writer *writer, const struct storage_folder *folder,
                          int fd, const struct storage_segment_header *header,
                          const struct storage_segment_link *link)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   storage_segment_name(header->number, name);
   storage_folder_path(folder, name, writer->path);
   if (writer->fd >= 0)
      close(writer->fd);
   writer->fd = fd;
   writer->header = *header;
   writer->salt = storage_record_salt(header->store_id, header->number);
   writer->link = *link;
   writer->size = writer->reserved = link->end;
   writer->reserving = true;
}

/* Extends the file to `target`, ahead of the writes. Returns 0 or an errno; where the file system
 * cannot do it, the writes extend the file. `mode`: as in fallocate. */
static int extend(struct storage_writer *writer, int mode, uint64_t target)
{
   int result = storage_allocate(writer->fd, mode, writer->link.end, target);
   if (result == 0) {
      writer->reserved = target;
      if (!(mode & FALLOC_FL_KEEP_SIZE))
         writer->size = target;
   } else if (result == EOPNOTSUPP || result == ENOSYS) {
      writer->reserving = false;
   }
   return result;
}

int storage_writer_begin(struct storage_writer *writer, const struct storage_folder *folder,
                         const struct storage_segment_header *header, kvs_error *error)
{
   int fd;
   struct storage_segment_link link = {.last_sequence = header->previous.last_sequence,
                                       .end = STORAGE_SEGMENT_HEADER_SIZE};
   int code = storage_segment_create(folder, header, &fd, &link.chain, error);
   if (code != KVS_OK)
      return code;
   if (writer->header.number > 0)
      point_to_successor(writer, folder);
   continue_with(writer, folder, fd, header, &link);
   (void)extend(writer, FALLOC_FL_KEEP_SIZE, link.end + SPACE_BEHIND_SETS);
   return KVS_OK;
}

int storage_writer_resume(struct storage_writer *writer, const struct storage_folder *folder,
                          const struct storage_segment_header *header,
                          const struct storage_segment_link *link, kvs_error *error)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   int fd;
   storage_segment_name(header->number, name);
   int code = storage_open(folder, name, O_RDWR, &fd, NULL, error);
   if (code == KVS_OK)
      continue_with(writer, folder, fd, header, link);
   return code;
}

size_t storage_writer_batch_size(const kvs_record *records, size_t count)
{
   size_t size = 0;
   while (count > 0) {
      size_t unit = storage_record_unit(records, count);
      size_t payload = storage_record_payload_size(records, unit);
      if (payload > STORAGE_RECORD_PAYLOAD_MAX)
         return 0;
      size += STORAGE_RECORD_HEADER_SIZE + payload;
      records += unit;
      count -= unit;
   }
   return size;
}

uint64_t storage_writer_free_bytes(const struct storage_writer *writer)
{
   struct statvfs status;
   if (writer->fd < 0 || fstatvfs(writer->fd, &status) != 0 || status.f_blocks == 0)
      return UINT64_MAX;
   return (uint64_t)status.f_bavail * status.f_frsize;
}

int storage_writer_reserve(struct storage_writer *writer, size_t size, bool frees, uint64_t ceiling,
                           uint64_t held, uint64_t *free, kvs_error *error)
{
   const uint64_t end = writer->link.end + size;
   const uint64_t needed = end + (frees ? SPACE_BEHIND_DELETES : SPACE_BEHIND_SETS);
   if (needed <= writer->reserved || !writer->reserving)
      return KVS_OK;
   *free = storage_writer_free_bytes(writer);
   uint64_t ahead = (needed + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
   if (ahead > ceiling + SPACE_BEHIND_SETS)
      ahead = needed > ceiling + SPACE_BEHIND_SETS ? needed : ceiling + SPACE_BEHIND_SETS;
   const uint64_t available = *free - (held < *free ? held : *free);
   int failure = ENOSPC;
   /* What fills this space makes the next snapshot larger by as much. */
   const uint64_t filled = writer->link.end + (frees ? SPACE_BEHIND_DELETES : SPACE_BEHIND_SETS);
   if (ahead - writer->reserved + (ahead - filled) <= available)
      failure = extend(writer, 0, ahead);
   if (failure == ENOSPC && (frees || needed - writer->reserved + size <= available))
      failure = extend(writer, 0, needed);
   if (failure != ENOSPC && failure != EDQUOT)
      return KVS_OK;
   return storage_fail_errno(error, failure,
                             "%s: no space for a batch of %zu bytes beside what the next snapshot "
                             "needs; free some, or delete keys",
                             writer->path, size);
}

/* Encodes the batch's units, or a mark, into the buffer. Returns the link behind them. */
static struct storage_segment_link encode(struct storage_writer *writer, const kvs_record *records,
                                          size_t count, struct storage_record_header record)
{
   struct storage_segment_link link = writer->link;
   uint8_t *to = writer->buffer.data;
   size_t done = 0;
   do {
      size_t unit = count > 0 ? storage_record_unit(&records[done], count - done) : 0;
      const kvs_record *effects = unit > 0 ? &records[done] : NULL;
      struct storage_record_place place = {writer->salt, link.end};
      record.first_sequence = link.last_sequence;
      size_t size = storage_record_encode(to, place, &record, effects, unit);
      link.chain = storage_record_chain(link.chain, to);
      link.end += size;
      if (unit > 0)
         link.last_sequence = effects[unit - 1].sequence;
      to += size;
      done += unit;
   } while (done < count);
   return link;
}

int storage_writer_append(struct storage_writer *writer, const kvs_record *records, size_t count,
                          size_t size, uint64_t durable_sequence, uint64_t durable_end,
                          kvs_error *error)
{
   if (count == 0)
      size = STORAGE_RECORD_HEADER_SIZE;
   if (!storage_buffer_reserve(&writer->buffer, size))
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a batch of %zu bytes",
                          writer->path, size);
   struct storage_record_header record = {.type = STORAGE_RECORD_MARK,
                                          .durable_sequence = durable_sequence,
                                          .durable_end = durable_end};
   struct storage_segment_link link = encode(writer, records, count, record);
   assert(link.end == writer->link.end + size);
   struct iovec part = {writer->buffer.data, size};
   int code = storage_write_all(writer->fd, writer->path, &part, 1, writer->link.end, error);
   if (code == KVS_OK) {
      writer->link = link;
      if (writer->size < link.end)
         writer->size = link.end;
      if (writer->reserved < link.end)
         writer->reserved = link.end;
   }
   storage_buffer_release(&writer->buffer);
   return code;
}

int storage_writer_cut(struct storage_writer *writer, kvs_error *error)
{
   int code = storage_truncate(writer->fd, writer->path, writer->link.end, error);
   if (code == KVS_OK)
      writer->size = writer->reserved = writer->link.end;
   return code;
}
