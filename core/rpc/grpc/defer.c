/*
 * Deferred work: when a worker does what handlers left to be done for several calls together.
 */
#include "core/rpc/grpc/internal.h"

/* A look into an empty queue makes a call a tenth longer. Of the calls that come one by one, those
 * before which a worker looks whether they still do: */
#define LOOK_EVERY 8
/* Where a look always finds something: no call waits for more than some hundred microseconds. */
#define EVENTS_MAX 32

void kv_deferral_run(struct kv_rpc_worker *worker)
{
   struct kv_deferral *deferral = &worker->deferral;
   if (deferral->calls == 0)
      return;
   deferral->one_by_one = deferral->calls == 1;
   deferral->calls = deferral->events = 0;
   deferral->run(deferral->service, worker->index);
}

void kv_deferral_event(struct kv_rpc_worker *worker)
{
   struct kv_deferral *deferral = &worker->deferral;
   if (deferral->calls == 0)
      return;
   bool lone = deferral->calls == 1 && deferral->one_by_one;
   if (++deferral->events == EVENTS_MAX || (lone && ++deferral->lone % LOOK_EVERY != 0))
      kv_deferral_run(worker);
}

void kv_call_defer(struct kv_call *call, void (*run)(void *service, unsigned worker))
{
   struct kv_deferral *deferral = &call->worker->deferral;
   void *service = call->method->service;
   if (deferral->run != run || deferral->service != service)
      kv_deferral_run(call->worker);
   deferral->run = run;
   deferral->service = service;
   deferral->calls++;
}
