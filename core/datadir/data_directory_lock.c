/*
 * The lock, in two places: on the directory itself, which cannot be replaced by another one while
 * it is held, and on the file LOCK, which says who holds it and works on file systems where
 * directories cannot be locked.
 */
#include "core/datadir/data_directory_internal.h"

#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define HOLDER_SIZE 24
/* A killed process holds its lock until the system has freed its memory. */
#define LOCK_PATIENCE_MS 2000
#define LOCK_LOOK_EVERY_MS 20

/* The process id in LOCK, or "unknown". */
static void read_holder(const struct kv_data_directory *directory, char holder[HOLDER_SIZE])
{
   int fd = kv_data_directory_open_file(directory, KV_LOCK_NAME, O_RDONLY);
   ssize_t size = fd >= 0 ? pread(fd, holder, HOLDER_SIZE - 1, 0) : -1;
   if (fd >= 0)
      close(fd);
   holder[size > 0 ? size : 0] = '\0';
   holder[strspn(holder, "0123456789")] = '\0';
   if (holder[0] == '\0')
      snprintf(holder, HOLDER_SIZE, "unknown");
}

/* `fd` is what could not be locked. */
static enum kv_code fail_held(const struct kv_data_directory *directory, int fd,
                              struct kv_status *status)
{
   char holder[HOLDER_SIZE];
   if (flock(fd, LOCK_SH | LOCK_NB) == 0)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "the data directory %s is being read by kvstore-check; start again when it "
                     "has ended",
                     directory->path);
   read_holder(directory, holder);
   return kv_fail(status, KV_FAILED_PRECONDITION,
                  "the data directory %s is in use by another server, process id %s; stop that one "
                  "or use another directory",
                  directory->path, holder);
}

/* Returns false with errno. Waits a moment for a holder that is ending, and logs that. */
static bool lock_soon(const struct kv_data_directory *directory, int fd, int operation,
                      int patience_ms)
{
   const struct timespec pause = {.tv_nsec = LOCK_LOOK_EVERY_MS * 1000000L};
   for (int waited_ms = 0; flock(fd, operation | LOCK_NB) != 0;) {
      if (errno == EINTR)
         continue;
      if (errno != EWOULDBLOCK || waited_ms >= patience_ms)
         return false;
      if (waited_ms == 0) {
         char holder[HOLDER_SIZE];
         read_holder(directory, holder);
         kv_log(KV_LOG_INFO, "waiting up to %d ms for the lock of %s; its LOCK names process %s",
                patience_ms, directory->path, holder);
      }
      nanosleep(&pause, NULL);
      waited_ms += LOCK_LOOK_EVERY_MS;
   }
   return true;
}

static enum kv_code lock_itself(struct kv_data_directory *directory, int operation,
                                struct kv_status *status)
{
   directory->itself_locked = lock_soon(directory, directory->fd, operation, LOCK_PATIENCE_MS);
   if (!directory->itself_locked && errno == EWOULDBLOCK)
      return fail_held(directory, directory->fd, status);
   return KV_OK; /* NFS locks only files that are open for writing: there LOCK alone must do */
}

static enum kv_code lock_file(const struct kv_data_directory *directory, int fd, int operation,
                              int patience_ms, struct kv_status *status)
{
   if (lock_soon(directory, fd, operation, patience_ms))
      return KV_OK;
   if (errno == EWOULDBLOCK)
      return fail_held(directory, fd, status);
   return kv_data_directory_fail(directory, errno, "lock", KV_LOCK_NAME, status);
}

static bool write_holder(int fd)
{
   char holder[HOLDER_SIZE];
   int size = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
   int emptied;
   do
      emptied = ftruncate(fd, 0);
   while (emptied != 0 && errno == EINTR);
   return emptied == 0 && kv_data_directory_write_file(fd, holder, (size_t)size);
}

/* A LOCK with a second name may be somebody else's file, linked here so that it is emptied. */
static enum kv_code take_file(struct kv_data_directory *directory, int fd, int patience_ms,
                              struct kv_status *status)
{
   struct stat info;
   if (lock_file(directory, fd, LOCK_EX, patience_ms, status) != KV_OK)
      return status->code;
   if (fstat(fd, &info) != 0)
      return kv_data_directory_fail(directory, errno, "examine", KV_LOCK_NAME, status);
   if (info.st_nlink > 1)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "%s/" KV_LOCK_NAME " has other names in the file system; remove it",
                     directory->path);
   if (!write_holder(fd))
      return kv_data_directory_fail(directory, errno, "write", KV_LOCK_NAME, status);
   directory->lock = kv_file_identity_of(&info);
   return KV_OK;
}

static enum kv_code open_and_take(struct kv_data_directory *directory, int patience_ms,
                                  struct kv_status *status)
{
   int fd = kv_data_directory_open_or_create(directory, KV_LOCK_NAME);
   if (fd < 0)
      return kv_data_directory_fail(directory, errno, "open", KV_LOCK_NAME, status);
   if (take_file(directory, fd, patience_ms, status) != KV_OK) {
      close(fd);
      return status->code;
   }
   if (directory->lock_fd >= 0)
      close(directory->lock_fd);
   directory->lock_fd = fd;
   return KV_OK;
}

enum kv_code kv_data_directory_lock(struct kv_data_directory *directory, struct kv_status *status)
{
   enum kv_code code = lock_itself(directory, LOCK_EX, status);
   return code == KV_OK ? open_and_take(directory, LOCK_PATIENCE_MS, status) : code;
}

/* A directory in which no server was ever started may lack a LOCK. */
enum kv_code kv_data_directory_share_lock(struct kv_data_directory *directory,
                                          struct kv_status *status)
{
   if (lock_itself(directory, LOCK_SH, status) != KV_OK)
      return status->code;
   directory->lock_fd = kv_data_directory_open_file(directory, KV_LOCK_NAME, O_RDONLY);
   if (directory->lock_fd < 0 && errno == ENOENT)
      return KV_OK;
   if (directory->lock_fd < 0)
      return kv_data_directory_fail(directory, errno, "open", KV_LOCK_NAME, status);
   return lock_file(directory, directory->lock_fd, LOCK_SH, LOCK_PATIENCE_MS, status);
}

enum kv_code kv_data_directory_keep_lock(struct kv_data_directory *directory,
                                         struct kv_status *status)
{
   struct stat info;
   if (fstatat(directory->fd, KV_LOCK_NAME, &info, AT_SYMLINK_NOFOLLOW) == 0) {
      if (kv_file_identity_equal(kv_file_identity_of(&info), directory->lock))
         return KV_OK;
   } else if (errno != ENOENT) {
      return kv_data_directory_fail(directory, errno, "examine", KV_LOCK_NAME, status);
   }
   if (open_and_take(directory, 0, status) != KV_OK)
      return status->code;
   kv_log(KV_LOG_WARNING,
          "%s/" KV_LOCK_NAME " was removed or replaced, and was taken again; keep "
          "other programs out of the data directory",
          directory->path);
   return KV_OK;
}
