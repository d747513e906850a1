#include "storage/snapshot_block.h"

#include <string.h>

size_t snapshot_record_size(const kvs_record *record)
{
   return STORAGE_SNAPSHOT_RECORD_HEADER_SIZE + record->key.size + record->value.size;
}

void snapshot_put_record(uint8_t *to, const kvs_record *record)
{
   storage_put64(to, (uint64_t)record->expires_at_ms);
   storage_put32(to + 8, (uint32_t)record->key.size);
   storage_put32(to + 12, (uint32_t)record->value.size);
   to += STORAGE_SNAPSHOT_RECORD_HEADER_SIZE;
   memcpy(to, record->key.data, record->key.size);
   if (record->value.size > 0)
      memcpy(to + record->key.size, record->value.data, record->value.size);
}

bool snapshot_get_record(const uint8_t **at, const uint8_t *end, uint64_t sequence,
                         kvs_record *record)
{
   size_t left = (size_t)(end - *at);
   if (left < STORAGE_SNAPSHOT_RECORD_HEADER_SIZE)
      return false;
   size_t key_size = storage_get32(*at + 8);
   size_t value_size = storage_get32(*at + 12);
   left -= STORAGE_SNAPSHOT_RECORD_HEADER_SIZE;
   if (key_size == 0 || key_size > left || value_size > left - key_size)
      return false;
   const uint8_t *key = *at + STORAGE_SNAPSHOT_RECORD_HEADER_SIZE;
   *record = (kvs_record){.sequence = sequence,
                          .kind = KVS_SET,
                          .expires_at_ms = (int64_t)storage_get64(*at),
                          .key = {key, key_size},
                          .value = {key + key_size, value_size}};
   *at = key + key_size + value_size;
   return true;
}

void snapshot_put_block_header(uint8_t header[STORAGE_SNAPSHOT_BLOCK_HEADER_SIZE], uint32_t count,
                               const uint8_t *block, size_t size, uint64_t offset)
{
   storage_put32(header, SNAPSHOT_BLOCK_MAGIC);
   storage_put32(header + 4, count);
   storage_put64(header + 8, size);
   storage_put32(header + 16, snapshot_payload_crc(block, size));
   storage_put32(header + 20, snapshot_place_crc(header, 20, offset));
}
