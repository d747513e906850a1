#include "core/store/entry.h"

#include "core/store/store.h"
#include "core/support/invariant.h"

#include <stdlib.h>

struct kv_entry *kv_entry_create(uint64_t birth, struct kv_slice key, struct kv_slice value)
{
   KV_INVARIANT(key.size > 0 && key.size <= KV_KEY_SIZE_MAX && value.size <= KV_VALUE_SIZE_MAX);
   /* Not sizeof: the bytes begin inside what would be the padding. */
   size_t size = offsetof(struct kv_entry, bytes) + key.size + value.size;
   bool counted = value.size >= KV_VALUE_KEEP_MIN;
   struct kv_entry *entry = counted ? kv_object_allocate_counted(size) : malloc(size);
   if (!entry)
      return NULL;
   entry->object = kv_object(birth, (uint16_t)(key.size - 1));
   if (counted)
      kv_object_set_counted(&entry->object);
   entry->value_size = (uint32_t)value.size;
   memcpy(entry->bytes, key.data, key.size);
   if (value.size > 0)
      memcpy(entry->bytes + key.size, value.data, value.size);
   return entry;
}

void *kv_value_keep(struct kv_slice key, struct kv_slice value)
{
   KV_INVARIANT(value.size >= KV_VALUE_KEEP_MIN);
   struct kv_entry *entry =
       (void *)((char *)value.data - key.size - offsetof(struct kv_entry, bytes));
   KV_INVARIANT(kv_slice_compare(kv_entry_key(entry), key) == 0);
   kv_object_keep(entry);
   return entry;
}

void kv_value_release(void *kept)
{
   kv_object_release(kept);
}

size_t kv_entry_common(const struct kv_entry *a, const struct kv_entry *b)
{
   if (!a || !b)
      return 0;
   size_t a_size = kv_entry_key(a).size, b_size = kv_entry_key(b).size, common = 0;
   while (common < a_size && common < b_size && a->bytes[common] == b->bytes[common])
      common++;
   return common;
}

struct kv_entry *kv_entry_separator(uint64_t birth, const struct kv_entry *left,
                                    const struct kv_entry *right)
{
   size_t common = kv_entry_common(left, right);
   KV_INVARIANT(common < kv_entry_key(right).size);
   return kv_entry_create(birth, kv_slice(right->bytes, common + 1), kv_slice(NULL, 0));
}

int kv_entry_compare(const struct kv_entry *entry, struct kv_slice key)
{
   return kv_slice_compare(kv_entry_key(entry), key);
}
