#include "storage/log.h"

#include "storage/file.h"
#include "storage/layout.h"
#include "storage/log_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- Writing ------------------------------------------------------------------------------- */

/* [lock held] Removes all traces of a write that failed with `code`. */
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

/* [lock held] *before becomes where the segment ended before the batch. */
static int append(struct storage_log *log, const kvs_record *records, size_t count, size_t size,
                  struct storage_segment_link *before, kvs_error *error)
{
   int code = storage_log_make_space(log, records, count, size, error);
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
   /* The batch is refused. What the disk holds of it is unknown, so the log has failed for good;
    * the cut does what it can to keep a restart from bringing the batch back. */
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
 * behind the end is no valid record, and the next write overwrites it. */
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
   /* The next segment's header proves all of this one. Without space for it, the mark must do. */
   if (code == KVS_OK && log->writer.link.end > STORAGE_SEGMENT_HEADER_SIZE)
      code = storage_log_begin_segment(log, error);
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
   /* Where the system writes back when it likes, there are no syncs to tell of. */
   if (settings->sync != STORAGE_LOG_SYNC_NO)
      created->syncs = host->extension(host, KVS_EXTENSION_SYNCS);
   created->settings = *settings;
   storage_writer_init(&created->writer);
   int code = storage_folder_make(host, STORAGE_LOG_DIRECTORY, &created->folder, error);
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

/* Adopts what recovery found; the newest segment counts as sealed for now. */
static void take_recovered(struct storage_log *log, const struct storage_snapshot_found *base,
                           const struct storage_recovered *recovered)
{
   log->sealed = recovered->segments;
   log->sealed_count = recovered->count;
   log->writer.header = recovered->newest;
   log->writer.link = recovered->newest_link;
   log->appended = log->missing_at = log->sampled = recovered->bytes;
   log->durable_sequence = recovered->last_sequence;
   log->snapshot_sequence = base->sequence;
   log->reached =
       recovered->last_sequence > base->sequence ? recovered->last_sequence : base->sequence;
   log->sampled_sequence = log->reached;
}

/* Continues the newest segment if its header is what a new one's would be, which implies that it
 * holds no record. A segment with records is never continued: the header of the next one proves
 * that they were durable. */
static int continue_log(struct storage_log *log, kvs_error *error)
{
   const struct storage_segment_header *newest = &log->writer.header;
   if (log->sealed_count == 0 || newest->base_sequence != log->reached ||
       newest->snapshot_sequence != log->snapshot_sequence)
      return storage_log_begin_segment(log, error);
   struct storage_segment_header header = *newest;
   struct storage_segment_link link = log->writer.link;
   int code = storage_writer_resume(&log->writer, &log->folder, &header, &link, error);
   if (code != KVS_OK)
      return KVS_IO;
   log->sealed_count--;
   log->durable_end = link.end;
   return KVS_OK;
}

/* Reads the log and makes durable what it holds: *settle_ns is what that took. */
static int recover(struct storage_log *log, const struct storage_snapshot_found *base,
                   struct storage_recovered *recovered, uint64_t *settle_ns, kvs_error *error)
{
   int code = storage_recovery_read(log->host, &log->folder, base, false, recovered, error);
   if (code != KVS_OK)
      return code;
   const uint64_t start_ns = storage_log_now_ns();
   code = storage_recovery_settle(log->host, &log->folder, recovered, error);
   *settle_ns = storage_log_now_ns() - start_ns;
   if (code != KVS_OK)
      free(recovered->segments);
   return code;
}

int storage_log_load(struct storage_log *log, const struct storage_snapshot_found *base,
                     uint64_t *last_sequence, kvs_error *error)
{
   struct storage_recovered recovered;
   uint64_t settle_ns;
   int code = recover(log, base, &recovered, &settle_ns, error);
   if (code != KVS_OK)
      return code;
   pthread_mutex_lock(&log->lock);
   take_recovered(log, base, &recovered);
   code = continue_log(log, error);
   pthread_mutex_unlock(&log->lock);
   /* A full disk must not keep the data from being read: the first write tries again. But a log
    * must have a segment, or it would look like one that lost them all. */
   if (code == KVS_NO_SPACE && log->writer.header.number > 0)
      log->host->log(log->host, KVS_LOG_WARNING, error->text);
   else if (code != KVS_OK)
      return code;
   if (log->syncs && log->reached > 0)
      log->syncs->synced(log->syncs, log->reached, settle_ns);
   *last_sequence = recovered.last_sequence;
   if (log->settings.sync == STORAGE_LOG_SYNC_EVERYSEC)
      return storage_log_start_syncer(log, error);
   return KVS_OK;
}
