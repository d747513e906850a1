#include "storage/log.h"

#include "storage/file.h"
#include "storage/log_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* When less is free, the host is woken to make room before a batch has to be refused. */
#define FREE_LOW ((uint64_t)16 << 20)
/* For batches that are refused, no sooner than so long after the last time. */
#define WAKE_PAUSE_MS ((uint64_t)10)
/* What a snapshot and a segment need that is not counted: what is rounded up to blocks, beginnings
 * of files. */
#define SPARE ((int64_t)128 << 10)

/* ---- Segments ------------------------------------------------------------------------------ */

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

/* [lock held] Begins a segment; the newest so far, if one is open, is synced first and sealed. */
static int begin_segment(struct storage_log *log, kvs_error *error)
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
   /* What the newest one so far has not used of its room is enough for the next one's beginning. */
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

/* [lock held] Makes sure that there is a segment, and a new one when it is time for it. */
static int prepare_segment(struct storage_log *log, uint64_t size, kvs_error *error)
{
   const struct storage_writer *writer = &log->writer;
   if (writer->fd < 0)
      return begin_segment(log, error);
   bool empty = writer->link.end == STORAGE_SEGMENT_HEADER_SIZE;
   if (!empty && (log->segment_asked || writer->link.end + size > log->settings.segment_size))
      return begin_segment(log, error);
   return KVS_OK;
}

int storage_log_begin(struct storage_log *log, kvs_error *error)
{
   pthread_mutex_lock(&log->lock);
   int code = log->writer.fd < 0 ? begin_segment(log, error) : KVS_OK;
   pthread_mutex_unlock(&log->lock);
   return code;
}

int storage_log_rotate(struct storage_log *log, struct storage_log_border *border, kvs_error *error)
{
   pthread_mutex_lock(&log->lock);
   int code = storage_log_check_alive(log, error);
   if (code == KVS_OK && log->writer.link.end > STORAGE_SEGMENT_HEADER_SIZE) {
      log->closing = true;
      code = begin_segment(log, error);
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

/* Removes the oldest segment if it holds nothing above `sequence`. *removed tells. */
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
   /* Oldest first, each one durably before the next, and no further after a failure: a gap in the
    * numbers would look like loss. */
   while (code == KVS_OK && removed) {
      code = remove_oldest(log, sequence, &removed, &error);
      if (code == KVS_OK && removed)
         code = storage_sync_directory(&log->folder, &error);
   }
   if (code != KVS_OK)
      log->host->log(log->host, KVS_LOG_WARNING, error.text);
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* [lock held] Takes back a write that failed with `code`, so that no trace of it is left. */
static int undo(struct storage_log *log, int code, kvs_error *error)
{
   kvs_error reason = {.size = sizeof reason};
   storage_log_await_sync(log);
   if (storage_writer_cut(&log->writer, &reason) != KVS_OK) {
      *error = reason;
      return storage_log_fail(log, error);
   }
   return code == KVS_NO_SPACE ? code : storage_log_fail(log, error);
}

/* ---- Room ---- */

/* [lock held] */
static void wake_refused(struct storage_log *log)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
   if (now_ms < log->wake_ms)
      return;
   log->wake_ms = now_ms + WAKE_PAUSE_MS;
   log->host->wake(log->host);
}

static bool only_deletes(const kvs_record *records, size_t count)
{
   for (size_t i = 0; i < count; i++)
      if (records[i].kind != KVS_DELETE)
         return false;
   return true;
}

/* [lock held] */
static uint64_t held_bytes(const struct storage_log *log)
{
   int64_t held = log->missing + (int64_t)(log->appended - log->missing_at) + SPARE;
   return held > 0 ? (uint64_t)held : 0;
}

/* [lock held] Makes sure that there is a segment with room for the batch. */
static int make_room(struct storage_log *log, const kvs_record *records, size_t count, size_t size,
                     kvs_error *error)
{
   bool frees = only_deletes(records, count);
   uint64_t free = UINT64_MAX;
   int code = prepare_segment(log, size, error);
   if (code == KVS_NO_SPACE && frees && log->writer.fd >= 0)
      code = KVS_OK; /* the present one will do */
   if (code == KVS_OK)
      code = storage_writer_reserve(&log->writer, size, frees, log->settings.segment_size,
                                    held_bytes(log), &free, error);
   if (code == KVS_NO_SPACE || (frees && log->tight))
      log->refused = true;
   if (!frees)
      log->tight = code == KVS_NO_SPACE;
   if (log->refused)
      wake_refused(log);
   else if (free < FREE_LOW)
      log->host->wake(log->host);
   return code;
}

void storage_log_hold(struct storage_log *log, int64_t missing, uint64_t view_sequence)
{
   pthread_mutex_lock(&log->lock);
   log->missing = missing;
   if (view_sequence >= log->sampled_sequence) {
      log->missing_at = view_sequence >= log->reached ? log->appended : log->sampled;
      log->sampled = log->appended;
      log->sampled_sequence = log->reached;
   }
   pthread_mutex_unlock(&log->lock);
}

bool storage_log_take_refused(struct storage_log *log)
{
   pthread_mutex_lock(&log->lock);
   bool refused = log->refused;
   log->refused = false;
   pthread_mutex_unlock(&log->lock);
   return refused;
}

uint64_t storage_log_free_bytes(struct storage_log *log)
{
   pthread_mutex_lock(&log->lock);
   uint64_t free = storage_writer_free_bytes(&log->writer);
   pthread_mutex_unlock(&log->lock);
   return free;
}

/* ---- Batches ---- */

/* [lock held] *before becomes where the segment ended before the batch. */
static int append(struct storage_log *log, const kvs_record *records, size_t count, size_t size,
                  struct storage_segment_link *before, kvs_error *error)
{
   int code = make_room(log, records, count, size, error);
   if (code != KVS_OK)
      return code;
   struct storage_writer *writer = &log->writer;
   *before = writer->link;
   code = storage_writer_append(writer, records, count, size, log->durable_sequence,
                                log->durable_end, error);
   if (code != KVS_OK)
      return undo(log, code, error);
   log->reached = writer->link.last_sequence;
   log->appended += size;
   log->unmarked = log->written = true;
   return KVS_OK;
}

/* [lock held] */
static int sync_batch(struct storage_log *log, const struct storage_segment_link *before,
                      kvs_error *error)
{
   int code = storage_log_sync_segment(log, error);
   if (code == KVS_OK)
      return KVS_OK;
   /* The batch is refused. What the disk holds of it is unknown, so the log stays failed; yet as
    * far as it can be helped, a restart must not bring the batch back. */
   kvs_error ignored = {.size = sizeof ignored};
   log->writer.link = *before;
   (void)storage_writer_cut(&log->writer, &ignored);
   return code;
}

int storage_log_write(struct storage_log *log, const kvs_record *records, size_t count, bool sync,
                      kvs_error *error)
{
   size_t size = storage_writer_batch_size(records, count);
   if (size == 0)
      return storage_fail(
          error, KVS_NO_SPACE,
          "a change that must be kept as a whole is larger than %zu bytes, the most "
          "that one record of the log holds",
          STORAGE_RECORD_PAYLOAD_MAX);
   struct storage_segment_link before;
   pthread_mutex_lock(&log->lock);
   while (log->closing)
      pthread_cond_wait(&log->changed, &log->lock);
   int code = storage_log_check_alive(log, error);
   if (code == KVS_OK)
      code = append(log, records, count, size, &before, error);
   if (code == KVS_OK && (sync || log->settings.sync == STORAGE_LOG_SYNC_ALWAYS))
      code = sync_batch(log, &before, error);
   else if (code == KVS_OK && log->settings.sync == STORAGE_LOG_SYNC_EVERYSEC)
      pthread_cond_broadcast(&log->changed);
   pthread_mutex_unlock(&log->lock);
   return code;
}

/* [lock held] Appends a mark if the last record is none and all is durable. What a failure leaves
 * behind the end is no valid record, and the next write goes over it. */
static int append_mark(struct storage_log *log, kvs_error *error)
{
   struct storage_writer *writer = &log->writer;
   if (!log->unmarked || writer->fd < 0 || log->durable_end < writer->link.end)
      return KVS_OK;
   int code =
       storage_writer_append(writer, NULL, 0, 0, log->durable_sequence, log->durable_end, error);
   if (code == KVS_OK)
      log->unmarked = false;
   return code == KVS_NO_SPACE ? KVS_OK : code;
}

int storage_log_tick(struct storage_log *log, kvs_error *error)
{
   int code = storage_log_check_present(log, error);
   pthread_mutex_lock(&log->lock);
   if (code == KVS_OK)
      code = storage_log_check_alive(log, error);
   if (code == KVS_OK && !log->written)
      code = append_mark(log, error);
   log->written = false;
   pthread_mutex_unlock(&log->lock);
   return code;
}

int storage_log_seal(struct storage_log *log, kvs_error *error)
{
   pthread_mutex_lock(&log->lock);
   int code = storage_log_sync_all(log, error);
   if (code == KVS_OK)
      code = append_mark(log, error);
   if (code == KVS_OK && log->writer.fd >= 0) {
      storage_log_await_sync(log);
      code = storage_writer_cut(&log->writer, error);
   }
   if (code == KVS_OK)
      log->durable_end = log->writer.link.end;
   /* The next segment's header proves all of this one. Where there is no room, the mark must do. */
   if (code == KVS_OK && log->writer.link.end > STORAGE_SEGMENT_HEADER_SIZE)
      code = begin_segment(log, error);
   if (code == KVS_NO_SPACE)
      code = KVS_OK;
   pthread_mutex_unlock(&log->lock);
   return code;
}

uint64_t storage_log_appended(struct storage_log *log)
{
   pthread_mutex_lock(&log->lock);
   uint64_t appended = log->appended;
   pthread_mutex_unlock(&log->lock);
   return appended;
}

/* ---- Beginning and end --------------------------------------------------------------------- */

int storage_log_create(const kvs_host *host, const struct storage_log_settings *settings,
                       struct storage_log **log, kvs_error *error)
{
   struct storage_log *created = calloc(1, sizeof *created);
   if (!created)
      return storage_fail(error, KVS_NO_SPACE, "no memory for a log");
   created->host = host;
   created->settings = *settings;
   storage_writer_init(&created->writer);
   int code = storage_folder_make(host, "aof", &created->folder, error);
   if (code != KVS_OK) {
      free(created);
      return code;
   }
   pthread_condattr_t monotonic;
   pthread_condattr_init(&monotonic);
   pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
   pthread_cond_init(&created->changed, &monotonic);
   pthread_condattr_destroy(&monotonic);
   pthread_mutex_init(&created->lock, NULL);
   *log = created;
   return KVS_OK;
}

void storage_log_destroy(struct storage_log *log)
{
   storage_log_stop_syncer(log);
   storage_writer_deinit(&log->writer);
   storage_folder_close(&log->folder);
   free(log->sealed);
   pthread_cond_destroy(&log->changed);
   pthread_mutex_destroy(&log->lock);
   free(log);
}

/* Takes over what recovery has found; the newest segment counts as sealed for now. */
static void take_recovered(struct storage_log *log, const struct storage_recovery_base *base,
                           const struct storage_recovered *recovered)
{
   log->sealed = recovered->segments;
   log->sealed_count = recovered->count;
   log->writer.header = recovered->newest;
   log->writer.link = recovered->newest_link;
   log->appended = log->missing_at = log->sampled = recovered->bytes;
   log->durable_sequence = recovered->last_sequence;
   log->snapshot_sequence = base->snapshot_sequence;
   log->reached = recovered->last_sequence > base->snapshot_sequence ? recovered->last_sequence
                                                                     : base->snapshot_sequence;
   log->sampled_sequence = log->reached;
}

/* Goes on in the newest segment if it says what a new one would say, which it can only as long as
 * it holds no record. A segment with records is never continued: the header of the next one proves
 * that they were durable. */
static int continue_log(struct storage_log *log, kvs_error *error)
{
   const struct storage_segment_header *newest = &log->writer.header;
   if (log->sealed_count == 0 || newest->base_sequence != log->reached ||
       newest->snapshot_sequence != log->snapshot_sequence)
      return begin_segment(log, error);
   struct storage_segment_header header = *newest;
   struct storage_segment_link link = log->writer.link;
   int code = storage_writer_resume(&log->writer, &log->folder, &header, &link, error);
   if (code != KVS_OK)
      return KVS_IO;
   log->sealed_count--;
   log->durable_end = link.end;
   return KVS_OK;
}

int storage_log_load(struct storage_log *log, const struct storage_recovery_base *base,
                     uint64_t *last_sequence, kvs_error *error)
{
   struct storage_recovered recovered;
   int code = storage_recover(log->host, &log->folder, base, &recovered, error);
   if (code != KVS_OK)
      return code;
   pthread_mutex_lock(&log->lock);
   take_recovered(log, base, &recovered);
   code = continue_log(log, error);
   pthread_mutex_unlock(&log->lock);
   /* A full disk must not keep the data from being read: the first write tries again. Yet a log
    * without any segment must never come to be, for it would look like one that lost them all. */
   if (code == KVS_NO_SPACE && log->writer.header.number > 0)
      log->host->log(log->host, KVS_LOG_WARNING, error->text);
   else if (code != KVS_OK)
      return code;
   *last_sequence = recovered.last_sequence;
   if (log->settings.sync == STORAGE_LOG_SYNC_EVERYSEC)
      return storage_log_start_syncer(log, error);
   return KVS_OK;
}
