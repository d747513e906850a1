#include "storage/journal.h"

#include "storage/file.h"
#include "storage/layout.h"
#include "storage/note.h"
#include "storage/schedule.h"
#include "storage/snapshot.h"

#include <stdlib.h>
#include <string.h>

/* After a snapshot in place of a failed log has failed, too, the next one is tried then. */
#define RESCUE_RETRY_MS ((uint64_t)10 * 1000)
/* After a failed compaction the next one waits, because it may take long to fail. */
#define RETRY_MS ((uint64_t)30 * 1000)
/* When less is free, the log is kept no longer than the data, and COMPACT_MIN, so that small data
 * are not written anew every few writes. */
#define FREE_LOW ((uint64_t)16 << 20)
#define COMPACT_MIN ((uint64_t)1 << 20)
/* When a batch was refused, a compaction must free at least this much. */
#define GAIN_MIN ((uint64_t)64 << 10)
/* For what is not counted: beginnings of files, and rounding up to blocks. */
#define SPARE ((uint64_t)256 << 10)

/* What asks for a compaction. */
enum pressure { PRESSURE_NONE, PRESSURE_LOG, PRESSURE_DISK };

struct storage_journal {
   const kvs_host *host;
   struct storage_log *log;
   struct storage_snapshot_set *snapshots; /* control thread only, like all below */
   uint64_t segment_size;
   struct storage_schedule schedule; /* of snapshots */
   uint64_t rescue_ms;               /* monotonic; no snapshot in place of a failed log before */
   uint64_t retry_ms;                /* monotonic; no compaction before */
   bool holds;                       /* the file system can hold space for snapshots */
   bool rotated;                     /* the log was, for a compaction at the next tick */
   struct storage_log_border border; /* where it did */
   uint64_t covered;                 /* what storage_log_appended returned at the newest snapshot */
};

int storage_journal_open(const kvs_host *host, const struct storage_journal_settings *settings,
                         void **self, kvs_error *error)
{
   struct storage_journal *created = calloc(1, sizeof *created);
   if (!created)
      return storage_fail(error, KVS_NO_SPACE, "no memory for a journal");
   created->host = host;
   created->segment_size = settings->log.segment_size;
   created->schedule.interval_ms = settings->interval_ms;
   int code = storage_snapshot_set_create(host, &settings->snapshots, &created->snapshots, error);
   if (code == KVS_OK)
      code = storage_log_create(host, &settings->log, &created->log, error);
   if (code != KVS_OK) {
      storage_journal_close(created);
      return code;
   }
   *self = created;
   return KVS_OK;
}

void storage_journal_close(void *self)
{
   struct storage_journal *journal = self;
   if (journal->log)
      storage_log_destroy(journal->log);
   if (journal->snapshots)
      storage_snapshot_set_destroy(journal->snapshots);
   free(journal);
}

/* Whether batches may soon be refused: there should be space to set all the data once more, and for
 * the snapshot after the next one to become larger by as much. */
static bool is_short(const struct storage_journal *journal, const kvs_tick *tick)
{
   return storage_log_free_bytes(journal->log) <
          2 * storage_snapshot_size_limit(tick) + COMPACT_MIN;
}

/* Holds space for a snapshot of the tick's view. Where that or the log lacks space, older snapshots
 * and their log are removed. */
static int keep_space(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   int64_t missing;
   int code = storage_snapshot_set_keep_space(journal->snapshots, tick, &missing, error);
   if (code == KVS_NO_SPACE) {
      storage_log_remove_covered(journal->log, storage_snapshot_set_oldest(journal->snapshots));
      code = storage_snapshot_set_keep_space(journal->snapshots, tick, &missing, error);
   }
   while ((code == KVS_NO_SPACE || (code == KVS_OK && is_short(journal, tick))) &&
          storage_snapshot_set_drop_oldest(journal->snapshots)) {
      storage_log_remove_covered(journal->log, storage_snapshot_set_oldest(journal->snapshots));
      code = storage_snapshot_set_keep_space(journal->snapshots, tick, &missing, error);
   }
   storage_log_hold(journal->log, missing, tick->view_sequence);
   journal->holds = missing != INT64_MIN;
   return code;
}

/* The log holds each change since the snapshot at `sequence`. */
static void note_history(const kvs_host *host, uint64_t sequence)
{
   const kvs_history *history = host->extension(host, KVS_EXTENSION_HISTORY);
   if (history)
      history->complete_above(history, sequence);
}

int storage_journal_on_load(void *self, kvs_error *error)
{
   struct storage_journal *journal = self;
   struct storage_snapshot_found found;
   uint64_t last_sequence;
   storage_note_expected(journal->host, STORAGE_LOG_DIRECTORY, STORAGE_SEGMENT_SUFFIX);
   int code = storage_snapshot_set_load(journal->snapshots, false, &found, error);
   if (code != KVS_OK)
      return code;
   note_history(journal->host, found.sequence);
   code = storage_log_load(journal->log, &found, &last_sequence, error);
   if (code != KVS_OK)
      return code;
   journal->host->loaded_to(journal->host,
                            last_sequence > found.sequence ? last_sequence : found.sequence);
   /* Before anything else can take it; the first tick knows the amount better. */
   const kvs_tick most = {.view_bytes = storage_snapshot_set_bytes(journal->snapshots) +
                                        storage_log_appended(journal->log)};
   kvs_error ignored = {.size = sizeof ignored};
   (void)keep_space(journal, &most, &ignored);
   return KVS_OK;
}

int storage_journal_on_write(void *self, const kvs_record *records, size_t count, uint32_t flags,
                             kvs_error *error)
{
   const struct storage_journal *journal = self;
   return storage_log_write(journal->log, records, count, flags & KVS_WRITE_SYNC, error);
}

/* How much the log has grown since the newest snapshot. */
static uint64_t log_bytes(const struct storage_journal *journal)
{
   return storage_log_appended(journal->log) - journal->covered;
}

/* ---- Checkpoints --------------------------------------------------------------------------- */

/* Whether the view holds anything that the newest snapshot does not. */
static bool has_changed(const struct storage_journal *journal, const kvs_tick *tick)
{
   return tick->view_sequence > storage_snapshot_set_newest(journal->snapshots);
}

/* Makes a snapshot of the tick's view durable, unless the newest one is of the same sequence, and
 * removes what it makes superfluous. */
static int checkpoint(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   if (!has_changed(journal, tick))
      return KVS_OK;
   int code = storage_log_begin(journal->log, error);
   if (code == KVS_OK)
      code = keep_space(journal, tick, error);
   if (code != KVS_OK)
      return code;
   uint64_t covered = storage_log_appended(journal->log);
   if (journal->holds) /* the space is used up now, and the snapshot after this one needs as much */
      storage_log_hold(journal->log, (int64_t)storage_snapshot_size_limit(tick),
                       tick->view_sequence);
   code = storage_snapshot_set_write(journal->snapshots, tick, error);
   if (code != KVS_OK)
      return code;
   journal->covered = covered;
   /* The header of a new segment says that this snapshot must exist, and the next snapshot covers
    * the segment in use wholly. */
   storage_log_snapshot_taken(journal->log, tick->view_sequence);
   storage_log_remove_covered(journal->log, storage_snapshot_set_oldest(journal->snapshots));
   kvs_error ignored = {.size = sizeof ignored};
   struct storage_log_border border;
   /* Where there is no space for the next one, the segment in use is ended now, and removed if the
    * snapshot covers it. */
   if (keep_space(journal, tick, &ignored) == KVS_NO_SPACE &&
       storage_log_rotate(journal->log, &border, &ignored) == KVS_OK)
      (void)keep_space(journal, tick, &ignored); /* the next tick reports it */
   return KVS_OK;
}

/* A snapshot in place of a log that failed. */
static void rescue(struct storage_journal *journal, const kvs_tick *tick)
{
   kvs_error reason = {.size = sizeof reason};
   if (!has_changed(journal, tick) || tick->monotonic_ms < journal->rescue_ms ||
       checkpoint(journal, tick, &reason) == KVS_OK)
      return;
   journal->rescue_ms = tick->monotonic_ms + RESCUE_RETRY_MS;
   journal->host->log(journal->host, KVS_LOG_ERROR, reason.text);
}

/* ---- Compaction ---------------------------------------------------------------------------- */

/* Whether replacing all files by one snapshot would free enough to be worth it. */
static bool would_gain(const struct storage_journal *journal, const kvs_tick *tick)
{
   const uint64_t needed = storage_snapshot_size_limit(tick);
   const uint64_t present = log_bytes(journal) + storage_snapshot_set_bytes(journal->snapshots);
   return present > needed + needed / 8 + GAIN_MIN ||
          storage_snapshot_set_oldest(journal->snapshots) <
              storage_snapshot_set_newest(journal->snapshots);
}

/* The log may grow to a segment and twice the data; on a disk that is nearly full, to the data; and
 * on a full one no more than necessary. */
static enum pressure pressure_of(struct storage_journal *journal, const kvs_tick *tick)
{
   const uint64_t bytes = log_bytes(journal);
   if (storage_log_take_refused(journal->log) && would_gain(journal, tick))
      return PRESSURE_DISK;
   if (bytes > tick->view_bytes + COMPACT_MIN && storage_log_free_bytes(journal->log) < FREE_LOW)
      return PRESSURE_DISK;
   if (bytes > journal->segment_size && bytes > 2 * tick->view_bytes)
      return PRESSURE_LOG;
   return PRESSURE_NONE;
}

/* Whether, after a snapshot of the tick's view has replaced all before the border, there would be
 * space for the one after it. What came since the border is in the log and in both of them. */
static bool would_fit(const struct storage_journal *journal, const kvs_tick *tick)
{
   const uint64_t since = storage_log_appended(journal->log) - journal->border.appended;
   const uint64_t present = log_bytes(journal) + storage_snapshot_set_bytes(journal->snapshots);
   const uint64_t free = storage_log_free_bytes(journal->log);
   return since <= GAIN_MIN || free >= FREE_LOW ||
          free + present >= storage_snapshot_size_limit(tick) + 2 * since + SPARE;
}

/* Replaces all files by one snapshot. That covers the log only up to a border between segments. So
 * one tick draws a border, and a later one, soon, has a view of all before it, because what the log
 * holds is published a moment later. When too much has come behind it meanwhile, another border is
 * drawn; that ends, because a full disk takes no more sets. */
static int compact_for_space(struct storage_journal *journal, const kvs_tick *tick,
                             kvs_error *error)
{
   if (!journal->rotated || !would_fit(journal, tick)) {
      int code = storage_log_rotate(journal->log, &journal->border, error);
      if (code == KVS_IO)
         return code;
      journal->rotated = true;
      journal->host->wake(journal->host);
      return KVS_OK;
   }
   if (tick->view_sequence < journal->border.sequence) {
      journal->host->wake(journal->host);
      return KVS_OK;
   }
   journal->rotated = false;
   kvs_tick hurried = {0}; /* not limited by the rate: writes wait for the space */
   memcpy(&hurried, tick, tick->size < sizeof hurried ? tick->size : sizeof hurried);
   hurried.reason = KVS_TICK_CHECKPOINT;
   int code = checkpoint(journal, &hurried, error);
   while (code == KVS_OK && storage_snapshot_set_drop_oldest(journal->snapshots)) {
   }
   storage_log_remove_covered(journal->log, storage_snapshot_set_oldest(journal->snapshots));
   return code;
}

static int compact(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   if (tick->monotonic_ms < journal->retry_ms)
      return KVS_OK;
   enum pressure pressure = journal->rotated ? PRESSURE_DISK : pressure_of(journal, tick);
   int code = KVS_OK;
   if (pressure == PRESSURE_DISK)
      code = compact_for_space(journal, tick, error);
   else if (pressure == PRESSURE_LOG)
      code = checkpoint(journal, tick, error);
   if (code != KVS_OK)
      journal->retry_ms = tick->monotonic_ms + RETRY_MS;
   return code;
}

/* ---- Ticks --------------------------------------------------------------------------------- */

static int tick_log(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   int code = storage_snapshot_set_check(journal->snapshots, error);
   if (code != KVS_OK) {
      storage_log_condemn(journal->log, error); /* what it is read on top of is missing */
      code = KVS_IO;
   } else {
      code = storage_log_tick(journal->log, error);
   }
   if (code != KVS_OK) {
      rescue(journal, tick);
      return code;
   }
   kvs_error reason = {.size = sizeof reason};
   code = keep_space(journal, tick, error);
   int compacted = compact(journal, tick, &reason);
   if (compacted != KVS_OK)
      *error = reason;
   return compacted != KVS_OK ? compacted : code;
}

static int take_snapshot(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   int code = checkpoint(journal, tick, error);
   storage_schedule_next(&journal->schedule, tick, code != KVS_OK);
   return code;
}

/* The log, and a snapshot whatever becomes of it: either one alone keeps everything. */
static int shut_down(struct storage_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   int snapshot_code =
       journal->schedule.interval_ms > 0 ? checkpoint(journal, tick, error) : KVS_OK;
   int log_code = storage_log_seal(journal->log, error);
   return log_code != KVS_OK ? log_code : snapshot_code;
}

int storage_journal_on_tick(void *self, const kvs_tick *tick, kvs_error *error)
{
   struct storage_journal *journal = self;
   if (tick->reason == KVS_TICK_CHECKPOINT)
      return take_snapshot(journal, tick, error);
   if (tick->reason == KVS_TICK_SHUTDOWN)
      return shut_down(journal, tick, error);
   int code = tick_log(journal, tick, error);
   if (code == KVS_OK && storage_schedule_due(&journal->schedule, tick))
      code = take_snapshot(journal, tick, error);
   return code;
}
