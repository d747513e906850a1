#include "storage/record.h"

#include "storage/codec.h"

#include <assert.h>

/* Offsets in a record header. */
enum {
   AT_TYPE = STORAGE_RECORD_MAGIC_SIZE,
   AT_PAYLOAD_SIZE = 4,
   AT_EFFECT_COUNT = 8,
   AT_FIRST_SEQUENCE = 12,
   AT_DURABLE_SEQUENCE = 20,
   AT_DURABLE_END = 28,
   AT_PAYLOAD_CRC = 36,
   AT_HEADER_CRC = 40,
};

/* Offsets in an effect; key and value follow. */
enum { AT_SEQUENCE = 0, AT_EXPIRES = 8, AT_KIND = 16, AT_KEY_SIZE = 20, AT_VALUE_SIZE = 24 };

/* In place of a time of expiry: the effect deletes a key that has expired. */
#define HAS_EXPIRED 1

uint32_t storage_record_salt(const uint8_t store_id[16], uint64_t segment_number)
{
   uint8_t number[8];
   storage_put64(number, segment_number);
   return storage_crc(storage_crc(0, store_id, 16), number, sizeof number);
}

size_t storage_record_unit(const kvs_record *effects, size_t count)
{
   size_t unit = 1;
   while (unit < count && (effects[unit - 1].flags & KVS_RECORD_JOINED))
      unit++;
   return unit;
}

size_t storage_record_payload_size(const kvs_record *effects, size_t count)
{
   size_t size = 0;
   for (size_t i = 0; i < count && size <= STORAGE_RECORD_PAYLOAD_MAX; i++)
      size += STORAGE_EFFECT_HEADER_SIZE + effects[i].key.size + effects[i].value.size;
   return size;
}

static uint8_t *put_bytes(uint8_t *to, kvs_bytes bytes)
{
   if (bytes.size > 0)
      memcpy(to, bytes.data, bytes.size);
   return to + bytes.size;
}

static uint64_t expiry_field(const kvs_record *effect)
{
   if (effect->kind == KVS_DELETE)
      return effect->flags & KVS_RECORD_EXPIRED ? HAS_EXPIRED : 0;
   return (uint64_t)effect->expires_at_ms;
}

static uint8_t *put_effect(uint8_t *to, const kvs_record *effect)
{
   storage_put64(to + AT_SEQUENCE, effect->sequence);
   storage_put64(to + AT_EXPIRES, expiry_field(effect));
   storage_put32(to + AT_KIND, effect->kind);
   storage_put32(to + AT_KEY_SIZE, (uint32_t)effect->key.size);
   storage_put32(to + AT_VALUE_SIZE, (uint32_t)effect->value.size);
   to = put_bytes(to + STORAGE_EFFECT_HEADER_SIZE, effect->key);
   return put_bytes(to, effect->value);
}

static uint32_t header_crc(const uint8_t *header, struct storage_record_place place)
{
   uint8_t offset[8];
   storage_put64(offset, place.offset);
   return storage_crc(storage_crc(place.salt, offset, sizeof offset), header, AT_HEADER_CRC);
}

size_t storage_record_encode(uint8_t *to, struct storage_record_place place,
                             struct storage_record_header *header, const kvs_record *effects,
                             size_t count)
{
   uint8_t *payload = to + STORAGE_RECORD_HEADER_SIZE;
   uint8_t *end = payload;
   for (size_t i = 0; i < count; i++)
      end = put_effect(end, &effects[i]);
   size_t payload_size = (size_t)(end - payload);
   assert(payload_size <= STORAGE_RECORD_PAYLOAD_MAX);

   header->payload_size = (uint32_t)payload_size;
   header->effect_count = (uint32_t)count;
   if (count > 0) {
      header->type = STORAGE_RECORD_EFFECTS;
      header->first_sequence = effects[0].sequence;
   }
   assert(count > 0 || header->type == STORAGE_RECORD_MARK ||
          header->type == STORAGE_RECORD_SUCCESSOR);
   header->payload_crc = storage_crc(0, payload, payload_size);

   memcpy(to, STORAGE_RECORD_MAGIC, STORAGE_RECORD_MAGIC_SIZE);
   to[AT_TYPE] = header->type;
   storage_put32(to + AT_PAYLOAD_SIZE, header->payload_size);
   storage_put32(to + AT_EFFECT_COUNT, header->effect_count);
   storage_put64(to + AT_FIRST_SEQUENCE, header->first_sequence);
   storage_put64(to + AT_DURABLE_SEQUENCE, header->durable_sequence);
   storage_put64(to + AT_DURABLE_END, header->durable_end);
   storage_put32(to + AT_PAYLOAD_CRC, header->payload_crc);
   storage_put32(to + AT_HEADER_CRC, header_crc(to, place));
   return STORAGE_RECORD_HEADER_SIZE + payload_size;
}

/* Whether a header whose checksum is right makes sense. */
static bool header_plausible(const struct storage_record_header *header)
{
   if (header->type == STORAGE_RECORD_MARK || header->type == STORAGE_RECORD_SUCCESSOR)
      return header->payload_size == 0 && header->effect_count == 0;
   return header->type == STORAGE_RECORD_EFFECTS && header->effect_count > 0 &&
          header->payload_size <= STORAGE_RECORD_PAYLOAD_MAX &&
          header->effect_count <= header->payload_size / STORAGE_EFFECT_HEADER_SIZE;
}

bool storage_record_decode_header(const uint8_t *from, struct storage_record_place place,
                                  struct storage_record_header *header)
{
   if (memcmp(from, STORAGE_RECORD_MAGIC, STORAGE_RECORD_MAGIC_SIZE) != 0)
      return false;
   if (storage_get32(from + AT_HEADER_CRC) != header_crc(from, place))
      return false;
   *header = (struct storage_record_header){
       .type = from[AT_TYPE],
       .payload_size = storage_get32(from + AT_PAYLOAD_SIZE),
       .effect_count = storage_get32(from + AT_EFFECT_COUNT),
       .first_sequence = storage_get64(from + AT_FIRST_SEQUENCE),
       .durable_sequence = storage_get64(from + AT_DURABLE_SEQUENCE),
       .durable_end = storage_get64(from + AT_DURABLE_END),
       .payload_crc = storage_get32(from + AT_PAYLOAD_CRC),
   };
   return header_plausible(header);
}

/* Decodes one effect of at most `left` bytes. Returns the bytes it takes, 0 when it is wrong. */
static size_t decode_effect(const uint8_t *from, size_t left, kvs_record *effect)
{
   if (left < STORAGE_EFFECT_HEADER_SIZE)
      return 0;
   size_t key_size = storage_get32(from + AT_KEY_SIZE);
   size_t value_size = storage_get32(from + AT_VALUE_SIZE);
   uint32_t kind = storage_get32(from + AT_KIND);
   size_t size = STORAGE_EFFECT_HEADER_SIZE + key_size + value_size;
   if (size > left || (kind != KVS_SET && kind != KVS_DELETE))
      return 0;
   const uint8_t *key = from + STORAGE_EFFECT_HEADER_SIZE;
   const int64_t expiry = (int64_t)storage_get64(from + AT_EXPIRES);
   const bool deletes = kind == KVS_DELETE;
   if (deletes && expiry != 0 && expiry != HAS_EXPIRED)
      return 0;
   *effect = (kvs_record){
       .sequence = storage_get64(from + AT_SEQUENCE),
       .kind = kind,
       .flags = deletes && expiry == HAS_EXPIRED ? KVS_RECORD_EXPIRED : 0,
       .expires_at_ms = deletes ? 0 : expiry,
       .key = {key, key_size},
       .value = {key + key_size, value_size},
   };
   return size;
}

uint32_t storage_record_chain(uint32_t chain, const uint8_t *header)
{
   /* Without the header's own checksum: a CRC over bytes and their CRC is the same for all. */
   return storage_crc(chain, header, AT_HEADER_CRC);
}

bool storage_record_decode_effects(const struct storage_record_header *header,
                                   const uint8_t *payload, kvs_record *effects)
{
   if (storage_crc(0, payload, header->payload_size) != header->payload_crc)
      return false;
   size_t at = 0;
   uint64_t previous = 0;
   for (uint32_t i = 0; i < header->effect_count; i++) {
      size_t size = decode_effect(payload + at, header->payload_size - at, &effects[i]);
      if (size == 0 || effects[i].sequence <= previous)
         return false;
      previous = effects[i].sequence;
      at += size;
      if (i + 1 < header->effect_count)
         effects[i].flags |= KVS_RECORD_JOINED;
   }
   return at == header->payload_size &&
          (header->effect_count == 0 || effects[0].sequence == header->first_sequence);
}
