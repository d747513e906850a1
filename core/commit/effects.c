#include "core/commit/effects.h"

#include <stdlib.h>

void kv_effects_init(struct kv_effects *effects)
{
   *effects = (struct kv_effects){0};
   kv_arena_init(&effects->arena);
}

void kv_effects_deinit(struct kv_effects *effects)
{
   kv_effects_drop(effects);
   free(effects->records);
   free(effects->replaced);
   free(effects->kept);
}

void kv_effects_drop(struct kv_effects *effects)
{
   while (effects->kept_count > 0)
      kv_entry_release(effects->kept[--effects->kept_count]);
   kv_arena_reset(&effects->arena);
}

void kv_effects_reset(struct kv_effects *effects, uint64_t sequence, bool keep_replaced)
{
   effects->count = effects->expired = 0;
   effects->last_sequence = sequence;
   effects->keeps_replaced = keep_replaced;
   kv_effects_drop(effects);
}

static bool grow(struct kv_effects *effects)
{
   size_t capacity = effects->capacity ? effects->capacity * 2 : 256;
   kvs_record *records = reallocarray(effects->records, capacity, sizeof *records);
   if (!records)
      return false;
   effects->records = records;
   struct kv_replaced *replaced = reallocarray(effects->replaced, capacity, sizeof *replaced);
   if (!replaced)
      return false;
   effects->replaced = replaced;
   effects->capacity = capacity;
   return true;
}

static bool note_replaced(struct kv_effects *effects, const struct kv_entry *old)
{
   struct kv_replaced *replaced = &effects->replaced[effects->count];
   *replaced = (struct kv_replaced){.existed = old};
   if (!old)
      return true;
   const struct kv_slice value = kv_effects_keep_value(effects, old);
   replaced->entry = (struct kv_previous){
       .value = value, .version = kv_entry_version(old), .expires_at = kv_entry_expires_at(old)};
   if (value.size >= KV_ENTRY_KEEP_MIN)
      replaced->kept = old;
   return value.data;
}

static bool append(struct kv_effects *effects, kvs_record record, const struct kv_entry *old)
{
   if (effects->count == effects->capacity && !grow(effects))
      return false;
   if (effects->keeps_replaced && !note_replaced(effects, old))
      return false;
   record.sequence = ++effects->last_sequence;
   effects->records[effects->count++] = record;
   return true;
}

bool kv_effects_set(struct kv_effects *effects, struct kv_slice key, struct kv_slice value,
                    int64_t expires_at, const struct kv_entry *old)
{
   return append(effects,
                 (kvs_record){.kind = KVS_SET,
                              .expires_at_ms = expires_at,
                              .key = {key.data, key.size},
                              .value = {value.data, value.size}},
                 old);
}

bool kv_effects_delete(struct kv_effects *effects, struct kv_slice key, uint32_t flags,
                       const struct kv_entry *old)
{
   if (!append(effects,
               (kvs_record){.kind = KVS_DELETE, .flags = flags, .key = {key.data, key.size}}, old))
      return false;
   effects->expired += (flags & KVS_RECORD_EXPIRED) && !kv_key_is_hidden(key);
   return true;
}

void kv_effects_join(struct kv_effects *effects, size_t first)
{
   for (size_t i = first; i + 1 < effects->count; i++)
      effects->records[i].flags |= KVS_RECORD_JOINED;
}

struct kv_slice kv_effects_copy(struct kv_effects *effects, struct kv_slice bytes)
{
   /* Of an empty one, too, data says that it could be made. */
   void *copy = kv_arena_copy(&effects->arena, bytes.size > 0 ? bytes.data : "", bytes.size);
   return kv_slice(copy, copy ? bytes.size : 0);
}

struct kv_slice kv_effects_keep_value(struct kv_effects *effects, const struct kv_entry *entry)
{
   const struct kv_slice value = kv_entry_value(entry);
   if (value.size < KV_ENTRY_KEEP_MIN)
      return kv_effects_copy(effects, value);
   if (effects->kept_count == effects->kept_capacity) {
      size_t capacity = effects->kept_capacity ? effects->kept_capacity * 2 : 16;
      const struct kv_entry **kept = reallocarray(effects->kept, capacity, sizeof *kept);
      if (!kept)
         return kv_slice(NULL, 0);
      effects->kept = kept;
      effects->kept_capacity = capacity;
   }
   kv_entry_keep(entry);
   effects->kept[effects->kept_count++] = entry;
   return value;
}
