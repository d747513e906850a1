#include "core/support/utf8.h"

#include <stdbool.h>

size_t kv_utf8_decode(const void *text, size_t size, uint32_t *point)
{
   static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
   const unsigned char *c = text;
   *point = 0;
   if (size == 0)
      return 0;
   *point = c[0];
   if (c[0] < 0x80)
      return 1;
   const size_t length = c[0] < 0xc0 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf8 ? 4 : 0;
   if (length == 0 || length > size)
      return 0;
   *point = c[0] & (0x7fu >> length);
   for (size_t i = 1; i < length; i++) {
      if ((c[i] & 0xc0) != 0x80)
         return 0;
      *point = *point << 6 | (c[i] & 0x3fu);
   }
   const bool is_surrogate = *point >= 0xd800 && *point <= 0xdfff;
   return *point >= smallest[length] && *point <= 0x10ffff && !is_surrogate ? length : 0;
}

size_t kv_utf8_valid_size(const void *text, size_t size)
{
   const unsigned char *c = text;
   size_t offset = 0, length = 1;
   uint32_t point;
   while (offset < size && length > 0) {
      length = c[offset] < 0x80 ? 1 : kv_utf8_decode(c + offset, size - offset, &point);
      offset += length;
   }
   return offset;
}
