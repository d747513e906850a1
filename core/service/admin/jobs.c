#include "core/service/admin/jobs.h"

void kv_jobs_init(struct kv_jobs *jobs, unsigned max)
{
   *jobs = (struct kv_jobs){.max = max};
   pthread_mutex_init(&jobs->lock, NULL);
   pthread_cond_init(&jobs->changed, NULL);
}

void kv_jobs_deinit(struct kv_jobs *jobs)
{
   pthread_mutex_lock(&jobs->lock);
   while (jobs->threads > 0)
      pthread_cond_wait(&jobs->changed, &jobs->lock);
   pthread_mutex_unlock(&jobs->lock);
   pthread_mutex_destroy(&jobs->lock);
   pthread_cond_destroy(&jobs->changed);
}

bool kv_jobs_enter(struct kv_jobs *jobs)
{
   pthread_mutex_lock(&jobs->lock);
   bool entered = jobs->places < jobs->max;
   jobs->places += entered;
   jobs->threads += entered;
   pthread_mutex_unlock(&jobs->lock);
   return entered;
}

void kv_jobs_make_place(struct kv_jobs *jobs)
{
   pthread_mutex_lock(&jobs->lock);
   jobs->places--;
   pthread_mutex_unlock(&jobs->lock);
}

void kv_jobs_leave(struct kv_jobs *jobs)
{
   pthread_mutex_lock(&jobs->lock);
   jobs->threads--;
   pthread_cond_signal(&jobs->changed);
   pthread_mutex_unlock(&jobs->lock);
}
