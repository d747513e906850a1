/*
 * Whether all files of the log are where a restart looks for them, and the newest is whole. Without
 * this, a log that was removed or cut short would be appended to until the next start refuses it.
 */
#include "storage/file.h"
#include "storage/log_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* A name removed within the same step of the file system's clock does not change the mtime. */
#define CLOCK_STEP_S 1

static bool same_time(struct timespec a, struct timespec b)
{
   return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* What another program cut off is lost, and an append behind it leaves a hole. */
static int check_size(const struct storage_writer *writer, kvs_error *error)
{
   struct stat info;
   if (fstat(writer->fd, &info) != 0)
      return storage_fail_errno(error, errno, "%s: cannot examine", writer->path);
   if ((uint64_t)info.st_size >= writer->size)
      return KVS_OK;
   return storage_fail(error, KVS_IO,
                       "%s: was cut short under the server, from %" PRIu64 " to %" PRIu64
                       " bytes; keep other programs out of the data directory",
                       writer->path, writer->size, (uint64_t)info.st_size);
}

static int check_newest(struct storage_log *log, kvs_error *error)
{
   char name[STORAGE_SEGMENT_NAME_SIZE];
   int code = KVS_OK;
   pthread_mutex_lock(&log->lock);
   if (log->writer.fd >= 0) {
      storage_segment_name(log->writer.header.number, name);
      code = storage_folder_check_file(&log->folder, name, log->writer.fd, error);
      if (code == KVS_OK)
         code = check_size(&log->writer, error);
   }
   pthread_mutex_unlock(&log->lock);
   return code;
}

/* Only the control thread removes segments from the list; others may reallocate it. */
static struct storage_sealed_segment *copy_sealed(struct storage_log *log, size_t *count)
{
   pthread_mutex_lock(&log->lock);
   *count = log->sealed_count;
   struct storage_sealed_segment *copy = calloc(*count + 1, sizeof *copy);
   if (copy && *count > 0)
      memcpy(copy, log->sealed, *count * sizeof *copy);
   pthread_mutex_unlock(&log->lock);
   return copy;
}

static int check_sealed(struct storage_log *log, kvs_error *error)
{
   size_t count;
   struct storage_sealed_segment *sealed = copy_sealed(log, &count);
   int code = KVS_OK;
   for (size_t i = 0; sealed && code == KVS_OK && i < count; i++) {
      char name[STORAGE_SEGMENT_NAME_SIZE];
      storage_segment_name(sealed[i].number, name);
      code = storage_folder_check_file(&log->folder, name, -1, error);
   }
   free(sealed);
   return code;
}

/* Looks for the older segments only when names in the directory have changed. */
static int check_all(struct storage_log *log, kvs_error *error)
{
   struct stat info;
   int code = storage_folder_check(&log->folder, error);
   if (code == KVS_OK)
      code = check_newest(log, error);
   if (code != KVS_OK || fstat(log->folder.fd, &info) != 0 || same_time(info.st_mtim, log->checked))
      return code;
   code = check_sealed(log, error);
   if (code == KVS_OK && info.st_mtim.tv_sec + CLOCK_STEP_S < time(NULL))
      log->checked = info.st_mtim;
   return code;
}

int storage_log_check_present(struct storage_log *log, kvs_error *error)
{
   int code = check_all(log, error);
   if (code == KVS_OK)
      return code;
   storage_log_condemn(log, error);
   return code;
}

void storage_log_condemn(struct storage_log *log, const kvs_error *error)
{
   pthread_mutex_lock(&log->lock);
   (void)storage_log_fail(log, error);
   pthread_mutex_unlock(&log->lock);
}
