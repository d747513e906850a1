#include "plugins/format/journal.h"

#include "plugins/format/file.h"
#include "plugins/format/note.h"

#include <stdlib.h>

/* After a snapshot in place of a failed log that failed too, the next one is tried then. */
#define RETRY_MS ((uint64_t)10 * 1000)

struct format_journal {
   const kvs_host *host;
   struct format_log *log;
   struct format_snapshot_set *snapshots; /* control thread only, like all below */
   uint64_t rescue_ms; /* monotonic; no snapshot in place of a failed log before */
   uint64_t covered;   /* of format_log_appended, what the newest snapshot holds */
};

int format_journal_create(const kvs_host *host, const struct format_journal_settings *settings,
                          struct format_journal **journal, kvs_error *error)
{
   struct format_journal *created = calloc(1, sizeof *created);
   if (!created)
      return format_fail(error, KVS_NO_SPACE, "no memory for a journal");
   created->host = host;
   int code = format_snapshot_set_create(host, &settings->snapshots, &created->snapshots, error);
   if (code == KVS_OK)
      code = format_log_create(host, &settings->log, &created->log, error);
   if (code != KVS_OK) {
      format_journal_destroy(created);
      return code;
   }
   *journal = created;
   return KVS_OK;
}

void format_journal_destroy(struct format_journal *journal)
{
   if (journal->log)
      format_log_destroy(journal->log);
   if (journal->snapshots)
      format_snapshot_set_destroy(journal->snapshots);
   free(journal);
}

struct format_recovery_base format_journal_base(const struct format_snapshot_found *found)
{
   return (struct format_recovery_base){.snapshot_loaded = found->loaded,
                                        .snapshot_sequence = found->sequence,
                                        .required_sequence = found->newest_sequence};
}

int format_journal_load(struct format_journal *journal, kvs_error *error)
{
   struct format_snapshot_found found;
   uint64_t last_sequence;
   format_note_expected(journal->host, "aof", ".log");
   int code = format_snapshot_set_load(journal->snapshots, &found, error);
   if (code != KVS_OK)
      return code;
   const struct format_recovery_base base = format_journal_base(&found);
   code = format_log_load(journal->log, &base, &last_sequence, error);
   if (code != KVS_OK)
      return code;
   journal->host->loaded_to(journal->host,
                            last_sequence > found.sequence ? last_sequence : found.sequence);
   return KVS_OK;
}

int format_journal_write(struct format_journal *journal, const kvs_record *records, size_t count,
                         uint32_t flags, kvs_error *error)
{
   return format_log_write(journal->log, records, count, flags & KVS_WRITE_SYNC, error);
}

int format_journal_seal(struct format_journal *journal, kvs_error *error)
{
   return format_log_seal(journal->log, error);
}

bool format_journal_changed(const struct format_journal *journal, const kvs_tick *tick)
{
   return tick->view_sequence > format_snapshot_set_newest(journal->snapshots);
}

uint64_t format_journal_log_bytes(const struct format_journal *journal)
{
   return format_log_appended(journal->log) - journal->covered;
}

int format_journal_checkpoint(struct format_journal *journal, const kvs_tick *tick,
                              kvs_error *error)
{
   if (!format_journal_changed(journal, tick))
      return KVS_OK;
   int code = format_log_begin(journal->log, error);
   if (code != KVS_OK)
      return code;
   uint64_t covered = format_log_appended(journal->log);
   code = format_snapshot_set_write(journal->snapshots, tick, error);
   if (code != KVS_OK)
      return code;
   journal->covered = covered;
   /* A fresh segment says that there must be a snapshot, and lets the one in use become one that
    * the next snapshot covers wholly. */
   format_log_snapshot_taken(journal->log, tick->view_sequence);
   format_log_remove_covered(journal->log, format_snapshot_set_oldest(journal->snapshots));
   return KVS_OK;
}

int format_journal_tick(struct format_journal *journal, const kvs_tick *tick, kvs_error *error)
{
   int code = format_log_tick(journal->log, error);
   if (code == KVS_OK || !format_journal_changed(journal, tick) ||
       tick->monotonic_ms < journal->rescue_ms)
      return code;
   kvs_error reason = {.size = sizeof reason};
   if (format_journal_checkpoint(journal, tick, &reason) != KVS_OK) {
      journal->rescue_ms = tick->monotonic_ms + RETRY_MS;
      journal->host->log(journal->host, KVS_LOG_ERROR, reason.text);
   }
   return code;
}
