#include "core/service/validate.h"

#include "core/store/store.h"

#include <inttypes.h>

static bool is_continuation(unsigned char c)
{
   return (c & 0xc0) == 0x80;
}

/* The length of the UTF-8 sequence at `p`, 0 when it is none. Table 3-7 of the Unicode standard. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
   if (p[0] < 0x80)
      return p[0] == 0 ? 0 : 1;
   if (p[0] >= 0xc2 && p[0] <= 0xdf)
      return left >= 2 && is_continuation(p[1]) ? 2 : 0;
   if ((p[0] & 0xf0) == 0xe0) {
      unsigned char low = p[0] == 0xe0 ? 0xa0 : 0x80;  /* no overlong forms */
      unsigned char high = p[0] == 0xed ? 0x9f : 0xbf; /* no surrogates */
      return left >= 3 && p[1] >= low && p[1] <= high && is_continuation(p[2]) ? 3 : 0;
   }
   if (p[0] >= 0xf0 && p[0] <= 0xf4) {
      unsigned char low = p[0] == 0xf0 ? 0x90 : 0x80;
      unsigned char high = p[0] == 0xf4 ? 0x8f : 0xbf; /* up to U+10FFFF */
      return left >= 4 && p[1] >= low && p[1] <= high && is_continuation(p[2]) &&
                     is_continuation(p[3])
                 ? 4
                 : 0;
   }
   return 0;
}

size_t kv_validate_text(struct kv_slice text)
{
   const unsigned char *p = text.data;
   size_t offset = 0;
   while (offset < text.size) {
      size_t length = sequence_length(p + offset, text.size - offset);
      if (length == 0)
         return offset;
      offset += length;
   }
   return offset;
}

enum kv_code kv_validate_prefix(const char *field, struct kv_slice prefix, struct kv_status *status)
{
   if (prefix.size > KV_KEY_SIZE_MAX)
      return kv_fail(status, KV_INVALID_ARGUMENT, "%s: %zu bytes given, at most %zu are allowed",
                     field, prefix.size, KV_KEY_SIZE_MAX);
   size_t offset = kv_validate_text(prefix);
   if (offset < prefix.size)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s: byte 0x%02x at offset %zu is not allowed; give UTF-8 without NUL", field,
                     ((const unsigned char *)prefix.data)[offset], offset);
   return KV_OK;
}

enum kv_code kv_validate_key(const char *field, struct kv_slice key, struct kv_status *status)
{
   if (key.size == 0)
      return kv_fail(status, KV_INVALID_ARGUMENT, "%s: is empty; 1 to %zu bytes are allowed", field,
                     KV_KEY_SIZE_MAX);
   return kv_validate_prefix(field, key, status);
}

enum kv_code kv_validate_value(const char *field, struct kv_slice value, uint64_t size_max,
                               struct kv_status *status)
{
   if (value.size > size_max)
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "%s: %zu bytes given, at most %" PRIu64
                     " are allowed (server setting max-value-size)",
                     field, value.size, size_max);
   return KV_OK;
}
