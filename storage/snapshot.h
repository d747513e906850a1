/*
 * Snapshot files: all data at one sequence. docs/formats.md draws the bytes.
 *
 *   header  magic, version, store, sequence, time, own checksum
 *   blocks  some records each, with a header of its own: sizes, and the checksums of both parts;
 *           each record has its own sequence, but for those of format version 1
 *   footer  after the last block: totals, and an XXH3 over the file before it
 *
 * A block is used only when its checksums are right, so no flipped bit is ever handed on. A file
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
#define STORAGE_SNAPSHOT_RECORD_HEADER_SIZE 24u
/* The most bytes of records in a block, unless it holds a single larger one. */
#define STORAGE_SNAPSHOT_BLOCK_SIZE ((size_t)128 * 1024)
/* More than the largest possible record: limits what a reader allocates. */
#define STORAGE_SNAPSHOT_BLOCK_SIZE_MAX ((uint64_t)1 << 33)

/* Writes the tick's view (NULL: no data) to the file `name`, replacing one that exists, and makes
 * the data durable; the name is the caller's to make durable. `rate`: as in pace.h. Uses up
 * `space`, which may be NULL. KVS_OK, KVS_NO_SPACE or KVS_IO; on failure the file is removed. */
int storage_snapshot_write(const kvs_host *host, const kvs_tick *tick, uint64_t rate,
                           struct storage_reserve *space, const struct storage_folder *folder,
                           const char *name, kvs_error *error);
/* The most bytes that this can write. */
uint64_t storage_snapshot_size_limit(const kvs_tick *tick);

/* Reads the file `name`, which must be of this store and hold the state at `sequence`, and hands
 * its records to `host`, or with `check_only` nothing. KVS_OK, KVS_CORRUPT (the text names file and
 * offset), KVS_NO_SPACE, KVS_IO, or what host->load returned. After a failure some records may have
 * been handed on. */
int storage_snapshot_read(const kvs_host *host, const struct storage_folder *folder,
                          const char *name, uint64_t sequence, bool check_only, kvs_error *error);

#endif
