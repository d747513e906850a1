#include "core/backup/spool.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define WHAT "cannot put the backup aside in the data directory"

enum kv_code kv_spool_open(const struct kv_data_directory *directory, struct kv_spool *spool,
                           struct kv_status *status)
{
   *spool = (struct kv_spool){.fd = -1};
   return kv_data_directory_create_unnamed(directory, &spool->fd, status);
}

static enum kv_code check_space(const struct kv_spool *spool, size_t more, struct kv_status *status)
{
   struct statvfs disk;
   if (fstatvfs(spool->fd, &disk) != 0)
      return kv_fail_errno(status, errno, WHAT);
   uint64_t left = (uint64_t)disk.f_bavail * disk.f_frsize, wanted = spool->size + 2 * more;
   if (left >= wanted)
      return KV_OK;
   return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                  WHAT ": its disk has %" PRIu64 " bytes left, and so far %" PRIu64
                       " are wanted, so that a checkpoint has space, too; free some",
                  left, wanted);
}

enum kv_code kv_spool_write(struct kv_spool *spool, struct kv_slice data, struct kv_status *status)
{
   const char *from = data.data;
   if (check_space(spool, data.size, status) != KV_OK)
      return status->code;
   for (size_t left = data.size; left > 0;) {
      ssize_t written = write(spool->fd, from, left);
      if (written < 0 && errno == EINTR)
         continue;
      if (written < 0)
         return kv_fail_errno(status, errno, WHAT);
      from += written;
      left -= (size_t)written;
   }
   spool->size += data.size;
   return KV_OK;
}

void kv_spool_close(struct kv_spool *spool)
{
   if (spool->fd >= 0)
      close(spool->fd); /* nobody needs what is in it any more */
   spool->fd = -1;
}
