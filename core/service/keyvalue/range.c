#include "core/service/keyvalue/range.h"

#include "core/service/validate.h"

#include <stdio.h>

/* Below every key that clients can name, above the server's own (store.h). */
static const char first_key[] = {1};

static struct kv_slice bytes_of(ProtobufCBinaryData data)
{
   return kv_slice(data.data, data.len);
}

static enum kv_code check_fields(const char *field, const Kvstore__V1__KeyRange *message,
                                 struct kv_status *status)
{
   const struct {
      const char *name;
      struct kv_slice bytes;
   } parts[] = {{"prefix", bytes_of(message->prefix)},
                {"start", bytes_of(message->start)},
                {"end", bytes_of(message->end)},
                {"key", bytes_of(message->key)}};
   for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
      char name[64];
      snprintf(name, sizeof name, "%s.%s", field, parts[i].name);
      if (kv_validate_prefix(name, parts[i].bytes, status) != KV_OK)
         return status->code;
   }
   if (message->key.len > 0 && (message->prefix.len | message->start.len | message->end.len))
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "%s.key: is that key alone; leave out prefix, start and end", field);
   return KV_OK;
}

static void *copy(struct kv_arena *arena, struct kv_slice bytes, size_t more,
                  struct kv_status *status)
{
   char *memory = kv_arena_alloc(arena, bytes.size + more);
   if (!memory)
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a range of keys");
   else if (bytes.size > 0)
      memcpy(memory, bytes.data, bytes.size);
   return memory;
}

/* From the key to right above it. */
static enum kv_code resolve_key(struct kv_slice key, struct kv_arena *arena,
                                struct kv_key_range *range, struct kv_status *status)
{
   char *end = copy(arena, key, 1, status);
   if (!end)
      return status->code;
   end[key.size] = '\0';
   *range = (struct kv_key_range){.start = key, .end = kv_slice(end, key.size + 1)};
   return KV_OK;
}

/* No byte of UTF-8 is 0xff, so that the last one can be raised. */
static enum kv_code resolve_prefix(struct kv_slice prefix, struct kv_arena *arena,
                                   struct kv_key_range *range, struct kv_status *status)
{
   char *end = copy(arena, prefix, 0, status);
   if (!end)
      return status->code;
   end[prefix.size - 1]++;
   if (kv_slice_compare(prefix, range->start) > 0)
      range->start = prefix;
   if (range->end.size == 0 || kv_slice_compare(kv_slice(end, prefix.size), range->end) < 0)
      range->end = kv_slice(end, prefix.size);
   return KV_OK;
}

enum kv_code kv_range_resolve(const char *field, const Kvstore__V1__KeyRange *message,
                              struct kv_arena *arena, struct kv_key_range *range,
                              struct kv_status *status)
{
   *range = (struct kv_key_range){.start = kv_slice(first_key, sizeof first_key)};
   if (!message)
      return KV_OK;
   if (check_fields(field, message, status) != KV_OK)
      return status->code;
   if (message->key.len > 0)
      return resolve_key(bytes_of(message->key), arena, range, status);
   if (message->start.len > 0)
      range->start = bytes_of(message->start);
   range->end = bytes_of(message->end);
   if (message->prefix.len > 0 &&
       resolve_prefix(bytes_of(message->prefix), arena, range, status) != KV_OK)
      return status->code;
   if (range->end.size > 0 && kv_slice_compare(range->start, range->end) >= 0)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "%s: no key can be in it: `end` must be above `start`, and both within "
                            "the prefix",
                            field);
   return KV_OK;
}

/* ---- Grants ---- */

/* How many bytes all keys begin with that lie from `start` on and below `end`: what the two have in
 * common; and one more where `end` is right above all keys that begin with so much of `start`. */
static size_t common_size(struct kv_slice start, struct kv_slice end)
{
   const unsigned char *from = start.data, *to = end.data;
   size_t size = 0;
   while (size < start.size && size < end.size && from[size] == to[size])
      size++;
   bool is_next = size < start.size && end.size == size + 1 && to[size] == from[size] + 1;
   return size + is_next;
}

bool kv_key_range_may(const struct kv_user *user, enum kv_role role,
                      const struct kv_key_range *range)
{
   size_t size = range->end.size > 0 ? common_size(range->start, range->end) : 0;
   return kv_user_may(user, role, kv_slice(range->start.data, size));
}

bool kv_range_may(const struct kv_user *user, enum kv_role role,
                  const Kvstore__V1__KeyRange *message)
{
   if (!message)
      return kv_user_may(user, role, kv_slice(NULL, 0));
   const struct kv_key_range range = {bytes_of(message->start), bytes_of(message->end)};
   /* Each that is set holds all keys of the range by itself. */
   if (message->key.len > 0)
      return kv_user_may(user, role, bytes_of(message->key));
   return kv_user_may(user, role, bytes_of(message->prefix)) ||
          kv_key_range_may(user, role, &range);
}
