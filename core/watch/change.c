#include "core/watch/change.h"

#include <string.h>

enum {
   JOINED = 1,
   EXPIRES = 2,
   VALUE_KEPT = 4,
   PREVIOUS_KNOWN = 8,
   PREVIOUS_EXISTED = 16,
   PREVIOUS_EXPIRES = 32,
   PREVIOUS_KEPT = 64,
};

/* Of a change. Behind it, where the flags say so: when it expires, the entry of its value, version,
 * expiry and entry of what it replaced, 8 bytes each; then the bytes of key and values. */
struct head {
   uint64_t sequence;
   uint32_t size; /* of all, aligned */
   uint32_t value_size, previous_size;
   uint16_t key_size; /* less one */
   uint8_t kind, flags;
};
_Static_assert(sizeof(struct head) == 24, "the head has no padding");
_Static_assert(sizeof(struct head) + 5 * sizeof(uint64_t) + KV_CHANGE_ALIGNMENT - 1 <
                   KV_CHANGE_HEAD_MAX,
               "a head with all words behind it, aligned");

static const uint8_t *get_word(const uint8_t *at, void *word)
{
   memcpy(word, at, sizeof(uint64_t));
   return at + sizeof(uint64_t);
}

static uint8_t *put_word(uint8_t *at, const void *word)
{
   memcpy(at, word, sizeof(uint64_t));
   return at + sizeof(uint64_t);
}

static uint8_t *put_bytes(uint8_t *at, struct kv_slice bytes)
{
   if (bytes.size > 0)
      memcpy(at, bytes.data, bytes.size);
   return at + bytes.size;
}

static bool has_key(enum kv_change_kind kind)
{
   return kind != KV_CHANGE_HIDDEN && kind != KV_CHANGE_REPLACED;
}

static uint8_t flags_of(const struct kv_change *change)
{
   return (uint8_t)((change->joined ? JOINED : 0) | (change->expires_at ? EXPIRES : 0) |
                    (change->value.entry ? VALUE_KEPT : 0) |
                    (change->knows_previous ? PREVIOUS_KNOWN : 0) |
                    (change->existed ? PREVIOUS_EXISTED : 0) |
                    (change->previous_expires_at ? PREVIOUS_EXPIRES : 0) |
                    (change->previous.entry ? PREVIOUS_KEPT : 0));
}

/* How many words stand behind a head with these flags. */
static size_t words_of(unsigned flags)
{
   return (size_t)__builtin_popcount(
       flags & (EXPIRES | VALUE_KEPT | PREVIOUS_EXISTED | PREVIOUS_EXPIRES | PREVIOUS_KEPT));
}

static struct head head_of(const struct kv_change *change)
{
   struct head head = {
       .sequence = change->sequence, .kind = (uint8_t)change->kind, .flags = flags_of(change)};
   size_t size = sizeof head + words_of(head.flags) * sizeof(uint64_t);
   if (has_key(change->kind)) {
      head.key_size = (uint16_t)(change->key.size - 1);
      head.value_size = change->value.entry ? 0 : (uint32_t)change->value.bytes.size;
      head.previous_size = change->previous.entry ? 0 : (uint32_t)change->previous.bytes.size;
      size += change->key.size + head.value_size + head.previous_size;
   }
   head.size = (uint32_t)((size + KV_CHANGE_ALIGNMENT - 1) & ~(size_t)(KV_CHANGE_ALIGNMENT - 1));
   return head;
}

size_t kv_change_write(void *record, const struct kv_change *change)
{
   const struct head built = head_of(change), *head = &built;
   uint8_t *at = record;
   memcpy(at, head, sizeof *head);
   at += sizeof *head;
   if (head->flags & EXPIRES)
      at = put_word(at, &change->expires_at);
   if (head->flags & VALUE_KEPT)
      at = put_word(at, &change->value.entry);
   if (head->flags & PREVIOUS_EXISTED)
      at = put_word(at, &change->previous_version);
   if (head->flags & PREVIOUS_EXPIRES)
      at = put_word(at, &change->previous_expires_at);
   if (head->flags & PREVIOUS_KEPT)
      at = put_word(at, &change->previous.entry);
   if (!has_key(change->kind))
      return head->size;
   at = put_bytes(at, change->key);
   at = put_bytes(at, kv_slice(change->value.bytes.data, head->value_size));
   put_bytes(at, kv_slice(change->previous.bytes.data, head->previous_size));
   return head->size;
}

static void forget_previous(struct kv_change *change)
{
   change->knows_previous = change->existed = false;
   change->previous = (struct kv_change_value){.entry = NULL};
   change->previous_version = 0;
   change->previous_expires_at = 0;
}

size_t kv_change_read(const void *record, bool with_previous, struct kv_change *change)
{
   const uint8_t *at = record;
   struct head head;
   memcpy(&head, at, sizeof head);
   at += sizeof head;
   *change = (struct kv_change){.record = record,
                                .sequence = head.sequence,
                                .kind = (enum kv_change_kind)head.kind,
                                .joined = head.flags & JOINED,
                                .knows_previous = head.flags & PREVIOUS_KNOWN,
                                .existed = head.flags & PREVIOUS_EXISTED};
   if (head.flags & EXPIRES)
      at = get_word(at, &change->expires_at);
   if (head.flags & VALUE_KEPT)
      at = get_word(at, &change->value.entry);
   if (head.flags & PREVIOUS_EXISTED)
      at = get_word(at, &change->previous_version);
   if (head.flags & PREVIOUS_EXPIRES)
      at = get_word(at, &change->previous_expires_at);
   if (head.flags & PREVIOUS_KEPT)
      at = get_word(at, &change->previous.entry);
   if (!has_key(change->kind))
      return head.size;
   change->key = kv_slice(at, (size_t)head.key_size + 1);
   at += change->key.size;
   change->value.bytes =
       change->value.entry ? kv_entry_value(change->value.entry) : kv_slice(at, head.value_size);
   at += head.value_size;
   if (!with_previous) {
      forget_previous(change);
      return head.size;
   }
   change->previous.bytes = change->previous.entry ? kv_entry_value(change->previous.entry)
                                                   : kv_slice(at, head.previous_size);
   return head.size;
}
