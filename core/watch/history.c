#include "core/watch/history_internal.h"

#include "core/support/invariant.h"

#include <stdlib.h>
#include <string.h>

/* How many segments a full history has, about: what is dropped at a time. Fewer than the slots, as
 * a change that does not fit closes the one before. */
#define SEGMENTS 128u
#define SEGMENT_SIZE_MIN ((size_t)64 * 1024)
/* Values that are kept close a segment when they take so many times its space, so that they can be
 * dropped soon; the space that is left unused is at most an eighth of them. */
#define KEPT_MAX(capacity) (8 * (capacity))
/* Those of a batch that is larger than all that is to be held grow, lest it run out of slots. */
#define CAPACITY(usual, of_batch) ((usual) << 2 * ((of_batch) / SEGMENTS))

/* Previous values: how much of the limit they may take, and from which size on they are kept apart
 * from their change, to be given up before it. */
#define PREVIOUS_MAX(limit) ((limit) / 4)
#define PREVIOUS_KEEP_MIN ((size_t)4096)

/* ---- Giving up ---- */

static size_t size_of(const struct kv_history_segment *segment)
{
   return sizeof *segment + segment->capacity + segment->kept + segment->previous;
}

static struct kv_history_segment *next_of(const struct kv_history_segment *segment)
{
   return atomic_load_explicit(&segment->next, memory_order_relaxed);
}

static void release_values(struct kv_history_segment *segment)
{
   size_t offset = 0;
   while (segment->kept_count > 0) {
      struct kv_change change;
      offset += kv_change_read(segment->data + offset, false, &change);
      segment->kept_count -= change.value.entry ? 1 : 0;
      kv_entry_release(change.value.entry);
   }
}

static void release_previous(struct kv_history_segment *segment)
{
   size_t offset = 0;
   while (segment->previous_count > 0) {
      struct kv_change change;
      offset += kv_change_read(segment->data + offset, true, &change);
      segment->previous_count -= change.previous.entry ? 1 : 0;
      kv_entry_release(change.previous.entry);
   }
   segment->previous = 0;
}

static void free_segment(struct kv_history *history, struct kv_history_segment *segment)
{
   release_previous(segment);
   release_values(segment);
   if (!history->spare && segment->capacity == history->segment_size)
      history->spare = segment;
   else
      free(segment);
}

/* The lowest number of a segment that some reader has pinned. */
static uint64_t find_pin(const struct kv_history *history)
{
   uint64_t lowest = KV_HISTORY_NO_PIN;
   for (unsigned i = 0; i < history->readers; i++) {
      uint64_t number = atomic_load(&history->pins[i].number);
      lowest = number < lowest ? number : lowest;
   }
   return lowest;
}

/* What is given up is freed when nobody has it pinned: whoever pins it after `lowest_segment` or
 * `lowest_previous` was stored sees that, and whoever did before is seen. */
static void free_given_up(struct kv_history *history)
{
   if (!history->dropped && history->unreleased == history->with_previous)
      return;
   const uint64_t pinned = find_pin(history);
   while (history->unreleased != history->with_previous && history->unreleased->number < pinned) {
      history->given_up -= history->unreleased->previous;
      release_previous(history->unreleased);
      history->unreleased = next_of(history->unreleased);
   }
   struct kv_history_segment **at = &history->dropped, *segment;
   while ((segment = *at)) {
      if (segment->number >= pinned) {
         at = &segment->next_dropped;
         continue;
      }
      *at = segment->next_dropped;
      history->given_up -= size_of(segment);
      free_segment(history, segment);
   }
}

static void give_up(struct kv_history *history, size_t size)
{
   history->held -= size;
   history->given_up += size;
}

/* Of the oldest segment that has them. */
static void drop_previous(struct kv_history *history)
{
   const struct kv_history_segment *segment = history->with_previous;
   history->with_previous = next_of(segment);
   history->previous -= segment->previous;
   give_up(history, segment->previous);
   atomic_store(&history->lowest_previous, segment->number + 1);
}

static void raise_lowest(struct kv_history *history, uint64_t version)
{
   if (version > atomic_load_explicit(&history->lowest, memory_order_relaxed))
      atomic_store_explicit(&history->lowest, version, memory_order_release);
}

static void drop_oldest(struct kv_history *history)
{
   struct kv_history_segment *segment = history->oldest;
   struct kv_history_segment *newer = next_of(segment);
   if (history->with_previous == segment)
      drop_previous(history);
   if (history->unreleased == segment)
      history->unreleased = newer;
   history->oldest = newer;
   give_up(history, size_of(segment) - segment->previous);
   raise_lowest(history, newer->before + 1);
   atomic_store(&history->lowest_segment, newer->number);
   segment->next_dropped = history->dropped;
   history->dropped = segment;
}

/* Whether a segment has no part of the batch being added, and is not the only one. */
static bool is_over(const struct kv_history *history, const struct kv_history_segment *segment)
{
   return segment->number < history->batch_segment && segment != history->newest;
}

static void keep_to_limit(struct kv_history *history)
{
   while (history->previous > PREVIOUS_MAX(history->size_max) &&
          is_over(history, history->with_previous))
      drop_previous(history);
   while (history->held > history->size_max && is_over(history, history->oldest))
      drop_oldest(history);
   free_given_up(history);
}

/* ---- Segments ---- */

static struct kv_history_segment *allocate(struct kv_history *history, size_t size)
{
   struct kv_history_segment *segment = history->spare;
   size_t capacity = history->segment_size;
   if (history->has_batch)
      capacity = CAPACITY(capacity, history->newest->number + 1 - history->batch_segment);
   if (size > capacity)
      capacity = size;
   if (segment && capacity == history->segment_size) {
      history->spare = NULL;
      return segment;
   }
   segment = malloc(sizeof *segment + capacity);
   if (segment)
      segment->capacity = capacity;
   return segment;
}

static void append(struct kv_history *history, struct kv_history_segment *segment)
{
   struct kv_history_segment *before = history->newest;
   _Atomic(struct kv_history_segment *) *slot = &history->slots[segment->number % KV_HISTORY_SLOTS];
   if (before && segment->number - history->oldest->number == KV_HISTORY_SLOTS)
      drop_oldest(history); /* whatever it has: its slot is needed */
   atomic_store_explicit(slot, segment, memory_order_release);
   if (before)
      atomic_store_explicit(&before->next, segment, memory_order_release);
   else
      history->oldest = history->with_previous = history->unreleased = segment;
   history->newest = segment;
   history->held += size_of(segment);
}

/* A newest segment, with space for `size` bytes; false when memory runs out. */
static bool extend(struct kv_history *history, size_t size)
{
   struct kv_history_segment *segment = allocate(history, size);
   if (!segment)
      return false;
   segment->number = history->newest ? history->newest->number + 1 : 0;
   segment->before = history->last_added;
   segment->added_before = history->added_so_far;
   segment->cut = history->cut;
   segment->used = segment->kept = segment->previous = 0;
   segment->kept_count = segment->previous_count = 0;
   atomic_init(&segment->next, NULL);
   append(history, segment);
   history->cut = 0;
   return true;
}

/* ---- Adding ---- */

/* One of `size_min` bytes or more is kept with its entry, which is made where there is none, or
 * where it is too small to be kept. False when memory runs out. */
static bool keep_value(struct kv_change_value *value, size_t size_min, struct kv_slice key)
{
   if (value->bytes.size < size_min) {
      value->entry = NULL;
      return true;
   }
   if (value->entry && value->bytes.size >= KV_ENTRY_KEEP_MIN)
      kv_entry_keep(value->entry);
   else
      value->entry = kv_entry_create(key, value->bytes, 0);
   return value->entry;
}

/* Nothing up to `sequence` is held any more; the next segment begins with a change of that kind. */
static void cut(struct kv_history *history, enum kv_change_kind kind, uint64_t sequence)
{
   if (history->cut != KV_CHANGE_REPLACED)
      history->cut = kind;
   history->last_added = sequence;
   raise_lowest(history, sequence + 1);
}

static void lose(struct kv_history *history, struct kv_change *change)
{
   kv_entry_release(change->value.entry);
   kv_entry_release(change->previous.entry);
   cut(history, KV_CHANGE_LOST, change->sequence);
}

/* Returns the bytes of the entries that it keeps. */
static size_t count_kept(struct kv_history *history, const struct kv_change *change)
{
   struct kv_history_segment *segment = history->newest;
   if (!change->value.entry && !change->previous.entry)
      return 0;
   const size_t kept = change->value.entry ? change->value.bytes.size : 0;
   const size_t previous = change->previous.entry ? change->previous.bytes.size : 0;
   segment->kept_count += change->value.entry ? 1 : 0;
   segment->previous_count += change->previous.entry ? 1 : 0;
   segment->kept += kept;
   segment->previous += previous;
   history->previous += previous;
   history->held += kept + previous;
   return kept + previous;
}

static bool needs_segment(const struct kv_history *history, size_t size)
{
   const struct kv_history_segment *newest = history->newest;
   return newest->capacity - newest->used < size ||
          newest->kept + newest->previous > KEPT_MAX(newest->capacity) || history->cut != 0 ||
          (!history->has_batch && newest->capacity > history->segment_size);
}

/* The batch before may be given up from now on. */
static void begin_batch(struct kv_history *history, uint64_t segment)
{
   history->has_batch = true;
   history->batch_segment = segment;
   keep_to_limit(history);
}

static void add(struct kv_history *history, struct kv_change *change)
{
   const size_t size_max = kv_change_size_max(change);
   const bool extends = needs_segment(history, size_max);
   KV_INVARIANT(change->sequence > history->last_added);
   if (!history->has_batch)
      begin_batch(history, history->newest->number + (extends ? 1 : 0));
   if (extends && !extend(history, size_max)) {
      lose(history, change);
      return;
   }
   struct kv_history_segment *segment = history->newest;
   const size_t size = kv_change_write(segment->data + segment->used, change);
   const size_t kept = count_kept(history, change);
   segment->used += size;
   history->added_so_far += size + kept;
   history->last_added = change->sequence;
   if (extends || kept > 0)
      keep_to_limit(history);
}

static enum kv_change_kind kind_of(const kvs_record *record)
{
   if (record->kind == KVS_SET)
      return KV_CHANGE_SET;
   return record->flags & KVS_RECORD_EXPIRED ? KV_CHANGE_EXPIRE : KV_CHANGE_DELETE;
}

/* Unless those of the batch would take too much. */
static void set_previous(struct kv_history *history, struct kv_change *change,
                         const struct kv_history_previous *previous)
{
   const size_t size = previous->existed ? previous->value.size : 0;
   if (history->batch_previous + size > PREVIOUS_MAX(history->size_max))
      return;
   history->batch_previous += size;
   change->knows_previous = true;
   change->existed = previous->existed;
   if (!previous->existed)
      return;
   change->previous.bytes = previous->value;
   change->previous.entry = previous->entry;
   change->previous_version = previous->version;
   change->previous_expires_at = previous->expires_at;
}

void kv_history_add(struct kv_history *history, const kvs_record *record,
                    const struct kv_entry *entry, const struct kv_history_previous *previous)
{
   struct kv_change change = {.sequence = record->sequence,
                              .kind = KV_CHANGE_HIDDEN,
                              .joined = record->flags & KVS_RECORD_JOINED};
   const struct kv_slice key = kv_slice(record->key.data, record->key.size);
   if (!kv_key_is_hidden(key)) {
      change.kind = kind_of(record);
      change.key = key;
      change.value.bytes = kv_slice(record->value.data, record->value.size);
      change.value.entry = entry;
      change.expires_at = record->expires_at_ms;
      if (previous)
         set_previous(history, &change, previous);
      if (!keep_value(&change.value, KV_ENTRY_KEEP_MIN, change.key)) {
         change.previous.entry = NULL;
         lose(history, &change);
         return;
      }
      if (!keep_value(&change.previous, PREVIOUS_KEEP_MIN, change.key)) {
         lose(history, &change);
         return;
      }
   }
   add(history, &change);
}

static void begin_with(struct kv_history *history, enum kv_change_kind kind, uint64_t sequence)
{
   cut(history, kind, sequence);
   (void)extend(history, 0); /* else with the next change */
   kv_history_publish(history);
}

void kv_history_begin(struct kv_history *history, uint64_t sequence)
{
   begin_with(history, KV_CHANGE_LOST, sequence);
}

void kv_history_replace(struct kv_history *history, uint64_t sequence)
{
   atomic_store_explicit(&history->replaced, sequence, memory_order_relaxed);
   begin_with(history, KV_CHANGE_REPLACED, sequence);
}

void kv_history_reach(struct kv_history *history, uint64_t sequence)
{
   struct kv_change change = {.sequence = sequence, .kind = KV_CHANGE_HIDDEN};
   if (sequence > history->last_added)
      add(history, &change);
}

/* Of the newest segment only what is published is read. */
void kv_history_publish(struct kv_history *history)
{
   const struct kv_history_segment *newest = history->newest;
   history->has_batch = false;
   history->batch_previous = 0;
   atomic_store_explicit(&history->bytes, history->held + history->given_up, memory_order_relaxed);
   atomic_store_explicit(&history->added, history->added_so_far, memory_order_relaxed);
   atomic_store_explicit(&history->last, history->last_added, memory_order_relaxed);
   atomic_store_explicit(&history->end, kv_history_place(newest, newest->used),
                         memory_order_release);
}

/* ---- Life ---- */

struct kv_history *kv_history_create(size_t size, unsigned readers)
{
   KV_INVARIANT(size >= KV_HISTORY_SIZE_MIN);
   const size_t own = sizeof(struct kv_history) + readers * sizeof(struct kv_history_pin);
   struct kv_history *history = aligned_alloc(KV_CACHE_LINE, own);
   if (!history)
      return NULL;
   memset(history, 0, own);
   history->size_max = size;
   history->segment_size = size / SEGMENTS > SEGMENT_SIZE_MIN ? size / SEGMENTS : SEGMENT_SIZE_MIN;
   history->segment_size -= sizeof(struct kv_history_segment);
   history->readers = readers;
   for (unsigned i = 0; i < readers; i++)
      atomic_init(&history->pins[i].number, KV_HISTORY_NO_PIN);
   atomic_init(&history->lowest, 1);
   atomic_init(&history->replaced, 0);
   if (!extend(history, 0)) {
      free(history);
      return NULL;
   }
   atomic_init(&history->bytes, history->held);
   return history;
}

void kv_history_destroy(struct kv_history *history)
{
   KV_INVARIANT(find_pin(history) == KV_HISTORY_NO_PIN);
   while (history->oldest != history->newest)
      drop_oldest(history);
   free_given_up(history);
   free_segment(history, history->newest);
   free(history->spare);
   free(history);
}
