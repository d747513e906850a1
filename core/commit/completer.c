#include "core/commit/completer.h"

#include "core/support/invariant.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

struct kv_completer {
   pthread_t thread;
   sem_t work;
   atomic_bool busy, stopping;
   /* The giver's before `work` is posted, the thread's until it is no longer busy. */
   struct kv_submission *batch;
   bool failed;
   struct kv_status status;
};

void kv_complete(struct kv_submission *batch, const struct kv_status *status)
{
   while (batch) {
      struct kv_submission *next = batch->next; /* done may free the submission */
      batch->done(batch, status);
      batch = next;
   }
}

static void *run(void *argument)
{
   struct kv_completer *completer = argument;
   for (;;) {
      while (sem_wait(&completer->work) != 0)
         KV_INVARIANT(errno == EINTR);
      if (!atomic_load(&completer->busy)) {
         KV_INVARIANT(atomic_load(&completer->stopping));
         return NULL;
      }
      kv_complete(completer->batch, completer->failed ? &completer->status : NULL);
      atomic_store(&completer->busy, false);
   }
}

struct kv_completer *kv_completer_create(struct kv_status *status)
{
   struct kv_completer *completer = calloc(1, sizeof *completer);
   if (!completer) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the commit pipeline");
      return NULL;
   }
   sem_init(&completer->work, 0, 0);
   int error = pthread_create(&completer->thread, NULL, run, completer);
   if (error != 0) {
      kv_fail_errno(status, error, "cannot start the thread that completes batches");
      sem_destroy(&completer->work);
      free(completer);
      return NULL;
   }
   return completer;
}

void kv_completer_destroy(struct kv_completer *completer)
{
   atomic_store(&completer->stopping, true);
   sem_post(&completer->work);
   pthread_join(completer->thread, NULL);
   sem_destroy(&completer->work);
   free(completer);
}

bool kv_completer_give(struct kv_completer *completer, struct kv_submission *batch,
                       const struct kv_status *status)
{
   if (atomic_load(&completer->busy))
      return false;
   KV_INVARIANT(batch && !atomic_load(&completer->stopping));
   completer->batch = batch;
   completer->failed = status;
   if (status)
      completer->status = *status;
   atomic_store(&completer->busy, true);
   sem_post(&completer->work);
   return true;
}
