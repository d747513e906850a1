/*
 * Reading the log back: finds the segments, checks that none is missing, damaged or strange, hands
 * their effects to the host, and cuts an unfinished write off the end.
 *
 * What is unfinished and what is damaged: only the newest segment can end in an unfinished write.
 * Bytes there that are no valid record are one, unless a later record says that they were durable.
 * Anything wrong in an older segment is damage, for its successor says where it ends and what its
 * checksum is. Segments that the snapshot covers wholly are not read.
 *
 * Reading changes nothing; what a start changes, it changes after all was read and found sound.
 *
 * Threads: control, inside on_load.
 */
#ifndef STORAGE_RECOVERY_H
#define STORAGE_RECOVERY_H

#include "storage/segment.h"

/* What the snapshots gave before the log is read. */
struct storage_recovery_base {
   bool snapshot_loaded;
   uint64_t snapshot_sequence; /* effects up to here are loaded already; 0 without a snapshot */
   /* The log must reach at least up to here: of the newest snapshot found, also a damaged one. */
   uint64_t required_sequence;
};

struct storage_sealed_segment {
   uint64_t number;
   uint64_t last_sequence; /* the log's last sequence up to its end */
};

/* Where reading for a prefix stopped. */
struct storage_given_up {
   bool any;
   char reason[KVS_ERROR_TEXT_SIZE]; /* names the file */
   uint64_t segment, offset;         /* all from here on is given up */
   uint64_t known_sequence;          /* the highest that what is given up is known to reach, or 0 */
};

struct storage_recovered {
   struct storage_sealed_segment *segments; /* all there are, oldest first; the caller frees */
   size_t count;
   uint64_t last_sequence; /* the log's, 0 when there is none */
   uint64_t bytes;         /* of the records handed to the host */
   /* The newest segment, when count > 0: its header, and the link that a successor needs. */
   struct storage_segment_header newest;
   struct storage_segment_link newest_link;
   /* What stands behind its last record, and how far that record says the log was durable. */
   struct storage_segment_tail newest_tail;
   uint64_t newest_durable_sequence;
   struct storage_given_up given_up; /* by storage_recovery_read_prefix */
};

/* Reads, and settles what it found. KVS_OK, KVS_CORRUPT, KVS_INVALID, KVS_IO, or what host->load
 * said. On failure `recovered` holds nothing to free. */
int storage_recover(const kvs_host *host, const struct storage_folder *folder,
                    const struct storage_recovery_base *base, struct storage_recovered *recovered,
                    kvs_error *error);

/* The first half of it: reads, and changes nothing. A folder that is missing holds no
 * segment. */
int storage_recovery_read(const kvs_host *host, const struct storage_folder *folder,
                          const struct storage_recovery_base *base,
                          struct storage_recovered *recovered, kvs_error *error);
/* The second: keeps an unfinished write aside and cuts it off, makes the rest of that segment
 * durable, removes left-overs of unfinished creations. KVS_OK or KVS_IO. */
int storage_recovery_settle(const kvs_host *host, const struct storage_folder *folder,
                            const struct storage_recovered *recovered, kvs_error *error);

/* Reads as far as the history goes without a gap or damage, and changes nothing: of what would be
 * refused (KVS_CORRUPT, KVS_INVALID), recovered->given_up tells. */
int storage_recovery_read_prefix(const kvs_host *host, const struct storage_folder *folder,
                                 const struct storage_recovery_base *base,
                                 struct storage_recovered *recovered, kvs_error *error);

#endif
