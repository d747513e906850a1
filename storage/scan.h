/*
 * Reads one segment of the log from front to back and judges its records, their order, and its end:
 * the base of recovery and of every other reader of a log. Changes nothing.
 *
 * Threads: one at a time.
 */
#ifndef STORAGE_SCAN_H
#define STORAGE_SCAN_H

#include "storage/segment.h"

/* What a segment holds; after a failure, what it holds before that place. */
struct storage_scan {
   char path[PATH_MAX];
   struct storage_segment_header header;
   uint64_t size; /* of the file */
   uint64_t marks, effects;
   bool followed;                    /* its last record says that a successor exists */
   uint64_t first_sequence;          /* of its first effect; 0 = it has none */
   uint64_t durable_sequence;        /* how far its records say that the log was durable */
   struct storage_segment_link link; /* what the header of a successor would say */
   struct storage_segment_tail tail; /* of the newest segment: what follows link.end */
};

/* Receives each record's effects in order, and its size. A code other than KVS_OK ends the scan
 * with that code. */
struct storage_scan_sink {
   int (*take)(void *context, const kvs_record *effects, size_t count, uint64_t size,
               kvs_error *error);
   void *context;
};

/* Reads segment `number` of the host's store in `folder`. `next` is the link of the segment that
 * follows, which says where this one ends; NULL for the newest, which may end in an unfinished
 * write: then scan->tail is filled in. `sink` may be NULL. Notes to the host how much was read.
 * KVS_OK, KVS_CORRUPT, KVS_INVALID, KVS_NO_SPACE, KVS_IO, or what the sink returned. */
int storage_scan_segment(const kvs_host *host, const struct storage_folder *folder, uint64_t number,
                         const struct storage_segment_link *next,
                         const struct storage_scan_sink *sink, struct storage_scan *scan,
                         kvs_error *error);

#endif
