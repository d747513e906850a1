/*
 * A temporary directory of a test, and the file operations that such tests need. Every function
 * fails the test when a system call fails.
 *
 * Threads: the test's.
 */
#ifndef TESTS_TEMPORARY_H
#define TESTS_TEMPORARY_H

#include <stdbool.h>
#include <stddef.h>

#define TEMPORARY_PATH_SIZE 512

struct temporary {
   char path[256]; /* mode 0700 */
};

void temporary_create(struct temporary *temporary);
/* Removes the directory with its content. */
void temporary_remove(struct temporary *temporary);

/* The path of `name` below the directory, into a buffer of TEMPORARY_PATH_SIZE; returns it. */
const char *temporary_path(const struct temporary *temporary, const char *name, char *path);
bool temporary_has(const struct temporary *temporary, const char *name);
/* The permission bits of `name`. */
unsigned temporary_mode(const struct temporary *temporary, const char *name);
/* Whole files. What is read is followed by a NUL and freed by the caller. */
void temporary_write(const struct temporary *temporary, const char *name, const void *data,
                     size_t size);
char *temporary_read(const struct temporary *temporary, const char *name, size_t *size);
/* Copies the file `from` (any path) to `name`, with mode 0755. */
void temporary_copy(const struct temporary *temporary, const char *from, const char *name);

#endif
