#include "core/support/digest.h"

#include <endian.h>
#include <stdio.h>
#include <xxhash.h>

/* Never defined: xxHash allocates its state itself, aligned as it needs it. */
static XXH3_state_t *state_of(struct kv_digest *digest)
{
   return (XXH3_state_t *)digest;
}

struct kv_digest *kv_digest_create(void)
{
   XXH3_state_t *state = XXH3_createState();
   if (state)
      XXH3_128bits_reset(state);
   return (struct kv_digest *)state;
}

void kv_digest_destroy(struct kv_digest *digest)
{
   XXH3_freeState(state_of(digest));
}

static void add_number(XXH3_state_t *state, uint64_t number)
{
   const uint64_t bytes = htole64(number);
   XXH3_128bits_update(state, &bytes, sizeof bytes);
}

static void add_bytes(XXH3_state_t *state, struct kv_slice bytes)
{
   add_number(state, bytes.size);
   if (bytes.size > 0)
      XXH3_128bits_update(state, bytes.data, bytes.size);
}

void kv_digest_add(struct kv_digest *digest, struct kv_slice key, struct kv_slice value,
                   uint64_t expiry)
{
   add_bytes(state_of(digest), key);
   add_bytes(state_of(digest), value);
   add_number(state_of(digest), expiry);
}

void kv_digest_text(const struct kv_digest *digest, char text[KV_DIGEST_TEXT_SIZE])
{
   XXH128_hash_t hash = XXH3_128bits_digest((const XXH3_state_t *)digest);
   snprintf(text, KV_DIGEST_TEXT_SIZE, "%016llx%016llx", (unsigned long long)hash.high64,
            (unsigned long long)hash.low64);
}
