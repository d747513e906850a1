/* The history as its readers have it. */
#include "core/support/invariant.h"
#include "core/watch/history_internal.h"

/* Far behind is who lags so much of the limit; who lags by so much more since then falls back: at
 * three quarters of the limit, or later. Large values leave up to a ninth of it unused. */
#define FAR_BEHIND(limit) ((limit) / 16 * 11)
#define FALLS_BACK(limit) ((limit) / 16)

/* ---- Any thread ---- */

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
   return atomic_load_explicit(&history->lowest, memory_order_acquire);
}

uint64_t kv_history_replaced(const struct kv_history *history)
{
   return atomic_load_explicit(&history->replaced, memory_order_relaxed);
}

size_t kv_history_bytes(const struct kv_history *history)
{
   return atomic_load_explicit(&history->bytes, memory_order_relaxed);
}

/* ---- Pins ---- */

/* The segment, which it pins with all behind it; NULL: it is not held any more. */
static const struct kv_history_segment *pin(struct kv_history *history, unsigned reader,
                                            uint64_t number)
{
   struct kv_history_pin *pin = &history->pins[reader];
   KV_INVARIANT(atomic_load_explicit(&pin->number, memory_order_relaxed) == KV_HISTORY_NO_PIN);
   atomic_store(&pin->number, number);
   const struct kv_history_segment *segment =
       atomic_load_explicit(&history->slots[number % KV_HISTORY_SLOTS], memory_order_acquire);
   if (atomic_load(&history->lowest_segment) <= number)
      return segment;
   atomic_store_explicit(&pin->number, KV_HISTORY_NO_PIN, memory_order_release);
   return NULL;
}

static void unpin(struct kv_history *history, unsigned reader)
{
   atomic_store_explicit(&history->pins[reader].number, KV_HISTORY_NO_PIN, memory_order_release);
}

/* ---- A walk ---- */

bool kv_history_open(struct kv_history *history, unsigned reader, uint64_t position,
                     struct kv_history_cursor *cursor)
{
   const uint64_t end = kv_history_end(history);
   const struct kv_history_segment *segment =
       pin(history, reader, position >> KV_HISTORY_OFFSET_BITS);
   if (!segment)
      return false;
   *cursor = (struct kv_history_cursor){.history = history,
                                        .segment = segment,
                                        .reader = reader,
                                        .offset = (size_t)(position & UINT32_MAX),
                                        .end = end,
                                        .lowest_previous = atomic_load(&history->lowest_previous)};
   return true;
}

/* A pin that moves on is seen where it is, or where it was. */
bool kv_history_go_on(struct kv_history_cursor *cursor)
{
   struct kv_history *history = cursor->history;
   cursor->end = kv_history_end(history);
   if (kv_history_position(cursor) == cursor->end)
      return false;
   atomic_store_explicit(&history->pins[cursor->reader].number, cursor->segment->number,
                         memory_order_release);
   return true;
}

bool kv_history_is_held(const struct kv_history_cursor *cursor)
{
   return atomic_load(&cursor->history->lowest_segment) <= cursor->segment->number;
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
      const struct kv_history_segment *segment = cursor->segment;
      if (segment->number == cursor->end >> KV_HISTORY_OFFSET_BITS ||
          cursor->offset < segment->used) {
         cursor->offset += kv_change_read(segment->data + cursor->offset,
                                          segment->number >= cursor->lowest_previous, change);
         return true;
      }
      if (enter_next(cursor, change))
         return true;
   }
   return false;
}

/* What comes next is in the next segment where there is nothing more in this one, which then may be
 * dropped. A cut has no place of its own. */
uint64_t kv_history_position(const struct kv_history_cursor *cursor)
{
   const struct kv_history_segment *segment = cursor->segment;
   if (segment->number < cursor->end >> KV_HISTORY_OFFSET_BITS && cursor->offset == segment->used) {
      const struct kv_history_segment *next =
          atomic_load_explicit(&segment->next, memory_order_acquire);
      if (next->cut == 0)
         return kv_history_place(next, 0);
   }
   return kv_history_place(segment, cursor->offset);
}

/* Values that are kept do not show in the offset. At the end of a segment they are known all the
 * same, as large ones close it; within it some of them, but not which, were before the cursor. Of
 * the newest segment they are not known: it is not dropped. */
struct kv_history_lag kv_history_lag(const struct kv_history_cursor *cursor)
{
   const struct kv_history *history = cursor->history;
   const struct kv_history_segment *segment = cursor->segment;
   const struct kv_history_segment *next =
       atomic_load_explicit(&segment->next, memory_order_acquire);
   const uint64_t added = atomic_load_explicit(&history->added, memory_order_relaxed);
   uint64_t here = segment->added_before + cursor->offset, kept = 0;
   struct kv_history_lag lag = {.limit = history->size_max};
   if (next)
      kept = next->added_before - segment->added_before - segment->used;
   if (next && cursor->offset == segment->used) {
      here += kept;
      kept = 0;
   }
   lag.most = added > here ? (size_t)(added - here) : 0;
   if (cursor->offset == 0)
      lag.least = lag.most;
   else if (next)
      lag.least = added > here + kept ? (size_t)(added - here - kept) : 0;
   else
      lag.least = (size_t)(cursor->end & UINT32_MAX) - cursor->offset;
   return lag;
}

bool kv_history_falls_back(const struct kv_history_cursor *cursor, size_t *least_lag)
{
   const struct kv_history_lag lag = kv_history_lag(cursor);
   const bool is_far_behind = lag.least > FAR_BEHIND(lag.limit);
   if (lag.most <= FAR_BEHIND(lag.limit))
      *least_lag = SIZE_MAX;
   else if (lag.most < *least_lag && (is_far_behind || *least_lag != SIZE_MAX))
      *least_lag = lag.most;
   return is_far_behind && lag.least > *least_lag && lag.least - *least_lag > FALLS_BACK(lag.limit);
}

void kv_history_close(struct kv_history_cursor *cursor)
{
   unpin(cursor->history, cursor->reader);
}

/* ---- Finding ---- */

/* The newest segment that changes from `sequence` on can begin in; pinned from `oldest` on. */
static const struct kv_history_segment *find_segment(const struct kv_history_segment *oldest,
                                                     uint64_t sequence, uint64_t end)
{
   const struct kv_history_segment *found = oldest, *next;
   while (found->number < end >> KV_HISTORY_OFFSET_BITS) {
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
                                      .end = end,
                                      .lowest_previous = atomic_load(&history->lowest_previous)};
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
