/*
 * Reads the log back: finds the segments, checks that none is missing, damaged or foreign, hands
 * their effects to the host, and cuts off an unfinished write. storage/README.md says how it tells
 * an unfinished write from damage. `base` is what the snapshots gave: effects up to base->sequence
 * are loaded already, and segments that hold no others are not read. The log must reach at least
 * base->newest_sequence.
 *
 * Reading changes nothing. A start changes files only after all were read and found sound.
 *
 * Threads: control, inside on_load.
 */
#ifndef STORAGE_RECOVERY_H
#define STORAGE_RECOVERY_H

#include "storage/segment.h"
#include "storage/snapshot_set.h"

struct storage_sealed_segment {
   uint64_t number;
   uint64_t last_sequence; /* the log's last sequence up to its end */
};

/* Where reading for a prefix stopped. */
struct storage_given_up {
   bool any;
   char reason[KVS_ERROR_TEXT_SIZE]; /* names the file */
   uint64_t segment, offset;         /* all from here on is given up */
   uint64_t known_sequence;          /* what is given up reaches at least this, or 0 */
};

struct storage_recovered {
   struct storage_sealed_segment *segments; /* all there are, oldest first; the caller frees */
   size_t count;
   uint64_t last_sequence; /* the log's, 0 when there is none */
   uint64_t bytes;         /* of the records handed to the host */
   /* The newest segment, when count > 0: its header, and the link that a successor needs. */
   struct storage_segment_header newest;
   struct storage_segment_link newest_link;
   /* What follows its last record, and how far that record says the log was durable. */
   struct storage_segment_tail newest_tail;
   uint64_t newest_durable_sequence;
   struct storage_given_up given_up; /* when reading for a prefix */
};

/* Reads, and changes nothing. A missing folder holds no segment. `prefix`: reads as far as the
 * history goes without a gap or damage; what would be refused (KVS_CORRUPT, KVS_INVALID) is then
 * reported in recovered->given_up. KVS_OK, KVS_CORRUPT, KVS_INVALID, KVS_NO_SPACE, KVS_IO, or what
 * host->load returned. On failure `recovered` holds nothing to free. */
int storage_recovery_read(const kvs_host *host, const struct storage_folder *folder,
                          const struct storage_snapshot_found *base, bool prefix,
                          struct storage_recovered *recovered, kvs_error *error);
/* What a start does then: copies an unfinished write to a file of its own and cuts it off, makes
 * the rest of that segment durable, and so all that was read; removes leftovers of unfinished
 * creations. KVS_OK or KVS_IO. */
int storage_recovery_settle(const kvs_host *host, const struct storage_folder *folder,
                            const struct storage_recovered *recovered, kvs_error *error);

#endif
