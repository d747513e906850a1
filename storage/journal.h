/*
 * A log and the snapshots that keep it short: all of `aof` and `hybrid` but their options. What is
 * kept is complete at every moment, and the log does not outgrow the data or the disk.
 *
 *   load        The newest sound snapshot, then what the log holds above it. A damaged snapshot is
 *               passed over only when an older one and the log give all that it held.
 *   checkpoint  A snapshot of the view is made durable first. Only then are segments removed, and
 *               only those that the oldest snapshot kept covers, so that passing over a damaged
 *               one stays possible.
 *   space       Disk space is held for the next snapshot, and behind the log for deletes: both
 *               work when nothing else does. When the log has outgrown the data, a tick takes a
 *               snapshot; when the disk gets full, one that replaces everything before it.
 *
 * The functions have the signatures of a plug-in's hooks; `self` is the journal.
 *
 * Threads: as the ABI says. A checkpoint runs beside writes and does not delay them.
 */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include "storage/log.h"
#include "storage/snapshot_set.h"

struct storage_journal_settings {
   struct storage_log_settings log;
   struct storage_snapshot_settings snapshots;
   /* Between snapshots, when something has changed; then there is one at the end, too. 0: only as
    * the log's length and the disk ask for it. */
   uint64_t interval_ms;
};

int storage_journal_open(const kvs_host *host, const struct storage_journal_settings *settings,
                         void **self, kvs_error *error);
int storage_journal_on_load(void *self, kvs_error *error);
int storage_journal_on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                             kvs_error *error);
/* A periodic tick also fails the log when the newest snapshot was taken away. When the log has
 * failed, a snapshot makes durable what was acknowledged but not yet synced; the failure is
 * reported all the same. */
int storage_journal_on_tick(void *self, const kvs_tick *tick, kvs_error *error);
void storage_journal_close(void *self);

#endif
