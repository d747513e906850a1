#include "core/host/text.h"

#include <stdint.h>
#include <string.h>

/* The size of the well-formed, printable UTF-8 character that `text` begins with; 0 when there is
 * none. The NUL at the end stops every look ahead. */
static size_t character_size(const char *text)
{
   const unsigned char *c = (const unsigned char *)text;
   if (c[0] < 0x80)
      return c[0] >= 0x20 && c[0] != 0x7f;

   static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
   size_t size = c[0] >= 0xf8 ? 0 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc0 ? 2 : 0;
   if (size == 0)
      return 0;
   uint32_t point = c[0] & (0x7fu >> size);
   for (size_t i = 1; i < size; i++) {
      if ((c[i] & 0xc0) != 0x80)
         return 0;
      point = point << 6 | (c[i] & 0x3fu);
   }
   bool surrogate = point >= 0xd800 && point <= 0xdfff;
   bool control = point < 0xa0;
   return point >= smallest[size] && point <= 0x10ffff && !surrogate && !control ? size : 0;
}

bool kv_text_is_printable(const char *text)
{
   while (*text != '\0') {
      size_t size = character_size(text);
      if (size == 0)
         return false;
      text += size;
   }
   return true;
}

bool kv_text_is_plain_name(const char *text, const char *others, size_t size_max)
{
   size_t size = 0;
   for (; size <= size_max && text[size] != '\0'; size++) {
      char c = text[size];
      if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr(others, c))
         return false;
   }
   return size > 0 && size <= size_max;
}

const char *kv_text_show(const char *text, char *to, size_t capacity)
{
   static const char ellipsis[] = "...";
   size_t used = 0;
   size_t fits = 0; /* up to here the ellipsis still finds room */
   while (*text != '\0') {
      size_t size = character_size(text);
      size_t taken = size > 0 ? size : 1;
      if (used + taken >= capacity) {
         memcpy(to + fits, ellipsis, sizeof ellipsis);
         return to;
      }
      if (size > 0)
         memcpy(to + used, text, size);
      else
         to[used] = '?';
      used += taken;
      text += taken;
      if (used + sizeof ellipsis <= capacity)
         fits = used;
   }
   to[used] = '\0';
   return to;
}
