/*
 * A walk over the keys of a range in one state of the store: what a client may be shown, in the
 * order of keys, either way. Keys whose time had come when the walk began are passed over, so what
 * is found does not depend on how long the walk takes.
 *
 * It goes in stretches of limited length, so that whoever walks can let others in between.
 *
 * Threads: one at a time.
 */
#ifndef KV_SERVICE_WALK_H
#define KV_SERVICE_WALK_H

#include "core/service/keyvalue/range.h"
#include "core/store/store.h"

/* All keys that clients can name: those that begin with NUL are the server's. */
#define KV_KEY_FIRST kv_slice("\x01", 1)

/* Entries of a stretch: 0.2 ms where they lie in their order, 0.7 ms where they do not. */
#define KV_WALK_STRETCH 8192

struct kv_walk {
   struct kv_store_view *view; /* NULL: there is none */
   struct kv_key_range range;
   bool descending;
   int64_t now_ms; /* Unix time of the beginning */
   unsigned left;  /* entries that may be looked at in this stretch */
   struct kv_cursor cursor;
};

/* The range must stay where it is. False when memory runs out for a view: nothing is to be ended.
 */
bool kv_walk_begin(struct kv_walk *walk, struct kv_store *store, const struct kv_key_range *range,
                   bool descending);
/* Twice is as good as once. */
void kv_walk_end(struct kv_walk *walk);
/* Back to the beginning, in the same state and by the same clock. */
void kv_walk_rewind(struct kv_walk *walk);
/* Begins a stretch. The first begins with the walk. */
void kv_walk_rest(struct kv_walk *walk);

enum kv_walk_found { KV_WALK_ENTRY, KV_WALK_STRETCH_END, KV_WALK_END };
/* *entry is valid until the walk is ended. */
enum kv_walk_found kv_walk_next(struct kv_walk *walk, const struct kv_entry **entry);

#endif
