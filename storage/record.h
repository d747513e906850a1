/*
 * Log records: one record is one atomic unit, a single effect or a run of effects that belong
 * together. docs/formats.md draws the bytes.
 *
 *   header   type, size and checksum of the payload, number of effects, first sequence, how far the
 *            log was durable when the record was written, checksum of the header itself
 *   payload  the effects, one after the other
 *
 * The header's checksum also covers where the record is (store, segment, offset). So a length is
 * never trusted before it is checked, and bytes that merely look like a record, say a log stored as
 * a value, never pass for one.
 *
 * A mark is a record without effects: it says how far the log is durable, so that damage before it
 * is not mistaken for an unfinished write. A successor record says the same, and that the next
 * segment exists.
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
/* What every record begins with; its type follows. */
#define STORAGE_RECORD_MAGIC "KVR"
#define STORAGE_RECORD_MAGIC_SIZE 3u
/* The largest payload of one record, which limits what a reader must hold. */
#define STORAGE_RECORD_PAYLOAD_MAX ((size_t)1 << 30)

#define STORAGE_RECORD_EFFECTS 1
#define STORAGE_RECORD_MARK 2
#define STORAGE_RECORD_SUCCESSOR 3

struct storage_record_header {
   uint8_t type;            /* STORAGE_RECORD_* */
   uint32_t payload_size;   /* bytes after the header */
   uint32_t effect_count;   /* 0 except for STORAGE_RECORD_EFFECTS; so is the payload's size */
   uint64_t first_sequence; /* of the first effect; without effects: the last sequence before it */
   uint64_t durable_sequence; /* effects up to here were known to be on stable storage */
   uint64_t durable_end;      /* and so was the segment up to this offset */
   uint32_t payload_crc;
};

/* Where a record is: `salt` is storage_record_salt of its segment, `offset` in bytes. */
struct storage_record_place {
   uint32_t salt;
   uint64_t offset;
};

uint32_t storage_record_salt(const uint8_t store_id[16], uint64_t segment_number);

/* How many of the `count` >= 1 effects make up the first unit. */
size_t storage_record_unit(const kvs_record *effects, size_t count);

/* The payload's size in bytes. More than STORAGE_RECORD_PAYLOAD_MAX does not fit into one record.
 */
size_t storage_record_payload_size(const kvs_record *effects, size_t count);

/* Writes a record of `count` effects to `to`, which is large enough for header and payload. Reads
 * the durable_ fields of `header`, and without effects type and first_sequence; fills in all
 * others. Returns the bytes written. */
size_t storage_record_encode(uint8_t *to, struct storage_record_place place,
                             struct storage_record_header *header, const kvs_record *effects,
                             size_t count);

/* False when the STORAGE_RECORD_HEADER_SIZE bytes at `from` are no record header of this place. */
bool storage_record_decode_header(const uint8_t *from, struct storage_record_place place,
                                  struct storage_record_header *header);

/* The checksum over all headers up to and including this one, continued from `chain`. */
uint32_t storage_record_chain(uint32_t chain, const uint8_t *header);

/* Checks the payload against its checksum and decodes its header->effect_count effects, whose keys
 * and values point into `payload`. False when any part is wrong. */
bool storage_record_decode_effects(const struct storage_record_header *header,
                                   const uint8_t *payload, kvs_record *effects);

/* The fewest bytes that an effect takes: limits effect_count by payload_size. */
#define STORAGE_EFFECT_HEADER_SIZE 28u

#endif
