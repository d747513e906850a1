/*
 * A block of a snapshot or a backup: a header and records, as docs/formats.md has them. What the
 * writers and the readers of both share.
 *
 * Pure functions, any thread.
 */
#ifndef STORAGE_SNAPSHOT_BLOCK_H
#define STORAGE_SNAPSHOT_BLOCK_H

#include "kvstore/plugin.h"
#include "storage/snapshot.h"
#include "storage/snapshot_layout.h"

#include <stdbool.h>

/* Bytes that the record takes in a block of today's format. */
size_t snapshot_record_size(const kvs_record *record);
/* Writes so many. */
void snapshot_put_record(uint8_t *to, const kvs_record *record);
/* The records of a file. */
struct snapshot_records {
   bool plain;        /* they have no sequences, as before those were kept */
   uint64_t sequence; /* the file's: theirs as well, or the highest that one may have */
};
/* Decodes the record at *at of a checked block, which stays where it is, and moves on. What is
 * wrong with it, or NULL. */
const char *snapshot_get_record(const struct snapshot_records *records, const uint8_t **at,
                                const uint8_t *end, kvs_record *record);

/* The header of a block of `count` records that goes to `offset` of the file. */
void snapshot_put_block_header(uint8_t header[STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE], uint32_t count,
                               const uint8_t *block, size_t size, uint64_t offset);

#endif
