#include "core/service/keyvalue/page_token.h"

#include "core/service/validate.h"

#include <sodium.h>
#include <xxhash.h>

/* Of its bytes, before the key. */
#define FORMAT 1
#define HEAD_SIZE (1 + sizeof(uint64_t))
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

static uint64_t add(uint64_t digest, const void *data, size_t size)
{
   return XXH3_64bits_withSeed(data, size, digest);
}

static uint64_t add_text(uint64_t digest, ProtobufCBinaryData text)
{
   return add(digest, text.data, text.len);
}

uint64_t kv_page_digest(const Kvstore__V1__ScanRequest *request)
{
   const uint64_t numbers[] = {(uint64_t)request->descending, (uint64_t)request->projection,
                               request->value_size_max};
   uint64_t digest = add(0, numbers, sizeof numbers);
   const Kvstore__V1__KeyRange *range = request->range;
   if (!range)
      return digest;
   digest = add_text(digest, range->prefix);
   digest = add_text(digest, range->start);
   digest = add_text(digest, range->end);
   return add_text(digest, range->key);
}

struct kv_slice kv_page_token_write(uint64_t digest, struct kv_slice last_key,
                                    struct kv_arena *arena)
{
   const size_t size = HEAD_SIZE + last_key.size;
   const size_t text_size = sodium_base64_ENCODED_LEN(size, VARIANT);
   uint8_t *bytes = kv_arena_alloc(arena, size);
   char *text = kv_arena_alloc(arena, text_size);
   if (!bytes || !text)
      return kv_slice(NULL, 0);
   bytes[0] = FORMAT;
   memcpy(bytes + 1, &digest, sizeof digest);
   memcpy(bytes + HEAD_SIZE, last_key.data, last_key.size);
   sodium_bin2base64(text, text_size, bytes, size, VARIANT);
   return kv_slice(text, text_size - 1);
}

static bool is_within(const struct kv_key_range *range, struct kv_slice key)
{
   return kv_slice_compare(key, range->start) >= 0 &&
          (range->end.size == 0 || kv_slice_compare(key, range->end) < 0);
}

/* The key that a token has; false when it is none of that digest, or of a key outside the range. */
static bool read(struct kv_slice token, uint64_t digest, const struct kv_key_range *range,
                 uint8_t *bytes, struct kv_slice *key)
{
   size_t size;
   if (sodium_base642bin(bytes, token.size, token.data, token.size, NULL, &size, NULL, VARIANT) !=
           0 ||
       size <= HEAD_SIZE || bytes[0] != FORMAT || memcmp(bytes + 1, &digest, sizeof digest) != 0)
      return false;
   *key = kv_slice(bytes + HEAD_SIZE, size - HEAD_SIZE);
   struct kv_status ignored;
   return kv_validate_key("page_token", *key, &ignored) == KV_OK && is_within(range, *key);
}

enum kv_code kv_page_token_apply(struct kv_slice token, uint64_t digest, bool descending,
                                 struct kv_arena *arena, struct kv_key_range *range,
                                 struct kv_status *status)
{
   struct kv_slice key;
   /* One byte more, which makes of the key the lowest one above it. */
   uint8_t *bytes = kv_arena_alloc(arena, token.size + 1);
   if (!bytes)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a page token");
   if (!read(token, digest, range, bytes, &key))
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "PAGE_TOKEN_INVALID",
                            "page_token: is none that this request was given; send it as it came, "
                            "with the same range, descending, projection and value_size_max");
   if (descending) {
      range->end = key;
   } else {
      bytes[HEAD_SIZE + key.size] = '\0';
      range->start = kv_slice(key.data, key.size + 1);
   }
   return KV_OK;
}
