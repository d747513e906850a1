/*
 * The calls on files, replaced: each asks shim_judge and then does what it says. Descriptors of the
 * data directory are remembered when they are opened, so that the many reads and writes on sockets
 * cost no more than a look into a table.
 */
#undef _FORTIFY_SOURCE /* its inline read would come before the one here */
#include "shim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* The function that this library replaces. */
#define REAL(name) ((__typeof__(&name))find_real(#name))

enum { DESCRIPTORS = 65536, PARTS_MAX = IOV_MAX };

static _Atomic bool watched[DESCRIPTORS];

static void *find_real(const char *name)
{
   void *found = dlsym(RTLD_NEXT, name);
   if (!found)
      abort();
   return found;
}

static void watch(int fd, bool yes)
{
   if (fd >= 0 && fd < DESCRIPTORS)
      watched[fd] = yes;
}

static struct shim_verdict judge_fd(enum shim_kind kind, int fd)
{
   char path[PATH_MAX];
   if (fd < 0 || fd >= DESCRIPTORS || !watched[fd] || !shim_path_of_fd(fd, path, sizeof path))
      return (struct shim_verdict){SHIM_PASS, 0};
   return shim_judge(kind, path);
}

static struct shim_verdict judge_name(enum shim_kind kind, int directory_fd, const char *name)
{
   char path[PATH_MAX];
   if (!shim_path_of_name(directory_fd, name, path, sizeof path))
      return (struct shim_verdict){SHIM_PASS, 0};
   return shim_judge(kind, path);
}

static int fail(struct shim_verdict verdict)
{
   errno = verdict.error;
   return -1;
}

/* For calls that return 0 or -1. */
#define SIMPLE(verdict, call)                                                                      \
   do {                                                                                            \
      struct shim_verdict decided = (verdict);                                                     \
      if (decided.action == SHIM_ERROR)                                                            \
         return fail(decided);                                                                     \
      if (decided.action == SHIM_SKIP)                                                             \
         return 0;                                                                                 \
      int result = (call);                                                                         \
      return decided.action == SHIM_LATE && result == 0 ? fail(decided) : result;                  \
   } while (0)

/* ---- Opening and closing ------------------------------------------------------------------- */

static int open_at(int directory_fd, const char *name, int flags, mode_t mode)
{
   char path[PATH_MAX];
   bool ours = shim_path_of_name(directory_fd, name, path, sizeof path);
   struct shim_verdict verdict = {SHIM_PASS, 0};
   if (ours)
      verdict = shim_judge(SHIM_OPEN, path);
   if (verdict.action == SHIM_ERROR)
      return fail(verdict);
   int fd = REAL(openat)(directory_fd, name, flags, mode);
   if (fd >= 0 && verdict.action == SHIM_LATE) {
      REAL(close)(fd);
      return fail(verdict);
   }
   watch(fd, ours);
   return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
   return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(arguments, unsigned) : 0;
}

EXPORT int open(const char *name, int flags, ...)
{
   va_list arguments;
   va_start(arguments, flags);
   mode_t mode = mode_of(flags, arguments);
   va_end(arguments);
   return open_at(AT_FDCWD, name, flags, mode);
}

EXPORT int openat(int directory_fd, const char *name, int flags, ...)
{
   va_list arguments;
   va_start(arguments, flags);
   mode_t mode = mode_of(flags, arguments);
   va_end(arguments);
   return open_at(directory_fd, name, flags, mode);
}

/* Closed in any case, as the kernel does even when it reports an error. */
EXPORT int close(int fd)
{
   struct shim_verdict verdict = judge_fd(SHIM_CLOSE, fd);
   watch(fd, false);
   int result = REAL(close)(fd);
   bool failing = verdict.action == SHIM_ERROR || verdict.action == SHIM_LATE;
   return failing && result == 0 ? fail(verdict) : result;
}

/* ---- Transfers ----------------------------------------------------------------------------- */

static size_t part_of(struct shim_verdict verdict, size_t size)
{
   return verdict.action == SHIM_SHORT && size > 1 ? size / 2 : size;
}

#define TRANSFER(kind, fd, size, call)                                                             \
   do {                                                                                            \
      struct shim_verdict decided = judge_fd(kind, fd);                                            \
      if (decided.action == SHIM_ERROR)                                                            \
         return fail(decided);                                                                     \
      if (decided.action == SHIM_SKIP)                                                             \
         return (ssize_t)size;                                                                     \
      size = part_of(decided, size);                                                               \
      ssize_t result = (call);                                                                     \
      return decided.action == SHIM_LATE && result >= 0 ? fail(decided) : result;                  \
   } while (0)

EXPORT ssize_t read(int fd, void *data, size_t size)
{
   TRANSFER(SHIM_READ, fd, size, REAL(read)(fd, data, size));
}

EXPORT ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
   TRANSFER(SHIM_READ, fd, size, REAL(pread)(fd, data, size, offset));
}

EXPORT ssize_t write(int fd, const void *data, size_t size)
{
   TRANSFER(SHIM_WRITE, fd, size, REAL(write)(fd, data, size));
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
   TRANSFER(SHIM_WRITE, fd, size, REAL(pwrite)(fd, data, size, offset));
}

/* Copies as many parts as make up `size` bytes; returns their number. */
static int cut_parts(const struct iovec *parts, int count, size_t size, struct iovec *cut)
{
   int used = 0;
   for (; used < count && size > 0; used++) {
      cut[used] = parts[used];
      if (cut[used].iov_len > size)
         cut[used].iov_len = size;
      size -= cut[used].iov_len;
   }
   return used;
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset)
{
   return offset < 0 ? REAL(writev)(fd, parts, count) : REAL(pwritev)(fd, parts, count, offset);
}

static ssize_t gather(int fd, const struct iovec *parts, int count, off_t offset)
{
   struct shim_verdict verdict = judge_fd(SHIM_WRITE, fd);
   struct iovec cut[PARTS_MAX];
   size_t size = 0;
   if (verdict.action == SHIM_ERROR)
      return fail(verdict);
   for (int i = 0; i < count; i++)
      size += parts[i].iov_len;
   if (verdict.action == SHIM_SKIP)
      return (ssize_t)size;
   if (verdict.action == SHIM_SHORT && count <= PARTS_MAX) {
      count = cut_parts(parts, count, part_of(verdict, size), cut);
      parts = cut;
   }
   ssize_t result = write_parts(fd, parts, count, offset);
   return verdict.action == SHIM_LATE && result >= 0 ? fail(verdict) : result;
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
   return gather(fd, parts, count, -1);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
   return gather(fd, parts, count, offset);
}

/* ---- Files that are open ------------------------------------------------------------------- */

EXPORT int fsync(int fd)
{
   SIMPLE(judge_fd(SHIM_FSYNC, fd), REAL(fsync)(fd));
}

EXPORT int fdatasync(int fd)
{
   SIMPLE(judge_fd(SHIM_FDATASYNC, fd), REAL(fdatasync)(fd));
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t size)
{
   SIMPLE(judge_fd(SHIM_FALLOCATE, fd), REAL(fallocate)(fd, mode, offset, size));
}

/* Returns the error instead of setting errno. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t size)
{
   struct shim_verdict verdict = judge_fd(SHIM_FALLOCATE, fd);
   if (verdict.action == SHIM_ERROR)
      return verdict.error;
   int result = verdict.action == SHIM_SKIP ? 0 : REAL(posix_fallocate)(fd, offset, size);
   return verdict.action == SHIM_LATE && result == 0 ? verdict.error : result;
}

EXPORT int ftruncate(int fd, off_t size)
{
   SIMPLE(judge_fd(SHIM_FTRUNCATE, fd), REAL(ftruncate)(fd, size));
}

EXPORT int fchmod(int fd, mode_t mode)
{
   SIMPLE(judge_fd(SHIM_CHMOD, fd), REAL(fchmod)(fd, mode));
}

EXPORT int flock(int fd, int operation)
{
   SIMPLE(judge_fd(SHIM_FLOCK, fd), REAL(flock)(fd, operation));
}

EXPORT int fstat(int fd, struct stat *status)
{
   SIMPLE(judge_fd(SHIM_STAT, fd), REAL(fstat)(fd, status));
}

/* ---- Names --------------------------------------------------------------------------------- */

EXPORT int stat(const char *name, struct stat *status)
{
   SIMPLE(judge_name(SHIM_STAT, AT_FDCWD, name), REAL(stat)(name, status));
}

EXPORT int lstat(const char *name, struct stat *status)
{
   SIMPLE(judge_name(SHIM_STAT, AT_FDCWD, name), REAL(lstat)(name, status));
}

EXPORT int fstatat(int directory_fd, const char *name, struct stat *status, int flags)
{
   SIMPLE(judge_name(SHIM_STAT, directory_fd, name),
          REAL(fstatat)(directory_fd, name, status, flags));
}

EXPORT int faccessat(int directory_fd, const char *name, int mode, int flags)
{
   SIMPLE(judge_name(SHIM_STAT, directory_fd, name),
          REAL(faccessat)(directory_fd, name, mode, flags));
}

EXPORT char *realpath(const char *name, char *resolved)
{
   struct shim_verdict verdict = judge_name(SHIM_STAT, AT_FDCWD, name);
   if (verdict.action == SHIM_ERROR || verdict.action == SHIM_LATE) {
      errno = verdict.error;
      return NULL;
   }
   return REAL(realpath)(name, resolved);
}

EXPORT int chmod(const char *name, mode_t mode)
{
   SIMPLE(judge_name(SHIM_CHMOD, AT_FDCWD, name), REAL(chmod)(name, mode));
}

EXPORT int rename(const char *from, const char *to)
{
   SIMPLE(judge_name(SHIM_RENAME, AT_FDCWD, to), REAL(rename)(from, to));
}

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
   SIMPLE(judge_name(SHIM_RENAME, to_fd, to), REAL(renameat)(from_fd, from, to_fd, to));
}

EXPORT int unlink(const char *name)
{
   SIMPLE(judge_name(SHIM_UNLINK, AT_FDCWD, name), REAL(unlink)(name));
}

EXPORT int unlinkat(int directory_fd, const char *name, int flags)
{
   SIMPLE(judge_name(SHIM_UNLINK, directory_fd, name), REAL(unlinkat)(directory_fd, name, flags));
}

EXPORT int rmdir(const char *name)
{
   SIMPLE(judge_name(SHIM_UNLINK, AT_FDCWD, name), REAL(rmdir)(name));
}

EXPORT int remove(const char *name)
{
   SIMPLE(judge_name(SHIM_UNLINK, AT_FDCWD, name), REAL(remove)(name));
}

EXPORT int mkdir(const char *name, mode_t mode)
{
   SIMPLE(judge_name(SHIM_MKDIR, AT_FDCWD, name), REAL(mkdir)(name, mode));
}

EXPORT int mkdirat(int directory_fd, const char *name, mode_t mode)
{
   SIMPLE(judge_name(SHIM_MKDIR, directory_fd, name), REAL(mkdirat)(directory_fd, name, mode));
}

/* ---- Directories --------------------------------------------------------------------------- */

EXPORT DIR *opendir(const char *name)
{
   char path[PATH_MAX];
   struct shim_verdict verdict = {SHIM_PASS, 0};
   bool ours = shim_path_of_name(AT_FDCWD, name, path, sizeof path);
   if (ours)
      verdict = shim_judge(SHIM_OPENDIR, path);
   if (verdict.action == SHIM_ERROR || verdict.action == SHIM_LATE) {
      errno = verdict.error;
      return NULL;
   }
   DIR *directory = REAL(opendir)(name);
   if (directory)
      watch(dirfd(directory), ours);
   return directory;
}

/* The descriptor is watched since it was opened. */
EXPORT DIR *fdopendir(int fd)
{
   struct shim_verdict verdict = judge_fd(SHIM_OPENDIR, fd);
   if (verdict.action == SHIM_ERROR || verdict.action == SHIM_LATE) {
      errno = verdict.error;
      return NULL;
   }
   return REAL(fdopendir)(fd);
}

EXPORT struct dirent *readdir(DIR *directory)
{
   struct shim_verdict verdict = judge_fd(SHIM_READDIR, dirfd(directory));
   if (verdict.action == SHIM_ERROR || verdict.action == SHIM_LATE) {
      errno = verdict.error;
      return NULL;
   }
   return REAL(readdir)(directory);
}

EXPORT int closedir(DIR *directory)
{
   watch(dirfd(directory), false);
   return REAL(closedir)(directory);
}
