#include "core/rpc/stall.h"

#include "core/rpc/call.h"
#include "core/rpc/engine.h"
#include "core/support/clock.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MS 250
/* On a connection that moves a reply gets so many times as long, and a second more for so many
 * bytes. */
#define MOVING_TIMES 10
#define MOVING_SIZE ((size_t)64 * 1024)
/* The account is short when less than a fourth of it is free, or somebody waits for memory. Then
 * what has stood still for some looks is ended until half is free, of so many connections at a
 * look. */
#define SHORT_FREE_PART 4
#define ENOUGH_FREE_PART 2
#define SHORT_LOOKS 2
#define ENDED_MAX 8
/* A reply whose deadline has passed is ended when it has stood still for so many looks: the client
 * may be about to reset it, and a status behind half a reply would look to it like a broken one. */
#define DEADLINE_LOOKS 8

void kv_stall_call_opened(struct kv_call *call)
{
   call->progress = (struct kv_progress){0};
   LIST_INSERT_HEAD(&call->worker->open.calls, call, progress.others);
}

void kv_stall_call_closed(struct kv_call *call)
{
   LIST_REMOVE(call, progress.others);
   if (call->progress.kept > 0)
      kv_share_give(call->connection->share, call->progress.kept);
}

static bool awaits_reader(const struct kv_call *call)
{
   return atomic_load_explicit(&call->progress.awaits_reader, memory_order_acquire);
}

/* Counts the looks at which the call has waited for the same step of its client. */
static void measure(struct kv_call *call)
{
   struct kv_progress *progress = &call->progress;
   unsigned now = progress->sent + progress->received;
   bool waits = progress->awaits_sender || awaits_reader(call);
   progress->still = waits && now == progress->before ? progress->still + 1 : 0;
   progress->before = now;
}

/* Counts what the call keeps of old versions now. */
static void count_kept(struct kv_call *call)
{
   const struct kv_rpc_method *method = call->method;
   if (!method || !method->kept || !call->given_to_handler)
      return;
   size_t kept = method->kept(method->service, call);
   if (kept > call->progress.kept)
      kv_share_add(call->connection->share, kept - call->progress.kept);
   else
      kv_share_give(call->connection->share, call->progress.kept - kept);
   call->progress.kept = kept;
}

/* At once, as a status would wait behind the reply. Only what has changed nothing may be called
 * aborted or refused, as clients send that again. */
static void end(struct kv_call *call, struct kv_status *status)
{
   const struct kv_rpc_method *method = call->method;
   uint8_t details[KV_RPC_DETAILS_MAX];
   char *text = status->text;
   size_t size = strlen(text);
   if (method && method->resume && call->given_to_handler)
      method->resume(method->service, call, text + size, sizeof status->text - size);
   if (kv_charge_is_carried_out(&call->charge)) {
      snprintf(text + size, sizeof status->text - size, "; the call itself has taken effect");
      status->code = KV_INTERNAL;
      status->reason = NULL;
   }
   call->progress.ended = true;
   kv_call_report(call, status->code);
   call->engine->abort(call, status->code, text, kv_call_details(call, status, details));
}

static void end_for_memory(struct kv_call *call)
{
   struct kv_status status;
   kv_share_refusal(call->connection->share, &status);
   end(call, &status);
}

static bool may_be_ended(const struct kv_call *call, unsigned looks)
{
   return !call->progress.ended && call->progress.still >= looks;
}

/* Ends the call when its client has stood still for too long. */
static void check_time(struct kv_call *call)
{
   int64_t allowed_ms = call->worker->rpc->options.reader_timeout_ms;
   unsigned allowed = (unsigned)(allowed_ms / LOOK_MS);
   if (!may_be_ended(call, allowed))
      return;
   size_t size = kv_charge_outbound(&call->charge);
   size_t longest = (size_t)allowed * MOVING_TIMES + size / MOVING_SIZE * (1000 / LOOK_MS);
   if (kv_connection_still(call->connection, call->worker->open.looks) < allowed &&
       call->progress.still < longest)
      return;
   struct kv_status status;
   kv_fail_reason(&status, KV_ABORTED, "CLIENT_TOO_SLOW",
                  "the client has not %s for %lld s (server setting reader-timeout)",
                  awaits_reader(call) ? "read what it was sent" : "sent the rest of its request",
                  (long long)call->progress.still * LOOK_MS / 1000);
   end(call, &status);
}

static void check_deadline(struct kv_call *call)
{
   if (!kv_call_deadline_passed(call) ||
       !may_be_ended(call, awaits_reader(call) ? DEADLINE_LOOKS : 0))
      return;
   struct kv_status status;
   kv_fail(&status, KV_DEADLINE_EXCEEDED, "the call's deadline has passed");
   end(call, &status);
}

static bool stands_still(const struct kv_call *call)
{
   return may_be_ended(call, SHORT_LOOKS) &&
          kv_connection_still(call->connection, call->worker->open.looks) >= SHORT_LOOKS;
}

/* The share that holds the most, of those with calls that stand still; or NULL. */
static struct kv_share *find_worst(const struct kv_rpc_worker *worker)
{
   struct kv_share *worst = NULL;
   const struct kv_call *call;
   LIST_FOREACH (call, &worker->open.calls, progress.others)
      if (stands_still(call) &&
          (!worst || kv_share_held(call->connection->share) > kv_share_held(worst)))
         worst = call->connection->share;
   return worst;
}

static void end_worst(const struct kv_rpc_worker *worker, size_t held)
{
   size_t max = worker->rpc->options.memory_max;
   struct kv_call *call;
   unsigned ended = 0;
   do {
      struct kv_share *worst = find_worst(worker);
      if (!worst)
         return;
      size_t part = kv_share_held(worst);
      held -= part < held ? part : held;
      LIST_FOREACH (call, &worker->open.calls, progress.others)
         if (call->connection->share == worst && stands_still(call))
            end_for_memory(call);
   } while (++ended < ENDED_MAX && held > max - max / ENOUGH_FREE_PART);
}

/* Old versions grow with each write, whatever the account says: calls that keep them are ended,
 * even where their connections move; if none of them waits for its reader, the one that keeps the
 * most. */
static void end_keepers(const struct kv_rpc_worker *worker)
{
   struct kv_call *call, *most = NULL;
   bool any = false;
   LIST_FOREACH (call, &worker->open.calls, progress.others) {
      if (call->progress.kept > 0 && may_be_ended(call, SHORT_LOOKS)) {
         end_for_memory(call);
         any = true;
      }
      if (!call->progress.ended && call->progress.kept > (most ? most->progress.kept : 0))
         most = call;
   }
   if (most && !any)
      end_for_memory(most);
}

static void look(struct kv_rpc_worker *worker)
{
   size_t max = worker->rpc->options.memory_max;
   struct kv_call *call;
   worker->open.looks++;
   LIST_FOREACH (call, &worker->open.calls, progress.others) {
      measure(call);
      count_kept(call);
      if (call->progress.still > 0) /* has a connection looked at each time that one waits */
         kv_connection_still(call->connection, worker->open.looks);
      check_deadline(call);
      check_time(call);
   }
   size_t held = kv_account_held(worker->rpc->account);
   if (held > max - max / SHORT_FREE_PART || kv_account_is_awaited(worker->rpc->account))
      end_worst(worker, held);
   if (held > max)
      end_keepers(worker);
}

void kv_stall_look(struct kv_rpc_worker *worker)
{
   int64_t now = (int64_t)kv_clock_monotonic_ms();
   if (now < worker->open.look_at)
      return;
   look(worker);
   worker->open.look_at = now + LOOK_MS;
}
