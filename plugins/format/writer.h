/*
 * Appends to one segment: encodes batches, reserves room ahead, takes back what a failed write has
 * left. Behind its last record a segment has room that only batches which free something may use:
 * they are what helps when the disk is full. It syncs only where it says so; when to sync, and when
 * to begin the next segment, is the log's business.
 *
 * Threads: one at a time; the log's lock sees to it.
 */
#ifndef FORMAT_WRITER_H
#define FORMAT_WRITER_H

#include "plugins/format/segment.h"

struct format_writer {
   int fd; /* -1: no segment is open */
   char path[PATH_MAX];
   struct format_segment_header header;
   uint32_t salt;
   struct format_segment_link link; /* what a successor's header would say now */
   uint64_t size;                   /* of the file, at least; zero from link.end on */
   uint64_t reserved;               /* the room that it has, some of it perhaps beyond its size */
   bool reserving;                  /* the file system can reserve room */
   uint8_t *buffer;
   size_t buffer_capacity;
};

void format_writer_init(struct format_writer *writer);
/* Closes the segment; frees the buffer. */
void format_writer_deinit(struct format_writer *writer);

/* Creates the segment `header` tells of, durably, and leaves the one that was open, giving back
 * the room it has not used and a record that says what follows. On failure that one stays open.
 * KVS_NO_SPACE: there is no such segment; KVS_IO: that is not certain. */
int format_writer_begin(struct format_writer *writer, const struct format_folder *folder,
                        const struct format_segment_header *header, kvs_error *error);
/* Goes on in a segment that holds no record yet. */
int format_writer_resume(struct format_writer *writer, const struct format_folder *folder,
                         const struct format_segment_header *header,
                         const struct format_segment_link *link, kvs_error *error);

/* The bytes that a batch takes; 0 when some unit of it is too large for one record. */
size_t format_writer_batch_size(const kvs_record *records, size_t count);

/* Bytes free on the disk; UINT64_MAX where that cannot be told, or without a segment. */
uint64_t format_writer_free_bytes(const struct format_writer *writer);

/* Sees to it that there is room for a batch of `size`. `frees`: it only deletes. `ceiling`: where
 * the segment is meant to end. `held`: so much of the disk must stay free; of no concern to a batch
 * that frees. *free becomes how much of the disk is free, where that was looked at. KVS_OK,
 * KVS_NO_SPACE. KVS_OK as well where only the write itself can tell. */
int format_writer_reserve(struct format_writer *writer, size_t size, bool frees, uint64_t ceiling,
                          uint64_t held, uint64_t *free, kvs_error *error);

/* Appends a batch of format_writer_batch_size `size`, or without records a mark, in one write.
 * `durable_sequence` and `durable_end`: how far the log and this segment are durable. On failure
 * there may be bytes beyond link.end: see format_writer_undo. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int format_writer_append(struct format_writer *writer, const kvs_record *records, size_t count,
                         size_t size, uint64_t durable_sequence, uint64_t durable_end,
                         kvs_error *error);

/* Cuts the file down to link.end, durably. */
int format_writer_cut(struct format_writer *writer, kvs_error *error);

#endif
