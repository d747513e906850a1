/* What the files of the segment reader share. */
#ifndef STORAGE_SEGMENT_INTERNAL_H
#define STORAGE_SEGMENT_INTERNAL_H

#include "storage/segment.h"

/* How much a reader asks of the file at once. */
#define STORAGE_SEGMENT_WINDOW ((size_t)1 << 20)

/* Makes the `size` bytes at `offset` available, or as many as the file has: *got. They stay until
 * the next call. */
int storage_segment_look(struct storage_segment_reader *reader, uint64_t offset, size_t size,
                         const uint8_t **bytes, size_t *got, kvs_error *error);

/* Opens the file and examines nothing in it. KVS_CORRUPT for what is no regular file, or KVS_IO. */
int storage_segment_open_file(const struct storage_folder *folder, uint64_t number, int flags,
                              const uint8_t store_id[16], struct storage_segment_reader *reader,
                              kvs_error *error);

#endif
