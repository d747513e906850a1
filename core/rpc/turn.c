#include "core/rpc/turn.h"

#include "core/rpc/call.h"
#include "core/rpc/engine.h"
#include "core/rpc/server.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

/* Where events never end the turn does after so many, some hundred microseconds. A slow call takes
 * about as long until it hands the thread back, so slow calls have half of a busy worker's time. */
#define EVENTS_MAX 64
/* While there is no memory for large requests: how long until the next attempt. */
#define BLOCKED_MS 5

void kv_turn_handled(struct kv_call *call)
{
   if (!atomic_load_explicit(&call->progress.awaits_reader, memory_order_relaxed))
      call->worker->turn.unanswered = true;
}

void kv_turn_answer(struct kv_rpc_worker *worker)
{
   struct kv_rpc *rpc = worker->rpc;
   if (worker->turn.unanswered && rpc->options.turn_end) {
      kv_observe_pause(worker);
      rpc->options.turn_end(rpc->options.context, worker->index);
   }
   worker->turn.unanswered = false;
}

static bool is_open(const struct kv_turn *turn)
{
   return turn->unanswered || (!TAILQ_EMPTY(&turn->slow) && !turn->blocked);
}

int64_t kv_turn_wait_until(const struct kv_rpc_worker *worker)
{
   if (is_open(&worker->turn))
      return 0;
   if (worker->turn.blocked) /* until another worker's calls have ended */
      return (int64_t)kv_clock_monotonic_ms() + BLOCKED_MS;
   return LIST_EMPTY(&worker->open.calls) ? KV_TURN_FOREVER : worker->open.look_at;
}

/* ---- Slow calls ---- */

void kv_turn_await(struct kv_call *call, void (*resume)(struct kv_call *call))
{
   struct kv_turn *turn = &call->worker->turn;
   call->resume = resume;
   call->begun = false;
   turn->blocked = false;
   TAILQ_INSERT_TAIL(&turn->slow, call, waiting);
}

void kv_turn_go_on(struct kv_call *call, void (*resume)(struct kv_call *call))
{
   call->resume = resume;
   call->begun = true;
   TAILQ_INSERT_HEAD(&call->worker->turn.slow, call, waiting);
}

/* Of the calls that wait, the first of the connection that has waited the longest. */
static struct kv_call *find(const struct kv_turn *turn, bool large_too)
{
   struct kv_call *call, *found = NULL;
   TAILQ_FOREACH (call, &turn->slow, waiting)
      if ((large_too || !call->large) &&
          (!found || call->connection->given < found->connection->given))
         found = call;
   return found;
}

/* One that has begun goes on; large ones begin when there is memory to work on them. */
static struct kv_call *choose(const struct kv_turn *turn)
{
   struct kv_call *found = TAILQ_FIRST(&turn->slow);
   if (found && found->begun)
      return found;
   found = find(turn, true);
   if (found && found->large && !kv_call_begin_work(found))
      found = find(turn, false);
   return found;
}

static void resume_slow_call(struct kv_turn *turn)
{
   struct kv_call *call = choose(turn);
   turn->blocked = !call && !TAILQ_EMPTY(&turn->slow);
   if (!call)
      return;
   TAILQ_REMOVE(&turn->slow, call, waiting);
   call->connection->given = ++turn->given;
   struct kv_rpc_worker *worker = call->worker;
   kv_observe_pause(worker);
   call->resume(call); /* which it may not outlive */
   kv_observe_pause(worker);
}

static void go_on(struct kv_call *call)
{
   call->go_on(call->method->service, call);
   kv_turn_handled(call);
}

static void go_on_with_stream(struct kv_call *call)
{
   if (call->engine->end_wait(call))
      call->go_on(call->method->service, call);
}

void kv_call_yield(struct kv_call *call, void (*handler)(void *service, struct kv_call *call))
{
   call->go_on = handler;
   if (call->method->kind == KV_RPC_UNARY) {
      KV_INVARIANT(call->watched);
      kv_turn_go_on(call, go_on);
   } else {
      call->engine->begin_wait(call);
      kv_turn_await(call, go_on_with_stream);
   }
}

/* ---- The end ---- */

void kv_turn_end(struct kv_rpc_worker *worker)
{
   worker->turn.events = 0;
   kv_turn_answer(worker);
   resume_slow_call(&worker->turn);
   kv_stall_look(worker);
}

/* A unary call that is alone in flight waits for no other, as a look that finds nothing costs more
 * than the call: with it a Set takes 65 us of the processor, without it 27. Streams do not count:
 * they may be open for days. */
void kv_turn_event(struct kv_rpc_worker *worker)
{
   struct kv_turn *turn = &worker->turn;
   if (++turn->events >= EVENTS_MAX)
      kv_turn_end(worker);
   else if (turn->unanswered && turn->calls == 1)
      kv_turn_answer(worker);
}
