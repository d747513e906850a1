#include "core/backup/schedule.h"

#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MS_PER_S 1000
#define MS_PER_DAY ((int64_t)86400 * 1000)
#define RETRY_MS 60000

struct kv_backup_schedule {
   struct kv_backup_schedule_config config;
   struct kv_backup_folder *folder;
   enum kv_code (*open)(void *context, struct kv_backup **backup, struct kv_status *status);
   void *context;
   pthread_t thread;
   bool running;
   int64_t started_ms; /* Unix time */
   uint64_t began_ms;  /* monotonic; of the backup being made */

   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   struct kv_backup_schedule_state state;
   bool stopping;
};

enum kv_code kv_backup_schedule_create(const struct kv_backup_schedule_config *config,
                                       struct kv_backup_schedule **schedule,
                                       struct kv_status *status)
{
   struct kv_backup_schedule *created = calloc(1, sizeof *created);
   if (!created)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the backups");
   created->config = *config;
   created->started_ms = kv_clock_unix_ms();
   created->state.interval_s = config->interval_s;
   if (kv_backup_folder_open(config->directory, &created->folder, status) != KV_OK) {
      free(created);
      return status->code;
   }
   if (kv_backup_folder_find(created->folder, &created->state.newest, status) != KV_OK) {
      kv_backup_folder_close(created->folder);
      free(created);
      return status->code;
   }
   pthread_mutex_init(&created->lock, NULL);
   kv_clock_init_condition(&created->changed);
   *schedule = created;
   return KV_OK;
}

void kv_backup_schedule_destroy(struct kv_backup_schedule *schedule)
{
   kv_backup_schedule_stop(schedule);
   kv_backup_folder_close(schedule->folder);
   pthread_mutex_destroy(&schedule->lock);
   pthread_cond_destroy(&schedule->changed);
   free(schedule);
}

void kv_backup_schedule_read(struct kv_backup_schedule *schedule,
                             struct kv_backup_schedule_state *state)
{
   pthread_mutex_lock(&schedule->lock);
   *state = schedule->state;
   pthread_mutex_unlock(&schedule->lock);
}

/* Waits until then (monotonic); false when the thread is to end. */
static bool wait_until(struct kv_backup_schedule *schedule, uint64_t until_ms)
{
   pthread_mutex_lock(&schedule->lock);
   while (!schedule->stopping && kv_clock_monotonic_ms() < until_ms)
      kv_clock_wait(&schedule->changed, &schedule->lock, until_ms);
   bool goes_on = !schedule->stopping;
   pthread_mutex_unlock(&schedule->lock);
   return goes_on;
}

static enum kv_code keep_pace(void *context, uint64_t bytes, struct kv_status *status)
{
   struct kv_backup_schedule *schedule = context;
   uint64_t due_ms = kv_backup_due_ms(schedule->began_ms, bytes, schedule->config.rate);
   return wait_until(schedule, due_ms) ? KV_OK
                                       : kv_fail(status, KV_CANCELLED, "the server is stopping");
}

static enum kv_code make_one(struct kv_backup_schedule *schedule, struct kv_status *status)
{
   struct kv_backup *backup;
   enum kv_code code = schedule->open(schedule->context, &backup, status);
   if (code != KV_OK)
      return code;
   schedule->began_ms = kv_clock_monotonic_ms();
   code = kv_backup_folder_write(schedule->folder, backup, keep_pace, schedule, status);
   kv_backup_close(backup);
   int64_t oldest_ms = schedule->config.keep_days > 0
                           ? kv_clock_unix_ms() - (int64_t)schedule->config.keep_days * MS_PER_DAY
                           : 0;
   /* The backup is there. To make another one in place of it would only fill the disk. */
   struct kv_status failure;
   if (code == KV_OK && kv_backup_folder_prune(schedule->folder, schedule->config.keep, oldest_ms,
                                               &failure) != KV_OK)
      kv_log(KV_LOG_WARNING, "%s", failure.text);
   return code;
}

static void log_failure(const struct kv_backup_schedule *schedule,
                        const struct kv_backup_found *newest, const struct kv_status *status)
{
   int64_t since_ms = newest->made_ms > 0 ? newest->made_ms : schedule->started_ms;
   int64_t age_s = (kv_clock_unix_ms() - since_ms) / MS_PER_S;
   kv_log_event(KV_LOG_WARNING, "the backup failed: %s", status->text);
   if (age_s > 2 * (int64_t)schedule->config.interval_s)
      kv_log(KV_LOG_WARNING,
             "there is no backup of the last %" PRId64 " s, more than two intervals of %" PRIu64
             " s; the newest is %s",
             age_s, schedule->config.interval_s, newest->name[0] ? newest->name : "none at all");
}

/* Returns whether it went well. */
static bool attempt(struct kv_backup_schedule *schedule)
{
   struct kv_status status, ignored;
   struct kv_backup_found newest;
   enum kv_code code = make_one(schedule, &status);
   bool known = kv_backup_folder_find(schedule->folder, &newest, &ignored) == KV_OK;
   pthread_mutex_lock(&schedule->lock);
   if (known)
      schedule->state.newest = newest;
   else
      newest = schedule->state.newest;
   bool stopping = schedule->stopping;
   if (!stopping)
      snprintf(schedule->state.last_error, sizeof schedule->state.last_error, "%s",
               code == KV_OK ? "" : status.text);
   pthread_mutex_unlock(&schedule->lock);
   if (code == KV_OK)
      kv_log_event(KV_LOG_INFO, "made the backup %s: %" PRIu64 " bytes", newest.name, newest.bytes);
   else if (!stopping)
      log_failure(schedule, &newest, &status);
   return code == KV_OK;
}

/* How long until the first one. */
static uint64_t first_delay_ms(const struct kv_backup_schedule *schedule)
{
   int64_t interval_ms = (int64_t)schedule->config.interval_s * MS_PER_S;
   int64_t age_ms = kv_clock_unix_ms() - schedule->state.newest.made_ms;
   bool due = schedule->state.newest.name[0] == '\0' || age_ms < 0 || age_ms >= interval_ms;
   return due ? 0 : (uint64_t)(interval_ms - age_ms);
}

static void *run(void *argument)
{
   struct kv_backup_schedule *schedule = argument;
   uint64_t interval_ms = schedule->config.interval_s * MS_PER_S;
   uint64_t due_ms = kv_clock_monotonic_ms() + first_delay_ms(schedule);
   while (wait_until(schedule, due_ms)) {
      due_ms = kv_clock_monotonic_ms() + interval_ms;
      if (!attempt(schedule))
         due_ms = kv_clock_monotonic_ms() + (interval_ms < RETRY_MS ? interval_ms : RETRY_MS);
   }
   return NULL;
}

enum kv_code kv_backup_schedule_start(struct kv_backup_schedule *schedule,
                                      enum kv_code (*open)(void *context, struct kv_backup **backup,
                                                           struct kv_status *status),
                                      void *context, struct kv_status *status)
{
   schedule->open = open;
   schedule->context = context;
   int error = pthread_create(&schedule->thread, NULL, run, schedule);
   schedule->running = error == 0;
   return error == 0 ? KV_OK
                     : kv_fail_errno(status, error, "cannot start the thread of the backups");
}

void kv_backup_schedule_stop(struct kv_backup_schedule *schedule)
{
   if (!schedule->running)
      return;
   pthread_mutex_lock(&schedule->lock);
   schedule->stopping = true;
   pthread_cond_signal(&schedule->changed);
   pthread_mutex_unlock(&schedule->lock);
   pthread_join(schedule->thread, NULL);
   schedule->running = false;
}
