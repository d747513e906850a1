/*
 * Appends to one segment: encodes batches, reserves room ahead, takes back what a failed write has
 * left. It syncs only where it says so; when to sync, and when to begin the next segment, is the
 * log's business.
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
   uint64_t reserved;               /* the file's size; zero from link.end on */
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
int format_writer_begin(struct format_writer *writer, const char *directory,
                        const struct format_segment_header *header, kvs_error *error);
/* Goes on in a segment that holds no record yet. */
int format_writer_resume(struct format_writer *writer, const char *directory,
                         const struct format_segment_header *header,
                         const struct format_segment_link *link, kvs_error *error);

/* The bytes that a batch takes; 0 when some unit of it is too large for one record. */
size_t format_writer_batch_size(const kvs_record *records, size_t count);

/* Appends a batch of format_writer_batch_size `size`, or without records a mark, in one write.
 * `durable_sequence` and `durable_end`: how far the log and this segment are durable. `ceiling`: no
 * room is reserved beyond it. On failure there may be bytes beyond link.end: see
 * format_writer_undo. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int format_writer_append(struct format_writer *writer, const kvs_record *records, size_t count,
                         size_t size, uint64_t durable_sequence, uint64_t durable_end,
                         uint64_t ceiling, kvs_error *error);

/* Cuts the file down to link.end, durably. */
int format_writer_cut(struct format_writer *writer, kvs_error *error);

#endif
