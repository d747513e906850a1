/*
 * The log of all effects, a directory of segments: appends batches, makes them durable as its
 * policy says, begins new segments, removes covered ones.
 *
 * A batch is one write and, where the policy or the caller asks, one fdatasync. A batch refused
 * with KVS_NO_SPACE has left no trace. After a failed sync, or a refused batch whose traces could
 * not be removed, the log is failed for good: every later write returns KVS_IO, whichever thread
 * met the failure.
 *
 * Threads: load, tick, seal, remove_covered and destroy on the control thread; write on the commit
 * thread, possibly beside tick and remove_covered. With EVERYSEC the log has a thread of its own
 * that syncs what is unsynced within a second. The control side holds the log's lock across no
 * sync of data, so it delays no write, but for rotate: writes wait until it is done, as they do at
 * the end of each segment.
 */
#ifndef STORAGE_LOG_H
#define STORAGE_LOG_H

#include "storage/recovery.h"

enum storage_log_sync {
   STORAGE_LOG_SYNC_ALWAYS,   /* each write returns when its batch is on stable storage */
   STORAGE_LOG_SYNC_EVERYSEC, /* within a second after the write, plus what a sync takes */
   STORAGE_LOG_SYNC_NO,       /* when the kernel likes, and at the end of each segment */
};

struct storage_log_settings {
   enum storage_log_sync sync;
   /* bytes; a segment grows beyond it only to hold a single batch, or deletes on a full disk */
   uint64_t segment_size;
};

struct storage_log;

/* Makes host->directory/aof if need be. Nothing is read yet. */
int storage_log_create(const kvs_host *host, const struct storage_log_settings *settings,
                       struct storage_log **log, kvs_error *error);
/* Frees the log. Nothing is made durable: see storage_log_seal. */
void storage_log_destroy(struct storage_log *log);

/* Hands what the log holds above the snapshot to host->load, and gets ready for writing. Returns
 * what storage_recover returns, or KVS_NO_SPACE where not even a first segment could be begun.
 * *last_sequence is the log's. To be called once, before any other
 * function below. */
int storage_log_load(struct storage_log *log, const struct storage_recovery_base *base,
                     uint64_t *last_sequence, kvs_error *error);

/* Appends a batch. `sync`: durable before it returns, whatever the policy. KVS_OK, KVS_NO_SPACE or
 * KVS_IO. */
int storage_log_write(struct storage_log *log, const kvs_record *records, size_t count, bool sync,
                      kvs_error *error);

/* About once a second: fails the log when files of it were taken away or cut short, so that nothing
 * more is put where no restart finds it; when nothing was written since the last call and all is
 * durable, appends a mark that says so. KVS_OK or KVS_IO. */
int storage_log_tick(struct storage_log *log, kvs_error *error);

/* Fails the log for the reason in `error`. */
void storage_log_condemn(struct storage_log *log, const kvs_error *error);

/* Makes all durable, says so in a mark, gives the unused room back. No write may follow. */
int storage_log_seal(struct storage_log *log, kvs_error *error);

/* Bytes appended in the log's life that the snapshot it was loaded after does not cover. */
uint64_t storage_log_appended(struct storage_log *log);

/* Makes sure that there is a segment, as a snapshot must never stand alone; a failed log has one.
 * KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_log_begin(struct storage_log *log, kvs_error *error);
/* What the next snapshot of the present data needs beyond the room that is kept for it (negative:
 * less). That much of the disk stays free, and as much more as is appended from now on, so that the
 * snapshot can be written; what came between view and call counts too. Batches that would take it
 * are refused, unless they only delete. */
void storage_log_hold(struct storage_log *log, int64_t missing, uint64_t view_sequence);
/* Whether, since the last call, a batch was refused for want of room, or one that deletes came
 * after such a one. The host is woken then. */
bool storage_log_take_refused(struct storage_log *log);
/* Bytes that are free on the disk, or UINT64_MAX where that cannot be told. */
uint64_t storage_log_free_bytes(struct storage_log *log);
/* Begins a new segment unless the newest holds no record, so that a snapshot of a later view covers
 * all before it: one that reaches the border. KVS_OK, KVS_NO_SPACE or KVS_IO. */
struct storage_log_border {
   uint64_t sequence, appended; /* of the last batch before it; of storage_log_appended */
};
int storage_log_rotate(struct storage_log *log, struct storage_log_border *border,
                       kvs_error *error);
/* A snapshot at `sequence` is durable. The next write begins a new segment, which says so. */
void storage_log_snapshot_taken(struct storage_log *log, uint64_t sequence);
/* Removes the oldest segments as long as they hold nothing above `sequence`. A failure is logged
 * and tried again the next time. */
void storage_log_remove_covered(struct storage_log *log, uint64_t sequence);

#endif
