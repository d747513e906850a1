#include "core/store/entry.h"
#include "core/support/invariant.h"

#include <stdlib.h>

#define EXPIRY_SIZE 6 /* bytes, little-endian */
_Static_assert(KV_EXPIRES_AT_MAX < INT64_C(1) << (8 * EXPIRY_SIZE), "every time fits");

struct kv_slice kv_entry_key(const struct kv_entry *entry)
{
   return kv_slice(entry->bytes, (size_t)kv_object_own(entry) + 1);
}

struct kv_slice kv_entry_value(const struct kv_entry *entry)
{
   return kv_slice(entry->bytes + kv_entry_key(entry).size, kv_entry_value_size(entry));
}

uint64_t kv_entry_version(const struct kv_entry *entry)
{
   return kv_object_birth(entry) - 1;
}

int64_t kv_entry_expires_at(const struct kv_entry *entry)
{
   if (!(entry->value_size & KV_ENTRY_EXPIRES))
      return 0;
   uint64_t time = 0;
   const struct kv_slice value = kv_entry_value(entry);
   memcpy(&time, (const uint8_t *)value.data + value.size, EXPIRY_SIZE);
   return (int64_t)le64toh(time);
}

struct kv_entry *kv_entry_create(struct kv_slice key, struct kv_slice value, int64_t expires_at)
{
   KV_INVARIANT(key.size > 0 && key.size <= KV_KEY_SIZE_MAX && value.size <= KV_VALUE_SIZE_MAX);
   KV_INVARIANT(expires_at >= 0 && expires_at <= KV_EXPIRES_AT_MAX);
   /* Not sizeof: the bytes begin inside what would be the padding. */
   size_t size = offsetof(struct kv_entry, bytes) + key.size + value.size;
   if (expires_at > 0)
      size += EXPIRY_SIZE;
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
   if (expires_at > 0) {
      const uint64_t time = htole64((uint64_t)expires_at);
      memcpy(entry->bytes + key.size + value.size, &time, EXPIRY_SIZE);
      entry->value_size |= KV_ENTRY_EXPIRES;
   }
   return entry;
}

void kv_entry_keep(const struct kv_entry *entry)
{
   KV_INVARIANT(kv_entry_value_size(entry) >= KV_ENTRY_KEEP_MIN);
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
       kv_entry_create(kv_slice(right->bytes, common + 1), kv_slice(NULL, 0), 0);
   if (separator)
      kv_object_set_birth(&separator->object, birth);
   return separator;
}

int kv_entry_compare(const struct kv_entry *entry, struct kv_slice key)
{
   return kv_slice_compare(kv_entry_key(entry), key);
}
