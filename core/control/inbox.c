#include "core/control/inbox.h"

#include "core/control/queue.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ENDING_TEXT "the server is stopping; nothing was started"

struct kv_inbox {
   struct kv_control_task *running; /* the control thread's; NULL: none */

   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   struct kv_control_queue queue;
   bool tick_wanted, ending;
   /* Changed under the lock. */
   atomic_bool winding_down;
   atomic_uint_least64_t due_ms;
};

struct kv_inbox *kv_inbox_create(void)
{
   struct kv_inbox *inbox = calloc(1, sizeof *inbox);
   if (!inbox)
      return NULL;
   atomic_init(&inbox->due_ms, UINT64_MAX);
   pthread_mutex_init(&inbox->lock, NULL);
   kv_clock_init_condition(&inbox->changed);
   return inbox;
}

void kv_inbox_destroy(struct kv_inbox *inbox)
{
   pthread_cond_destroy(&inbox->changed);
   pthread_mutex_destroy(&inbox->lock);
   free(inbox);
}

/* ---- Tasks ---- */

/* Whether nobody waits for the task, or for any that is merged into it. */
static bool is_cancelled(const struct kv_control_task *task)
{
   for (; task; task = task->merged)
      if (!task->is_cancelled || !task->is_cancelled(task))
         return false;
   return true;
}

/* Each task has one outcome. */
static void settle(struct kv_control_task *task)
{
   KV_INVARIANT(task->pending);
   task->pending = false;
}

static void refuse(struct kv_control_task *task, const struct kv_status *status)
{
   while (task) {
      struct kv_control_task *next = task->merged;
      settle(task);
      task->refuse(task, status);
      task = next;
   }
}

void kv_inbox_run(struct kv_inbox *inbox, struct kv_control_task *task)
{
   if (is_cancelled(task)) {
      struct kv_status status;
      kv_fail(&status, KV_CANCELLED, "the call was cancelled; nothing was started");
      refuse(task, &status);
      return;
   }
   struct kv_control_task *each = task;
   do
      settle(each);
   while ((each = each->merged) != NULL);
   inbox->running = task;
   task->run(task);
   inbox->running = NULL;
}

bool kv_inbox_is_cancelled(const struct kv_inbox *inbox)
{
   return kv_inbox_is_winding_down(inbox) || (inbox->running && is_cancelled(inbox->running));
}

void kv_inbox_post(struct kv_inbox *inbox, struct kv_control_task *task)
{
   struct kv_status status;
   KV_INVARIANT(!task->pending);
   task->pending = true;
   pthread_mutex_lock(&inbox->lock);
   bool ending = inbox->winding_down;
   struct kv_control_task *refused = ending ? task : kv_control_queue_put(&inbox->queue, task);
   pthread_cond_signal(&inbox->changed);
   pthread_mutex_unlock(&inbox->lock);
   if (!refused)
      return;
   if (ending)
      kv_fail_reason(&status, KV_UNAVAILABLE, "STOPPING", ENDING_TEXT);
   else
      kv_fail_reason(
          &status, KV_RESOURCE_EXHAUSTED, "CONTROL_QUEUE_FULL",
          "too many requests are waiting for the control thread (limits: %d in all, %d from "
          "one connection); nothing was started; try again later",
          KV_CONTROL_QUEUE_MAX, KV_CONTROL_QUEUE_CALLER_MAX);
   refuse(refused, &status);
}

/* ---- Wishes ---- */

void kv_inbox_want_tick(struct kv_inbox *inbox)
{
   pthread_mutex_lock(&inbox->lock);
   inbox->tick_wanted = true;
   pthread_cond_signal(&inbox->changed);
   pthread_mutex_unlock(&inbox->lock);
}

void kv_inbox_wind_down(struct kv_inbox *inbox, bool end)
{
   pthread_mutex_lock(&inbox->lock);
   inbox->winding_down = true;
   inbox->ending = inbox->ending || end;
   struct kv_control_queue waiting = inbox->queue;
   inbox->queue = (struct kv_control_queue){0};
   pthread_cond_signal(&inbox->changed);
   pthread_mutex_unlock(&inbox->lock);
   struct kv_status status;
   kv_fail_reason(&status, KV_UNAVAILABLE, "STOPPING", ENDING_TEXT);
   for (struct kv_control_task *task; (task = kv_control_queue_take(&waiting));)
      refuse(task, &status);
}

bool kv_inbox_is_winding_down(const struct kv_inbox *inbox)
{
   return inbox->winding_down;
}

static bool has_passed(uint64_t ms)
{
   return kv_clock_monotonic_ms() >= ms;
}

void kv_inbox_set_due(struct kv_inbox *inbox, uint64_t due_ms)
{
   pthread_mutex_lock(&inbox->lock);
   inbox->due_ms = due_ms;
   pthread_mutex_unlock(&inbox->lock);
}

bool kv_inbox_is_due(const struct kv_inbox *inbox)
{
   return has_passed(inbox->due_ms);
}

bool kv_inbox_is_awaited(struct kv_inbox *inbox)
{
   pthread_mutex_lock(&inbox->lock);
   bool waiting = inbox->queue.count > 0;
   pthread_mutex_unlock(&inbox->lock);
   return waiting || inbox->winding_down || kv_inbox_is_due(inbox);
}

struct kv_inbox_wishes kv_inbox_wait(struct kv_inbox *inbox, uint64_t tick_ms)
{
   pthread_mutex_lock(&inbox->lock);
   uint64_t wake_ms = tick_ms < inbox->due_ms ? tick_ms : inbox->due_ms;
   while (inbox->queue.count == 0 && !inbox->ending && !inbox->tick_wanted &&
          !(inbox->winding_down && inbox->due_ms != UINT64_MAX) && !has_passed(wake_ms))
      kv_clock_wait(&inbox->changed, &inbox->lock, wake_ms);
   struct kv_inbox_wishes wishes = {
       .task = kv_control_queue_take(&inbox->queue),
       .tick = inbox->tick_wanted || has_passed(tick_ms),
       .end = inbox->ending,
   };
   if (wishes.tick)
      inbox->tick_wanted = false;
   pthread_mutex_unlock(&inbox->lock);
   return wishes;
}
