#include "core/store/store.h"

#include "core/store/reclaim.h"
#include "core/support/invariant.h"

#include <stdlib.h>

/* Of sequence 0, so that 0 lies before every version. */
#define FIRST_NUMBER 1

struct kv_store *kv_store_create(void)
{
   struct kv_store *store = calloc(1, sizeof *store);
   struct kv_version *version = calloc(1, sizeof *version);
   if (!store || !version || pthread_mutex_init(&store->lock, NULL) != 0)
      goto out;
   version->object = kv_object(FIRST_NUMBER, 0);
   atomic_init(&store->current, version);
   atomic_init(&store->number, FIRST_NUMBER);
   STAILQ_INIT(&store->queue);
   LIST_INIT(&store->readers);
   TAILQ_INIT(&store->views);
   return store;
out:
   free(store);
   free(version);
   return NULL;
}

void kv_store_destroy(struct kv_store *store)
{
   KV_INVARIANT(LIST_EMPTY(&store->readers) && TAILQ_EMPTY(&store->views));
   struct kv_transaction *first;
   while ((first = STAILQ_FIRST(&store->queue))) {
      STAILQ_REMOVE_HEAD(&store->queue, queued);
      kv_retired_free_born_after(&first->retired, 0);
      free(first);
   }
   struct kv_version *version = atomic_load(&store->current);
   kv_tree_free(version, 0);
   free(version);
   pthread_mutex_destroy(&store->lock);
   free(store);
}

/* ---- Writing ---- */

struct kv_transaction *kv_store_begin(struct kv_store *store)
{
   struct kv_version *current = atomic_load(&store->current);
   struct kv_transaction *transaction = calloc(1, sizeof *transaction);
   struct kv_version *version = malloc(sizeof *version);
   if (!transaction || !version || !kv_retired_reserve(&transaction->retired, 1))
      goto out;
   kv_retired_push(&transaction->retired, current);

   uint64_t number = kv_object_birth(current) + 1;
   KV_INVARIANT(number <= KV_BIRTH_MAX);
   *version = *current;
   version->object = kv_object(number, 0);
   transaction->store = store;
   transaction->version = version;
   transaction->birth = transaction->since = number;
   return transaction;
out:
   free(transaction);
   free(version);
   return NULL;
}

struct kv_transaction *kv_store_begin_replacement(struct kv_store *store, struct kv_store *other)
{
   struct kv_version *taken = atomic_load(&other->current);
   KV_INVARIANT(other != store && LIST_EMPTY(&other->readers) && TAILQ_EMPTY(&other->views));
   struct kv_transaction *transaction = kv_store_begin(store);
   if (!transaction)
      return NULL;
   struct kv_version *version = transaction->version;
   if (!kv_tree_retire(version, &transaction->retired)) {
      kv_transaction_abort(transaction);
      return NULL;
   }
   /* What is taken was born in the numbers of `other`. Were one above the number that it is
    * published with, a view of that could lose an object that it needs. Those below the numbers of
    * the views that there are only keep their objects for longer. */
   transaction->newest = kv_object_birth(taken);
   version->root = taken->root;
   version->count = taken->count;
   version->hidden = taken->hidden;
   version->bytes = taken->bytes;
   transaction->since = 0;
   taken->root = NULL;
   taken->count = taken->hidden = taken->bytes = 0;
   return transaction;
}

const struct kv_entry *kv_transaction_find(const struct kv_transaction *transaction,
                                           struct kv_slice key)
{
   return kv_version_find(transaction->version, key);
}

const struct kv_version *kv_transaction_version(const struct kv_transaction *transaction)
{
   return transaction->version;
}

void kv_transaction_prefetch(const struct kv_transaction *transaction, const struct kv_slice *keys,
                             size_t count)
{
   kv_version_prefetch(transaction->version, keys, count);
}

bool kv_transaction_set(struct kv_transaction *transaction, struct kv_slice key,
                        struct kv_slice value, int64_t expires_at, uint64_t sequence)
{
   struct kv_entry *entry = kv_entry_create(key, value, expires_at);
   return entry && kv_transaction_put(transaction, entry, sequence);
}

uint64_t kv_transaction_count(const struct kv_transaction *transaction)
{
   return transaction->version->count;
}

uint64_t kv_transaction_hidden_count(const struct kv_transaction *transaction)
{
   return kv_version_hidden_count(transaction->version);
}

uint64_t kv_transaction_bytes(const struct kv_transaction *transaction)
{
   return transaction->version->bytes;
}

void kv_transaction_publish(struct kv_transaction *transaction, uint64_t sequence)
{
   struct kv_store *store = transaction->store;
   struct kv_version *version = transaction->version;
   const uint64_t current = atomic_load_explicit(&store->number, memory_order_relaxed);
   const uint64_t number = sequence + 1;
   /* One at a time: nothing was published since it was begun. */
   KV_INVARIANT(transaction->birth == current + 1);
   if (number == current) {
      KV_INVARIANT(version->root == atomic_load(&store->current)->root);
      kv_transaction_abort(transaction);
      return;
   }
   KV_INVARIANT(sequence <= KV_SEQUENCE_MAX && number > current && number >= transaction->newest);
   kv_object_set_birth(&version->object, number);
   atomic_store(&store->current, version);
   atomic_store(&store->number, number);
   kv_reclaim_later(store, transaction);
}

void kv_transaction_commit(struct kv_transaction *transaction, uint64_t sequence)
{
   struct kv_store *store = transaction->store;
   kv_transaction_publish(transaction, sequence);
   kv_store_reclaim(store);
}

void kv_transaction_abort(struct kv_transaction *transaction)
{
   kv_tree_free(transaction->version, transaction->since);
   kv_retired_forget(&transaction->retired);
   free(transaction->version);
   free(transaction);
}

/* ---- What a version holds ---- */

uint64_t kv_version_sequence(const struct kv_version *version)
{
   return kv_object_birth(version) - 1;
}

uint64_t kv_version_count(const struct kv_version *version)
{
   return version->count;
}

uint64_t kv_version_hidden_count(const struct kv_version *version)
{
   return version->hidden;
}

uint64_t kv_version_bytes(const struct kv_version *version)
{
   return version->bytes;
}
