/*
 * Files as the formats need them: whole writes, whole reads, durable renames, and errors that name
 * the path. Every function returns a KVS_* code and fills in `error` on failure (ENOSPC, EDQUOT and
 * EFBIG become KVS_NO_SPACE, everything else KVS_IO). EINTR and short transfers are dealt with
 * here.
 *
 * Threads: any.
 */
#ifndef FORMAT_FILE_H
#define FORMAT_FILE_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Fills in error->text (printf style) and returns `code`. */
int format_fail(kvs_error *error, int code, const char *message, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a failed system call: appends the system's reason and derives the code from it. */
int format_fail_errno(kvs_error *error, int error_number, const char *message, ...)
    __attribute__((format(printf, 3, 4)));

bool format_ends_in(const char *name, const char *ending);

/* Directory with mode 0700 whatever the umask; existing is fine. Fsyncs its parent. */
int format_make_directory(const char *path, kvs_error *error);
/* The same for a directory that an instance makes at its first start: KVS_CORRUPT when it is
 * missing at a later one. */
int format_make_own_directory(const kvs_host *host, const char *path, kvs_error *error);
/* Whether an instance has been in use over the host's directory before. */
bool format_resumed(const kvs_host *host);
/* Opens with O_CLOEXEC; new files get mode 0600 whatever the umask. */
int format_open(const char *path, int flags, int *fd, kvs_error *error);
/* Writes all, advancing from `offset`; the iovecs are used up. */
int format_write_all(int fd, const char *path, struct iovec *parts, size_t count, uint64_t offset,
                     kvs_error *error);
/* Reads up to `size` bytes; *got is less only at the end of the file. */
int format_read_all(int fd, const char *path, void *data, size_t size, uint64_t offset, size_t *got,
                    kvs_error *error);
/* Brings the file's data, and of its metadata what reading them needs, to stable storage. */
int format_sync(int fd, const char *path, kvs_error *error);
/* Sets the file's size, durably. */
int format_truncate(int fd, const char *path, uint64_t size, kvs_error *error);
int format_sync_directory(const char *path, kvs_error *error);
/* Renames `from` to `to`, both names within `directory`, and fsyncs it. */
int format_rename_durably(const char *directory, const char *from, const char *to,
                          kvs_error *error);

#endif
