#include "core/control/queue.h"

static bool is_same(const struct kv_control_task *a, const struct kv_control_task *b)
{
   return a->run == b->run && a->is_same && a->is_same(a, b);
}

/* Merges the task into one that asks for the same; returns false when there is none. */
static bool merge(struct kv_control_queue *queue, struct kv_control_task *task)
{
   for (struct kv_control_task *each = queue->first; each; each = each->next)
      if (is_same(each, task)) {
         task->merged = each->merged;
         each->merged = task;
         return true;
      }
   return false;
}

/* A caller's first waiting task has the present turn, each further one the turn after. */
static size_t give_turn(const struct kv_control_queue *queue, struct kv_control_task *task)
{
   size_t waiting = 0;
   task->turn = queue->turn;
   for (const struct kv_control_task *each = queue->first; each; each = each->next)
      if (each->caller == task->caller) {
         waiting++;
         task->turn = each->turn + 1;
      }
   return waiting;
}

static void insert(struct kv_control_queue *queue, struct kv_control_task *task)
{
   struct kv_control_task **link = &queue->first;
   while (*link && (*link)->turn <= task->turn)
      link = &(*link)->next;
   task->next = *link;
   *link = task;
   queue->count++;
}

static struct kv_control_task *remove_last(struct kv_control_queue *queue)
{
   struct kv_control_task **link = &queue->first;
   while ((*link)->next)
      link = &(*link)->next;
   struct kv_control_task *last = *link;
   *link = NULL;
   queue->count--;
   return last;
}

struct kv_control_task *kv_control_queue_put(struct kv_control_queue *queue,
                                             struct kv_control_task *task)
{
   task->next = task->merged = NULL;
   if (merge(queue, task))
      return NULL;
   if (give_turn(queue, task) >= KV_CONTROL_QUEUE_CALLER_MAX)
      return task;
   insert(queue, task);
   return queue->count > KV_CONTROL_QUEUE_MAX ? remove_last(queue) : NULL;
}

struct kv_control_task *kv_control_queue_take(struct kv_control_queue *queue)
{
   struct kv_control_task *task = queue->first;
   if (!task)
      return NULL;
   queue->first = task->next;
   queue->count--;
   queue->turn = task->turn;
   task->next = NULL;
   return task;
}
