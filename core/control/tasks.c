/* What is asked of the control thread: how it comes in, is run, and is refused. */
#include "core/control/internal.h"

#define ENDING_TEXT "the server is stopping; nothing was started"

bool kv_control_task_is_gone(const struct kv_control_task *task)
{
   for (; task; task = task->merged)
      if (!task->is_gone || !task->is_gone(task))
         return false;
   return true;
}

static void refuse(struct kv_control_task *task, const struct kv_status *status)
{
   while (task) {
      struct kv_control_task *next = task->merged;
      task->refuse(task, status);
      task = next;
   }
}

void kv_control_run_task(struct kv_control *control, struct kv_control_task *task)
{
   if (kv_control_task_is_gone(task)) {
      struct kv_status status;
      kv_fail(&status, KV_CANCELLED, "the caller is gone; nothing was started");
      refuse(task, &status);
      return;
   }
   control->task = task;
   task->run(task);
   control->task = NULL;
}

void kv_control_post(struct kv_control *control, struct kv_control_task *task)
{
   struct kv_status status;
   pthread_mutex_lock(&control->lock);
   bool ending = control->winding_down;
   struct kv_control_task *refused = ending ? task : kv_control_queue_put(&control->queue, task);
   pthread_cond_signal(&control->changed);
   pthread_mutex_unlock(&control->lock);
   if (!refused)
      return;
   if (ending)
      kv_fail(&status, KV_UNAVAILABLE, ENDING_TEXT);
   else
      kv_fail(&status, KV_RESOURCE_EXHAUSTED,
              "too many requests are waiting for the control thread (limits: %d in all, %d from "
              "one connection); nothing was started; try again later",
              KV_CONTROL_QUEUE_MAX, KV_CONTROL_QUEUE_CALLER_MAX);
   refuse(refused, &status);
}

void kv_control_wind_down(struct kv_control *control)
{
   pthread_mutex_lock(&control->lock);
   control->winding_down = true;
   struct kv_control_queue waiting = control->queue;
   control->queue = (struct kv_control_queue){0};
   pthread_cond_signal(&control->changed);
   pthread_mutex_unlock(&control->lock);
   struct kv_status status;
   kv_fail(&status, KV_UNAVAILABLE, ENDING_TEXT);
   for (struct kv_control_task *task; (task = kv_control_queue_take(&waiting));)
      refuse(task, &status);
}

bool kv_control_winding_down(struct kv_control *control)
{
   pthread_mutex_lock(&control->lock);
   bool winding_down = control->winding_down;
   pthread_mutex_unlock(&control->lock);
   return winding_down;
}
