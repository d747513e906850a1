/*
 * Log records. What decodes has correct checksums and encodes to the same bytes; effects made from
 * the input come back unchanged from a record.
 *
 * Input: a byte of choices, salt (4), offset (8), the bytes of a record.
 */
#include "storage/codec.h"
#include "storage/record.h"
#include "tests/fuzz/support.h"

#include <stdlib.h>
#include <string.h>

enum { RIGHT_CHECKSUMS = 1, ENCODE_FIRST = 2 };
enum { AT_PAYLOAD_CRC = 36, AT_HEADER_CRC = 40, EFFECTS_MAX = 64 };

/* The header's checksum as described in docs/formats.md. */
static uint32_t header_crc(const uint8_t *record, struct storage_record_place place)
{
   uint8_t offset[8];
   storage_put64(offset, place.offset);
   return storage_crc(storage_crc(place.salt, offset, 8), record, AT_HEADER_CRC);
}

static void put_checksums_right(uint8_t *record, size_t size, struct storage_record_place place)
{
   size_t payload = size - STORAGE_RECORD_HEADER_SIZE;
   size_t told = storage_get32(record + 4);
   storage_put32(record + AT_PAYLOAD_CRC, storage_crc(0, record + STORAGE_RECORD_HEADER_SIZE,
                                                      told < payload ? told : payload));
   storage_put32(record + AT_HEADER_CRC, header_crc(record, place));
}

static void check_effects(const struct storage_record_header *header, const uint8_t *payload,
                          const kvs_record *effects)
{
   uint64_t previous = 0;
   size_t size = 0;
   for (uint32_t i = 0; i < header->effect_count; i++) {
      const kvs_record *effect = &effects[i];
      const uint8_t *key = effect->key.data, *value = effect->value.data;
      REQUIRE(effect->sequence > previous);
      REQUIRE(effect->kind == KVS_SET || effect->kind == KVS_DELETE);
      REQUIRE(((effect->flags & KVS_RECORD_JOINED) != 0) == (i + 1 < header->effect_count));
      if (effect->kind == KVS_DELETE)
         REQUIRE(effect->expires_at_ms == 0);
      else
         REQUIRE(!(effect->flags & KVS_RECORD_EXPIRED));
      REQUIRE(key >= payload && key + effect->key.size == value);
      REQUIRE(value + effect->value.size <= payload + header->payload_size);
      previous = effect->sequence;
      size += STORAGE_EFFECT_HEADER_SIZE + effect->key.size + effect->value.size;
   }
   REQUIRE(size == header->payload_size);
   if (header->effect_count > 0)
      REQUIRE(storage_record_unit(effects, header->effect_count) == header->effect_count);
}

static void decode(const uint8_t *record, size_t size, struct storage_record_place place)
{
   struct storage_record_header header;
   if (size < STORAGE_RECORD_HEADER_SIZE || !storage_record_decode_header(record, place, &header))
      return;
   const uint8_t *payload = record + STORAGE_RECORD_HEADER_SIZE;
   REQUIRE(storage_get32(record + AT_HEADER_CRC) == header_crc(record, place));
   if (header.payload_size > size - STORAGE_RECORD_HEADER_SIZE)
      return;
   REQUIRE((size_t)header.effect_count * STORAGE_EFFECT_HEADER_SIZE <= header.payload_size);
   kvs_record *effects = calloc(header.effect_count + 1, sizeof *effects);
   REQUIRE(effects);
   if (storage_record_decode_effects(&header, payload, effects)) {
      REQUIRE(header.payload_crc == storage_crc(0, payload, header.payload_size));
      check_effects(&header, payload, effects);
      size_t whole = STORAGE_RECORD_HEADER_SIZE + header.payload_size;
      uint8_t *again = malloc(whole);
      REQUIRE(again);
      REQUIRE(storage_record_encode(again, place, &header, effects, header.effect_count) == whole);
      REQUIRE(memcmp(again, record, whole) == 0);
      free(again);
   }
   free(effects);
}

/* The reverse: effects, a record, the same effects. */
static void encode(struct fuzz_input input, struct storage_record_place place)
{
   kvs_record effects[EFFECTS_MAX], decoded[EFFECTS_MAX];
   size_t count = 0;
   uint64_t sequence = 0;
   while (count < EFFECTS_MAX && input.size > 0) {
      sequence += 1 + fuzz_take(&input, 2);
      uint64_t chosen = fuzz_take(&input, 1);
      bool deletes = chosen % 4 == 0;
      kvs_record *effect = &effects[count++];
      *effect = (kvs_record){.sequence = sequence, .kind = deletes ? KVS_DELETE : KVS_SET};
      effect->key = fuzz_take_bytes(&input, 1 + fuzz_take(&input, 1));
      if (deletes)
         effect->flags = chosen & 4 ? KVS_RECORD_EXPIRED : 0;
      else
         effect->value = fuzz_take_bytes(&input, fuzz_take(&input, 1));
      effect->flags |= input.size > 0 && count < EFFECTS_MAX ? KVS_RECORD_JOINED : 0;
   }
   size_t size = STORAGE_RECORD_HEADER_SIZE + storage_record_payload_size(effects, count);
   uint8_t *record = malloc(size);
   REQUIRE(record);
   struct storage_record_header made = {
       .type = STORAGE_RECORD_MARK, .first_sequence = 7, .durable_end = 9};
   struct storage_record_header header;
   REQUIRE(storage_record_encode(record, place, &made, effects, count) == size);
   REQUIRE(storage_record_decode_header(record, place, &header));
   REQUIRE(header.effect_count == count);
   REQUIRE(storage_record_decode_effects(&header, record + STORAGE_RECORD_HEADER_SIZE, decoded));
   for (size_t i = 0; i < count; i++)
      REQUIRE(fuzz_same_record(&effects[i], &decoded[i]));
   /* A record counts only where it was written. */
   place.offset++;
   REQUIRE(!storage_record_decode_header(record, place, &header));
   free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   uint64_t choices = fuzz_take(&input, 1);
   struct storage_record_place place = {.salt = (uint32_t)fuzz_take(&input, 4)};
   place.offset = fuzz_take(&input, 8);
   if (choices & ENCODE_FIRST) {
      encode(input, place);
      return 0;
   }
   /* A copy of its exact size. */
   uint8_t *record = malloc(input.size > 0 ? input.size : 1);
   REQUIRE(record);
   if (input.size > 0)
      memcpy(record, input.data, input.size);
   if ((choices & RIGHT_CHECKSUMS) && input.size >= STORAGE_RECORD_HEADER_SIZE)
      put_checksums_right(record, input.size, place);
   decode(record, input.size, place);
   free(record);
   return 0;
}
