#include "storage/file.h"
#include "storage/log_internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* With EVERYSEC, unsynced bytes wait this long for more. */
enum { SYNC_DELAY_S = 1 };

int storage_log_fail(struct storage_log *log, const kvs_error *error)
{
   if (!log->failed) {
      log->failed = true;
      memcpy(log->failure, error->text, sizeof log->failure);
   }
   return KVS_IO;
}

int storage_log_check_alive(const struct storage_log *log, kvs_error *error)
{
   if (!log->failed)
      return KVS_OK;
   return storage_fail(
       error, KVS_IO,
       "the log accepts nothing more after an earlier failure (%.400s); switch modes to "
       "start afresh",
       log->failure);
}

uint64_t storage_log_now_ns(void)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void storage_log_await_sync(struct storage_log *log)
{
   while (log->syncing)
      pthread_cond_wait(&log->changed, &log->lock);
}

int storage_log_sync_segment(struct storage_log *log, kvs_error *error)
{
   storage_log_await_sync(log);
   int code = storage_log_check_alive(log, error);
   if (code != KVS_OK || log->durable_end == log->writer.link.end)
      return code;
   struct storage_segment_link target = log->writer.link;
   int fd = log->writer.fd;
   /* One at a time: the kernel reports a failed sync once, to just one of those who ask. */
   log->syncing = true;
   pthread_mutex_unlock(&log->lock);
   uint64_t start_ns = storage_log_now_ns();
   code = storage_sync(fd, log->writer.path, error);
   uint64_t ns = storage_log_now_ns() - start_ns;
   pthread_mutex_lock(&log->lock);
   log->syncing = false;
   pthread_cond_broadcast(&log->changed);
   if (code != KVS_OK)
      return storage_log_fail(log, error);
   log->durable_end = target.end;
   log->durable_sequence = target.last_sequence;
   if (log->syncs)
      log->syncs->synced(log->syncs, target.last_sequence, ns);
   return KVS_OK;
}

int storage_log_sync_all(struct storage_log *log, kvs_error *error)
{
   int code = storage_log_check_alive(log, error);
   while (code == KVS_OK && log->writer.fd >= 0 &&
          (log->syncing || log->durable_end < log->writer.link.end))
      code = storage_log_sync_segment(log, error);
   return code;
}

/* Lets unsynced bytes gather; returns early when the log ends. */
static void wait_for_more(struct storage_log *log)
{
   struct timespec until;
   clock_gettime(CLOCK_MONOTONIC, &until);
   until.tv_sec += SYNC_DELAY_S;
   while (!log->stopping &&
          pthread_cond_timedwait(&log->changed, &log->lock, &until) != ETIMEDOUT) {
   }
}

static void *run_syncer(void *argument)
{
   struct storage_log *log = argument;
   kvs_error error = {.size = sizeof error};
   pthread_mutex_lock(&log->lock);
   while (!log->stopping) {
      if (log->failed || log->writer.fd < 0 || log->durable_end == log->writer.link.end) {
         pthread_cond_wait(&log->changed, &log->lock);
         continue;
      }
      wait_for_more(log);
      if (!log->stopping && !log->failed && storage_log_sync_segment(log, &error) != KVS_OK)
         log->host->log(log->host, KVS_LOG_ERROR, error.text);
   }
   pthread_mutex_unlock(&log->lock);
   return NULL;
}

int storage_log_start_syncer(struct storage_log *log, kvs_error *error)
{
   int failure = pthread_create(&log->syncer, NULL, run_syncer, log);
   if (failure != 0) {
      storage_fail_errno(error, failure, "cannot start the log's sync thread");
      return KVS_IO;
   }
   log->syncer_started = true;
   return KVS_OK;
}

void storage_log_stop_syncer(struct storage_log *log)
{
   if (!log->syncer_started)
      return;
   pthread_mutex_lock(&log->lock);
   log->stopping = true;
   pthread_cond_broadcast(&log->changed);
   pthread_mutex_unlock(&log->lock);
   pthread_join(log->syncer, NULL);
}
