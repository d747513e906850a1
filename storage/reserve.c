#include "storage/reserve.h"

#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void storage_reserve_init(struct storage_reserve *reserve)
{
   *reserve = (struct storage_reserve){.fd = -1};
}

void storage_reserve_drop(struct storage_reserve *reserve)
{
   if (reserve->fd >= 0)
      close(reserve->fd);
   reserve->fd = -1;
   reserve->size = 0;
}

/* 0 or an errno; what was allocated before stays so, and no more. */
static int enlarge(struct storage_reserve *reserve, uint64_t size)
{
   int failure = storage_allocate(reserve->fd, FALLOC_FL_KEEP_SIZE, reserve->size, size);
   if (failure == 0)
      reserve->size = size;
   else /* part of it may have been allocated; should that fail too, it is kept */
      (void)fallocate(reserve->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)reserve->size,
                      (off_t)(size - reserve->size));
   return failure;
}

static bool is_unsupported(int failure)
{
   return failure == EOPNOTSUPP || failure == ENOSYS || failure == EISDIR || failure == EINVAL;
}

int storage_reserve_keep(struct storage_reserve *reserve, const struct storage_folder *folder,
                         uint64_t least, uint64_t wanted, kvs_error *error)
{
   if (reserve->unsupported || (reserve->size >= least && reserve->size / 2 <= wanted))
      return KVS_OK;
   if (reserve->size >= least)
      storage_reserve_drop(reserve); /* far too much */
   int failure = 0;
   if (reserve->fd < 0)
      reserve->fd = openat(folder->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
   if (reserve->fd < 0)
      failure = errno;
   if (failure == 0)
      failure = enlarge(reserve, wanted);
   if ((failure == ENOSPC || failure == EDQUOT) && reserve->fd >= 0)
      failure = enlarge(reserve, least);
   if (is_unsupported(failure)) {
      storage_reserve_drop(reserve);
      reserve->unsupported = true;
      return KVS_OK;
   }
   if (failure == 0)
      return KVS_OK;
   return storage_fail_errno(error, failure, "%s: no space can be held for the next snapshot",
                             folder->path);
}

void storage_reserve_hand_over(struct storage_reserve *reserve, int fd, uint64_t size)
{
   if (reserve->fd < 0)
      return;
   storage_reserve_drop(reserve);
   (void)storage_allocate(fd, FALLOC_FL_KEEP_SIZE, 0, size); /* a failure shows in the writes */
}
