#include "tests/fuzz/log_image.h"

#include "plugins/format/codec.h"
#include "plugins/format/segment.h"
#include "tests/fuzz/support.h"

/* Offsets as in docs/formats.md. */
enum { AT_NUMBER = 32, AT_LINK = 56, AT_CRC = 76 };
enum { AT_PAYLOAD_SIZE = 4, AT_FIRST_SEQUENCE = 12, AT_PAYLOAD_CRC = 36, AT_HEADER_CRC = 40 };

static void repair_header(uint8_t *image, uint64_t number, const struct log_image_end *previous)
{
   static const uint8_t magic[8] = {'K', 'V', 'L', 'O', 'G', 0x89, '\r', '\n'};
   memcpy(image, magic, sizeof magic);
   format_put32(image + 8, FORMAT_SEGMENT_VERSION);
   format_put32(image + 12, FORMAT_SEGMENT_HEADER_SIZE);
   memcpy(image + 16, FUZZ_STORE_ID, 16);
   format_put64(image + AT_NUMBER, number);
   if (previous) {
      format_put64(image + AT_LINK, previous->last_sequence);
      format_put64(image + AT_LINK + 8, previous->offset);
      format_put32(image + AT_LINK + 16, previous->chain);
   }
   format_put32(image + AT_CRC, format_crc(0, image, AT_CRC));
}

/* The sequence of the last effect, found as a reader would. */
static uint64_t last_sequence(const uint8_t *record, size_t payload_size)
{
   const uint8_t *at = record + FORMAT_RECORD_HEADER_SIZE, *end = at + payload_size;
   uint64_t sequence = format_get64(record + AT_FIRST_SEQUENCE);
   while ((size_t)(end - at) >= FORMAT_EFFECT_HEADER_SIZE) {
      size_t size =
          (size_t)FORMAT_EFFECT_HEADER_SIZE + format_get32(at + 20) + format_get32(at + 24);
      if (size > (size_t)(end - at))
         break;
      sequence = format_get64(at);
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
   if (size < FORMAT_SEGMENT_HEADER_SIZE)
      return;
   repair_header(image, number, previous);
   end->chain = format_get32(image + AT_CRC);
   end->offset = FORMAT_SEGMENT_HEADER_SIZE;
   uint32_t salt = format_record_salt((const uint8_t *)FUZZ_STORE_ID, number);
   while (size - end->offset >= FORMAT_RECORD_HEADER_SIZE) {
      uint8_t *record = image + end->offset, place[8];
      size_t payload_size = format_get32(record + AT_PAYLOAD_SIZE);
      if (memcmp(record, FORMAT_RECORD_MAGIC, FORMAT_RECORD_MAGIC_SIZE) != 0 ||
          payload_size > size - end->offset - FORMAT_RECORD_HEADER_SIZE)
         return;
      format_put32(record + AT_PAYLOAD_CRC,
                   format_crc(0, record + FORMAT_RECORD_HEADER_SIZE, payload_size));
      format_put64(place, end->offset);
      format_put32(record + AT_HEADER_CRC,
                   format_crc(format_crc(salt, place, 8), record, AT_HEADER_CRC));
      if (record[FORMAT_RECORD_MAGIC_SIZE] == FORMAT_RECORD_EFFECTS)
         end->last_sequence = last_sequence(record, payload_size);
      end->chain = format_record_chain(end->chain, record);
      end->offset += FORMAT_RECORD_HEADER_SIZE + payload_size;
   }
}
