/*
 * The server's own backups: one every interval, on a thread of its own, and the removal of old
 * ones.
 *
 * Promises
 *  - The first is made at once where there is none, or the newest is older than the interval; so a
 *    restart neither skips one nor makes one too many.
 *  - An attempt that fails is logged and tried again within a minute, or the interval where that is
 *    shorter. The log also says when the newest is older than two intervals.
 *  - Nothing is removed but after a backup that went well.
 *
 * Threads: any for kv_backup_schedule_read; the others on the one that owns it.
 */
#ifndef KV_BACKUP_SCHEDULE_H
#define KV_BACKUP_SCHEDULE_H

#include "core/backup/folder.h"

struct kv_backup_schedule;

struct kv_backup_schedule_config {
   const char *directory;
   uint64_t interval_s; /* at least 1 */
   uint64_t keep;       /* files; 0: all */
   uint64_t keep_days;  /* 0: for ever */
   uint64_t rate;       /* bytes a second; 0: no limit */
};

struct kv_backup_schedule_state {
   struct kv_backup_found newest;
   char last_error[KV_STATUS_TEXT_SIZE]; /* of the latest attempt; "" when it went well */
   uint64_t interval_s;
};

/* Opens the directory; no thread runs yet. */
enum kv_code kv_backup_schedule_create(const struct kv_backup_schedule_config *config,
                                       struct kv_backup_schedule **schedule,
                                       struct kv_status *status);
/* `open` gives a backup of now, on the thread of the schedule. */
enum kv_code kv_backup_schedule_start(struct kv_backup_schedule *schedule,
                                      enum kv_code (*open)(void *context, struct kv_backup **backup,
                                                           struct kv_status *status),
                                      void *context, struct kv_status *status);
/* Ends the thread, and cancels the backup that it is making. */
void kv_backup_schedule_stop(struct kv_backup_schedule *schedule);
void kv_backup_schedule_destroy(struct kv_backup_schedule *schedule);
void kv_backup_schedule_read(struct kv_backup_schedule *schedule,
                             struct kv_backup_schedule_state *state);

#endif
