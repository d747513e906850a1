/*
 * Little-endian integers in byte buffers, as every file format here stores them, and CRC32C.
 * The caller guarantees that the buffer is large enough.
 *
 * Threads: any.
 */
#ifndef STORAGE_CODEC_H
#define STORAGE_CODEC_H

#include <endian.h>
#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void storage_put16(uint8_t *to, uint16_t value)
{
   value = htole16(value);
   memcpy(to, &value, sizeof value);
}

static inline void storage_put32(uint8_t *to, uint32_t value)
{
   value = htole32(value);
   memcpy(to, &value, sizeof value);
}

static inline void storage_put64(uint8_t *to, uint64_t value)
{
   value = htole64(value);
   memcpy(to, &value, sizeof value);
}

static inline uint16_t storage_get16(const uint8_t *from)
{
   uint16_t value;
   memcpy(&value, from, sizeof value);
   return le16toh(value);
}

static inline uint32_t storage_get32(const uint8_t *from)
{
   uint32_t value;
   memcpy(&value, from, sizeof value);
   return le32toh(value);
}

static inline uint64_t storage_get64(const uint8_t *from)
{
   uint64_t value;
   memcpy(&value, from, sizeof value);
   return le64toh(value);
}

/* CRC32C (Castagnoli) of `data`, continued from `crc`; begin with 0. `size` must be below 2^31. */
static inline uint32_t storage_crc(uint32_t crc, const void *data, size_t size)
{
   return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)size, ~crc);
}

#endif
