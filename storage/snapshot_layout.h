/* What the writers and the readers of snapshots and backups share. */
#ifndef STORAGE_SNAPSHOT_LAYOUT_H
#define STORAGE_SNAPSHOT_LAYOUT_H

#include "storage/codec.h"

#define SNAPSHOT_MAGIC "KVSNAP\r\n"
#define SNAPSHOT_MAGIC_SIZE 8u
/* Records have sequences of their own; before, they had that of the file. */
#define SNAPSHOT_VERSION 2u
#define SNAPSHOT_VERSION_PLAIN 1u
#define SNAPSHOT_BLOCK_MAGIC 0x4b4c424bu  /* "KBLK" */
#define SNAPSHOT_FOOTER_MAGIC 0x444e454bu /* "KEND" */

/* The checksum takes sizes below 2^31; a block may be larger. */
static inline uint32_t snapshot_payload_crc(const uint8_t *data, size_t size)
{
   const size_t step = (size_t)1 << 30;
   uint32_t crc = 0;
   for (; size > step; data += step, size -= step)
      crc = storage_crc(crc, data, step);
   return storage_crc(crc, data, size);
}

/* Covers the offset too, so that a part in the place of another is found. */
static inline uint32_t snapshot_place_crc(const uint8_t *data, size_t size, uint64_t offset)
{
   uint8_t place[8];
   storage_put64(place, offset);
   return storage_crc(storage_crc(0, data, size), place, sizeof place);
}

#endif
