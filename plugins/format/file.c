#include "plugins/format/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* preadv/pwritev refuse more parts than this at once. */
enum { PARTS_MAX = IOV_MAX };

int format_fail(kvs_error *error, int code, const char *message, ...)
{
   va_list arguments;
   va_start(arguments, message);
   vsnprintf(error->text, sizeof error->text, message, arguments);
   va_end(arguments);
   return code;
}

int format_fail_errno(kvs_error *error, int error_number, const char *message, ...)
{
   va_list arguments;
   va_start(arguments, message);
   vsnprintf(error->text, sizeof error->text, message, arguments);
   va_end(arguments);
   size_t used = strlen(error->text);
   snprintf(error->text + used, sizeof error->text - used, ": %s", strerror(error_number));
   bool no_space = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
   return no_space ? KVS_NO_SPACE : KVS_IO;
}

bool format_ends_in(const char *name, const char *ending)
{
   size_t size = strlen(name), ending_size = strlen(ending);
   return size >= ending_size && strcmp(name + size - ending_size, ending) == 0;
}

/* Writes the directory that holds `path` into `parent`. */
static bool parent_of(const char *path, char parent[PATH_MAX])
{
   size_t size = strlen(path);
   while (size > 1 && path[size - 1] == '/')
      size--;
   while (size > 0 && path[size - 1] != '/')
      size--;
   while (size > 1 && path[size - 1] == '/')
      size--;
   if (size == 0) {
      strcpy(parent, ".");
      return true;
   }
   if (size >= PATH_MAX)
      return false;
   memcpy(parent, path, size);
   parent[size] = '\0';
   return true;
}

int format_make_directory(const char *path, kvs_error *error)
{
   char parent[PATH_MAX];
   if (!parent_of(path, parent))
      return format_fail(error, KVS_INVALID, "%s: the path is too long", path);
   if (mkdir(path, 0700) != 0) {
      struct stat status;
      if (errno != EEXIST)
         return format_fail_errno(error, errno, "%s: cannot make the directory", path);
      if (stat(path, &status) != 0)
         return format_fail_errno(error, errno, "%s: cannot examine", path);
      if (!S_ISDIR(status.st_mode))
         return format_fail(error, KVS_IO, "%s: exists and is not a directory", path);
      return KVS_OK;
   }
   if (chmod(path, 0700) != 0)
      return format_fail_errno(error, errno, "%s: cannot set the directory's mode", path);
   return format_sync_directory(parent, error);
}

static int open_anyhow(const char *path, int flags)
{
   int opened;
   do
      opened = open(path, flags | O_CLOEXEC, 0600);
   while (opened < 0 && errno == EINTR);
   return opened;
}

int format_open(const char *path, int flags, int *fd, kvs_error *error)
{
   int opened = open_anyhow(path, flags);
   if (opened < 0)
      return format_fail_errno(error, errno, "%s: cannot open", path);
   if ((flags & O_CREAT) && fchmod(opened, 0600) != 0) {
      int code = format_fail_errno(error, errno, "%s: cannot set the file's mode", path);
      close(opened);
      return code;
   }
   *fd = opened;
   return KVS_OK;
}

int format_write_all(int fd, const char *path, struct iovec *parts, size_t count, uint64_t offset,
                     kvs_error *error)
{
   while (count > 0) {
      if (parts->iov_len == 0) {
         parts++;
         count--;
         continue;
      }
      int batch = count < PARTS_MAX ? (int)count : PARTS_MAX;
      ssize_t written = pwritev(fd, parts, batch, (off_t)offset);
      if (written < 0 && errno == EINTR)
         continue;
      if (written < 0)
         return format_fail_errno(error, errno, "%s: cannot write at offset %llu", path,
                                  (unsigned long long)offset);
      if (written == 0)
         return format_fail(error, KVS_IO, "%s: nothing was written at offset %llu", path,
                            (unsigned long long)offset);
      offset += (uint64_t)written;
      size_t left = (size_t)written;
      while (left > 0) {
         size_t step = left < parts->iov_len ? left : parts->iov_len;
         parts->iov_base = (char *)parts->iov_base + step;
         parts->iov_len -= step;
         left -= step;
         if (parts->iov_len == 0) {
            parts++;
            count--;
         }
      }
   }
   return KVS_OK;
}

int format_read_all(int fd, const char *path, void *data, size_t size, uint64_t offset, size_t *got,
                    kvs_error *error)
{
   size_t filled = 0;
   while (filled < size) {
      ssize_t arrived = pread(fd, (char *)data + filled, size - filled, (off_t)(offset + filled));
      if (arrived < 0 && errno == EINTR)
         continue;
      if (arrived < 0)
         return format_fail_errno(error, errno, "%s: cannot read at offset %llu", path,
                                  (unsigned long long)(offset + filled));
      if (arrived == 0)
         break;
      filled += (size_t)arrived;
   }
   *got = filled;
   return KVS_OK;
}

/* An interrupted sync counts as failed: the next one might not be told what this one met. */
int format_sync(int fd, const char *path, kvs_error *error)
{
   if (fdatasync(fd) != 0)
      return format_fail_errno(error, errno, "%s: cannot flush to stable storage", path);
   return KVS_OK;
}

int format_truncate(int fd, const char *path, uint64_t size, kvs_error *error)
{
   int result;
   do
      result = ftruncate(fd, (off_t)size);
   while (result != 0 && errno == EINTR);
   if (result != 0)
      return format_fail_errno(error, errno, "%s: cannot cut to %llu bytes", path,
                               (unsigned long long)size);
   if (fsync(fd) != 0)
      return format_fail_errno(error, errno, "%s: cannot flush to stable storage", path);
   return KVS_OK;
}

int format_sync_directory(const char *path, kvs_error *error)
{
   int fd = open_anyhow(path, O_RDONLY | O_DIRECTORY);
   if (fd < 0)
      return format_fail_errno(error, errno, "%s: cannot open the directory", path);
   int code = KVS_OK;
   if (fsync(fd) != 0)
      code = format_fail_errno(error, errno, "%s: cannot flush the directory", path);
   close(fd);
   return code;
}

int format_rename_durably(const char *directory, const char *from, const char *to, kvs_error *error)
{
   int fd = open_anyhow(directory, O_RDONLY | O_DIRECTORY);
   if (fd < 0)
      return format_fail_errno(error, errno, "%s: cannot open the directory", directory);
   int code = KVS_OK;
   if (renameat(fd, from, fd, to) != 0)
      code = format_fail_errno(error, errno, "%s: cannot rename %s to %s", directory, from, to);
   else if (fsync(fd) != 0)
      code = format_fail_errno(error, errno, "%s: cannot flush the directory", directory);
   close(fd);
   return code;
}
