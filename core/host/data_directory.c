#include "core/host/data_directory_internal.h"

#include "core/support/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK "LOCK"
/* A process that was killed holds its lock until the system has taken its memory apart. */
#define LOCK_PATIENCE_MS 2000
#define LOCK_LOOK_EVERY_MS 20
#define NAME_SIZE_MAX 32 /* of anything in the directory, with the slash before it */

/* ---- What the other files use ---- */

enum kv_code kv_data_directory_sync(const struct kv_data_directory *directory,
                                    struct kv_status *status)
{
   if (fsync(directory->fd) != 0)
      return kv_fail_errno(status, errno, "cannot sync the directory %s", directory->path);
   return KV_OK;
}

int kv_data_directory_open_at(int directory_fd, const char *name, int flags)
{
   int fd;
   do
      fd = openat(directory_fd, name, flags | O_CLOEXEC, 0600);
   while (fd < 0 && errno == EINTR);
   return fd;
}

int kv_data_directory_open_file(const struct kv_data_directory *directory, const char *name,
                                int flags)
{
   int fd = kv_data_directory_open_at(directory->fd, name, flags | O_CREAT | O_NOFOLLOW);
   if (fd >= 0 && fchmod(fd, 0600) != 0) {
      int error = errno;
      close(fd);
      errno = error;
      return -1;
   }
   return fd;
}

bool kv_data_directory_write_file(int fd, const char *data, size_t size)
{
   while (size > 0) {
      ssize_t written = write(fd, data, size);
      if (written < 0 && errno == EINTR)
         continue;
      if (written < 0)
         return false;
      data += written;
      size -= (size_t)written;
   }
   return true;
}

/* ---- Opening ---- */

enum kv_code kv_data_directory_make(const char *path, bool *created, struct kv_status *status)
{
   *created = mkdir(path, 0700) == 0;
   if (!*created && errno == ENOENT)
      return kv_fail(
          status, KV_FAILED_PRECONDITION,
          "cannot create the directory %s: the one that it is to be in does not exist; create "
          "that first",
          path);
   if (!*created && errno != EEXIST)
      return kv_fail_errno(status, errno, "cannot create the directory %s", path);
   if (*created && chmod(path, 0700) != 0) /* the umask may have taken more than it should */
      return kv_fail_errno(status, errno, "cannot set the mode of the directory %s", path);
   return KV_OK;
}

static enum kv_code open_directory(struct kv_data_directory *directory, const char *path,
                                   struct kv_status *status)
{
   directory->path = realpath(path, NULL);
   if (!directory->path)
      return kv_fail_errno(status, errno, "cannot find the data directory %s", path);
   if (strlen(directory->path) + NAME_SIZE_MAX > KV_GENERATION_PATH_SIZE)
      return kv_fail(status, KV_INVALID_ARGUMENT, "the path of the data directory is too long: %s",
                     directory->path);
   directory->fd = kv_data_directory_open_at(AT_FDCWD, directory->path, O_RDONLY | O_DIRECTORY);
   if (directory->fd < 0)
      return kv_fail_errno(status, errno, "cannot open the data directory %s", directory->path);
   return KV_OK;
}

/* Whoever else could write here could hand the server any data as its own. */
static enum kv_code check_owner(const struct kv_data_directory *directory, struct kv_status *status)
{
   struct stat info;
   if (fstat(directory->fd, &info) != 0)
      return kv_fail_errno(status, errno, "cannot look at the data directory %s", directory->path);
   if (info.st_uid != geteuid() && geteuid() != 0)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "the data directory %s belongs to user id %u, and the server runs as user id "
                     "%u; start it as that user, or change the owner with chown -R",
                     directory->path, (unsigned)info.st_uid, (unsigned)geteuid());
   if (info.st_mode & S_IWOTH)
      return kv_fail(status, KV_PERMISSION_DENIED,
                     "everybody may write into the data directory %s (mode %04o); use a directory "
                     "of its own, or chmod 700",
                     directory->path, (unsigned)(info.st_mode & 07777));
   return KV_OK;
}

/* The process id in LOCK, or "unknown". */
#define HOLDER_SIZE 24
static void read_holder(const struct kv_data_directory *directory, char holder[HOLDER_SIZE])
{
   ssize_t size = pread(directory->lock_fd, holder, HOLDER_SIZE - 1, 0);
   holder[size > 0 ? size : 0] = '\0';
   holder[strspn(holder, "0123456789")] = '\0';
   if (holder[0] == '\0')
      snprintf(holder, HOLDER_SIZE, "unknown");
}

static enum kv_code fail_locked(const struct kv_data_directory *directory, struct kv_status *status)
{
   char holder[HOLDER_SIZE];
   read_holder(directory, holder);
   return kv_fail(status, KV_FAILED_PRECONDITION,
                  "the data directory %s is in use by another server, process id %s; stop that one "
                  "or use another directory",
                  directory->path, holder);
}

/* False with errno. Waits a moment for a holder that is ending, and says so. */
static bool lock_soon(const struct kv_data_directory *directory, int operation)
{
   const struct timespec pause = {.tv_nsec = LOCK_LOOK_EVERY_MS * 1000000L};
   for (int waited_ms = 0; flock(directory->lock_fd, operation | LOCK_NB) != 0;) {
      if (errno == EINTR)
         continue;
      if (errno != EWOULDBLOCK || waited_ms >= LOCK_PATIENCE_MS)
         return false;
      if (waited_ms == 0) {
         char holder[HOLDER_SIZE];
         read_holder(directory, holder);
         kv_log(KV_LOG_INFO, "waiting at most %d ms for the lock of %s; its LOCK names process %s",
                LOCK_PATIENCE_MS, directory->path, holder);
      }
      nanosleep(&pause, NULL);
      waited_ms += LOCK_LOOK_EVERY_MS;
   }
   return true;
}

static enum kv_code take_lock(struct kv_data_directory *directory, struct kv_status *status)
{
   directory->lock_fd = kv_data_directory_open_file(directory, LOCK, O_RDWR);
   if (directory->lock_fd < 0)
      return kv_fail_errno(status, errno, "cannot open %s/" LOCK, directory->path);
   if (!lock_soon(directory, LOCK_EX)) {
      if (errno == EWOULDBLOCK && flock(directory->lock_fd, LOCK_SH | LOCK_NB) == 0)
         return kv_fail(status, KV_FAILED_PRECONDITION,
                        "the data directory %s is being read by kvstore-check; start again when "
                        "it has ended",
                        directory->path);
      if (errno == EWOULDBLOCK)
         return fail_locked(directory, status);
      return kv_fail_errno(status, errno, "cannot lock %s/" LOCK, directory->path);
   }
   char holder[HOLDER_SIZE];
   int size = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
   int emptied;
   do
      emptied = ftruncate(directory->lock_fd, 0);
   while (emptied != 0 && errno == EINTR);
   if (emptied != 0 || !kv_data_directory_write_file(directory->lock_fd, holder, (size_t)size))
      return kv_fail_errno(status, errno, "cannot write %s/" LOCK, directory->path);
   return KV_OK;
}

/* A random UUID (version 4). */
static enum kv_code make_store_id(struct kv_data_directory *directory, struct kv_status *status)
{
   uint8_t *id = directory->store_id;
   if (getrandom(id, KV_STORE_ID_SIZE, 0) != KV_STORE_ID_SIZE)
      return kv_fail_errno(status, errno, "cannot get random bytes for the store's id");
   id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
   id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
   return KV_OK;
}

/* The new directory must not vanish with a power cut after data in it was acknowledged. */
static enum kv_code sync_parent(const struct kv_data_directory *directory, struct kv_status *status)
{
   int parent = kv_data_directory_open_at(directory->fd, "..", O_RDONLY | O_DIRECTORY);
   bool synced = parent >= 0 && fsync(parent) == 0;
   int error = errno;
   if (parent >= 0)
      close(parent);
   if (!synced)
      return kv_fail_errno(status, error, "cannot sync the directory that %s is in",
                           directory->path);
   return KV_OK;
}

enum kv_code kv_data_directory_open(const char *path, struct kv_data_directory **directory,
                                    struct kv_status *status)
{
   struct kv_data_directory *opened = calloc(1, sizeof *opened);
   if (!opened)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data directory");
   opened->fd = opened->lock_fd = -1;
   bool created;
   enum kv_code code = kv_data_directory_make(path, &created, status);
   if (code == KV_OK)
      code = open_directory(opened, path, status);
   if (code == KV_OK && created)
      code = sync_parent(opened, status);
   if (code == KV_OK)
      code = check_owner(opened, status);
   if (code == KV_OK)
      code = take_lock(opened, status);
   if (code == KV_OK)
      code = make_store_id(opened, status);
   if (code != KV_OK) {
      kv_data_directory_close(opened);
      return code;
   }
   *directory = opened;
   return KV_OK;
}

/* A directory that no server was ever started on need not have a LOCK. */
static enum kv_code share_lock(struct kv_data_directory *directory, struct kv_status *status)
{
   directory->lock_fd = kv_data_directory_open_at(directory->fd, LOCK, O_RDONLY | O_NOFOLLOW);
   if (directory->lock_fd < 0 && errno == ENOENT)
      return KV_OK;
   if (directory->lock_fd < 0)
      return kv_fail_errno(status, errno, "cannot open %s/" LOCK, directory->path);
   if (lock_soon(directory, LOCK_SH))
      return KV_OK;
   if (errno == EWOULDBLOCK)
      return fail_locked(directory, status);
   return kv_fail_errno(status, errno, "cannot lock %s/" LOCK, directory->path);
}

enum kv_code kv_data_directory_open_to_read(const char *path, struct kv_data_directory **directory,
                                            struct kv_status *status)
{
   struct kv_data_directory *opened = calloc(1, sizeof *opened);
   if (!opened)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the data directory");
   opened->fd = opened->lock_fd = -1;
   enum kv_code code = open_directory(opened, path, status);
   if (code == KV_OK)
      code = share_lock(opened, status);
   if (code != KV_OK) {
      kv_data_directory_close(opened);
      return code;
   }
   *directory = opened;
   return KV_OK;
}

const char *kv_data_directory_path(const struct kv_data_directory *directory)
{
   return directory->path;
}

void kv_data_directory_adopt_store_id(struct kv_data_directory *directory,
                                      const uint8_t store_id[16])
{
   memcpy(directory->store_id, store_id, sizeof directory->store_id);
}

void kv_data_directory_close(struct kv_data_directory *directory)
{
   if (directory->lock_fd >= 0)
      close(directory->lock_fd);
   if (directory->fd >= 0)
      close(directory->fd);
   free(directory->path);
   free(directory);
}

const uint8_t *kv_data_directory_store_id(const struct kv_data_directory *directory)
{
   return directory->store_id;
}
