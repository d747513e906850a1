#include "tests/fuzz/log_image.h"

#include "storage/codec.h"
#include "storage/segment.h"
#include "tests/fuzz/support.h"

/* Offsets as in docs/formats.md. */
enum { AT_NUMBER = 32, AT_LINK = 56, AT_CRC = 76 };
enum { AT_PAYLOAD_SIZE = 4, AT_FIRST_SEQUENCE = 12, AT_PAYLOAD_CRC = 36, AT_HEADER_CRC = 40 };

static void repair_header(uint8_t *image, uint64_t number, const struct log_image_end *previous)
{
   static const uint8_t magic[8] = {'K', 'V', 'L', 'O', 'G', 0x89, '\r', '\n'};
   memcpy(image, magic, sizeof magic);
   storage_put32(image + 8, STORAGE_SEGMENT_VERSION);
   storage_put32(image + 12, STORAGE_SEGMENT_HEADER_SIZE);
   memcpy(image + 16, FUZZ_STORE_ID, 16);
   storage_put64(image + AT_NUMBER, number);
   if (previous) {
      storage_put64(image + AT_LINK, previous->last_sequence);
      storage_put64(image + AT_LINK + 8, previous->offset);
      storage_put32(image + AT_LINK + 16, previous->chain);
   }
   storage_put32(image + AT_CRC, storage_crc(0, image, AT_CRC));
}

/* The sequence of the last effect, found as a reader would. */
static uint64_t last_sequence(const uint8_t *record, size_t payload_size)
{
   const uint8_t *at = record + STORAGE_RECORD_HEADER_SIZE, *end = at + payload_size;
   uint64_t sequence = storage_get64(record + AT_FIRST_SEQUENCE);
   while ((size_t)(end - at) >= STORAGE_EFFECT_HEADER_SIZE) {
      size_t size =
          (size_t)STORAGE_EFFECT_HEADER_SIZE + storage_get32(at + 20) + storage_get32(at + 24);
      if (size > (size_t)(end - at))
         break;
      sequence = storage_get64(at);
      at += size;
   }
   return sequence;
}

void log_image_repair(uint8_t *image, size_t size, uint64_t number,
                      const struct log_image_end *previous, struct log_image_end *end)
{
   struct log_image_end ignored;
   if (!end)
      end = &ignored;
   *end = (struct log_image_end){.last_sequence = previous ? previous->last_sequence : 0};
   if (size < STORAGE_SEGMENT_HEADER_SIZE)
      return;
   repair_header(image, number, previous);
   end->chain = storage_get32(image + AT_CRC);
   end->offset = STORAGE_SEGMENT_HEADER_SIZE;
   uint32_t salt = storage_record_salt((const uint8_t *)FUZZ_STORE_ID, number);
   while (size - end->offset >= STORAGE_RECORD_HEADER_SIZE) {
      uint8_t *record = image + end->offset, place[8];
      size_t payload_size = storage_get32(record + AT_PAYLOAD_SIZE);
      if (memcmp(record, STORAGE_RECORD_MAGIC, STORAGE_RECORD_MAGIC_SIZE) != 0 ||
          payload_size > size - end->offset - STORAGE_RECORD_HEADER_SIZE)
         return;
      storage_put32(record + AT_PAYLOAD_CRC,
                    storage_crc(0, record + STORAGE_RECORD_HEADER_SIZE, payload_size));
      storage_put64(place, end->offset);
      storage_put32(record + AT_HEADER_CRC,
                    storage_crc(storage_crc(salt, place, 8), record, AT_HEADER_CRC));
      if (record[STORAGE_RECORD_MAGIC_SIZE] == STORAGE_RECORD_EFFECTS)
         end->last_sequence = last_sequence(record, payload_size);
      end->chain = storage_record_chain(end->chain, record);
      end->offset += STORAGE_RECORD_HEADER_SIZE + payload_size;
   }
}
