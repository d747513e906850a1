/*
 * Slow calls take turns: the worker begins one, or goes on with one that has handed the thread
 * back, when it has handled what has arrived. Meanwhile it hears that clients have gone, and serves
 * others. They are done one after the other, not side by side, and connections take turns, too: one
 * with many slow calls keeps no other waiting. A large request, which takes memory until it is
 * answered, is not begun before there is enough.
 */
#include "core/rpc/grpc/internal.h"
#include "core/support/invariant.h"

/* Where events never end, one turn for so many of them: slow calls then have about half the
 * worker's time, as a turn takes about as long as these do. */
#define EVENTS_MAX 64

void kv_turn_await(struct kv_call *call, void (*turn)(struct kv_call *call))
{
   struct kv_turns *turns = &call->worker->turns;
   call->turn = turn;
   call->continues = false;
   call->next = NULL;
   turns->blocked = false;
   if (turns->last)
      turns->last->next = call;
   else
      turns->first = call;
   turns->last = call;
}

/* Of the calls that wait, the first of the connection whose turn was the longest ago. */
static struct kv_call *find(const struct kv_rpc_worker *worker, bool large_too)
{
   struct kv_call *found = NULL;
   for (struct kv_call *call = worker->turns.first; call; call = call->next)
      if ((large_too || !call->large) &&
          (!found || call->connection->turn < found->connection->turn))
         found = call;
   return found;
}

/* One that has begun goes on; large ones begin when there is memory to work on them. */
static struct kv_call *choose(const struct kv_rpc_worker *worker)
{
   struct kv_call *first = worker->turns.first;
   if (first && first->continues)
      return first;
   struct kv_call *found = find(worker, true);
   if (found && found->large && !kv_call_begin_work(found))
      found = find(worker, false);
   return found;
}

static void take_out(struct kv_turns *turns, struct kv_call *call)
{
   struct kv_call *before = NULL;
   for (struct kv_call *each = turns->first; each != call; each = each->next)
      before = each;
   if (before)
      before->next = call->next;
   else
      turns->first = call->next;
   if (turns->last == call)
      turns->last = before;
}

void kv_turn_give(struct kv_rpc_worker *worker)
{
   struct kv_turns *turns = &worker->turns;
   struct kv_call *call = choose(worker);
   turns->events = 0;
   turns->blocked = !call && turns->first;
   if (!call)
      return;
   take_out(turns, call);
   call->connection->turn = ++turns->given;
   kv_deferral_run(worker);
   call->turn(call);
}

void kv_turn_event(struct kv_rpc_worker *worker)
{
   if (worker->turns.first && ++worker->turns.events >= EVENTS_MAX)
      kv_turn_give(worker);
}

void kv_turn_continue(struct kv_call *call, void (*turn)(struct kv_call *call))
{
   struct kv_turns *turns = &call->worker->turns;
   call->turn = turn;
   call->continues = true;
   call->next = turns->first;
   turns->first = call;
   if (!turns->last)
      turns->last = call;
}

static void go_on(struct kv_call *call)
{
   call->go_on(call->method->service, call);
}

void kv_call_yield(struct kv_call *call, void (*handler)(void *service, struct kv_call *call))
{
   KV_INVARIANT(call->method->kind == KV_RPC_UNARY && call->watched);
   call->go_on = handler;
   kv_turn_continue(call, go_on);
}
