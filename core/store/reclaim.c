#include "core/store/reclaim.h"

#include "core/support/invariant.h"

#include <stdlib.h>

#define NOTHING_PINNED UINT64_MAX

/* Each has a cache line of its own, as its thread writes it often. */
struct kv_reader {
   _Alignas(KV_CACHE_LINE) _Atomic uint64_t pinned; /* the reader's thread stores, all load */
   struct kv_store *store;
   LIST_ENTRY(kv_reader) others; /* under the store's lock */
};

struct kv_store_view {
   struct kv_store *store;
   const struct kv_version *version;
   TAILQ_ENTRY(kv_store_view) others; /* under the store's lock */
   struct kv_retired dead;            /* the same; objects this view needs and no newer one does */
   atomic_size_t dead_size;           /* bytes of them */
};

static void lock(struct kv_store *store)
{
   int error = pthread_mutex_lock(&store->lock);
   KV_INVARIANT(error == 0);
}

static void unlock(struct kv_store *store)
{
   int error = pthread_mutex_unlock(&store->lock);
   KV_INVARIANT(error == 0);
}

/* ---- Readers ---- */

struct kv_reader *kv_reader_create(struct kv_store *store)
{
   struct kv_reader *reader = aligned_alloc(KV_CACHE_LINE, sizeof *reader);
   if (!reader)
      return NULL;
   atomic_init(&reader->pinned, NOTHING_PINNED);
   reader->store = store;
   lock(store);
   LIST_INSERT_HEAD(&store->readers, reader, others);
   unlock(store);
   return reader;
}

void kv_reader_destroy(struct kv_reader *reader)
{
   struct kv_store *store = reader->store;
   KV_INVARIANT(atomic_load(&reader->pinned) == NOTHING_PINNED);
   lock(store);
   LIST_REMOVE(reader, others);
   unlock(store);
   free(reader);
}

/* The pin is stored before the current version is loaded, and the writer publishes before it looks
 * at the pins, all in one total order. So either the writer sees the pin, or the reader sees the
 * version just published and can reach nothing that it retired. A version newer than the pinned
 * number does no harm: the pin then keeps more than it must. */
const struct kv_version *kv_reader_pin(struct kv_reader *reader)
{
   struct kv_store *store = reader->store;
   KV_INVARIANT(atomic_load_explicit(&reader->pinned, memory_order_relaxed) == NOTHING_PINNED);
   atomic_store(&reader->pinned, atomic_load(&store->number));
   return atomic_load(&store->current);
}

void kv_reader_unpin(struct kv_reader *reader)
{
   atomic_store_explicit(&reader->pinned, NOTHING_PINNED, memory_order_release);
}

/* With the lock held. */
static uint64_t oldest_pinned(struct kv_store *store)
{
   uint64_t oldest = NOTHING_PINNED;
   const struct kv_reader *reader;
   LIST_FOREACH (reader, &store->readers, others) {
      uint64_t pinned = atomic_load(&reader->pinned);
      if (pinned < oldest)
         oldest = pinned;
   }
   return oldest;
}

/* ---- Freeing ---- */

static uint64_t number_of(const struct kv_store_view *view)
{
   return kv_object_birth(view->version);
}

/* Frees the objects of a list that no view needs; the rest goes to the view that needs them. The
 * objects were born by version `last` and are in no later version, so no new view can need them.
 * Objects are freed without the lock; therefore the views are checked again afterwards. */
static void settle(struct kv_store *store, struct kv_retired *list, uint64_t last)
{
   uint64_t sifted = last;
   size_t size = 0;
   bool sized = false;
   for (;;) {
      lock(store);
      struct kv_store_view *view = TAILQ_FIRST(&store->views);
      while (view && number_of(view) > last)
         view = TAILQ_NEXT(view, others);
      uint64_t number = view ? number_of(view) : 0;
      bool settled = sifted == number && (sized || !view);
      if (settled && view) {
         kv_retired_append(&view->dead, list);
         atomic_fetch_add(&view->dead_size, size);
      }
      unlock(store);
      if (settled)
         return;
      if (sifted != number)
         kv_retired_free_born_after(list, number);
      sifted = number;
      size = number > 0 ? kv_retired_size(list) : 0;
      sized = true;
   }
}

void kv_reclaim_later(struct kv_store *store, struct kv_transaction *committed)
{
   lock(store);
   STAILQ_INSERT_TAIL(&store->queue, committed, queued);
   unlock(store);
}

/* The first of the queue, unless a reader has pinned a version older than its own; or NULL. */
static struct kv_transaction *take_unpinned(struct kv_store *store)
{
   lock(store);
   struct kv_transaction *first = STAILQ_FIRST(&store->queue);
   if (first && first->birth <= oldest_pinned(store))
      STAILQ_REMOVE_HEAD(&store->queue, queued);
   else
      first = NULL;
   unlock(store);
   return first;
}

void kv_store_reclaim(struct kv_store *store)
{
   struct kv_transaction *committed;
   while ((committed = take_unpinned(store))) {
      settle(store, &committed->retired, committed->birth - 1);
      free(committed);
   }
}

/* ---- Views ---- */

struct kv_store_view *kv_store_view_create(struct kv_store *store)
{
   struct kv_store_view *view = malloc(sizeof *view);
   if (!view)
      return NULL;
   *view = (struct kv_store_view){.store = store};
   lock(store);
   /* The lock keeps the version: whoever retires it looks for views under the lock first. */
   view->version = atomic_load(&store->current);
   TAILQ_INSERT_HEAD(&store->views, view, others);
   unlock(store);
   return view;
}

void kv_store_view_destroy(struct kv_store_view *view)
{
   struct kv_store *store = view->store;
   uint64_t number = number_of(view); /* off the list, the version may be freed */
   lock(store);
   TAILQ_REMOVE(&store->views, view, others);
   unlock(store);
   settle(store, &view->dead, number);
   free(view);
}

size_t kv_store_view_kept(const struct kv_store_view *view)
{
   return atomic_load(&view->dead_size);
}

const struct kv_version *kv_store_view_version(const struct kv_store_view *view)
{
   return view->version;
}
