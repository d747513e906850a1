#include "sdk/fault/fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&(name)))find_real(#name))

EXPORT struct fault_control kvstore_fault_control;

#define CONTROL kvstore_fault_control

static void *find_real(const char *name)
{
   void *found = dlsym(RTLD_NEXT, name);
   if (!found)
      abort();
   return found;
}

static bool below_root(const char *path)
{
   size_t size = strlen(CONTROL.root);
   return size > 0 && strncmp(path, CONTROL.root, size) == 0 &&
          (path[size] == '/' || path[size] == '\0');
}

static bool is_ours(int fd)
{
   char link[64], path[PATH_MAX];
   int error = errno;
   snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
   ssize_t size = readlink(link, path, sizeof path - 1);
   errno = error;
   path[size > 0 ? size : 0] = '\0';
   return below_root(path);
}

enum verdict { PASS, FAIL, HALF };

static enum verdict judge(uint32_t kind)
{
   CONTROL.counts[__builtin_ctz(kind)]++;
   if (!(CONTROL.kinds & kind) || ++CONTROL.seen < CONTROL.first)
      return PASS;
   CONTROL.hits++;
   if (CONTROL.action == FAULT_FAIL) {
      errno = CONTROL.error;
      return FAIL;
   }
   if (kind != FAULT_WRITE || CONTROL.hits > 1)
      syscall(SYS_kill, getpid(), SIGKILL);
   return HALF;
}

static enum verdict judge_fd(uint32_t kind, int fd)
{
   return is_ours(fd) ? judge(kind) : PASS;
}

/* ---- Writes -------------------------------------------------------------------------------- */

static size_t part_of(enum verdict verdict, size_t size)
{
   return verdict == HALF && size > 1 ? size / 2 : size;
}

EXPORT ssize_t write(int fd, const void *data, size_t size)
{
   enum verdict verdict = judge_fd(FAULT_WRITE, fd);
   return verdict == FAIL ? -1 : REAL(write)(fd, data, part_of(verdict, size));
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
   enum verdict verdict = judge_fd(FAULT_WRITE, fd);
   return verdict == FAIL ? -1 : REAL(pwrite)(fd, data, part_of(verdict, size), offset);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
   return pwrite(fd, data, size, offset);
}

/* Half of several parts: as many whole ones as fit, or half of the first. */
static ssize_t write_half(int fd, const struct iovec *parts, int count, off_t offset)
{
   size_t total = 0, used = 0;
   int whole = 0;
   for (int i = 0; i < count; i++)
      total += parts[i].iov_len;
   while (whole < count && used + parts[whole].iov_len <= total / 2)
      used += parts[whole++].iov_len;
   if (whole == 0 && count > 0) {
      size_t size = parts[0].iov_len > 1 ? parts[0].iov_len / 2 : parts[0].iov_len;
      return offset < 0 ? REAL(write)(fd, parts[0].iov_base, size)
                        : REAL(pwrite)(fd, parts[0].iov_base, size, offset);
   }
   return offset < 0 ? REAL(writev)(fd, parts, whole) : REAL(pwritev)(fd, parts, whole, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
   enum verdict verdict = judge_fd(FAULT_WRITE, fd);
   if (verdict == HALF)
      return write_half(fd, parts, count, -1);
   return verdict == FAIL ? -1 : REAL(writev)(fd, parts, count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
   enum verdict verdict = judge_fd(FAULT_WRITE, fd);
   if (verdict == HALF)
      return write_half(fd, parts, count, offset);
   return verdict == FAIL ? -1 : REAL(pwritev)(fd, parts, count, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
   return pwritev(fd, parts, count, offset);
}

EXPORT int ftruncate(int fd, off_t size)
{
   return judge_fd(FAULT_WRITE, fd) == FAIL ? -1 : REAL(ftruncate)(fd, size);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
   return ftruncate(fd, size);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t size)
{
   return judge_fd(FAULT_WRITE, fd) == FAIL ? -1 : REAL(fallocate)(fd, mode, offset, size);
}

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
   return fallocate(fd, mode, offset, size);
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t size)
{
   return judge_fd(FAULT_WRITE, fd) == FAIL ? CONTROL.error
                                            : REAL(posix_fallocate)(fd, offset, size);
}

EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
   return posix_fallocate(fd, offset, size);
}

/* ---- Syncs and names ----------------------------------------------------------------------- */

static int note_sync(int fd, int result)
{
   int error = errno;
   struct stat info;
   if (CONTROL.kinds && is_ours(fd) && fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
      uint32_t at = CONTROL.file_sync_count++;
      if (at < FAULT_FILE_SYNCS_MAX)
         CONTROL.file_syncs[at] = (struct fault_file_sync){info.st_ino, result != 0};
   }
   errno = error;
   return result;
}

EXPORT int fsync(int fd)
{
   return note_sync(fd, judge_fd(FAULT_SYNC, fd) == FAIL ? -1 : REAL(fsync)(fd));
}

EXPORT int fdatasync(int fd)
{
   return note_sync(fd, judge_fd(FAULT_SYNC, fd) == FAIL ? -1 : REAL(fdatasync)(fd));
}

EXPORT int msync(void *address, size_t size, int flags)
{
   bool fails = CONTROL.root[0] != '\0' && judge(FAULT_SYNC) == FAIL;
   return fails ? -1 : REAL(msync)(address, size, flags);
}

static bool is_ours_by_name(int directory_fd, const char *name)
{
   return name[0] == '/' ? below_root(name) : directory_fd != AT_FDCWD && is_ours(directory_fd);
}

EXPORT int rename(const char *from, const char *to)
{
   bool ours = is_ours_by_name(AT_FDCWD, to);
   return ours && judge(FAULT_RENAME) == FAIL ? -1 : REAL(rename)(from, to);
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
   bool ours = is_ours_by_name(to_fd, to);
   return ours && judge(FAULT_RENAME) == FAIL ? -1 : REAL(renameat)(from_fd, from, to_fd, to);
}
