/* Files by name below the held descriptor of the data directory. */
#include "core/datadir/data_directory_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct kv_file_identity kv_file_identity_of(const struct stat *info)
{
   return (struct kv_file_identity){info->st_dev, info->st_ino};
}

bool kv_file_identity_equal(struct kv_file_identity a, struct kv_file_identity b)
{
   return a.device == b.device && a.inode == b.inode;
}

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

static int close_failed(int fd, int error)
{
   close(fd);
   errno = error;
   return -1;
}

int kv_data_directory_open_file(const struct kv_data_directory *directory, const char *name,
                                int flags)
{
   int fd =
       kv_data_directory_open_at(directory->fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
   struct stat info;
   if (fd < 0)
      return fd;
   if (fstat(fd, &info) != 0)
      return close_failed(fd, errno);
   return S_ISREG(info.st_mode) ? fd : close_failed(fd, EINVAL);
}

int kv_data_directory_create_file(const struct kv_data_directory *directory, const char *name,
                                  bool keep)
{
   if (!keep && unlinkat(directory->fd, name, 0) != 0 && errno != ENOENT)
      return -1;
   int fd = kv_data_directory_open_at(directory->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
   if (fd >= 0 && fchmod(fd, 0600) != 0)
      return close_failed(fd, errno);
   return fd;
}

int kv_data_directory_open_or_create(const struct kv_data_directory *directory, const char *name)
{
   int fd = kv_data_directory_open_file(directory, name, O_RDWR);
   if (fd >= 0 || errno != ENOENT)
      return fd;
   fd = kv_data_directory_create_file(directory, name, true);
   return fd >= 0 || errno != EEXIST ? fd : kv_data_directory_open_file(directory, name, O_RDWR);
}

ssize_t kv_data_directory_read_file(int fd, char *data, size_t capacity)
{
   size_t size = 0;
   ssize_t got = 1;
   while (got != 0 && size < capacity) {
      got = read(fd, data + size, capacity - size);
      if (got < 0 && errno != EINTR)
         return -1;
      size += got > 0 ? (size_t)got : 0;
   }
   return (ssize_t)size;
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

DIR *kv_data_directory_list(int directory_fd, const char *name)
{
   int fd = kv_data_directory_open_at(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
   DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
   if (fd >= 0 && !entries)
      close_failed(fd, errno);
   return entries;
}

/* Adds who owns the file that may not be used, and what to do. */
static void explain_denial(const struct kv_data_directory *directory, const char *name,
                           struct kv_status *status)
{
   struct stat info;
   bool itself = name[0] == '\0';
   int found = itself || directory->fd < 0
                   ? fstatat(AT_FDCWD, directory->path, &info, 0)
                   : fstatat(directory->fd, name, &info, AT_SYMLINK_NOFOLLOW);
   unsigned user = (unsigned)geteuid();
   size_t length = strlen(status->text), space = sizeof status->text - length;
   if (found != 0)
      snprintf(status->text + length, space,
               "; the server runs as user id %u, and must be able to enter every directory above",
               user);
   else if (info.st_uid == geteuid())
      snprintf(status->text + length, space, "; it has mode %04o: give its owner access with chmod",
               (unsigned)(info.st_mode & 07777));
   else
      snprintf(status->text + length, space,
               "; it belongs to user id %u (mode %04o), and the server runs as user id %u: start "
               "it as that user, or give it the files with chown -R %u %s",
               (unsigned)info.st_uid, (unsigned)(info.st_mode & 07777), user, user,
               directory->path);
}

enum kv_code kv_data_directory_fail(const struct kv_data_directory *directory, int error_number,
                                    const char *verb, const char *name, struct kv_status *status)
{
   if (error_number == ELOOP || error_number == EINVAL || error_number == ENXIO)
      return kv_fail(status, KV_FAILED_PRECONDITION,
                     "cannot %s %s/%s: it is not a regular file; find out who put it there, and "
                     "remove it",
                     verb, directory->path, name);
   kv_fail_errno(status, error_number, "cannot %s %s%s%s", verb, directory->path,
                 name[0] != '\0' ? "/" : "", name);
   if (error_number == EACCES || error_number == EPERM)
      explain_denial(directory, name, status);
   return status->code;
}

enum kv_code kv_data_directory_create_unnamed(const struct kv_data_directory *directory, int *fd,
                                              struct kv_status *status)
{
   *fd = kv_data_directory_open_at(directory->fd, ".", O_TMPFILE | O_RDWR);
   if (*fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
      return *fd >= 0 ? KV_OK
                      : kv_data_directory_fail(directory, errno, "create a file in", "", status);
   *fd = kv_data_directory_create_file(directory, KV_UNNAMED_TEMPORARY, false);
   if (*fd < 0)
      return kv_data_directory_fail(directory, errno, "create", KV_UNNAMED_TEMPORARY, status);
   if (unlinkat(directory->fd, KV_UNNAMED_TEMPORARY, 0) == 0)
      return KV_OK;
   int error = errno;
   close(*fd);
   *fd = -1;
   return kv_data_directory_fail(directory, error, "remove", KV_UNNAMED_TEMPORARY, status);
}

enum kv_code kv_data_directory_write_temporary(const struct kv_data_directory *directory,
                                               const char *name, const char *text, size_t size,
                                               struct kv_status *status)
{
   int fd = kv_data_directory_create_file(directory, name, false);
   if (fd < 0)
      return kv_data_directory_fail(directory, errno, "create", name, status);
   bool written = kv_data_directory_write_file(fd, text, size) && fsync(fd) == 0;
   int error = written ? 0 : errno;
   if (close(fd) != 0 && written)
      error = errno;
   return error == 0 ? KV_OK : kv_data_directory_fail(directory, error, "write", name, status);
}
