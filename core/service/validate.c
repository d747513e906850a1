#include "core/service/validate.h"

#include "core/store/store.h"
#include "core/support/utf8.h"

#include <inttypes.h>

size_t kv_validate_text(struct kv_slice text)
{
   size_t size = kv_utf8_valid_size(text.data, text.size);
   const char *nul = size > 0 ? memchr(text.data, '\0', size) : NULL;
   return nul ? (size_t)(nul - (const char *)text.data) : size;
}

enum kv_code kv_validate_prefix(const char *field, struct kv_slice prefix, struct kv_status *status)
{
   if (prefix.size > KV_KEY_SIZE_MAX)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "%s: %zu bytes given, at most %zu are allowed", field, prefix.size,
                            KV_KEY_SIZE_MAX);
   size_t offset = kv_validate_text(prefix);
   if (offset < prefix.size)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "%s: byte 0x%02x at offset %zu is not allowed; give UTF-8 without NUL",
                            field, ((const unsigned char *)prefix.data)[offset], offset);
   return KV_OK;
}

enum kv_code kv_validate_key(const char *field, struct kv_slice key, struct kv_status *status)
{
   if (key.size == 0)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "%s: is empty; 1 to %zu bytes are allowed", field, KV_KEY_SIZE_MAX);
   return kv_validate_prefix(field, key, status);
}

enum kv_code kv_validate_value(const char *field, struct kv_slice value, uint64_t size_max,
                               struct kv_status *status)
{
   if (value.size > size_max)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_VALUE_TOO_LARGE,
                            "%s: %zu bytes given, at most %" PRIu64
                            " are allowed (server setting max-value-size)",
                            field, value.size, size_max);
   return KV_OK;
}
