/* Space for a batch: in a segment, and on a disk that must hold the next snapshot as well. */
#include "storage/log_internal.h"

#include <time.h>

/* When less is free, the host is woken to free space before a batch has to be refused. */
#define FREE_LOW ((uint64_t)16 << 20)
/* For refused batches the host is woken at most this often. */
#define WAKE_PAUSE_MS ((uint64_t)10)
/* What a snapshot and a segment need beyond what is counted: rounding up to blocks, beginnings of
 * files. */
#define SPARE ((int64_t)128 << 10)

/* [lock held] Makes sure that there is a segment, and a new one when it is time for it. */
static int prepare_segment(struct storage_log *log, uint64_t size, kvs_error *error)
{
   const struct storage_writer *writer = &log->writer;
   if (writer->fd < 0)
      return storage_log_begin_segment(log, error);
   bool empty = writer->link.end == STORAGE_SEGMENT_HEADER_SIZE;
   if (!empty && (log->segment_asked || writer->link.end + size > log->settings.segment_size))
      return storage_log_begin_segment(log, error);
   return KVS_OK;
}

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

int storage_log_make_space(struct storage_log *log, const kvs_record *records, size_t count,
                           size_t size, kvs_error *error)
{
   bool frees = only_deletes(records, count);
   uint64_t free = UINT64_MAX;
   int code = prepare_segment(log, size, error);
   if (code == KVS_NO_SPACE && frees && log->writer.fd >= 0)
      code = KVS_OK; /* the present segment will do */
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
