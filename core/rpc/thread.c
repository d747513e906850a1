/* The threads that handle the workers' events, and the spare one that takes over. */
#include "core/rpc/internal.h"

#include <grpc/support/time.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Handles events until the server has been stopped and nothing of the worker is left in gRPC: its
 * slots have come back and its calls are closed. Only then may the queue be shut down. Returns
 * earlier, with thread->worker NULL, when a handler has had another thread take over. */
static void serve(struct kv_rpc_thread *thread)
{
   struct kv_rpc_worker *worker = thread->worker;
   const gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
   worker->thread = thread;
   while (thread->worker && worker->pending > 0) {
      grpc_event event = grpc_completion_queue_next(worker->queue, never, NULL);
      struct kv_rpc_event *tag = event.tag;
      kv_rpc_taken_over(tag);
      tag->handle(tag->owner, event.success != 0);
   }
}

static void hand_over(struct kv_rpc *rpc, struct kv_rpc_worker *worker)
{
   rpc->handed = worker;
   sem_post(&rpc->handed_over);
}

/* Waits for a worker to take over; false when all have ended. */
static bool await_worker(struct kv_rpc_thread *thread)
{
   struct kv_rpc *rpc = thread->rpc;
   atomic_store(&rpc->spare, true);
   while (sem_wait(&rpc->handed_over) != 0)
      assert(errno == EINTR);
   thread->worker = rpc->handed;
   rpc->handed = NULL;
   return thread->worker;
}

static void end_worker(struct kv_rpc_thread *thread)
{
   thread->worker = NULL;
   if (atomic_fetch_sub(&thread->rpc->workers_left, 1) == 1)
      hand_over(thread->rpc, NULL);
}

static void *run(void *argument)
{
   struct kv_rpc_thread *thread = argument;
   do {
      if (thread->worker)
         serve(thread);
      if (thread->worker) {
         end_worker(thread);
         return NULL;
      }
   } while (await_worker(thread));
   return NULL;
}

bool kv_call_leave_worker(struct kv_call *call)
{
   struct kv_rpc_worker *worker = call->worker;
   if (!atomic_exchange(&worker->rpc->spare, false))
      return false;
   worker->thread->worker = NULL;
   hand_over(worker->rpc, worker);
   return true;
}

enum kv_code kv_rpc_threads_create(struct kv_rpc *rpc, struct kv_status *status)
{
   rpc->threads = calloc(rpc->worker_count + 1, sizeof *rpc->threads);
   if (!rpc->threads)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "no memory for %u threads",
                     rpc->worker_count + 1);
   sem_init(&rpc->handed_over, 0, 0);
   atomic_init(&rpc->workers_left, rpc->worker_count);
   for (unsigned i = 0; i <= rpc->worker_count; i++)
      rpc->threads[i] = (struct kv_rpc_thread){
          .rpc = rpc, .worker = i < rpc->worker_count ? &rpc->workers[i] : NULL};
   return KV_OK;
}

enum kv_code kv_rpc_threads_start(struct kv_rpc *rpc, struct kv_status *status)
{
   for (unsigned i = 0; i <= rpc->worker_count; i++) {
      struct kv_rpc_thread *thread = &rpc->threads[i];
      int error = pthread_create(&thread->id, NULL, run, thread);
      if (error != 0)
         return kv_fail_errno(status, error, "cannot start thread %u of %u for the network", i + 1,
                              rpc->worker_count + 1);
      thread->running = true;
   }
   return KV_OK;
}

bool kv_rpc_threads_join(struct kv_rpc *rpc, const struct timespec *deadline)
{
   for (unsigned i = 0; rpc->threads && i <= rpc->worker_count; i++) {
      struct kv_rpc_thread *thread = &rpc->threads[i];
      if (thread->running) {
         if (pthread_clockjoin_np(thread->id, NULL, CLOCK_MONOTONIC, deadline) != 0)
            return false;
         thread->running = false;
      } else if (thread->worker) {
         /* It could not be started, but slots may be armed. No spare thread runs then, or all
          * others are started: nobody hands this worker over. */
         serve(thread);
         end_worker(thread);
      }
   }
   return true;
}

void kv_rpc_threads_destroy(struct kv_rpc *rpc)
{
   if (!rpc->threads)
      return;
   sem_destroy(&rpc->handed_over);
   free(rpc->threads);
}
