/*
 * The index: an ordered map from key to value in memory, in versions.
 *
 * Promises
 *  - One writer prepares the next version in a transaction; nobody sees any of it until it is
 *    published with one pointer store. Abort leaves no trace.
 *  - Readers never lock and never wait: they pin the current version and read it while the writer
 *    continues. A pinned version never changes.
 *  - A view holds a version for as long as its owner likes. Taking one is O(1). While it is held,
 *    memory grows only by what the view alone still needs, not by how much was written since.
 *
 * Structure: a B+tree whose nodes are copied on the path to a change (nodes made inside the running
 * transaction are changed in place). The number of a version is its sequence + 1. Entries carry the
 * number of the change that made them; nodes and separator keys the lowest that their version can
 * have. What a transaction replaces is retired with that transaction's number and freed once no
 * pinned or held version lies in [birth, retirement). Algorithm after the
 * shadow-paging B-trees of Rodeh ("B-trees, shadowing, and clones", 2008) and the dead lists of
 * ZFS.
 *
 * Threads: kv_store_begin, the kv_transaction functions: one writer at a time. A kv_reader belongs
 * to one thread. Views: any thread, and one view may be read by one thread at a time.
 *
 * It never does I/O and has no clock: a key whose time has come stays until it is deleted.
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_KEY_SIZE_MAX ((size_t)64 * 1024)
#define KV_VALUE_SIZE_MAX ((size_t)INT32_MAX)
/* 44 years at 100,000 changes a second. */
#define KV_SEQUENCE_MAX ((UINT64_C(1) << 47) - 2)
/* Unix ms: the year 5138. */
#define KV_EXPIRES_AT_MAX INT64_C(100000000000000)

struct kv_store;
struct kv_transaction;
struct kv_reader;
struct kv_store_view;
struct kv_version; /* one immutable state */
struct kv_entry;   /* a key with its value, version and time of expiry; never changes */

/* NULL when memory runs out. The first version is empty, at sequence 0. */
struct kv_store *kv_store_create(void);
/* All readers and views must have been destroyed. */
void kv_store_destroy(struct kv_store *store);

/* ---- Entries: any thread ---- */

/* Valid as long as the entry. */
struct kv_slice kv_entry_key(const struct kv_entry *entry);
struct kv_slice kv_entry_value(const struct kv_entry *entry);
/* The sequence of the key's last change. */
uint64_t kv_entry_version(const struct kv_entry *entry);
/* When its time comes, in Unix ms; 0: never. */
int64_t kv_entry_expires_at(const struct kv_entry *entry);
/* Whether there is one and its time has not come. */
static inline bool kv_entry_is_live(const struct kv_entry *entry, int64_t now_ms)
{
   if (!entry)
      return false;
   const int64_t expires_at = kv_entry_expires_at(entry);
   return expires_at == 0 || expires_at > now_ms;
}

/* Makes an entry for kv_transaction_put: copies key (1 to KV_KEY_SIZE_MAX bytes) and value.
 * `expires_at`: Unix ms up to KV_EXPIRES_AT_MAX; 0: never. NULL when memory runs out. */
struct kv_entry *kv_entry_create(struct kv_slice key, struct kv_slice value, int64_t expires_at);
/* Keeps an entry beyond the version that it was found in. Its value must have at least
 * KV_ENTRY_KEEP_MIN bytes: copying a smaller one costs less. */
#define KV_ENTRY_KEEP_MIN ((size_t)64 * 1024)
void kv_entry_keep(const struct kv_entry *entry);
/* Releases an entry that was kept, once for each time, or one that was created and not put (NULL:
 * nothing). Also after the store has been destroyed. */
void kv_entry_release(const struct kv_entry *entry);

/* ---- Writing: one transaction at a time ---- */

/* NULL when memory runs out. */
struct kv_transaction *kv_store_begin(struct kv_store *store);
/* Begins the transaction that puts all data of `other` in place of the store's; it must not be
 * changed further, and published at the sequence of `other` or above. `other`, which nobody uses,
 * is empty from then on, and the data ends with the transaction if that is aborted. The entries
 * keep their versions. NULL when memory runs out: both are as they were. */
struct kv_transaction *kv_store_begin_replacement(struct kv_store *store, struct kv_store *other);
/* The entry of `key` in the working version, or NULL. Valid until the transaction's next change or
 * its end. */
const struct kv_entry *kv_transaction_find(const struct kv_transaction *transaction,
                                           struct kv_slice key);
/* The working version, to be read until the transaction's next change or its end. */
const struct kv_version *kv_transaction_version(const struct kv_transaction *transaction);
/* As kv_version_prefetch, in the working version. */
void kv_transaction_prefetch(const struct kv_transaction *transaction, const struct kv_slice *keys,
                             size_t count);
/* Puts an entry in place of the one with the same key, if there is one, and owns it from now on.
 * `sequence` becomes its version: it lies above that of the current state, and not above the one
 * that is published. Returns false when memory runs out: the transaction must then be aborted. */
bool kv_transaction_put(struct kv_transaction *transaction, struct kv_entry *entry,
                        uint64_t sequence);
/* Creates the entry and puts it; returns as kv_transaction_put. */
bool kv_transaction_set(struct kv_transaction *transaction, struct kv_slice key,
                        struct kv_slice value, int64_t expires_at, uint64_t sequence);
/* *existed says whether the key was there. Returns as kv_transaction_put. */
bool kv_transaction_delete(struct kv_transaction *transaction, struct kv_slice key, bool *existed);
/* No entry of the working version expires before; INT64_MAX: none expires. The bound may be too
 * low, but once kv_transaction_find_expired has found none it lies above its `now_ms`. */
int64_t kv_transaction_expires_first(const struct kv_transaction *transaction);
/* The entry with the lowest key among those that are not live at `now_ms`, or NULL. Valid as
 * kv_transaction_find says. Does not look where none can be; but where entries were put in place of
 * others it may have to look at them to know that they expire later, once. `*looks` is at how many
 * entries it may look, about, and is lowered by those it did: where it becomes 0 there may be more,
 * and the next call goes on. */
const struct kv_entry *kv_transaction_find_expired(struct kv_transaction *transaction,
                                                   int64_t now_ms, size_t *looks);
/* Of the working version, as the functions of versions. */
uint64_t kv_transaction_count(const struct kv_transaction *transaction);
uint64_t kv_transaction_hidden_count(const struct kv_transaction *transaction);
static inline uint64_t kv_transaction_client_count(const struct kv_transaction *transaction)
{
   return kv_transaction_count(transaction) - kv_transaction_hidden_count(transaction);
}
uint64_t kv_transaction_bytes(const struct kv_transaction *transaction);
/* Publishes the working version as the state at `sequence`, which is above that of the current one;
 * when nothing was changed it may also be the same, and nothing happens. Cannot fail. Frees the
 * transaction and what no reader or view needs any longer. */
void kv_transaction_commit(struct kv_transaction *transaction, uint64_t sequence);
/* The same in two steps, so that the next transaction can begin in between. Any thread may reclaim.
 */
void kv_transaction_publish(struct kv_transaction *transaction, uint64_t sequence);
void kv_store_reclaim(struct kv_store *store);
/* Drops the working version and frees the transaction. */
void kv_transaction_abort(struct kv_transaction *transaction);

/* ---- Reading the current state: one kv_reader a thread ---- */

/* NULL when memory runs out. Takes a lock; not for hot paths. */
struct kv_reader *kv_reader_create(struct kv_store *store);
void kv_reader_destroy(struct kv_reader *reader);
/* Pins the current version and returns it; valid until kv_reader_unpin. Keep it short: nothing
 * retired since is freed while a version is pinned. Pins do not nest. Wait-free. */
const struct kv_version *kv_reader_pin(struct kv_reader *reader);
void kv_reader_unpin(struct kv_reader *reader);

/* ---- Holding a state for long ---- */

/* A view of the current version, or NULL when memory runs out. */
struct kv_store_view *kv_store_view_create(struct kv_store *store);
void kv_store_view_destroy(struct kv_store_view *view);
const struct kv_version *kv_store_view_version(const struct kv_store_view *view);
/* Bytes that are not freed yet because of this view. What an older view needs as well counts for
 * the newer one. Any thread. */
size_t kv_store_view_kept(const struct kv_store_view *view);

/* ---- What a version holds ---- */

/* The entry of `key`, or NULL. Valid as long as the version, unless it is kept. */
const struct kv_entry *kv_version_find(const struct kv_version *version, struct kv_slice key);
/* Prefetches what looking up each of at most KV_PREFETCH_KEYS_MAX keys will read.
 * It descends for all of them side by side, so that the waits for memory overlap instead of adding
 * up (after Chen, Ailamaki, Gibbons and Mowry, "Improving hash join performance through
 * prefetching", 2004). Nothing but the time of the lookups changes. */
#define KV_PREFETCH_KEYS_MAX 32
void kv_version_prefetch(const struct kv_version *version, const struct kv_slice *keys,
                         size_t count);
uint64_t kv_version_sequence(const struct kv_version *version);
/* Keys. */
uint64_t kv_version_count(const struct kv_version *version);
/* Begins with NUL: it belongs to the server, and no client can name it. It is not empty. */
static inline bool kv_key_is_hidden(struct kv_slice key)
{
   return *(const char *)key.data == '\0';
}
/* How many of them are hidden. */
uint64_t kv_version_hidden_count(const struct kv_version *version);
/* How many are the clients'. */
static inline uint64_t kv_version_client_count(const struct kv_version *version)
{
   return kv_version_count(version) - kv_version_hidden_count(version);
}
/* Sum of key and value sizes. */
uint64_t kv_version_bytes(const struct kv_version *version);

/* A position between two entries of a version in ascending order of keys, compared as unsigned
 * bytes. Embedded by its user; valid as long as the version. */
#define KV_CURSOR_DEPTH_MAX 16
struct kv_cursor {
   uint32_t depth;
   struct {
      const void *node;
      uint32_t index;
   } path[KV_CURSOR_DEPTH_MAX];
};

/* Places the cursor before the first key >= `from` (empty: before the first key). */
void kv_cursor_seek(struct kv_cursor *cursor, const struct kv_version *version,
                    struct kv_slice from);
/* Places the cursor behind the last key < `below` (empty: behind the last key). */
void kv_cursor_seek_before(struct kv_cursor *cursor, const struct kv_version *version,
                           struct kv_slice below);
/* Steps over the next entry and returns it; NULL at the end. Valid as kv_version_find says. */
const struct kv_entry *kv_cursor_next(struct kv_cursor *cursor);
/* Steps back over the previous entry and returns it; NULL at the beginning. So it returns the entry
 * that kv_cursor_next has just returned. Valid as kv_version_find says. */
const struct kv_entry *kv_cursor_previous(struct kv_cursor *cursor);

#endif
