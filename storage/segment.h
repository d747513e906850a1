/*
 * Log segments: files NNNNNNNNNN.log, numbered without a gap, each a header followed by records.
 * docs/formats.md draws the bytes.
 *
 * A segment gets its name only when its header and all of the segment before it are on stable
 * storage. Its header links to that one: where it ends, its last sequence and the checksum over all
 * its record headers. So only the newest segment can end in an unfinished write, and every other
 * one is checked to its last byte.
 *
 * Threads: none of its own; a reader belongs to one thread.
 */
#ifndef STORAGE_SEGMENT_H
#define STORAGE_SEGMENT_H

#include "storage/buffer.h"
#include "storage/folder.h"
#include "storage/layout.h"
#include "storage/record.h"

#include <fcntl.h>
#include <limits.h>

#define STORAGE_SEGMENT_VERSION 1
#define STORAGE_SEGMENT_HEADER_SIZE 80u
#define STORAGE_SEGMENT_NAME_SIZE 32
/* What the name of an unfinished segment ends in. */
#define STORAGE_SEGMENT_TEMPORARY STORAGE_SEGMENT_SUFFIX STORAGE_TEMPORARY_SUFFIX

/* What a segment's header says about the one before it; all zero in segment 1. */
struct storage_segment_link {
   uint64_t last_sequence; /* the log's last sequence up to its end */
   uint64_t end;           /* where its last record ends */
   uint32_t chain;         /* its header's checksum, continued over all its record headers */
};

struct storage_segment_header {
   uint8_t store_id[16];
   uint64_t number;            /* from 1 */
   uint64_t base_sequence;     /* this segment and those after it hold every effect above it */
   uint64_t snapshot_sequence; /* of the newest durable snapshot when it was begun, 0 = none */
   struct storage_segment_link previous;
};

void storage_segment_name(uint64_t number, char name[STORAGE_SEGMENT_NAME_SIZE]);
/* False when `name` is not the name of a segment. */
bool storage_segment_parse_name(const char *name, uint64_t *number);

/* Creates a segment durably and opens it for reading and writing. *chain becomes the checksum over
 * its header. After KVS_NO_SPACE there is no such segment; after KVS_IO that is not certain. */
int storage_segment_create(const struct storage_folder *folder,
                           const struct storage_segment_header *header, int *fd, uint32_t *chain,
                           kvs_error *error);

/* Reads a segment from front to back. The fields may be read, not written. */
struct storage_segment_reader {
   char path[PATH_MAX];
   int fd;
   struct storage_segment_header header;
   uint64_t size;   /* of the file */
   uint64_t offset; /* of the next record */
   uint32_t chain;  /* over all that was read */
   uint32_t salt;
   struct storage_buffer window; /* window_size bytes of the file from window_offset on */
   size_t window_size;
   uint64_t window_offset;
   struct storage_buffer memory; /* of the effects */
   const kvs_record *effects;
};

/* Opens segment `number`, with `flags` as in open(2), and checks its header. KVS_CORRUPT (damaged,
 * or of another store or number), KVS_INVALID (a later version's), KVS_IO. On failure nothing is
 * left to close. */
int storage_segment_open(const struct storage_folder *folder, uint64_t number, int flags,
                         const uint8_t store_id[16], struct storage_segment_reader *reader,
                         kvs_error *error);
void storage_segment_close(struct storage_segment_reader *reader);

/* Reads the next record; its effects are in reader->effects, valid until the next call. *found is
 * false when the bytes at reader->offset are no valid record, as at the end of a segment. KVS_OK,
 * KVS_NO_SPACE or KVS_IO. */
int storage_segment_next(struct storage_segment_reader *reader,
                         struct storage_record_header *record, bool *found, kvs_error *error);

/* What follows the last valid record. */
struct storage_segment_tail {
   uint64_t data_end;     /* behind the last byte that is not zero; reader->offset if none is */
   bool was_durable;      /* a later record proves that it was on stable storage */
   uint64_t proof_offset; /* of that record */
};
int storage_segment_examine_tail(struct storage_segment_reader *reader,
                                 struct storage_segment_tail *tail, kvs_error *error);

/* The highest sequence that a whole record from offset `from` on holds or says was durable,
 * whatever is damaged around it and in the segment's header; 0 when there is none. KVS_OK,
 * KVS_NO_SPACE, KVS_IO, or KVS_CORRUPT for what is no file. */
int storage_segment_known_sequence(const struct storage_folder *folder, uint64_t number,
                                   const uint8_t store_id[16], uint64_t from, uint64_t *sequence,
                                   kvs_error *error);

#define STORAGE_TORN_NAME_SIZE 64
/* Copies the tail from reader->offset to tail->data_end to a file beside the segment, and its name,
 * NNNNNNNNNN-<offset>.torn, to `name`. */
int storage_segment_keep_torn(const struct storage_folder *folder,
                              struct storage_segment_reader *reader,
                              const struct storage_segment_tail *tail,
                              char name[STORAGE_TORN_NAME_SIZE], kvs_error *error);

#endif
