/* Restore: a backup file, streamed, in place of the data.
 *
 * The call's thread puts the file aside on the disk, checks all of it, loads it beside the live
 * data, and then has the control thread put it in its place. The next message is read once the one
 * before is on its way to the disk. So no worker waits, and what a client costs is one message.
 *
 * For the wire a client's stream is a call of both sides with one reply. */
#include "core/backup/content.h"
#include "core/backup/sealed.h"
#include "core/backup/spool.h"
#include "core/service/admin/admin.h"
#include "core/support/clock.h"
#include "core/support/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_S 1000

struct job {
   struct kv_control_task task; /* first: `run` gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
   bool validate_only, replace_existing;

   /* The thread's, but for the control thread while it has the task. */
   struct kv_spool spool;
   struct kv_backup_content content;
   struct kv_control_replacement replacement;
   struct kv_status status;

   pthread_mutex_t lock; /* for what follows, and held by whoever uses the call */
   pthread_cond_t changed;
   struct kv_arena arena; /* the message that came last */
   bool has_piece;        /* which has a piece that is to be put aside */
   struct kv_slice piece;
   bool complete;     /* the client has sent all */
   bool task_is_done; /* with `status` */
   bool answered;     /* the call is not to be used any more */
   bool closed;       /* the call is over and must not be touched */
   bool ended;        /* the thread touches nothing any more */
};

/* ---- Receiving ---- */

/* Waits for the next message. *piece stays as it is until the one after it is asked for. */
static enum kv_code await_piece(struct job *job, struct kv_slice *piece, bool *complete,
                                struct kv_status *status)
{
   int64_t patience_ms = job->service->config.sender_timeout_ms;
   uint64_t until_ms = kv_clock_monotonic_ms() + (uint64_t)patience_ms;
   enum kv_code code = KV_OK;
   pthread_mutex_lock(&job->lock);
   while (!job->has_piece && !job->complete && !job->closed && !job->answered &&
          kv_clock_monotonic_ms() < until_ms)
      kv_clock_wait(&job->changed, &job->lock, until_ms);
   if (job->closed || job->answered)
      code = kv_fail(status, KV_CANCELLED, "the call was cancelled");
   else if (!job->has_piece && !job->complete)
      code = kv_fail_reason(status, KV_ABORTED, "CLIENT_TOO_SLOW",
                            "the client has sent nothing for %" PRId64 " s (server setting "
                            "reader-timeout); nothing was changed",
                            patience_ms / MS_PER_S);
   *complete = !job->has_piece;
   *piece = job->piece;
   pthread_mutex_unlock(&job->lock);
   return code;
}

static void ask_for_next(struct job *job)
{
   pthread_mutex_lock(&job->lock);
   kv_arena_reset(&job->arena);
   job->has_piece = false;
   if (!job->closed && !job->answered)
      kv_call_read_next(job->call);
   pthread_mutex_unlock(&job->lock);
}

static enum kv_code receive(struct job *job, struct kv_status *status)
{
   struct kv_slice piece;
   bool complete;
   while (await_piece(job, &piece, &complete, status) == KV_OK) {
      if (complete)
         return KV_OK;
      if (kv_spool_write(&job->spool, piece, status) != KV_OK)
         break;
      ask_for_next(job);
   }
   return status->code;
}

/* ---- Loading ---- */

static bool is_closed(void *context)
{
   struct job *job = context;
   pthread_mutex_lock(&job->lock);
   bool closed = job->closed;
   pthread_mutex_unlock(&job->lock);
   return closed;
}

/* The clients'. */
static uint64_t keys_of(const struct kv_backup_content *content)
{
   return content->keys - content->hidden;
}

/* What the live data is now. */
static enum kv_code look_at_store(struct job *job, uint64_t *bytes, struct kv_status *status)
{
   struct kv_store_view *view = kv_store_view_create(job->service->config.store);
   if (!view)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   const struct kv_version *version = kv_store_view_version(view);
   job->replacement.began = kv_version_sequence(version);
   job->replacement.replaced_keys = kv_version_client_count(version);
   *bytes = kv_version_bytes(version);
   kv_store_view_destroy(view);
   return KV_OK;
}

/* Both are in memory for a while. */
static enum kv_code check_memory(const struct job *job, uint64_t live, struct kv_status *status)
{
   uint64_t limit = job->service->config.memory_max, restored = job->content.bytes;
   if (limit == 0 || (restored <= limit && live <= limit - restored))
      return KV_OK;
   return kv_fail_reason(
       status, KV_RESOURCE_EXHAUSTED, "MEMORY_FULL",
       "the backup has %" PRIu64 " bytes of keys and values and the store %" PRIu64
       ", which are both in memory for a while, and the limit (server setting "
       "max-memory) is %" PRIu64 "; raise it, or restore offline with kvstore-check "
       "restore",
       restored, live, limit);
}

static enum kv_code check(struct job *job, struct kv_status *status)
{
   const struct kv_backup_source source = {job->spool.fd, "the backup", is_closed, job};
   uint64_t live = 0;
   enum kv_code code = kv_backup_check(&source, &job->content, status);
   if (code == KV_OK)
      code = look_at_store(job, &live, status);
   return code == KV_OK ? check_memory(job, live, status) : code;
}

static enum kv_code load(struct job *job, struct kv_status *status)
{
   const struct kv_backup_source source = {job->spool.fd, "the backup", is_closed, job};
   job->replacement.data = kv_store_create();
   job->replacement.over_existing = job->replace_existing;
   if (!job->replacement.data)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the backup's data");
   if (job->content.sealed)
      return KV_OK; /* the control thread opens it */
   kv_backup_content_deinit(&job->content);
   return kv_backup_load(&source, job->replacement.data, &job->content, status);
}

/* ---- Taking the place: the control thread ---- */

static void finish_task(struct job *job)
{
   pthread_mutex_lock(&job->lock);
   job->task_is_done = true;
   pthread_cond_signal(&job->changed);
   pthread_mutex_unlock(&job->lock);
}

/* Only a plug-in can open what a plug-in has sealed. */
static enum kv_code unseal(struct job *job, struct kv_transaction *transaction)
{
   struct kv_backup_content *content = &job->content;
   struct kv_backup_source source = {job->spool.fd, "the backup", is_closed, job};
   const struct kv_inner inner = {.context = &source, .load = kv_sealed_load};
   const struct kv_control_sealed sealed = {
       .request = {content->active.plugin, content->active.options, content->active.option_count},
       .store_id = content->store_id,
       .sequence = content->sequence,
       .inner = &inner};
   struct kv_status why;
   if (kv_control_unseal(job->service->config.control, &sealed, transaction, &why) != KV_OK)
      return kv_fail_reason(&job->status, why.code, why.reason,
                            "the backup was sealed by mode %s: %s", content->active.plugin,
                            why.text);
   if (kv_transaction_count(transaction) != content->keys)
      return kv_fail_reason(&job->status, KV_DATA_LOSS, "BACKUP_DAMAGED",
                            "the backup has %" PRIu64 " keys, of which %" PRIu64
                            " open; use another one",
                            content->keys, kv_transaction_count(transaction));
   content->hidden = kv_transaction_hidden_count(transaction);
   content->bytes = kv_transaction_bytes(transaction);
   return KV_OK;
}

static enum kv_code load_sealed(struct job *job)
{
   struct kv_transaction *transaction = kv_store_begin(job->replacement.data);
   if (!transaction)
      return kv_fail(&job->status, KV_RESOURCE_EXHAUSTED, "out of memory for the backup's data");
   enum kv_code code = unseal(job, transaction);
   if (code == KV_OK)
      kv_transaction_commit(transaction, job->content.sequence);
   else
      kv_transaction_abort(transaction);
   return code;
}

static void run_task(struct kv_control_task *task)
{
   struct job *job = (struct job *)task;
   enum kv_code code = job->content.sealed ? load_sealed(job) : KV_OK;
   if (code == KV_OK && !job->validate_only)
      code = kv_control_replace(job->service->config.control, &job->replacement, &job->status);
   job->status.code = code;
   finish_task(job);
}

static void refuse_task(struct kv_control_task *task, const struct kv_status *status)
{
   struct job *job = (struct job *)task;
   job->status = *status;
   finish_task(job);
}

static bool task_is_cancelled(const struct kv_control_task *task)
{
   return is_closed((void *)(uintptr_t)task);
}

static enum kv_code replace(struct job *job, struct kv_status *status)
{
   job->task = (struct kv_control_task){.run = run_task,
                                        .refuse = refuse_task,
                                        .is_cancelled = task_is_cancelled,
                                        .caller = job->task.caller};
   kv_control_post(job->service->config.control, &job->task);
   pthread_mutex_lock(&job->lock);
   while (!job->task_is_done)
      pthread_cond_wait(&job->changed, &job->lock);
   pthread_mutex_unlock(&job->lock);
   *status = job->status;
   if (status->code == KV_OK && !job->validate_only)
      kv_log(KV_LOG_INFO,
             "restored a backup of version %" PRIu64 ": %" PRIu64 " keys in place of %" PRIu64
             "; the store goes on from version %" PRIu64,
             job->content.sequence, keys_of(&job->content), job->replacement.replaced_keys,
             job->replacement.sequence);
   return status->code;
}

/* ---- The thread ---- */

static void free_job(struct job *job)
{
   pthread_mutex_destroy(&job->lock);
   pthread_cond_destroy(&job->changed);
   kv_arena_reset(&job->arena);
   free(job);
}

/* With the lock held, and the call open. */
static void answer(struct job *job)
{
   Kvstore__V1__RestoreResponse response = KVSTORE__V1__RESTORE_RESPONSE__INIT;
   response.keys = keys_of(&job->content);
   response.bytes = job->content.bytes;
   response.backup_version = job->content.sequence;
   response.version = job->validate_only ? 0 : job->replacement.sequence;
   response.replaced_keys = job->replacement.replaced_keys;
   response.plugin = kv_message_text(job->content.active.plugin);
   response.created_unix_ms = job->content.created_ms;
   if (kv_message_encode(job->call, &response.base))
      kv_call_send(job->call);
}

static enum kv_code restore(struct job *job, struct kv_status *status)
{
   enum kv_code code = kv_spool_open(job->service->config.directory, &job->spool, status);
   if (code == KV_OK)
      code = receive(job, status);
   if (code == KV_OK)
      code = check(job, status);
   if (code == KV_OK && (!job->validate_only || job->content.sealed)) {
      code = load(job, status);
      if (code == KV_OK)
         code = replace(job, status);
   }
   kv_spool_close(&job->spool);
   return code;
}

static void *run(void *argument)
{
   struct job *job = argument;
   struct kv_jobs *restores = &job->service->restores;
   struct kv_status status;
   enum kv_code code = restore(job, &status);
   if (job->replacement.data)
      kv_store_destroy(job->replacement.data);
   if (code != KV_OK)
      kv_log(KV_LOG_INFO, "a restore failed: %s", status.text);
   kv_jobs_make_place(restores);
   pthread_mutex_lock(&job->lock);
   bool open = !job->closed && !job->answered;
   job->answered = true;
   if (open && code == KV_OK)
      answer(job);
   else if (open)
      kv_message_fail(job->call, &status);
   kv_backup_content_deinit(&job->content);
   job->ended = true;
   bool last = job->closed;
   pthread_mutex_unlock(&job->lock);
   if (last)
      free_job(job);
   kv_jobs_leave(restores);
   return NULL;
}

/* ---- The call ---- */

/* Before anything is put aside. */
static enum kv_code check_existing(struct kv_service *service, struct kv_call *call,
                                   struct kv_status *status)
{
   struct kv_reader *reader = kv_service_reader(service, call);
   uint64_t keys = kv_version_client_count(kv_reader_pin(reader));
   kv_reader_unpin(reader);
   return keys == 0 ? KV_OK : kv_control_refuse_replacing(keys, status);
}

static enum kv_code start(struct job *job, struct kv_status *status)
{
   pthread_t thread;
   pthread_mutex_init(&job->lock, NULL);
   kv_clock_init_condition(&job->changed);
   kv_arena_init(&job->arena);
   pthread_mutex_lock(&job->lock); /* the handler goes on to use the call */
   int error = pthread_create(&thread, NULL, run, job);
   if (error == 0) {
      pthread_detach(thread);
      return KV_OK;
   }
   pthread_mutex_unlock(&job->lock);
   free_job(job);
   return kv_fail_errno(status, error, "cannot start a thread for the restore");
}

static struct job *create(struct kv_service *service, struct kv_call *call,
                          const Kvstore__V1__RestoreRequest *first, struct kv_status *status)
{
   struct job *job = calloc(1, sizeof *job);
   if (!job) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a restore");
      return NULL;
   }
   *job = (struct job){.task.caller = kv_call_connection(call),
                       .service = service,
                       .call = call,
                       .validate_only = first->validate_only,
                       .replace_existing = first->replace_existing,
                       .spool.fd = -1};
   return start(job, status) == KV_OK ? job : NULL;
}

/* Starts the thread. The job's lock is held; NULL with `status`. */
static struct job *begin(struct kv_service *service, struct kv_call *call,
                         const Kvstore__V1__RestoreRequest *first, struct kv_status *status)
{
   if (!first->replace_existing && !first->validate_only &&
       check_existing(service, call, status) != KV_OK)
      return NULL;
   if (!kv_jobs_enter(&service->restores)) {
      kv_fail_reason(status, KV_RESOURCE_EXHAUSTED, "RESTORE_IN_FLIGHT",
                     "a restore is in flight already; try again when it has ended");
      return NULL;
   }
   struct job *job = create(service, call, first, status);
   if (!job) {
      kv_jobs_make_place(&service->restores);
      kv_jobs_leave(&service->restores);
   }
   return job;
}

/* With the lock held, which it takes off: has the thread put the piece aside; or fails the call,
 * after which nothing of the job may be touched. */
static void give(struct job *job, bool taken, struct kv_slice piece,
                 const struct kv_status *failure)
{
   struct kv_call *call = job->call;
   job->has_piece = taken;
   job->piece = piece;
   job->answered = !taken;
   pthread_cond_signal(&job->changed);
   pthread_mutex_unlock(&job->lock);
   if (!taken)
      kv_message_fail(call, failure);
}

static void take_first(struct kv_service *service, struct kv_call *call, struct kv_slice request)
{
   const Kvstore__V1__RestoreRequest *message =
       kv_service_request(service, call, &kvstore__v1__restore_request__descriptor, request);
   struct kv_status status;
   if (!message)
      return;
   struct job *job = begin(service, call, message, &status);
   if (!job) {
      kv_message_fail(call, &status);
      return;
   }
   *kv_call_state(call) = job;
   /* The call's arena may end before the thread does. */
   void *copy = kv_arena_copy(&job->arena, message->data.data, message->data.len);
   if (!copy)
      kv_fail(&status, KV_RESOURCE_EXHAUSTED, "out of memory for a restore");
   give(job, copy, kv_slice(copy, message->data.len), &status);
}

static void take_next(struct job *job, struct kv_call *call, struct kv_slice request)
{
   struct kv_status status;
   pthread_mutex_lock(&job->lock);
   if (job->answered) {
      pthread_mutex_unlock(&job->lock);
      return;
   }
   const Kvstore__V1__RestoreRequest *message = kv_message_decode_into(
       &job->arena, call, &kvstore__v1__restore_request__descriptor, request, &status);
   give(job, message, message ? kv_service_bytes(message->data) : kv_slice(NULL, 0), &status);
}

void kv_service_restore(void *context, struct kv_call *call, struct kv_slice request)
{
   struct job *job = *kv_call_state(call);
   if (job)
      take_next(job, call, request);
   else
      take_first(context, call, request);
}

void kv_service_restore_half_closed(void *context, struct kv_call *call)
{
   struct kv_service *service = context;
   struct job *job = *kv_call_state(call);
   struct kv_status status;
   if (job) {
      pthread_mutex_lock(&job->lock);
      job->complete = true;
      pthread_cond_signal(&job->changed);
      pthread_mutex_unlock(&job->lock);
   } else if (kv_service_request(service, call, &kvstore__v1__restore_request__descriptor,
                                 kv_slice(NULL, 0))) {
      kv_fail_reason(&status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                     "the call has no message, and so no backup");
      kv_message_fail(call, &status);
   }
}

void kv_service_restore_sent(void *context, struct kv_call *call)
{
   (void)context;
   kv_call_finish(call);
}

void kv_service_restore_closed(void *context, struct kv_call *call)
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

size_t kv_service_restore_kept(void *context, struct kv_call *call)
{
   (void)context;
   struct job *job = *kv_call_state(call);
   if (!job)
      return 0;
   pthread_mutex_lock(&job->lock);
   size_t kept = sizeof *job + (job->has_piece ? job->piece.size : 0);
   pthread_mutex_unlock(&job->lock);
   return kept;
}
