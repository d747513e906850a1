/*
 * The effects of one batch: the records that plug-ins are given, and, where somebody wants them,
 * the entries that they have replaced.
 *
 * A record's key and value point into its submission, or into the memory of the effects; they are
 * valid until it is dropped.
 *
 * Threads: the committer alone.
 */
#ifndef KV_EFFECTS_H
#define KV_EFFECTS_H

#include "core/commit/targets.h"
#include "core/store/store.h"
#include "core/support/arena.h"
#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_effects {
   kvs_record *records;
   struct kv_replaced *replaced; /* of each record, while they are kept; else NULL */
   size_t count, capacity;
   size_t expired;         /* deletions of keys of clients whose time had come */
   uint64_t last_sequence; /* of the newest record, or of the state before the batch */
   bool keeps_replaced;
   struct kv_arena arena;
   /* Whose values records or replaced entries have, where a copy would cost more. */
   const struct kv_entry **kept;
   size_t kept_count, kept_capacity;
};

void kv_effects_init(struct kv_effects *effects);
void kv_effects_deinit(struct kv_effects *effects);
/* `sequence`: of the state that the batch builds on. Keeps the memory of earlier batches. */
void kv_effects_reset(struct kv_effects *effects, uint64_t sequence, bool keep_replaced);

/* Gives back what the records have pointed to; they can be counted all the same. */
void kv_effects_drop(struct kv_effects *effects);

/* Appends a record with the next sequence. `old` is the entry that it replaces, NULL: none; it is
 * not used unless replaced entries are kept. False when memory runs out. */
bool kv_effects_set(struct kv_effects *effects, struct kv_slice key, struct kv_slice value,
                    int64_t expires_at, const struct kv_entry *old);
/* `flags`: 0 or KVS_RECORD_EXPIRED. */
bool kv_effects_delete(struct kv_effects *effects, struct kv_slice key, uint32_t flags,
                       const struct kv_entry *old);
/* Makes the records from `first` on one unit. */
void kv_effects_join(struct kv_effects *effects, size_t first);
/* A copy that lives as long as the records; data is NULL when memory runs out. */
struct kv_slice kv_effects_copy(struct kv_effects *effects, struct kv_slice bytes);
/* The same of an entry's value, but a large one is kept as it is. */
struct kv_slice kv_effects_keep_value(struct kv_effects *effects, const struct kv_entry *entry);

#endif
