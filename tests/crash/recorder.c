/*
 * Preloaded into a server (LD_PRELOAD), records in true order what it does to the files below one
 * directory, with the data, and what it sends to its clients.
 *
 *    CRASH_RECORDER_ROOT     the directory, an absolute path without symbolic links
 *    CRASH_RECORDER_TRACE    the file to append the record to; outside the directory
 *    CRASH_RECORDER_SYNC_US  by how much each sync is delayed, as on a slow device; optional
 *
 * One lock is held over each call and its entry, so the order of the entries is that of the calls.
 * Only a sync has two entries, its begin and its end, and what other threads do lies between them.
 *
 * Calls that are not in this file are not recorded. Whoever reads the trace must compare what it
 * makes of it with the real directory: a missing call that changes anything shows there. A missing
 * call that syncs only makes less count as durable than is.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* tests/crash/trace.py reads the same numbers and the same layout. */
enum kind {
   KIND_START = 1,
   KIND_CREATE,
   KIND_WRITE,
   KIND_TRUNCATE,
   KIND_ALLOCATE,
   KIND_SYNC_BEGIN,
   KIND_SYNC_END,
   KIND_RENAME,
   KIND_UNLINK,
   KIND_MKDIR,
   KIND_RMDIR,
   KIND_SEND
};

struct entry {
   uint32_t kind;
   uint32_t path_size;
   uint64_t time_ns;
   int64_t a, b;
   uint32_t second_path_size;
   uint32_t reserved;
   uint64_t data_size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_size;
static int trace = -1;
static long sync_us;
static int64_t syncs; /* under the lock */

static void give_up(const char *what)
{
   fprintf(stderr, "crash recorder: %s: %s\n", what, strerror(errno));
   abort();
}

/* ---- The trace ---- */

/* [lock held] */
static void note(enum kind kind, int64_t a, int64_t b, const char *path, const char *second_path,
                 const struct iovec *data, size_t size)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   struct entry entry = {
       .kind = kind,
       .path_size = (uint32_t)strlen(path),
       .time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
       .a = a,
       .b = b,
       .second_path_size = (uint32_t)strlen(second_path),
       .data_size = size,
   };
   size_t whole = sizeof entry + entry.path_size + entry.second_path_size + size;
   char *bytes = malloc(whole);
   if (!bytes)
      give_up("memory");
   char *to = mempcpy(bytes, &entry, sizeof entry);
   to = mempcpy(to, path, entry.path_size);
   to = mempcpy(to, second_path, entry.second_path_size);
   for (; size > 0; data++) {
      size_t part = data->iov_len < size ? data->iov_len : size;
      to = mempcpy(to, data->iov_base, part);
      size -= part;
   }
   if (syscall(SYS_write, trace, bytes, whole) != (long)whole)
      give_up("the trace cannot be written");
   free(bytes);
}

static void note_path(enum kind kind, int64_t a, int64_t b, const char *path)
{
   note(kind, a, b, path, "", NULL, 0);
}

__attribute__((constructor)) static void begin(void)
{
   const char *path = getenv("CRASH_RECORDER_TRACE");
   const char *slow = getenv("CRASH_RECORDER_SYNC_US");
   root = getenv("CRASH_RECORDER_ROOT");
   if (!root || !path)
      give_up("CRASH_RECORDER_ROOT and CRASH_RECORDER_TRACE must be set");
   root_size = strlen(root);
   sync_us = slow ? atol(slow) : 0;
   trace =
       (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
   if (trace < 0)
      give_up(path);
   note_path(KIND_START, getpid(), 0, "");
}

/* ---- Paths ---- */

static bool inside(const char *path)
{
   return strncmp(path, root, root_size) == 0 &&
          (path[root_size] == '/' || path[root_size] == '\0');
}

/* The path of an open file, if it is one of ours that still has a name. */
static bool path_of_fd(int fd, char path[PATH_MAX])
{
   char link[32];
   snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
   ssize_t size = readlink(link, path, PATH_MAX - 1);
   if (size < 0)
      return false;
   path[size] = '\0';
   return inside(path) && !strstr(path, " (deleted)");
}

static bool path_at(int fd, const char *name, char path[PATH_MAX])
{
   char directory[PATH_MAX];
   if (name[0] == '/' || fd == AT_FDCWD)
      snprintf(path, PATH_MAX, "%s", name);
   else if (!path_of_fd(fd, directory))
      return false;
   else if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
      give_up("a path is too long");
   return inside(path);
}

/* ---- Files ---- */

static int open_at(int directory, const char *name, int flags, mode_t mode)
{
   char path[PATH_MAX];
   bool ours = (flags & (O_CREAT | O_TRUNC)) && path_at(directory, name, path);
   if (!ours)
      return (int)syscall(SYS_openat, directory, name, flags, mode);
   pthread_mutex_lock(&lock);
   bool existed = syscall(SYS_faccessat, directory, name, F_OK) == 0;
   int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
   int error = errno;
   if (fd >= 0 && !existed)
      note_path(KIND_CREATE, 0, 0, path);
   else if (fd >= 0 && (flags & O_TRUNC))
      note_path(KIND_TRUNCATE, 0, 0, path);
   pthread_mutex_unlock(&lock);
   errno = error;
   return fd;
}

static mode_t mode_argument(int flags, va_list arguments)
{
   return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
   int name(const char *path, int flags, ...)                                                      \
   {                                                                                               \
      va_list arguments;                                                                           \
      va_start(arguments, flags);                                                                  \
      mode_t mode = mode_argument(flags, arguments);                                               \
      va_end(arguments);                                                                           \
      return open_at(AT_FDCWD, path, flags, mode);                                                 \
   }
#define DEFINE_OPENAT(name)                                                                        \
   int name(int directory, const char *path, int flags, ...)                                       \
   {                                                                                               \
      va_list arguments;                                                                           \
      va_start(arguments, flags);                                                                  \
      mode_t mode = mode_argument(flags, arguments);                                               \
      va_end(arguments);                                                                           \
      return open_at(directory, path, flags, mode);                                                \
   }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/* offset < 0: where the file stands. */
static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset)
{
   char path[PATH_MAX];
   bool at_position = offset < 0;
   pthread_mutex_lock(&lock);
   bool ours = path_of_fd(fd, path);
   if (ours && at_position)
      offset = lseek(fd, 0, SEEK_CUR);
   ssize_t written = at_position ? syscall(SYS_writev, fd, parts, count)
                                 : syscall(SYS_pwritev, fd, parts, count, offset, 0);
   int error = errno;
   if (ours && written > 0)
      note(KIND_WRITE, offset, 0, path, "", parts, (size_t)written);
   pthread_mutex_unlock(&lock);
   errno = error;
   return written;
}

ssize_t write(int fd, const void *data, size_t size)
{
   struct iovec part = {(void *)(uintptr_t)data, size};
   char path[PATH_MAX];
   /* Pipes, events and the log need no lock. */
   return path_of_fd(fd, path) ? write_parts(fd, &part, 1, -1) : syscall(SYS_write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
   struct iovec part = {(void *)(uintptr_t)data, size};
   return write_parts(fd, &part, 1, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
   return write_parts(fd, parts, count, offset);
}

/* Does a call on an open file and notes it when it worked. */
static int change(enum kind kind, int fd, off_t a, off_t b)
{
   char path[PATH_MAX];
   pthread_mutex_lock(&lock);
   bool ours = path_of_fd(fd, path);
   int result = (int)(kind == KIND_TRUNCATE ? syscall(SYS_ftruncate, fd, a)
                                            : syscall(SYS_fallocate, fd, 0, a, b));
   int error = errno;
   if (ours && result == 0)
      note_path(kind, a, b, path);
   pthread_mutex_unlock(&lock);
   errno = error;
   return result;
}

int ftruncate(int fd, off_t size)
{
   return change(KIND_TRUNCATE, fd, size, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
   if (mode != 0)
      return (int)syscall(SYS_fallocate, fd, mode, offset, size);
   return change(KIND_ALLOCATE, fd, offset, size);
}

/* ---- Syncs ---- */

static int sync_fd(long number, int fd)
{
   char path[PATH_MAX];
   int64_t id = -1;
   pthread_mutex_lock(&lock);
   if (path_of_fd(fd, path)) {
      id = syncs++;
      note_path(KIND_SYNC_BEGIN, id, 0, path);
   }
   pthread_mutex_unlock(&lock);
   if (id >= 0 && sync_us > 0)
      usleep((useconds_t)sync_us);
   int result = (int)syscall(number, fd);
   int error = errno;
   if (id >= 0 && result == 0) {
      pthread_mutex_lock(&lock);
      note_path(KIND_SYNC_END, id, 0, path);
      pthread_mutex_unlock(&lock);
   }
   errno = error;
   return result;
}

int fsync(int fd)
{
   return sync_fd(SYS_fsync, fd);
}

int fdatasync(int fd)
{
   return sync_fd(SYS_fdatasync, fd);
}

/* ---- Names ---- */

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
   char path[PATH_MAX], second_path[PATH_MAX];
   pthread_mutex_lock(&lock);
   bool ours = path_at(from_fd, from, path) && path_at(to_fd, to, second_path);
   int result = (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
   int error = errno;
   if (ours && result == 0)
      note(KIND_RENAME, 0, 0, path, second_path, NULL, 0);
   pthread_mutex_unlock(&lock);
   errno = error;
   return result;
}

int rename(const char *from, const char *to)
{
   return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int fd, const char *name, int flags)
{
   char path[PATH_MAX];
   pthread_mutex_lock(&lock);
   bool ours = path_at(fd, name, path);
   int result = (int)syscall(SYS_unlinkat, fd, name, flags);
   int error = errno;
   if (ours && result == 0)
      note_path(flags & AT_REMOVEDIR ? KIND_RMDIR : KIND_UNLINK, 0, 0, path);
   pthread_mutex_unlock(&lock);
   errno = error;
   return result;
}

int unlink(const char *path)
{
   return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
   return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
   int result = unlink(path);
   return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int mkdirat(int fd, const char *name, mode_t mode)
{
   char path[PATH_MAX];
   pthread_mutex_lock(&lock);
   bool ours = path_at(fd, name, path);
   int result = (int)syscall(SYS_mkdirat, fd, name, mode);
   int error = errno;
   if (ours && result == 0)
      note_path(KIND_MKDIR, 0, 0, path);
   pthread_mutex_unlock(&lock);
   errno = error;
   return result;
}

int mkdir(const char *path, mode_t mode)
{
   return mkdirat(AT_FDCWD, path, mode);
}

/* ---- What clients receive ---- */

/* Sockets of clients do not block, so holding the lock does not hold up the others. A write is
 * noted as it was: it may hold many replies or a part of one. */
static ssize_t send_parts(int fd, const struct msghdr *message, int flags)
{
   pthread_mutex_lock(&lock);
   ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
   int error = errno;
   if (sent > 0)
      note(KIND_SEND, fd, 0, "", "", message->msg_iov, (size_t)sent);
   pthread_mutex_unlock(&lock);
   errno = error;
   return sent;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
   return send_parts(fd, message, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
   struct iovec part = {(void *)(uintptr_t)data, size};
   const struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
   return send_parts(fd, &message, flags);
}
