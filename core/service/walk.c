#include "core/service/walk.h"

#include "core/support/clock.h"

bool kv_walk_begin(struct kv_walk *walk, struct kv_store *store, const struct kv_key_range *range,
                   bool descending)
{
   *walk = (struct kv_walk){.view = kv_store_view_create(store),
                            .range = *range,
                            .descending = descending,
                            .now_ms = kv_clock_unix_ms()};
   if (walk->view)
      kv_walk_rewind(walk);
   return walk->view;
}

void kv_walk_end(struct kv_walk *walk)
{
   if (walk->view)
      kv_store_view_destroy(walk->view);
   walk->view = NULL;
}

void kv_walk_rewind(struct kv_walk *walk)
{
   const struct kv_version *version = kv_store_view_version(walk->view);
   if (walk->descending)
      kv_cursor_seek_before(&walk->cursor, version, walk->range.end);
   else
      kv_cursor_seek(&walk->cursor, version, walk->range.start);
   kv_walk_rest(walk);
}

void kv_walk_rest(struct kv_walk *walk)
{
   walk->left = KV_WALK_STRETCH;
}

static bool is_beyond(const struct kv_walk *walk, const struct kv_entry *entry)
{
   if (walk->descending)
      return kv_slice_compare(kv_entry_key(entry), walk->range.start) < 0;
   return walk->range.end.size > 0 && kv_slice_compare(kv_entry_key(entry), walk->range.end) >= 0;
}

enum kv_walk_found kv_walk_next(struct kv_walk *walk, const struct kv_entry **entry)
{
   for (; walk->left > 0; walk->left--) {
      const struct kv_entry *found =
          walk->descending ? kv_cursor_previous(&walk->cursor) : kv_cursor_next(&walk->cursor);
      if (!found || is_beyond(walk, found))
         return KV_WALK_END;
      if (kv_entry_is_live(found, walk->now_ms)) {
         walk->left--;
         *entry = found;
         return KV_WALK_ENTRY;
      }
   }
   return KV_WALK_STRETCH_END;
}
