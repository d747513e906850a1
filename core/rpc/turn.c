/*
 * Slow calls take turns: the worker begins one, or goes on with one that has handed the thread
 * back, when it has handled what has arrived. Meanwhile it hears that clients have gone, and serves
 * others. They are done one after the other, not side by side: what each needs in memory is there
 * once.
 */
#include "core/rpc/internal.h"

#include <assert.h>

/* Where events never end, one turn for so many of them: slow calls then have about half the
 * worker's time, as a turn takes about as long as these do. */
#define EVENTS_MAX 64

void kv_turn_await(struct kv_call *call, void (*turn)(struct kv_call *call))
{
   struct kv_turns *turns = &call->worker->turns;
   call->turn = turn;
   call->next = NULL;
   if (turns->last)
      turns->last->next = call;
   else
      turns->first = call;
   turns->last = call;
}

void kv_turn_give(struct kv_rpc_worker *worker)
{
   struct kv_turns *turns = &worker->turns;
   struct kv_call *call = turns->first;
   if (!call)
      return;
   turns->events = 0;
   turns->first = call->next;
   if (!turns->first)
      turns->last = NULL;
   kv_deferral_run(worker);
   call->turn(call);
}

void kv_turn_event(struct kv_rpc_worker *worker)
{
   if (worker->turns.first && ++worker->turns.events >= EVENTS_MAX)
      kv_turn_give(worker);
}

static void go_on(struct kv_call *call)
{
   call->go_on(call->method->service, call);
}

void kv_call_yield(struct kv_call *call, void (*handler)(void *service, struct kv_call *call))
{
   struct kv_turns *turns = &call->worker->turns;
   assert(call->method->kind == KV_RPC_UNARY && call->watched);
   call->go_on = handler;
   call->turn = go_on;
   call->next = turns->first;
   turns->first = call;
   if (!turns->last)
      turns->last = call;
}
