/*
 * What the files of the log share: its state, and the functions that more than one of them calls.
 *
 * Threads: as log.h says. The caller holds the lock unless a function says otherwise.
 */
#ifndef STORAGE_LOG_INTERNAL_H
#define STORAGE_LOG_INTERNAL_H

#include "storage/log.h"
#include "storage/writer.h"

#include <pthread.h>

struct storage_log {
   const kvs_host *host;
   const kvs_syncs *syncs; /* whom syncs are told; NULL: nobody */
   struct storage_log_settings settings;
   struct storage_folder folder;
   struct timespec checked; /* mtime of the folder when all files were there; control thread only */
   pthread_t syncer;
   bool syncer_started;

   /* Guards all below. Released while data are synced, so that others go on. */
   pthread_mutex_t lock;
   pthread_cond_t changed; /* something to sync, a sync or `closing` has ended, or `stopping` */

   struct storage_writer writer;          /* of the newest segment */
   struct storage_sealed_segment *sealed; /* the older ones, oldest first */
   size_t sealed_count;
   uint64_t durable_end; /* of the newest segment */
   uint64_t durable_sequence;
   uint64_t reached; /* log and snapshot together hold all up to here */
   uint64_t snapshot_sequence;
   uint64_t appended;
   int64_t missing;     /* what the next snapshot needs beyond the space held for it, ... */
   uint64_t missing_at; /* ... when `appended` was this; it needs as much more as came since */
   uint64_t sampled, sampled_sequence; /* `appended` when `reached` was this, for a later view */
   uint64_t wake_ms;                   /* monotonic; no wake for a refused batch before */
   bool tight;         /* the last batch that set something was refused for lack of space */
   bool refused;       /* a batch was refused since this was last asked */
   bool unmarked;      /* the last record is no mark */
   bool written;       /* since the last tick */
   bool segment_asked; /* the next write begins a new segment */
   bool syncing; /* a thread syncs with the lock released; no other may sync or cut meanwhile */
   bool closing; /* the control thread ends the segment; batches wait, so that its syncs end */
   bool stopping;
   bool failed;
   char failure[KVS_ERROR_TEXT_SIZE];
};

/* Fails the log for good, for the reason in error->text. Returns KVS_IO. */
int storage_log_fail(struct storage_log *log, const kvs_error *error);
/* KVS_OK, or KVS_IO when the log has failed. */
int storage_log_check_alive(const struct storage_log *log, kvs_error *error);

/* log_segment.c: begins a segment; the newest so far, if one is open, is synced first and sealed.
 */
int storage_log_begin_segment(struct storage_log *log, kvs_error *error);
/* log_space.c: makes sure that there is a segment with space for the batch of `size` bytes. */
int storage_log_make_space(struct storage_log *log, const kvs_record *records, size_t count,
                           size_t size, kvs_error *error);

/* log_present.c: fails the log when a restart would not find it. [control; without the lock] */
int storage_log_check_present(struct storage_log *log, kvs_error *error);

/* log_sync.c: CLOCK_MONOTONIC. [any; without the lock, too] */
uint64_t storage_log_now_ns(void);
/* Waits until no other thread syncs; releases the lock meanwhile. */
void storage_log_await_sync(struct storage_log *log);
/* Makes durable what the segment holds at the call; releases the lock meanwhile. */
int storage_log_sync_segment(struct storage_log *log, kvs_error *error);
/* The same, including what others append meanwhile, so the caller must know that this ends. When it
 * returns, the lock was not released since the last sync. KVS_OK also without a segment. */
int storage_log_sync_all(struct storage_log *log, kvs_error *error);

/* The thread of EVERYSEC. [control; without the lock] */
int storage_log_start_syncer(struct storage_log *log, kvs_error *error);
void storage_log_stop_syncer(struct storage_log *log);

#endif
