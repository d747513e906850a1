/* The segments of the log: begins and removes them. */
#include "storage/file.h"
#include "storage/log_internal.h"
#include "storage/note.h"

#include <stdlib.h>
#include <string.h>

static int add_sealed(struct storage_log *log, struct storage_sealed_segment segment,
                      kvs_error *error)
{
   struct storage_sealed_segment *grown =
       realloc(log->sealed, (log->sealed_count + 1) * sizeof *log->sealed);
   if (!grown)
      return storage_fail(error, KVS_NO_SPACE, "%s: no memory for a new segment", log->folder.path);
   log->sealed = grown;
   log->sealed[log->sealed_count] = segment;
   return KVS_OK;
}

int storage_log_begin_segment(struct storage_log *log, kvs_error *error)
{
   struct storage_writer *writer = &log->writer;
   bool retiring = writer->fd >= 0;
   int code = storage_log_sync_all(log, error);
   if (code != KVS_OK)
      return code;
   struct storage_segment_header header = {.number = writer->header.number + 1,
                                           .base_sequence = log->reached,
                                           .snapshot_sequence = log->snapshot_sequence,
                                           .previous = writer->link};
   memcpy(header.store_id, log->host->store_id, sizeof header.store_id);
   struct storage_sealed_segment sealed = {.number = writer->header.number,
                                           .last_sequence = writer->link.last_sequence};
   code = add_sealed(log, sealed, error);
   if (code == KVS_OK)
      code = storage_writer_begin(writer, &log->folder, &header, error);
   /* The space that the newest one has not used is enough for the next one's beginning. */
   if (code == KVS_NO_SPACE && retiring && writer->reserved > writer->link.end) {
      code = storage_writer_cut(writer, error);
      if (code == KVS_OK)
         code = storage_writer_begin(writer, &log->folder, &header, error);
   }
   if (code == KVS_IO)
      return storage_log_fail(log, error);
   if (code != KVS_OK)
      return code;
   log->sealed_count += retiring;
   log->durable_end = writer->link.end;
   log->unmarked = log->segment_asked = false;
   return KVS_OK;
}

int storage_log_begin(struct storage_log *log, kvs_error *error)
{
   pthread_mutex_lock(&log->lock);
   int code = log->writer.fd < 0 ? storage_log_begin_segment(log, error) : KVS_OK;
   pthread_mutex_unlock(&log->lock);
   return code;
}

int storage_log_rotate(struct storage_log *log, struct storage_log_border *border, kvs_error *error)
{
   pthread_mutex_lock(&log->lock);
   int code = storage_log_check_alive(log, error);
   if (code == KVS_OK && log->writer.link.end > STORAGE_SEGMENT_HEADER_SIZE) {
      log->closing = true;
      code = storage_log_begin_segment(log, error);
      log->closing = false;
      pthread_cond_broadcast(&log->changed);
   }
   *border = (struct storage_log_border){.sequence = log->reached, .appended = log->appended};
   pthread_mutex_unlock(&log->lock);
   return code;
}

void storage_log_snapshot_taken(struct storage_log *log, uint64_t sequence)
{
   pthread_mutex_lock(&log->lock);
   log->snapshot_sequence = sequence;
   log->segment_asked = true;
   pthread_mutex_unlock(&log->lock);
}

/* Removes the oldest segment if it holds nothing above `sequence`: *removed. */
static int remove_oldest(struct storage_log *log, uint64_t sequence, bool *removed,
                         kvs_error *error)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   pthread_mutex_lock(&log->lock);
   *removed = log->sealed_count > 0 && log->sealed[0].last_sequence <= sequence;
   if (*removed)
      storage_segment_name(log->sealed[0].number, name);
   pthread_mutex_unlock(&log->lock);
   if (!*removed)
      return KVS_OK;
   int code = storage_remove(&log->folder, name, error);
   if (code != KVS_OK)
      return code;
   pthread_mutex_lock(&log->lock);
   log->sealed_count--;
   memmove(log->sealed, log->sealed + 1, log->sealed_count * sizeof *log->sealed);
   pthread_mutex_unlock(&log->lock);
   return KVS_OK;
}

void storage_log_remove_covered(struct storage_log *log, uint64_t sequence)
{
   kvs_error error = {.size = sizeof error};
   bool removed = true;
   int code = KVS_OK;
   /* Oldest first, each one durably before the next, and none after a failure: a gap in the numbers
    * would look like loss. */
   while (code == KVS_OK && removed) {
      code = remove_oldest(log, sequence, &removed, &error);
      if (code == KVS_OK && removed)
         code = storage_sync_directory(&log->folder, &error);
   }
   if (code != KVS_OK)
      storage_warn(log->host, "%s", error.text);
}
