#include "core/store/entry.h"
#include "core/support/invariant.h"

#include <stdlib.h>

struct kv_slice kv_entry_key(const struct kv_entry *entry)
{
   return kv_slice(entry->bytes, (size_t)kv_object_own(entry) + 1);
}

struct kv_slice kv_entry_value(const struct kv_entry *entry)
{
   return kv_slice(entry->bytes + kv_entry_key(entry).size, entry->value_size);
}

struct kv_entry *kv_entry_create(struct kv_slice key, struct kv_slice value)
{
   KV_INVARIANT(key.size > 0 && key.size <= KV_KEY_SIZE_MAX && value.size <= KV_VALUE_SIZE_MAX);
   /* Not sizeof: the bytes begin inside what would be the padding. */
   size_t size = offsetof(struct kv_entry, bytes) + key.size + value.size;
   bool counted = value.size >= KV_ENTRY_KEEP_MIN;
   struct kv_entry *entry = counted ? kv_object_allocate_counted(size) : malloc(size);
   if (!entry)
      return NULL;
   entry->object = kv_object(0, (uint16_t)(key.size - 1));
   if (counted)
      kv_object_set_counted(&entry->object);
   entry->value_size = (uint32_t)value.size;
   memcpy(entry->bytes, key.data, key.size);
   if (value.size > 0)
      memcpy(entry->bytes + key.size, value.data, value.size);
   return entry;
}

void kv_entry_keep(const struct kv_entry *entry)
{
   KV_INVARIANT(entry->value_size >= KV_ENTRY_KEEP_MIN);
   kv_object_keep((struct kv_entry *)entry); /* only its count changes */
}

void kv_entry_release(const struct kv_entry *entry)
{
   if (entry)
      kv_object_release((struct kv_entry *)entry);
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
   struct kv_entry *separator =
       kv_entry_create(kv_slice(right->bytes, common + 1), kv_slice(NULL, 0));
   if (separator)
      kv_object_set_birth(&separator->object, birth);
   return separator;
}

int kv_entry_compare(const struct kv_entry *entry, struct kv_slice key)
{
   return kv_slice_compare(kv_entry_key(entry), key);
}
