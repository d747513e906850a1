/* Backups of a store whose mode is a plug-in over another one: the control thread has that plug-in
 * make the file's records, since it alone may call plug-ins. What is paced goes on from there. */
#include "core/backup/sealed.h"
#include "core/service/admin/admin.h"

struct job {
   struct kv_control_task task; /* first: `run` gets back from it to the whole */
   const struct kv_service *service;
   struct kv_spool spool;
   struct kv_backup *backup; /* the result, or why there is none: */
   struct kv_status status;

   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   bool done;
};

static void finish(struct job *job)
{
   pthread_mutex_lock(&job->lock);
   job->done = true;
   pthread_cond_signal(&job->changed);
   pthread_mutex_unlock(&job->lock);
}

static enum kv_code seal(struct job *job, const struct kv_active *active, struct kv_status *status)
{
   const struct kv_service_config *config = &job->service->config;
   struct kv_sealing sealing = {
       .spool = &job->spool, .store_id = config->store_id, .active = active};
   const struct kv_inner inner = {.context = &sealing, .checkpoint = kv_sealed_checkpoint};
   struct kv_store_view *view = kv_store_view_create(config->store);
   if (!view)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a view of the data");
   enum kv_code code = kv_control_seal(config->control, view, &inner, status);
   kv_store_view_destroy(view);
   if (code != KV_OK)
      return code;
   job->backup = kv_backup_of_spool(&sealing);
   if (!job->backup)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a backup");
   job->spool.fd = -1; /* the backup's now */
   return KV_OK;
}

/* What is active stays so while the task runs. */
static void run(struct kv_control_task *task)
{
   struct job *job = (struct job *)task;
   struct kv_service_mode mode;
   kv_service_mode(job->service, &mode);
   if (mode.stacked)
      job->status.code = seal(job, &mode.active, &job->status);
   else
      job->status.code = kv_backup_open(job->service->config.store, job->service->config.store_id,
                                        &mode.active, &job->backup, &job->status);
   finish(job);
}

static void refuse(struct kv_control_task *task, const struct kv_status *status)
{
   struct job *job = (struct job *)task;
   job->status = *status;
   finish(job);
}

enum kv_code kv_service_seal_backup(const struct kv_service *service, struct kv_backup **backup,
                                    struct kv_status *status)
{
   struct job job = {.task = {.run = run, .refuse = refuse}, .service = service};
   if (kv_spool_open(service->config.directory, &job.spool, status) != KV_OK)
      return status->code;
   pthread_mutex_init(&job.lock, NULL);
   pthread_cond_init(&job.changed, NULL);
   kv_control_post(service->config.control, &job.task);
   pthread_mutex_lock(&job.lock);
   while (!job.done)
      pthread_cond_wait(&job.changed, &job.lock);
   pthread_mutex_unlock(&job.lock);
   pthread_mutex_destroy(&job.lock);
   pthread_cond_destroy(&job.changed);
   kv_spool_close(&job.spool);
   *backup = job.backup;
   *status = job.status;
   return status->code;
}
