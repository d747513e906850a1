/*
 * A log and the snapshots that keep it short: what `aof` and `hybrid` are made of. They may take a
 * snapshot when they like; here it is seen to that the whole is complete at every moment, and that
 * the log does not outgrow the data or the disk.
 *
 *   load        the newest sound snapshot, then what the log holds above it. A damaged snapshot is
 *               passed over only when an older one and the log give all that it held.
 *   checkpoint  a snapshot of the view, durable first; then only the segments that the oldest
 *               snapshot kept covers are removed, so that passing over a damaged one stays
 *               possible.
 *   room        is kept on the disk for the next snapshot, and behind the log for deletes: both
 * work when nothing else does. When the log has outgrown the data, a tick takes a snapshot; when
 * the disk gets full, one that takes the place of everything before it.
 *
 * Threads: write on the commit thread, everything else on the control thread. A checkpoint runs
 * beside writes and does not delay them.
 */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include "storage/log.h"
#include "storage/snapshot_set.h"

struct storage_journal_settings {
   struct storage_log_settings log;
   struct storage_snapshot_settings snapshots;
};

struct storage_journal;

int storage_journal_create(const kvs_host *host, const struct storage_journal_settings *settings,
                           struct storage_journal **journal, kvs_error *error);
/* Nothing is made durable: see storage_journal_seal. */
void storage_journal_destroy(struct storage_journal *journal);

/* What the log is read on top of, from what the snapshots gave. */
struct storage_recovery_base storage_journal_base(const struct storage_snapshot_found *found);
/* Hands all that is kept to host->load and host->loaded_to. Once, before any function below. */
int storage_journal_load(struct storage_journal *journal, kvs_error *error);
/* storage_log_write, durable before it returns when `flags` has KVS_WRITE_SYNC. */
int storage_journal_write(struct storage_journal *journal, const kvs_record *records, size_t count,
                          uint32_t flags, kvs_error *error);
/* About once a second: storage_log_tick, and what `room` above says. The log fails as well when the
 * newest snapshot was taken away. When it has failed, a snapshot makes durable what was
 * acknowledged but not yet synced; the failure is reported all the same. KVS_OK, KVS_NO_SPACE or
 * KVS_IO. */
int storage_journal_tick(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error);
/* Makes a snapshot of the tick's view durable, unless the newest one is of the same sequence, and
 * removes what it makes superfluous. KVS_OK, KVS_NO_SPACE or KVS_IO. */
int storage_journal_checkpoint(struct storage_journal *journal, const kvs_tick *tick,
                               kvs_error *error);
/* storage_log_seal */
int storage_journal_seal(struct storage_journal *journal, kvs_error *error);

/* Whether the view holds anything that the newest snapshot does not. */
bool storage_journal_changed(const struct storage_journal *journal, const kvs_tick *tick);

#endif
