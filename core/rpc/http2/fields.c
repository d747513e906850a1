#include "core/rpc/http2/fields.h"

#include "core/support/utf8.h"

#include <strings.h>

#define TIMEOUT_DIGITS_MAX ((size_t)8)
#define GRPC_TYPE "application/grpc"

static bool is(struct kv_slice text, const char *other)
{
   return kv_slice_compare(text, kv_slice_of(other)) == 0;
}

bool kv_fields_timeout(struct kv_slice text, int64_t *timeout_ms)
{
   static const struct {
      char name;
      int64_t ms;         /* in one unit, or 1 */
      int64_t units_a_ms; /* in one millisecond, or 1 */
   } units[] = {
       {'H', 3600000, 1}, {'M', 60000, 1}, {'S', 1000, 1},
       {'m', 1, 1},       {'u', 1, 1000},  {'n', 1, 1000000},
   };
   const char *digits = text.data;
   if (text.size < 2 || text.size > TIMEOUT_DIGITS_MAX + 1)
      return false;
   int64_t value = 0;
   for (size_t i = 0; i + 1 < text.size; i++) {
      if (digits[i] < '0' || digits[i] > '9')
         return false;
      value = value * 10 + (digits[i] - '0');
   }
   for (size_t i = 0; i < sizeof units / sizeof *units; i++)
      if (units[i].name == digits[text.size - 1]) {
         *timeout_ms = (value * units[i].ms + units[i].units_a_ms - 1) / units[i].units_a_ms;
         return true;
      }
   return false;
}

bool kv_fields_is_grpc(struct kv_slice content_type)
{
   const char *text = content_type.data;
   size_t size = sizeof GRPC_TYPE - 1;
   if (content_type.size < size || strncasecmp(text, GRPC_TYPE, size) != 0)
      return false;
   return content_type.size == size || text[size] == '+' || text[size] == ';';
}

enum kv_encoding kv_fields_encoding(struct kv_slice name)
{
   if (is(name, "identity"))
      return KV_IDENTITY;
   if (is(name, "gzip"))
      return KV_GZIP;
   return is(name, "deflate") ? KV_DEFLATE : KV_ENCODING_UNKNOWN;
}

static bool is_sent_as_it_is(char byte)
{
   return byte >= ' ' && byte <= '~' && byte != '%';
}

size_t kv_fields_encode_message(const char *text, size_t size, char *to, size_t to_size)
{
   static const char digits[] = "0123456789ABCDEF";
   size_t used = 0, character;
   for (size_t at = 0; at < size; at += character) {
      const bool is_end = at == 0 || at + 1 == size;
      const bool plain = is_sent_as_it_is(text[at]) && !(is_end && text[at] == ' ');
      uint32_t point;
      character = kv_utf8_decode(text + at, size - at, &point);
      if (character == 0) /* a byte that is part of none goes alone */
         character = 1;
      if (to_size - used < (plain ? 1 : 3 * character))
         break;
      if (plain)
         to[used++] = text[at];
      for (size_t i = at; !plain && i < at + character; i++) {
         to[used++] = '%';
         to[used++] = digits[(unsigned char)text[i] >> 4];
         to[used++] = digits[(unsigned char)text[i] & 0xf];
      }
   }
   while (used > 0 && to[used - 1] == ' ') /* where it was cut */
      used--;
   return used;
}

bool kv_fields_next_value(struct kv_slice *list, struct kv_slice *value)
{
   if (!list->data)
      return false;
   const char *begin = list->data, *end = begin + list->size;
   const char *comma = list->size > 0 ? memchr(begin, ',', list->size) : NULL;
   *list = comma ? kv_slice(comma + 1, (size_t)(end - comma) - 1) : kv_slice(NULL, 0);
   end = comma ? comma : end;
   while (begin < end && (*begin == ' ' || *begin == '\t'))
      begin++;
   while (begin < end && (end[-1] == ' ' || end[-1] == '\t'))
      end--;
   *value = kv_slice(begin, (size_t)(end - begin));
   return true;
}

/* The six bits that a character stands for, or -1. */
static int bits_of(char character)
{
   if (character >= 'A' && character <= 'Z')
      return character - 'A';
   if (character >= 'a' && character <= 'z')
      return character - 'a' + 26;
   if (character >= '0' && character <= '9')
      return character - '0' + 52;
   return character == '+' ? 62 : character == '/' ? 63 : -1;
}

bool kv_fields_decode_binary(struct kv_slice text, uint8_t *to, size_t *size)
{
   const char *characters = text.data;
   size_t length = text.size, used = 0;
   if (length > 0 && length % 4 == 0)
      for (int i = 0; i < 2 && characters[length - 1] == '='; i++)
         length--;
   if (length % 4 == 1)
      return false;
   uint32_t pending = 0;
   for (size_t i = 0; i < length; i++) {
      const int bits = bits_of(characters[i]);
      if (bits < 0)
         return false;
      pending = pending << 6 | (uint32_t)bits;
      /* The first of four characters fills no byte, each of the others one. */
      if (i % 4 > 0)
         to[used++] = (uint8_t)(pending >> (6 - 2 * (i % 4)));
   }
   *size = used;
   return true;
}

size_t kv_fields_encode_binary(struct kv_slice bytes, char *to)
{
   static const char alphabet[] =
       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
   const uint8_t *from = bytes.data;
   size_t used = 0;
   for (size_t i = 0; i < bytes.size; i += 3) {
      const size_t count = bytes.size - i < 3 ? bytes.size - i : 3;
      uint32_t group = 0;
      for (size_t k = 0; k < 3; k++)
         group = group << 8 | (k < count ? from[i + k] : 0u);
      for (size_t k = 0; k <= count; k++)
         to[used++] = alphabet[group >> (18 - 6 * k) & 0x3f];
   }
   return used;
}
