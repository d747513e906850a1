/* Backup: the data at one version as a file, streamed.
 *
 * The call's thread writes the file; a full piece goes out as soon as the one before has left and
 * the rate allows. So no worker waits, and what a slow client costs is one piece and the view. */
#include "core/backup/backup.h"
#include "core/service/admin/admin.h"
#include "core/support/clock.h"

#include <stdlib.h>
#include <string.h>

/* Of one message: well below the 4 MiB that clients accept by default. */
#define PIECE_SIZE ((size_t)256 * 1024)

struct job {
   struct kv_service *service;
   struct kv_call *call;
   uint64_t rate; /* bytes a second; 0: no limit */

   /* The thread's. */
   uint64_t began_ms, sent_bytes;
   size_t filled;
   uint8_t piece[PIECE_SIZE];

   pthread_mutex_t lock; /* for what follows, and held while the thread uses the call */
   pthread_cond_t changed;
   struct kv_backup *backup; /* NULL: the thread has not opened it, or has closed it */
   bool ready;               /* the message before has left */
   bool failed;              /* the thread has failed the call, and touches it no more */
   bool closed;              /* the call is over and must not be touched */
   bool ended;               /* the thread touches nothing any more */
};

/* ---- The thread of one ---- */

static void free_job(struct job *job)
{
   pthread_mutex_destroy(&job->lock);
   pthread_cond_destroy(&job->changed);
   free(job);
}

/* With the lock held: waits until the next message may go out; false when there is no call. */
static bool await_turn(struct job *job)
{
   uint64_t due_ms = kv_backup_due_ms(job->began_ms, job->sent_bytes, job->rate);
   while (!job->closed && !job->ready)
      pthread_cond_wait(&job->changed, &job->lock);
   while (!job->closed && kv_clock_monotonic_ms() < due_ms)
      kv_clock_wait(&job->changed, &job->lock, due_ms);
   return !job->closed;
}

/* Sends what is in the piece; the last message has a digest. */
static enum kv_code send_piece(struct job *job, const uint8_t *digest, struct kv_status *status)
{
   Kvstore__V1__BackupResponse response = KVSTORE__V1__BACKUP_RESPONSE__INIT;
   response.data = kv_message_bytes(kv_slice(job->piece, job->filled));
   response.version = kv_backup_sequence(job->backup);
   response.total_bytes =
       digest ? job->sent_bytes + job->filled : kv_backup_size_limit(job->backup);
   if (digest)
      response.checksum = kv_message_bytes(kv_slice(digest, KV_BACKUP_DIGEST_SIZE));
   pthread_mutex_lock(&job->lock);
   enum kv_code code = KV_OK;
   if (!await_turn(job)) {
      code = kv_fail(status, KV_CANCELLED, "the call is over");
   } else if (kv_message_encode(job->call, &response.base)) {
      job->ready = false;
      job->sent_bytes += job->filled;
      kv_call_send(job->call);
   } else {
      job->failed = true;
      code = kv_fail(status, KV_CANCELLED, "the call has failed");
   }
   pthread_mutex_unlock(&job->lock);
   job->filled = 0;
   return code;
}

static enum kv_code put(void *context, const void *data, size_t size, struct kv_status *status)
{
   struct job *job = context;
   const uint8_t *from = data;
   while (size > 0) {
      size_t part = PIECE_SIZE - job->filled < size ? PIECE_SIZE - job->filled : size;
      memcpy(job->piece + job->filled, from, part);
      job->filled += part;
      from += part;
      size -= part;
      if (job->filled == PIECE_SIZE && send_piece(job, NULL, status) != KV_OK)
         return status->code;
   }
   return KV_OK;
}

/* The first message says what comes. */
static enum kv_code write_file(struct job *job, struct kv_status *status)
{
   const struct kv_backup_sink sink = {put, job};
   uint8_t digest[KV_BACKUP_DIGEST_SIZE];
   enum kv_code code = send_piece(job, NULL, status);
   if (code == KV_OK)
      code = kv_backup_write(job->backup, &sink, digest, status);
   return code == KV_OK ? send_piece(job, digest, status) : code;
}

/* The control thread may have to do some of it. */
static enum kv_code open_file(struct job *job, struct kv_status *status)
{
   struct kv_backup *backup;
   enum kv_code code = kv_service_open_backup(job->service, &backup, status);
   if (code != KV_OK)
      return code;
   pthread_mutex_lock(&job->lock);
   job->backup = backup;
   job->began_ms = kv_clock_monotonic_ms();
   pthread_mutex_unlock(&job->lock);
   return KV_OK;
}

static void *run(void *argument)
{
   struct job *job = argument;
   struct kv_jobs *backups = &job->service->backups;
   struct kv_status status;
   enum kv_code code = open_file(job, &status);
   if (code == KV_OK)
      code = write_file(job, &status);
   kv_jobs_make_place(backups);
   pthread_mutex_lock(&job->lock);
   struct kv_backup *backup = job->backup;
   job->backup = NULL;
   while (!job->closed && !job->failed && !job->ready)
      pthread_cond_wait(&job->changed, &job->lock);
   bool open = !job->closed && !job->failed;
   if (open && code == KV_OK)
      kv_call_finish(job->call);
   else if (open)
      kv_message_fail(job->call, &status);
   job->ended = true;
   bool last = job->closed;
   pthread_mutex_unlock(&job->lock);
   if (backup)
      kv_backup_close(backup);
   if (last)
      free_job(job);
   kv_jobs_leave(backups);
   return NULL;
}

/* ---- The call ---- */

static void see_mode(void *context, const struct kv_control_state *state)
{
   struct kv_service_mode *mode = context;
   size_t count = state->plugin->option_count;
   for (size_t i = 0; i < count; i++)
      mode->options[i] = (struct kv_mode_option){state->settings[i].name, state->settings[i].text};
   mode->stacked = state->stacked;
   mode->active = (struct kv_active){.plugin = (char *)(uintptr_t)state->plugin->name,
                                     .options = mode->options,
                                     .option_count = count,
                                     .generation = state->generation};
}

void kv_service_mode(const struct kv_service *service, struct kv_service_mode *mode)
{
   kv_control_inspect(service->config.control, see_mode, mode);
}

/* The settings' texts live no longer than the lock is held. */
struct question {
   const struct kv_service *service;
   struct kv_backup *backup;
   bool stacked;
   enum kv_code code;
   struct kv_status *status;
};

static void open_backup(void *context, const struct kv_control_state *state)
{
   struct question *question = context;
   const struct kv_service_config *config = &question->service->config;
   struct kv_service_mode mode;
   see_mode(&mode, state);
   question->stacked = mode.stacked;
   if (!mode.stacked)
      question->code = kv_backup_open(config->store, config->store_id, &mode.active,
                                      &question->backup, question->status);
}

enum kv_code kv_service_open_backup(void *context, struct kv_backup **backup,
                                    struct kv_status *status)
{
   const struct kv_service *service = context;
   struct question question = {.service = service, .status = status};
   kv_control_inspect(service->config.control, open_backup, &question);
   *backup = question.backup;
   return question.stacked ? kv_service_seal_backup(service, backup, status) : question.code;
}

static struct job *create_job(struct kv_service *service, struct kv_call *call, uint64_t rate,
                              struct kv_status *status)
{
   struct job *job = malloc(sizeof *job);
   if (!job) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a backup");
      return NULL;
   }
   memset(job, 0, offsetof(struct job, piece));
   job->service = service;
   job->call = call;
   job->rate = rate;
   job->began_ms = kv_clock_monotonic_ms();
   job->backup = NULL;
   job->ready = true;
   job->failed = job->closed = job->ended = false;
   pthread_mutex_init(&job->lock, NULL);
   kv_clock_init_condition(&job->changed);
   return job;
}

static enum kv_code begin(struct kv_service *service, struct kv_call *call, uint64_t rate,
                          struct kv_status *status)
{
   if (!kv_jobs_enter(&service->backups))
      return kv_fail_reason(status, KV_RESOURCE_EXHAUSTED, "TOO_MANY_BACKUPS",
                            "%d backups are in flight already; try again later", KV_BACKUPS_MAX);
   struct job *job = create_job(service, call, rate, status);
   if (!job) {
      kv_jobs_make_place(&service->backups);
      kv_jobs_leave(&service->backups);
      return status->code;
   }
   pthread_t thread;
   *kv_call_state(call) = job;
   int error = pthread_create(&thread, NULL, run, job);
   if (error == 0) {
      pthread_detach(thread);
      return KV_OK;
   }
   *kv_call_state(call) = NULL;
   free_job(job);
   kv_jobs_make_place(&service->backups);
   kv_jobs_leave(&service->backups);
   return kv_fail_errno(status, error, "cannot start a thread for the backup");
}

void kv_service_backup(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__BackupRequest *wanted =
       kv_service_request(service, call, &kvstore__v1__backup_request__descriptor, request);
   struct kv_status status;
   if (wanted && begin(service, call, wanted->rate_bytes_per_second, &status) != KV_OK)
      kv_message_fail(call, &status);
}

void kv_service_backup_sent(void *context, struct kv_call *call)
{
   (void)context;
   struct job *job = *kv_call_state(call);
   pthread_mutex_lock(&job->lock);
   job->ready = true;
   pthread_cond_signal(&job->changed);
   pthread_mutex_unlock(&job->lock);
}

void kv_service_backup_closed(void *context, struct kv_call *call)
{
   (void)context;
   struct job *job = *kv_call_state(call);
   if (!job)
      return;
   pthread_mutex_lock(&job->lock);
   job->closed = true;
   bool last = job->ended;
   pthread_cond_signal(&job->changed);
   pthread_mutex_unlock(&job->lock);
   if (last)
      free_job(job);
}

size_t kv_service_backup_kept(void *context, struct kv_call *call)
{
   (void)context;
   struct job *job = *kv_call_state(call);
   if (!job)
      return 0;
   pthread_mutex_lock(&job->lock);
   size_t kept = sizeof *job + (job->backup ? kv_backup_kept(job->backup) : 0);
   pthread_mutex_unlock(&job->lock);
   return kept;
}
