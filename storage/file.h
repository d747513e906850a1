/*
 * Open files as the formats need them: whole writes, whole reads, and errors that name the path.
 * folder.h opens them. Where not said otherwise, a function returns a KVS_* code and fills in
 * `error` on failure. EINTR and short transfers are handled here.
 *
 * Threads: any.
 */
#ifndef STORAGE_FILE_H
#define STORAGE_FILE_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Fills in error->text (printf style) and returns `code`. */
int storage_fail(kvs_error *error, int code, const char *message, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a failed system call: appends the system's reason and returns its code, KVS_NO_SPACE
 * for ENOSPC, EDQUOT, EFBIG and ENOMEM, else KVS_IO. */
int storage_fail_errno(kvs_error *error, int error_number, const char *message, ...)
    __attribute__((format(printf, 3, 4)));
/* So that an analyzer, which sees one file at a time, knows that a failure is one. */
#ifdef __clang_analyzer__
#define storage_fail(error, code, ...) ((storage_fail)(error, code, __VA_ARGS__), (code))
#define storage_fail_errno(...) ((storage_fail_errno)(__VA_ARGS__), KVS_IO)
#endif

bool storage_ends_in(const char *name, const char *ending);

/* Writes all, advancing from `offset`; changes the iovecs. */
int storage_write_all(int fd, const char *path, struct iovec *parts, size_t count, uint64_t offset,
                      kvs_error *error);
/* Reads up to `size` bytes; *got is less only at the end of the file. */
int storage_read_all(int fd, const char *path, void *data, size_t size, uint64_t offset,
                     size_t *got, kvs_error *error);
/* Brings the file's data, and of its metadata what reading them needs, to stable storage. */
int storage_sync(int fd, const char *path, kvs_error *error);
/* fallocate(2) from `from` to `to`, with its `mode`. Returns 0 or an errno. */
int storage_allocate(int fd, int mode, uint64_t from, uint64_t to);
/* Sets the file's size. */
int storage_set_size(int fd, const char *path, uint64_t size, kvs_error *error);
/* The same, durably. */
int storage_truncate(int fd, const char *path, uint64_t size, kvs_error *error);

#endif
