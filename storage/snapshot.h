/*
 * Snapshot files: all data at one sequence. docs/formats.md draws the bytes.
 *
 *   header  magic, version, store, sequence, time, own checksum
 *   blocks  some records each, with a header of its own: sizes, and the checksums of both parts
 *   footer  in the place of a further block: totals, and an XXH3 over the file before it
 *
 * A block is only used when its checksums are right, so no flipped bit is ever handed on. A file
 * without a right footer is not whole.
 *
 * Threads: any, each file by one thread at a time.
 */
#ifndef STORAGE_SNAPSHOT_H
#define STORAGE_SNAPSHOT_H

#include "storage/folder.h"
#include "storage/reserve.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORAGE_SNAPSHOT_HEADER_SIZE 64u
#define STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE 24u
#define STORAGE_SNAPSHOT_FOOTER_SIZE 40u
#define STORAGE_SNAPSHOT_RECORD_HEADER_SIZE 16u
/* A block is closed when its records have reached this size; one large record may pass it. */
#define STORAGE_SNAPSHOT_BLOCK_SIZE ((size_t)128 * 1024)
/* More than the largest record there can be: a bound on what a reader allocates. */
#define STORAGE_SNAPSHOT_BLOCK_SIZE_MAX ((uint64_t)1 << 33)

/* Writes the tick's view (NULL: no data) to a new file `name`, which is replaced where it exists,
 * and makes the data durable; the name is the caller's to make durable. `rate`: as in pace.h.
 * `room`, which may be NULL, is used up. KVS_OK, KVS_NO_SPACE or KVS_IO; on failure the file is
 * removed. */
int storage_snapshot_write(const kvs_host *host, const kvs_tick *tick, uint64_t rate,
                           struct storage_reserve *room, const struct storage_folder *folder,
                           const char *name, kvs_error *error);
/* The most bytes that this can take. */
uint64_t storage_snapshot_size_limit(const kvs_tick *tick);

/* Reads the file `name`, which must be of this store and hold the state at `sequence`, and hands
 * its records to `host`; with `check_only` hands on nothing. KVS_OK, KVS_CORRUPT (the text names
 * file and offset), KVS_IO, or what host->load said. After a failure some records may have been
 * handed on. */
int storage_snapshot_read(const kvs_host *host, const struct storage_folder *folder,
                          const char *name, uint64_t sequence, bool check_only, kvs_error *error);

#endif
