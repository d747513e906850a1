/*
 * Appends to one segment: encodes batches, reserves space ahead, cuts off what a failed write left.
 * Behind its last record a segment holds space that only deletes may use, because they help when
 * the disk is full. It syncs only where it says so; when to sync, and when to begin the next
 * segment, is decided by the log.
 *
 * Threads: one at a time, under the log's lock.
 */
#ifndef STORAGE_WRITER_H
#define STORAGE_WRITER_H

#include "storage/buffer.h"
#include "storage/segment.h"

struct storage_writer {
   int fd; /* -1: no segment is open */
   char path[PATH_MAX];
   struct storage_segment_header header;
   uint32_t salt;
   struct storage_segment_link link; /* what a successor's header would say now */
   uint64_t size;                    /* of the file, at least; zeroes from link.end on */
   uint64_t reserved;                /* the end of its space, perhaps beyond its size */
   bool reserving;                   /* the file system can reserve space */
   struct storage_buffer buffer;
};

void storage_writer_init(struct storage_writer *writer);
/* Closes the segment; frees the buffer. */
void storage_writer_deinit(struct storage_writer *writer);

/* Creates the segment of `header` durably, and ends the one that was open: frees its unused space
 * and appends a successor record. On failure that one stays open. KVS_NO_SPACE: there is no new
 * segment; KVS_IO: that is uncertain. */
int storage_writer_begin(struct storage_writer *writer, const struct storage_folder *folder,
                         const struct storage_segment_header *header, kvs_error *error);
/* Continues a segment that holds no record yet. */
int storage_writer_resume(struct storage_writer *writer, const struct storage_folder *folder,
                          const struct storage_segment_header *header,
                          const struct storage_segment_link *link, kvs_error *error);

/* The bytes that a batch takes; 0 when a unit of it is too large for one record. */
size_t storage_writer_batch_size(const kvs_record *records, size_t count);

/* Bytes free on the disk; UINT64_MAX when unknown, or without a segment. */
uint64_t storage_writer_free_bytes(const struct storage_writer *writer);

/* Reserves space for a batch of `size` bytes. `frees`: it only deletes. `ceiling`: where the
 * segment is to end. `held`: bytes of the disk that must stay free, unless the batch frees. Sets
 * *free to what the disk has free, when that had to be found out. KVS_NO_SPACE, or KVS_OK, also
 * where only the write itself can show a lack of space. */
int storage_writer_reserve(struct storage_writer *writer, size_t size, bool frees, uint64_t ceiling,
                           uint64_t held, uint64_t *free, kvs_error *error);

/* Appends a batch of storage_writer_batch_size `size`, or without records a mark, in one write.
 * `durable_sequence` and `durable_end`: how far the log and this segment are durable. A failure may
 * leave bytes beyond link.end: see storage_writer_cut. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_writer_append(struct storage_writer *writer, const kvs_record *records, size_t count,
                          size_t size, uint64_t durable_sequence, uint64_t durable_end,
                          kvs_error *error);

/* Cuts the file down to link.end, durably. */
int storage_writer_cut(struct storage_writer *writer, kvs_error *error);

#endif
