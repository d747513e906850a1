#include "core/control/compare.h"

#include <string.h>

/* One of the two states, with the place that the comparison has reached. */
struct side {
   struct kv_cursor cursor;
   struct kv_digest *digest;
   const struct kv_entry *entry; /* that it stands at; NULL at the end */
};

static void advance(struct side *side)
{
   side->entry = kv_cursor_next(&side->cursor);
   if (side->entry)
      kv_digest_add(side->digest, kv_entry_key(side->entry), kv_entry_value(side->entry),
                    (uint64_t)kv_entry_expires_at(side->entry));
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
                 const struct kv_entry *entry)
{
   if (comparison->differences++ > 0)
      return;
   const struct kv_slice key = kv_entry_key(entry);
   comparison->difference = difference;
   comparison->key_size = key.size;
   memcpy(comparison->key, key.data,
          key.size < sizeof comparison->key ? key.size : sizeof comparison->key);
}

/* Looks at the lower of both keys and steps over it. */
static void step(struct side *first, struct side *second, bool versions,
                 struct kv_comparison *comparison)
{
   const struct kv_entry *a = first->entry, *b = second->entry;
   int order = !b ? -1 : !a ? 1 : kv_slice_compare(kv_entry_key(a), kv_entry_key(b));
   if (order < 0)
      note(comparison, KV_DIFFERENCE_MISSING, a);
   else if (order > 0)
      note(comparison, KV_DIFFERENCE_EXTRA, b);
   else if (kv_slice_compare(kv_entry_value(a), kv_entry_value(b)) != 0 ||
            kv_entry_expires_at(a) != kv_entry_expires_at(b))
      note(comparison, KV_DIFFERENCE_VALUE, a);
   else if (versions && kv_entry_version(a) != kv_entry_version(b))
      note(comparison, KV_DIFFERENCE_VERSION, a);
   if (order <= 0)
      advance(first);
   if (order >= 0)
      advance(second);
}

bool kv_compare(const struct kv_version *first, const struct kv_version *second, bool versions,
                struct kv_comparison *comparison)
{
   struct side a = {0}, b = {0};
   *comparison = (struct kv_comparison){0};
   bool begun = begin(&a, first) && begin(&b, second);
   if (begun) {
      while (a.entry || b.entry)
         step(&a, &b, versions, comparison);
      kv_digest_text(a.digest, comparison->first_digest);
      kv_digest_text(b.digest, comparison->second_digest);
      if (comparison->differences == 0 && kv_version_sequence(first) != kv_version_sequence(second))
         comparison->difference = KV_DIFFERENCE_SEQUENCE;
   }
   kv_digest_destroy(a.digest);
   kv_digest_destroy(b.digest);
   return begun;
}
