/*
 * Appends to one segment: encodes batches, reserves room ahead, takes back what a failed write has
 * left. Behind its last record a segment has room that only batches which free something may use:
 * they are what helps when the disk is full. It syncs only where it says so; when to sync, and when
 * to begin the next segment, is the log's business.
 *
 * Threads: one at a time; the log's lock sees to it.
 */
#ifndef STORAGE_WRITER_H
#define STORAGE_WRITER_H

#include "storage/segment.h"

struct storage_writer {
   int fd; /* -1: no segment is open */
   char path[PATH_MAX];
   struct storage_segment_header header;
   uint32_t salt;
   struct storage_segment_link link; /* what a successor's header would say now */
   uint64_t size;                    /* of the file, at least; zero from link.end on */
   uint64_t reserved;                /* the room that it has, some of it perhaps beyond its size */
   bool reserving;                   /* the file system can reserve room */
   uint8_t *buffer;
   size_t buffer_capacity;
};

void storage_writer_init(struct storage_writer *writer);
/* Closes the segment; frees the buffer. */
void storage_writer_deinit(struct storage_writer *writer);

/* Creates the segment `header` tells of, durably, and leaves the one that was open, giving back
 * the room it has not used and a record that says what follows. On failure that one stays open.
 * KVS_NO_SPACE: there is no such segment; KVS_IO: that is not certain. */
int storage_writer_begin(struct storage_writer *writer, const struct storage_folder *folder,
                         const struct storage_segment_header *header, kvs_error *error);
/* Goes on in a segment that holds no record yet. */
int storage_writer_resume(struct storage_writer *writer, const struct storage_folder *folder,
                          const struct storage_segment_header *header,
                          const struct storage_segment_link *link, kvs_error *error);

/* The bytes that a batch takes; 0 when some unit of it is too large for one record. */
size_t storage_writer_batch_size(const kvs_record *records, size_t count);

/* Bytes free on the disk; UINT64_MAX where that cannot be told, or without a segment. */
uint64_t storage_writer_free_bytes(const struct storage_writer *writer);

/* Sees to it that there is room for a batch of `size`. `frees`: it only deletes. `ceiling`: where
 * the segment is meant to end. `held`: so much of the disk must stay free; of no concern to a batch
 * that frees. *free becomes how much of the disk is free, where that was looked at. KVS_OK,
 * KVS_NO_SPACE. KVS_OK as well where only the write itself can tell. */
int storage_writer_reserve(struct storage_writer *writer, size_t size, bool frees, uint64_t ceiling,
                           uint64_t held, uint64_t *free, kvs_error *error);

/* Appends a batch of storage_writer_batch_size `size`, or without records a mark, in one write.
 * `durable_sequence` and `durable_end`: how far the log and this segment are durable. On failure
 * there may be bytes beyond link.end: see storage_writer_undo. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_writer_append(struct storage_writer *writer, const kvs_record *records, size_t count,
                          size_t size, uint64_t durable_sequence, uint64_t durable_end,
                          kvs_error *error);

/* Cuts the file down to link.end, durably. */
int storage_writer_cut(struct storage_writer *writer, kvs_error *error);

#endif
