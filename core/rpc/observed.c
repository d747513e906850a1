#include "core/rpc/observed.h"

#include "core/rpc/call.h"
#include "core/rpc/server.h"
#include "core/support/clock.h"

/* Answers of one thread in a row that share a reading of the clock: a few microseconds apart. */
#define SHARED_MAX 8

/* As arrived_ns. */
#define NOT_ARRIVED 0
#define REPORTED UINT64_MAX

/* The worker whose thread this is; NULL: of none. */
static _Thread_local struct kv_rpc_worker *current;

void kv_observe_thread(struct kv_rpc_worker *worker)
{
   current = worker;
   kv_observe_round(worker, 0);
}

void kv_observe_round(struct kv_rpc_worker *worker, uint64_t now_ns)
{
   if (!worker->rpc->options.answered)
      return;
   worker->observed.round_ns = now_ns > 0 ? now_ns : kv_clock_monotonic_ns();
   kv_observe_pause(worker);
}

void kv_observe_pause(struct kv_rpc_worker *worker)
{
   worker->observed.shared = 0;
}

static uint64_t now_of(struct kv_observed_worker *worker)
{
   if (worker->shared == 0) {
      worker->answered_ns = kv_clock_monotonic_ns();
      worker->shared = SHARED_MAX;
   }
   worker->shared--;
   return worker->answered_ns;
}

/* ---- A call ---- */

void kv_call_observe(struct kv_call *call)
{
   atomic_store_explicit(&call->observed.arrived_ns, NOT_ARRIVED, memory_order_relaxed);
   call->observed.subject = (struct kv_rpc_subject){.user = ""};
}

void kv_call_arrived(struct kv_call *call, size_t size)
{
   call->request_size = size;
   atomic_store_explicit(&call->observed.arrived_ns, call->worker->observed.round_ns,
                         memory_order_relaxed);
}

static void report(const struct kv_call *call, const struct kv_rpc_method *method,
                   enum kv_code code, uint64_t arrived_ns)
{
   const struct kv_rpc *rpc = call->worker->rpc;
   bool own = current && current->rpc == rpc;
   uint64_t now_ns = own ? now_of(&current->observed) : kv_clock_monotonic_ns();
   const struct kv_rpc_answer answer = {
       .call = call,
       .method = method,
       .method_index = method ? (size_t)(method - rpc->methods) : rpc->method_count,
       .worker = call->worker->index,
       .thread = own ? current->index : rpc->worker_count,
       .code = code,
       .elapsed_ns = arrived_ns != NOT_ARRIVED && now_ns > arrived_ns ? now_ns - arrived_ns : 0,
       .request_size = arrived_ns != NOT_ARRIVED ? call->request_size : 0,
   };
   rpc->options.answered(rpc->options.observer, &answer);
}

/* A handler may answer while the worker ends the call because its client does not read. */
void kv_call_report(struct kv_call *call, enum kv_code code)
{
   if (!call->worker->rpc->options.answered)
      return;
   uint64_t arrived_ns =
       atomic_exchange_explicit(&call->observed.arrived_ns, REPORTED, memory_order_relaxed);
   if (arrived_ns != REPORTED)
      report(call, call->method, code, arrived_ns);
}

void kv_call_report_closed(struct kv_call *call)
{
   uint64_t arrived_ns = atomic_load_explicit(&call->observed.arrived_ns, memory_order_relaxed);
   if (arrived_ns != REPORTED && arrived_ns != NOT_ARRIVED)
      kv_call_report(call, KV_CANCELLED);
}

void kv_call_report_refused(struct kv_call *call, const struct kv_rpc_method *method,
                            enum kv_code code)
{
   struct kv_rpc *rpc = call->worker->rpc;
   atomic_fetch_add_explicit(&rpc->refused_calls, 1, memory_order_relaxed);
   kv_call_observe(call);
   if (rpc->options.answered)
      report(call, method, code, NOT_ARRIVED);
}

/* ---- What it is about ---- */

void kv_call_set_subject(struct kv_call *call, struct kv_slice key)
{
   call->observed.subject.key = key;
}

void kv_call_set_caller(struct kv_call *call, const char *user, const char *request)
{
   call->observed.subject.user = user;
   call->observed.subject.request = request;
}

const struct kv_rpc_subject *kv_call_subject(const struct kv_call *call)
{
   return &call->observed.subject;
}
