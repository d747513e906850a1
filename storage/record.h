/*
 * Log records: one record is one atomic unit, a single effect or a run of effects that belong
 * together. docs/formats.md draws the bytes.
 *
 *   header  type, size and checksum of the payload, number of effects, first sequence, how far the
 *           log was known durable when the record was written, checksum of the header itself
 *   payload the effects, one after the other
 *
 * The header's checksum also covers where the record stands (store, segment, offset). So a length
 * is never trusted before it is checked, and bytes that merely look like a record, say a log stored
 * as a value, are never taken for one.
 *
 * A mark is a record without effects: it only says how far the log is durable, so that damage to
 * what stands before it is not mistaken for an unfinished write. A successor record says this too,
 * and that the next segment is there.
 *
 * Threads: any. Nothing here allocates or does input or output.
 */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORAGE_RECORD_HEADER_SIZE 44u
/* What every record begins with, before the byte that tells its type. */
#define STORAGE_RECORD_MAGIC "KVR"
#define STORAGE_RECORD_MAGIC_SIZE 3u
/* The largest payload of one record: a bound for what a reader must be ready to hold. */
#define STORAGE_RECORD_PAYLOAD_MAX ((size_t)1 << 30)

#define STORAGE_RECORD_EFFECTS 1
#define STORAGE_RECORD_MARK 2
#define STORAGE_RECORD_SUCCESSOR 3

struct storage_record_header {
   uint8_t type;            /* STORAGE_RECORD_* */
   uint32_t payload_size;   /* bytes after the header */
   uint32_t effect_count;   /* 0 but for STORAGE_RECORD_EFFECTS, as the payload's size */
   uint64_t first_sequence; /* of the first effect; without effects: the last sequence before it */
   uint64_t durable_sequence; /* effects up to here were known to be on stable storage */
   uint64_t durable_end;      /* and so was the segment up to this offset */
   uint32_t payload_crc;
};

/* Where a record stands: `salt` is storage_record_salt of its segment, `offset` in bytes. */
struct storage_record_place {
   uint32_t salt;
   uint64_t offset;
};

uint32_t storage_record_salt(const uint8_t store_id[16], uint64_t segment_number);

/* How many of the `count` >= 1 effects make up the first unit. */
size_t storage_record_unit(const kvs_record *effects, size_t count);

/* The payload's size in bytes; more than STORAGE_RECORD_PAYLOAD_MAX means that it has no place in
 * one record. */
size_t storage_record_payload_size(const kvs_record *effects, size_t count);

/* Writes a record of `count` effects to `to`, which has room for header and payload. Of `header`,
 * the durable_ fields are read, and without effects type and first_sequence; all others are filled
 * in. Returns the bytes written. */
size_t storage_record_encode(uint8_t *to, struct storage_record_place place,
                             struct storage_record_header *header, const kvs_record *effects,
                             size_t count);

/* False when the bytes at `from` (STORAGE_RECORD_HEADER_SIZE) are no record header of this place.
 */
bool storage_record_decode_header(const uint8_t *from, struct storage_record_place place,
                                  struct storage_record_header *header);

/* The checksum over all headers up to and with this one, going on from `chain`. */
uint32_t storage_record_chain(uint32_t chain, const uint8_t *header);

/* Checks the payload against its checksum and decodes its effects, `header->effect_count` in
 * number; their keys and values point into `payload`. False when any part is wrong. */
bool storage_record_decode_effects(const struct storage_record_header *header,
                                   const uint8_t *payload, kvs_record *effects);

/* The fewest bytes that an effect takes: bounds effect_count by payload_size. */
#define STORAGE_EFFECT_HEADER_SIZE 28u

#endif
