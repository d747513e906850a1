#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* preadv/pwritev refuse more parts than this at once. */
enum { PARTS_MAX = IOV_MAX };

int(storage_fail)(kvs_error *error, int code, const char *message, ...)
{
   va_list arguments;
   va_start(arguments, message);
   vsnprintf(error->text, sizeof error->text, message, arguments);
   va_end(arguments);
   return code;
}

int(storage_fail_errno)(kvs_error *error, int error_number, const char *message, ...)
{
   va_list arguments;
   va_start(arguments, message);
   vsnprintf(error->text, sizeof error->text, message, arguments);
   va_end(arguments);
   size_t used = strlen(error->text);
   snprintf(error->text + used, sizeof error->text - used, ": %s", strerror(error_number));
   switch (error_number) {
   case ENOSPC:
   case EDQUOT:
   case EFBIG:
   case ENOMEM:
      return KVS_NO_SPACE;
   default:
      return KVS_IO;
   }
}

bool storage_ends_in(const char *name, const char *ending)
{
   size_t size = strlen(name), ending_size = strlen(ending);
   return size >= ending_size && strcmp(name + size - ending_size, ending) == 0;
}

int storage_write_all(int fd, const char *path, struct iovec *parts, size_t count, uint64_t offset,
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
         return storage_fail_errno(error, errno, "%s: cannot write at offset %llu", path,
                                   (unsigned long long)offset);
      if (written == 0)
         return storage_fail(error, KVS_IO, "%s: nothing was written at offset %llu", path,
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

int storage_read_all(int fd, const char *path, void *data, size_t size, uint64_t offset,
                     size_t *got, kvs_error *error)
{
   size_t filled = 0;
   while (filled < size) {
      ssize_t arrived = pread(fd, (char *)data + filled, size - filled, (off_t)(offset + filled));
      if (arrived < 0 && errno == EINTR)
         continue;
      if (arrived < 0)
         return storage_fail_errno(error, errno, "%s: cannot read at offset %llu", path,
                                   (unsigned long long)(offset + filled));
      if (arrived == 0)
         break;
      filled += (size_t)arrived;
   }
   *got = filled;
   return KVS_OK;
}

/* An interrupted sync counts as failed: the kernel might not report its error to the next one. */
int storage_sync(int fd, const char *path, kvs_error *error)
{
   if (fdatasync(fd) != 0)
      return storage_fail_errno(error, errno, "%s: cannot flush to stable storage", path);
   return KVS_OK;
}

int storage_allocate(int fd, int mode, uint64_t from, uint64_t to)
{
   int result;
   do
      result = fallocate(fd, mode, (off_t)from, (off_t)(to - from));
   while (result != 0 && errno == EINTR);
   return result == 0 ? 0 : errno;
}

int storage_set_size(int fd, const char *path, uint64_t size, kvs_error *error)
{
   int result;
   do
      result = ftruncate(fd, (off_t)size);
   while (result != 0 && errno == EINTR);
   if (result != 0)
      return storage_fail_errno(error, errno, "%s: cannot cut to %llu bytes", path,
                                (unsigned long long)size);
   return KVS_OK;
}

int storage_truncate(int fd, const char *path, uint64_t size, kvs_error *error)
{
   int code = storage_set_size(fd, path, size, error);
   if (code != KVS_OK)
      return code;
   if (fsync(fd) != 0)
      return storage_fail_errno(error, errno, "%s: cannot flush to stable storage", path);
   return KVS_OK;
}
