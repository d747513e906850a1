#include "core/control/compare.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* One of the two states while it is gone through. */
struct side {
   struct kv_cursor cursor;
   XXH3_state_t *digest;
   struct kv_slice key, value; /* of the entry that it stands at */
   bool at_entry;
};

static void digest_number(XXH3_state_t *digest, uint64_t number)
{
   uint8_t bytes[8];
   for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (uint8_t)(number >> (8 * i));
   XXH3_128bits_update(digest, bytes, sizeof bytes);
}

static void digest_bytes(XXH3_state_t *digest, struct kv_slice bytes)
{
   digest_number(digest, bytes.size);
   if (bytes.size > 0)
      XXH3_128bits_update(digest, bytes.data, bytes.size);
}

static void advance(struct side *side)
{
   side->at_entry = kv_cursor_next(&side->cursor, &side->key, &side->value);
   if (!side->at_entry)
      return;
   digest_bytes(side->digest, side->key);
   digest_bytes(side->digest, side->value);
   digest_number(side->digest, 0); /* the store keeps nothing that expires */
}

static bool begin(struct side *side, const struct kv_version *version)
{
   side->digest = XXH3_createState();
   if (!side->digest)
      return false;
   XXH3_128bits_reset(side->digest);
   kv_cursor_seek(&side->cursor, version, kv_slice(NULL, 0));
   advance(side);
   return true;
}

static void end(struct side *side, char text[KV_DIGEST_TEXT_SIZE])
{
   XXH128_hash_t hash = XXH3_128bits_digest(side->digest);
   snprintf(text, KV_DIGEST_TEXT_SIZE, "%016llx%016llx", (unsigned long long)hash.high64,
            (unsigned long long)hash.low64);
}

static void note(struct kv_comparison *comparison, enum kv_difference difference,
                 struct kv_slice key)
{
   if (comparison->differences++ > 0)
      return;
   comparison->difference = difference;
   comparison->key_size = key.size;
   memcpy(comparison->key, key.data,
          key.size < sizeof comparison->key ? key.size : sizeof comparison->key);
}

/* Looks at the lower of both keys and steps over it. */
static void step(struct side *first, struct side *second, struct kv_comparison *comparison)
{
   int order = !second->at_entry  ? -1
               : !first->at_entry ? 1
                                  : kv_slice_compare(first->key, second->key);
   if (order < 0)
      note(comparison, KV_DIFFERENCE_MISSING, first->key);
   else if (order > 0)
      note(comparison, KV_DIFFERENCE_EXTRA, second->key);
   else if (kv_slice_compare(first->value, second->value) != 0)
      note(comparison, KV_DIFFERENCE_VALUE, first->key);
   if (order <= 0)
      advance(first);
   if (order >= 0)
      advance(second);
}

bool kv_compare(const struct kv_version *first, const struct kv_version *second,
                struct kv_comparison *comparison)
{
   struct side a = {0}, b = {0};
   *comparison = (struct kv_comparison){0};
   bool begun = begin(&a, first) && begin(&b, second);
   if (begun) {
      while (a.at_entry || b.at_entry)
         step(&a, &b, comparison);
      end(&a, comparison->first_digest);
      end(&b, comparison->second_digest);
      if (comparison->differences == 0 && kv_version_sequence(first) != kv_version_sequence(second))
         comparison->difference = KV_DIFFERENCE_SEQUENCE;
   }
   XXH3_freeState(a.digest);
   XXH3_freeState(b.digest);
   return begun;
}
