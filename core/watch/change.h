/*
 * A change of the data, and how the history keeps it: in one piece, of which the size is a multiple
 * of KV_CHANGE_ALIGNMENT.
 *
 * Threads: any.
 */
#ifndef KV_CHANGE_H
#define KV_CHANGE_H

#include "core/store/store.h"
#include "core/support/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_CHANGE_ALIGNMENT 8u

enum kv_change_kind {
   KV_CHANGE_SET = 1,
   KV_CHANGE_DELETE,
   KV_CHANGE_EXPIRE,   /* deleted because its time had come */
   KV_CHANGE_HIDDEN,   /* of a key of the server's own, or of none: it only takes up a version */
   KV_CHANGE_REPLACED, /* other data took the place of all: what changed is not known */
   KV_CHANGE_LOST,     /* what changed up to here is not held, for want of memory */
};

struct kv_change_value {
   struct kv_slice bytes;
   const struct kv_entry *entry; /* has the bytes, and may be kept; NULL: they are to be copied */
};

/* Its bytes are valid while its place is pinned. */
struct kv_change {
   const void *record; /* for kv_change_read; NULL: of one that stands between two others */
   uint64_t sequence;
   enum kv_change_kind kind;
   bool joined; /* belongs together with the next one */
   struct kv_slice key;
   struct kv_change_value value;
   int64_t expires_at; /* Unix ms; 0: never */
   bool knows_previous;
   bool existed; /* what follows is what it replaced */
   struct kv_change_value previous;
   uint64_t previous_version;
   int64_t previous_expires_at;
};

/* What it takes at most when it is written, beside the bytes of key and values. */
#define KV_CHANGE_HEAD_MAX ((size_t)72)
static inline size_t kv_change_size_max(const struct kv_change *change)
{
   return KV_CHANGE_HEAD_MAX + change->key.size +
          (change->value.entry ? 0 : change->value.bytes.size) +
          (change->previous.entry ? 0 : change->previous.bytes.size);
}

/* Returns its size. */
size_t kv_change_write(void *record, const struct kv_change *change);
/* Returns its size. What it gives lies in the record, and in entries that are kept. Without what it
 * replaced where that entry may have been released. */
size_t kv_change_read(const void *record, bool with_previous, struct kv_change *change);

#endif
