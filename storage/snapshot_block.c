#include "storage/snapshot_block.h"

#include <string.h>

/* Offsets in a record, in one without a sequence from its first field on; key and value follow. */
enum { AT_SEQUENCE = 0, AT_EXPIRES = 8, AT_KEY_SIZE = 16, AT_VALUE_SIZE = 20 };

size_t snapshot_record_size(const kvs_record *record)
{
   return STORAGE_SNAPSHOT_RECORD_HEADER_SIZE + record->key.size + record->value.size;
}

void snapshot_put_record(uint8_t *to, const kvs_record *record)
{
   storage_put64(to + AT_SEQUENCE, record->sequence);
   storage_put64(to + AT_EXPIRES, (uint64_t)record->expires_at_ms);
   storage_put32(to + AT_KEY_SIZE, (uint32_t)record->key.size);
   storage_put32(to + AT_VALUE_SIZE, (uint32_t)record->value.size);
   to += STORAGE_SNAPSHOT_RECORD_HEADER_SIZE;
   memcpy(to, record->key.data, record->key.size);
   if (record->value.size > 0)
      memcpy(to + record->key.size, record->value.data, record->value.size);
}

const char *snapshot_get_record(const struct snapshot_records *records, const uint8_t **at,
                                const uint8_t *end, kvs_record *record)
{
   static const char passes_end[] = "a record passes the end of its block";
   const size_t missing = records->plain ? AT_EXPIRES : 0;
   const size_t header_size = STORAGE_SNAPSHOT_RECORD_HEADER_SIZE - missing;
   size_t left = (size_t)(end - *at);
   if (left < header_size)
      return passes_end;
   const uint64_t sequence = records->plain ? records->sequence : storage_get64(*at);
   size_t key_size = storage_get32(*at + AT_KEY_SIZE - missing);
   size_t value_size = storage_get32(*at + AT_VALUE_SIZE - missing);
   left -= header_size;
   if (key_size == 0 || key_size > left || value_size > left - key_size)
      return passes_end;
   if (sequence == 0 || sequence > records->sequence)
      return "a record is of no sequence up to that of the file";
   const uint8_t *key = *at + header_size;
   *record = (kvs_record){.sequence = sequence,
                          .kind = KVS_SET,
                          .expires_at_ms = (int64_t)storage_get64(*at + AT_EXPIRES - missing),
                          .key = {key, key_size},
                          .value = {key + key_size, value_size}};
   *at = key + key_size + value_size;
   return NULL;
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
