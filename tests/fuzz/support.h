/*
 * What the fuzz targets share: splitting an input, a directory of files (in memory if the machine
 * can do that), the check that ends the process, and a host that records what it was handed.
 *
 * A target takes its choices (which checksums to put right, which numbers to use) from the first
 * bytes of the input, so that every input is a whole test case and can be replayed from its file.
 */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The entry of every target: one input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test. */
#define REQUIRE(condition)                                                                         \
   ((condition) ? (void)0 : fuzz_broken(#condition, __FILE__, __LINE__, __func__))
_Noreturn void fuzz_broken(const char *condition, const char *file, int line, const char *function);

/* ---- Inputs ---- */

struct fuzz_input {
   const uint8_t *data;
   size_t size;
};

/* The next bytes as a number, little-endian; zeroes follow the end. */
uint64_t fuzz_take(struct fuzz_input *input, size_t bytes);
/* The next `size` bytes, or those that are left. */
kvs_bytes fuzz_take_bytes(struct fuzz_input *input, size_t size);
/* A copy with a NUL behind it, to be freed. */
char *fuzz_text(kvs_bytes bytes);

/* ---- Files ---- */

#define FUZZ_PATH_SIZE 512

/* The process's own directory, made at the first call and removed at its orderly end. */
const char *fuzz_directory(void);
/* The path of `name` in it, into a buffer of FUZZ_PATH_SIZE; returns it. */
const char *fuzz_path(const char *name, char *path);
/* An empty directory of that name in it; what was there is removed. */
void fuzz_empty_directory(const char *name);
void fuzz_write_file(const char *name, const void *data, size_t size);
/* To be freed. */
uint8_t *fuzz_read_file(const char *name, size_t *size);

/* ---- A host ---- */

#define FUZZ_STORE_ID "store number one"

struct fuzz_host {
   kvs_host host;       /* first: the callbacks find the rest through it */
   kvs_record *records; /* what was handed over, with keys and values of their own */
   size_t count, capacity;
   size_t view_at; /* host.view_read reads `records` */
};

void fuzz_host_init(struct fuzz_host *host);
void fuzz_host_deinit(struct fuzz_host *host);
bool fuzz_same_record(const kvs_record *a, const kvs_record *b);
/* Whether two hosts were handed the same records. */
bool fuzz_same_records(const struct fuzz_host *a, const struct fuzz_host *b);

#endif
