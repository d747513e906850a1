/*
 * The log of all effects, a directory of segments: appends batches, makes them durable as the
 * policy says, begins segments and removes covered ones.
 *
 * A batch is one write and, where the policy or the caller asks, one fdatasync. A batch refused
 * with KVS_NO_SPACE leaves no trace. After a failed sync, or a refused batch whose traces could not
 * be removed, the log has failed for good: every later write returns KVS_IO, whichever thread met
 * the failure.
 *
 * Threads: load, tick, seal, remove_covered and destroy on the control thread; write on the commit
 * thread, possibly beside tick and remove_covered. With EVERYSEC the log has a thread of its own
 * that syncs within a second. The control thread never holds the log's lock while data are synced,
 * so it delays no write. The exception is rotate: writes wait for it, as they do at the end of each
 * segment.
 */
#ifndef STORAGE_LOG_H
#define STORAGE_LOG_H

#include "storage/recovery.h"

enum storage_log_sync {
   STORAGE_LOG_SYNC_ALWAYS,   /* each write returns when its batch is on stable storage */
   STORAGE_LOG_SYNC_EVERYSEC, /* within a second after the write, plus what a sync takes */
   STORAGE_LOG_SYNC_NO,       /* when the kernel writes back, and at the end of each segment */
};

struct storage_log_settings {
   enum storage_log_sync sync;
   /* bytes; a segment grows beyond it only to hold a single batch, or deletes on a full disk */
   uint64_t segment_size;
};

struct storage_log;

/* Makes the log's directory if it is missing. Reads nothing yet. */
int storage_log_create(const kvs_host *host, const struct storage_log_settings *settings,
                       struct storage_log **log, kvs_error *error);
/* Frees the log. Nothing is made durable: see storage_log_seal. */
void storage_log_destroy(struct storage_log *log);

/* Hands what the log holds above the snapshot to host->load, makes it durable, and prepares for
 * writing. Returns what storage_recovery_read and _settle return, or KVS_NO_SPACE when not even a
 * first segment could be begun. *last_sequence is the log's. Call it once, before any function
 * below. */
int storage_log_load(struct storage_log *log, const struct storage_snapshot_found *base,
                     uint64_t *last_sequence, kvs_error *error);

/* Appends a batch. `sync`: durable before it returns, whatever the policy. KVS_OK, KVS_NO_SPACE or
 * KVS_IO. */
int storage_log_write(struct storage_log *log, const kvs_record *records, size_t count, bool sync,
                      kvs_error *error);

/* About once a second. Fails the log when its files were removed or cut short, so that nothing more
 * is written where no restart finds it. When nothing was written since the last call and all is
 * durable, appends a mark that says so. KVS_OK or KVS_IO. */
int storage_log_tick(struct storage_log *log, kvs_error *error);

/* Fails the log for the reason in `error`. */
void storage_log_condemn(struct storage_log *log, const kvs_error *error);

/* Makes all durable, says so in a mark, and frees unused space. No write may follow. */
int storage_log_seal(struct storage_log *log, kvs_error *error);

/* Bytes appended since the snapshot that the log was loaded on top of. */
uint64_t storage_log_appended(struct storage_log *log);

/* Makes sure that there is a segment: a snapshot must never stand alone. A failed log has one.
 * KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_log_begin(struct storage_log *log, kvs_error *error);
/* Keeps free what the next snapshot of the present data needs beyond the space held for it already
 * (`missing`, possibly negative), and as much more as is appended after the view of
 * `view_sequence`, which makes that snapshot larger. Batches that would use this space are refused,
 * unless they only delete. */
void storage_log_hold(struct storage_log *log, int64_t missing, uint64_t view_sequence);
/* Whether, since the last call, a batch was refused for lack of space, or one that deletes followed
 * a refused one. The host is woken for either. */
bool storage_log_take_refused(struct storage_log *log);
/* Bytes free on the disk; UINT64_MAX when unknown. */
uint64_t storage_log_free_bytes(struct storage_log *log);
/* Where a segment began: a snapshot that reaches `sequence` covers all segments before it. */
struct storage_log_border {
   uint64_t sequence; /* of the last batch before it */
   uint64_t appended; /* what storage_log_appended returned there */
};
/* Begins a new segment unless the newest holds no record. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_log_rotate(struct storage_log *log, struct storage_log_border *border,
                       kvs_error *error);
/* A snapshot at `sequence` is durable. The next write begins a new segment, which says so. */
void storage_log_snapshot_taken(struct storage_log *log, uint64_t sequence);
/* Removes the oldest segments that hold nothing above `sequence`. A failure is logged, and the next
 * call tries again. */
void storage_log_remove_covered(struct storage_log *log, uint64_t sequence);

#endif
