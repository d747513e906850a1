/*
 * The inside of a store, and when an object may be freed.
 *
 * An object lives from the version it was born in up to, not including, the version that retired
 * it. Two kinds of users keep it: pins, which are short, and views.
 *  - A committed transaction waits in a queue, with what it retired, until no reader has pinned a
 *    version older than its own.
 *  - Then only views can need its objects. The newest view that is older than the retirement takes
 *    those that were born by its time on its dead list. No view can see the others: they are freed.
 *  - A view that ends hands its dead list to the next older view by the same rule.
 */
#ifndef KV_STORE_RECLAIM_H
#define KV_STORE_RECLAIM_H

#include "core/store/store.h"
#include "core/store/tree.h"

#include <pthread.h>
#include <stdatomic.h>

struct kv_store {
   /* Stored by the writer, `current` first; loaded by all. */
   _Atomic(struct kv_version *) current;
   _Atomic uint64_t number; /* of the current version; the current one may be newer */

   pthread_mutex_t lock;
   /* Under the lock: committed, not yet reclaimed; by version. */
   STAILQ_HEAD(, kv_transaction) queue;
   LIST_HEAD(, kv_reader) readers;    /* under the lock; what they pin is atomic */
   TAILQ_HEAD(, kv_store_view) views; /* under the lock; the newest first */
};

/* Queues a transaction whose version has been published, and owns it from now on. Writer. */
void kv_reclaim_later(struct kv_store *store, struct kv_transaction *committed);

#endif
