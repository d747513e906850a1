#include "core/watch/history.h"

#include "core/support/cache_line.h"
#include "core/support/invariant.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* How many segments a full history has, about: what is dropped at a time. */
#define SEGMENTS 64u
#define SEGMENT_SIZE_MIN ((size_t)64 * 1024)
/* Held at a time; more than SEGMENTS, as a change that does not fit closes the one before. A power
 * of two. */
#define SLOTS 256u

/* Of a position. */
#define OFFSET_BITS 32

#define NO_PIN UINT64_MAX

struct kv_history_segment {
   uint64_t number;
   uint64_t before;                           /* it has changes above this sequence */
   uint64_t added_before;                     /* bytes of all changes of those before it */
   enum kv_change_kind cut;                   /* what is between the one before and it; or 0 */
   _Atomic(struct kv_history_segment *) next; /* the newer one */
   struct kv_history_segment *next_dropped;
   size_t capacity;
   size_t used;   /* the writer's, until there is a newer one */
   size_t kept;   /* bytes of values whose entries it keeps */
   size_t values; /* how many those are */
   _Alignas(KV_CHANGE_ALIGNMENT) uint8_t data[];
};

struct pin {
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t number; /* of the oldest segment needed, or NO_PIN */
};

struct kv_history {
   /* Published by the writer. */
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t end;
   _Atomic uint64_t added; /* bytes of all changes, ever */
   _Atomic uint64_t last;
   _Atomic uint64_t lowest;         /* version */
   _Atomic uint64_t lowest_segment; /* its number; those below it are dropped */
   _Atomic size_t bytes;
   _Atomic(struct kv_history_segment *) slots[SLOTS];

   /* The writer's. */
   _Alignas(KV_CACHE_LINE) struct kv_history_segment *newest;
   struct kv_history_segment *oldest;
   struct kv_history_segment *dropped; /* some reader may still have them pinned */
   struct kv_history_segment *spare;   /* of the usual size, or NULL */
   uint64_t last_added;                /* sequence */
   uint64_t added_so_far;              /* bytes */
   enum kv_change_kind cut;            /* what the next segment begins with; or 0 */
   size_t size_max, segment_size, held;

   unsigned readers;
   struct pin pins[];
};

/* ---- Segments: the writer ---- */

static size_t size_of(const struct kv_history_segment *segment)
{
   return sizeof *segment + segment->capacity + segment->kept;
}

static void release_values(const struct kv_history_segment *segment)
{
   size_t left = segment->values, offset = 0;
   while (left > 0) {
      struct kv_change change;
      offset += kv_change_read(segment->data + offset, &change);
      left -= (change.value.entry ? 1u : 0u) + (change.previous.entry ? 1u : 0u);
      kv_entry_release(change.value.entry);
      kv_entry_release(change.previous.entry);
   }
}

static void free_segment(struct kv_history *history, struct kv_history_segment *segment)
{
   release_values(segment);
   if (!history->spare && segment->capacity == history->segment_size)
      history->spare = segment;
   else
      free(segment);
}

/* The lowest number of a segment that some reader has pinned. */
static uint64_t find_pin(const struct kv_history *history)
{
   uint64_t lowest = NO_PIN;
   for (unsigned i = 0; i < history->readers; i++) {
      uint64_t number = atomic_load(&history->pins[i].number);
      lowest = number < lowest ? number : lowest;
   }
   return lowest;
}

static void free_dropped(struct kv_history *history)
{
   if (!history->dropped)
      return;
   const uint64_t pinned = find_pin(history);
   struct kv_history_segment **at = &history->dropped, *segment;
   while ((segment = *at)) {
      if (segment->number >= pinned) {
         at = &segment->next_dropped;
         continue;
      }
      *at = segment->next_dropped;
      free_segment(history, segment);
   }
}

static void raise_lowest(struct kv_history *history, uint64_t version)
{
   if (version > atomic_load_explicit(&history->lowest, memory_order_relaxed))
      atomic_store_explicit(&history->lowest, version, memory_order_relaxed);
}

/* What is dropped is freed when nobody has it pinned: whoever pins it after `lowest_segment` was
 * stored sees that, and whoever did before is seen. */
static void drop_oldest(struct kv_history *history)
{
   struct kv_history_segment *segment = history->oldest;
   struct kv_history_segment *newer = atomic_load_explicit(&segment->next, memory_order_relaxed);
   history->oldest = newer;
   history->held -= size_of(segment);
   raise_lowest(history, newer->before + 1);
   atomic_store(&history->lowest_segment, newer->number);
   segment->next_dropped = history->dropped;
   history->dropped = segment;
}

static bool is_too_large(const struct kv_history *history)
{
   return history->held > history->size_max ||
          history->newest->number - history->oldest->number >= SLOTS - 1;
}

static void keep_to_limit(struct kv_history *history)
{
   while (history->oldest != history->newest && is_too_large(history))
      drop_oldest(history);
   free_dropped(history);
   atomic_store_explicit(&history->bytes, history->held, memory_order_relaxed);
}

static struct kv_history_segment *allocate(struct kv_history *history, size_t size)
{
   struct kv_history_segment *segment = history->spare;
   size_t capacity = size > history->segment_size ? size : history->segment_size;
   if (segment && capacity == history->segment_size) {
      history->spare = NULL;
      return segment;
   }
   segment = malloc(sizeof *segment + capacity);
   if (segment)
      segment->capacity = capacity;
   return segment;
}

/* A newest segment, with space for `size` bytes; false when memory runs out. */
static bool extend(struct kv_history *history, size_t size)
{
   struct kv_history_segment *segment = allocate(history, size), *before = history->newest;
   if (!segment)
      return false;
   segment->number = before ? before->number + 1 : 0;
   segment->before = history->last_added;
   segment->added_before = history->added_so_far;
   segment->cut = history->cut;
   segment->used = segment->kept = segment->values = 0;
   atomic_init(&segment->next, NULL);
   atomic_store_explicit(&history->slots[segment->number % SLOTS], segment, memory_order_release);
   if (before)
      atomic_store_explicit(&before->next, segment, memory_order_release);
   else
      history->oldest = segment;
   history->newest = segment;
   history->cut = 0;
   history->held += size_of(segment);
   keep_to_limit(history);
   return true;
}

/* ---- Adding ---- */

/* A large value is kept with its entry, which is made where there is none. False when memory runs
 * out. */
static bool keep_value(struct kv_change_value *value, struct kv_slice key)
{
   if (value->bytes.size < KV_ENTRY_KEEP_MIN) {
      value->entry = NULL;
      return true;
   }
   if (value->entry)
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

static void count_kept(struct kv_history *history, const struct kv_change_value *value)
{
   if (!value->entry)
      return;
   history->newest->values++;
   history->newest->kept += value->bytes.size;
   history->held += value->bytes.size;
   history->added_so_far += value->bytes.size;
}

/* Values that are kept close a segment, so that they can be dropped soon. */
static bool needs_segment(const struct kv_history *history, size_t size)
{
   const struct kv_history_segment *newest = history->newest;
   return newest->capacity - newest->used < size || newest->kept > history->segment_size ||
          history->cut != 0;
}

static void add(struct kv_history *history, struct kv_change *change)
{
   const size_t size_max = kv_change_size_max(change);
   struct kv_history_segment *segment = history->newest;
   KV_INVARIANT(change->sequence > history->last_added);
   if (needs_segment(history, size_max)) {
      if (!extend(history, size_max)) {
         lose(history, change);
         return;
      }
      segment = history->newest;
   }
   const size_t size = kv_change_write(segment->data + segment->used, change);
   segment->used += size;
   history->added_so_far += size;
   history->last_added = change->sequence;
   if (!change->value.entry && !change->previous.entry)
      return;
   count_kept(history, &change->value);
   count_kept(history, &change->previous);
   keep_to_limit(history);
}

static enum kv_change_kind kind_of(const kvs_record *record)
{
   if (record->kind == KVS_SET)
      return KV_CHANGE_SET;
   return record->flags & KVS_RECORD_EXPIRED ? KV_CHANGE_EXPIRE : KV_CHANGE_DELETE;
}

static void set_previous(struct kv_change *change, const struct kv_history_previous *previous)
{
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
   if (*(const char *)record->key.data != '\0') {
      change.kind = kind_of(record);
      change.key = kv_slice(record->key.data, record->key.size);
      change.value.bytes = kv_slice(record->value.data, record->value.size);
      change.value.entry = entry;
      change.expires_at = record->expires_at_ms;
      if (previous)
         set_previous(&change, previous);
      if (!keep_value(&change.value, change.key)) {
         lose(history, &change);
         return;
      }
      if (!keep_value(&change.previous, change.key)) {
         lose(history, &change);
         return;
      }
   }
   add(history, &change);
}

void kv_history_begin(struct kv_history *history, uint64_t sequence)
{
   cut(history, KV_CHANGE_LOST, sequence);
   (void)extend(history, 0); /* else with the next change */
   kv_history_publish(history);
}

void kv_history_replace(struct kv_history *history, uint64_t sequence)
{
   cut(history, KV_CHANGE_REPLACED, sequence);
   (void)extend(history, 0); /* else with the next change */
   kv_history_publish(history);
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
   atomic_store_explicit(&history->added, history->added_so_far, memory_order_relaxed);
   atomic_store_explicit(&history->last, history->last_added, memory_order_relaxed);
   atomic_store_explicit(&history->end, newest->number << OFFSET_BITS | newest->used,
                         memory_order_release);
}

/* ---- Life ---- */

struct kv_history *kv_history_create(size_t size, unsigned readers)
{
   KV_INVARIANT(size >= KV_HISTORY_SIZE_MIN);
   const size_t own = sizeof(struct kv_history) + readers * sizeof(struct pin);
   struct kv_history *history = aligned_alloc(KV_CACHE_LINE, own);
   if (!history)
      return NULL;
   memset(history, 0, own);
   history->size_max = size;
   history->segment_size = size / SEGMENTS > SEGMENT_SIZE_MIN ? size / SEGMENTS : SEGMENT_SIZE_MIN;
   history->segment_size -= sizeof(struct kv_history_segment);
   history->readers = readers;
   for (unsigned i = 0; i < readers; i++)
      atomic_init(&history->pins[i].number, NO_PIN);
   atomic_init(&history->lowest, 1);
   if (extend(history, 0))
      return history;
   free(history);
   return NULL;
}

void kv_history_destroy(struct kv_history *history)
{
   KV_INVARIANT(find_pin(history) == NO_PIN);
   while (history->oldest != history->newest)
      drop_oldest(history);
   free_dropped(history);
   free_segment(history, history->newest);
   free(history->spare);
   free(history);
}

/* ---- Reading ---- */

uint64_t kv_history_end(const struct kv_history *history)
{
   return atomic_load_explicit(&history->end, memory_order_acquire);
}

uint64_t kv_history_last(const struct kv_history *history)
{
   return atomic_load_explicit(&history->last, memory_order_relaxed);
}

uint64_t kv_history_lowest(const struct kv_history *history)
{
   return atomic_load_explicit(&history->lowest, memory_order_relaxed);
}

size_t kv_history_bytes(const struct kv_history *history)
{
   return atomic_load_explicit(&history->bytes, memory_order_relaxed);
}

static size_t offset_of(uint64_t position)
{
   return (size_t)(position & UINT32_MAX);
}

static uint64_t position_of(const struct kv_history_segment *segment, size_t offset)
{
   return segment->number << OFFSET_BITS | offset;
}

/* The segment, which it pins with all behind it; NULL: it is not held any more. */
static const struct kv_history_segment *pin(struct kv_history *history, unsigned reader,
                                            uint64_t number)
{
   struct pin *pin = &history->pins[reader];
   KV_INVARIANT(atomic_load_explicit(&pin->number, memory_order_relaxed) == NO_PIN);
   atomic_store(&pin->number, number);
   const struct kv_history_segment *segment =
       atomic_load_explicit(&history->slots[number % SLOTS], memory_order_acquire);
   if (atomic_load(&history->lowest_segment) <= number)
      return segment;
   atomic_store_explicit(&pin->number, NO_PIN, memory_order_release);
   return NULL;
}

static void unpin(struct kv_history *history, unsigned reader)
{
   atomic_store_explicit(&history->pins[reader].number, NO_PIN, memory_order_release);
}

bool kv_history_open(struct kv_history *history, unsigned reader, uint64_t position,
                     struct kv_history_cursor *cursor)
{
   const uint64_t end = kv_history_end(history);
   const struct kv_history_segment *segment = pin(history, reader, position >> OFFSET_BITS);
   if (!segment)
      return false;
   *cursor = (struct kv_history_cursor){.history = history,
                                        .segment = segment,
                                        .reader = reader,
                                        .offset = offset_of(position),
                                        .end = end};
   return true;
}

/* Enters the next segment, which may begin with a cut. */
static bool enter_next(struct kv_history_cursor *cursor, struct kv_change *change)
{
   cursor->segment = atomic_load_explicit(&cursor->segment->next, memory_order_acquire);
   cursor->offset = 0;
   if (cursor->segment->cut == 0)
      return false;
   *change = (struct kv_change){.sequence = cursor->segment->before, .kind = cursor->segment->cut};
   return true;
}

bool kv_history_next(struct kv_history_cursor *cursor, struct kv_change *change)
{
   while (kv_history_position(cursor) < cursor->end) {
      if (cursor->segment->number == cursor->end >> OFFSET_BITS ||
          cursor->offset < cursor->segment->used) {
         cursor->offset += kv_change_read(cursor->segment->data + cursor->offset, change);
         return true;
      }
      if (enter_next(cursor, change))
         return true;
   }
   return false;
}

uint64_t kv_history_position(const struct kv_history_cursor *cursor)
{
   return position_of(cursor->segment, cursor->offset);
}

size_t kv_history_lag(const struct kv_history_cursor *cursor, size_t *limit)
{
   const struct kv_history *history = cursor->history;
   *limit = history->size_max;
   const uint64_t added = atomic_load_explicit(&history->added, memory_order_relaxed);
   const uint64_t here = cursor->segment->added_before + cursor->offset;
   return added > here ? (size_t)(added - here) : 0;
}

void kv_history_close(struct kv_history_cursor *cursor)
{
   unpin(cursor->history, cursor->reader);
}

/* The newest segment that changes from `sequence` on can begin in; pinned from `oldest` on. */
static const struct kv_history_segment *find_segment(const struct kv_history_segment *oldest,
                                                     uint64_t sequence, uint64_t end)
{
   const struct kv_history_segment *found = oldest, *next;
   while (found->number < end >> OFFSET_BITS) {
      next = atomic_load_explicit(&found->next, memory_order_acquire);
      if (next->before >= sequence)
         break;
      found = next;
   }
   return found;
}

bool kv_history_find(struct kv_history *history, unsigned reader, uint64_t sequence,
                     uint64_t *position)
{
   const uint64_t end = kv_history_end(history);
   const struct kv_history_segment *oldest = NULL;
   while (!oldest)
      oldest = pin(history, reader, atomic_load(&history->lowest_segment));
   struct kv_history_cursor cursor = {.history = history,
                                      .segment = find_segment(oldest, sequence, end),
                                      .reader = reader,
                                      .end = end};
   struct kv_change change;
   const bool held = sequence >= kv_history_lowest(history);
   uint64_t before = cursor.segment->before, next = sequence;
   *position = kv_history_position(&cursor);
   while (kv_history_next(&cursor, &change)) {
      next = change.sequence;
      if (next >= sequence)
         break;
      *position = kv_history_position(&cursor);
      before = next;
      next = sequence;
   }
   unpin(history, reader);
   return held && (before + 1 == sequence || next == sequence);
}
