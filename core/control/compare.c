#include "core/control/compare.h"

#include <string.h>

/* One of the two states while it is gone through. */
struct side {
   struct kv_cursor cursor;
   struct kv_digest *digest;
   struct kv_slice key, value; /* of the entry that it stands at */
   bool at_entry;
};

static void advance(struct side *side)
{
   side->at_entry = kv_cursor_next(&side->cursor, &side->key, &side->value);
   if (side->at_entry) /* the store keeps nothing that expires */
      kv_digest_add(side->digest, side->key, side->value, 0);
}

static bool begin(struct side *side, const struct kv_version *version)
{
   side->digest = kv_digest_create();
   if (!side->digest)
      return false;
   kv_cursor_seek(&side->cursor, version, kv_slice(NULL, 0));
   advance(side);
   return true;
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
      kv_digest_text(a.digest, comparison->first_digest);
      kv_digest_text(b.digest, comparison->second_digest);
      if (comparison->differences == 0 && kv_version_sequence(first) != kv_version_sequence(second))
         comparison->difference = KV_DIFFERENCE_SEQUENCE;
   }
   kv_digest_destroy(a.digest);
   kv_digest_destroy(b.digest);
   return begun;
}
