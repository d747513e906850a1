/*
 * A call in flight, as all engines have it: an engine embeds struct kv_call in its own call, as the
 * last member (the arena's first block is large and seldom touched whole). kv_call_* of rpc.h are
 * about this.
 *
 * The life of a call: the engine takes one from its pool and opens it (kv_call_open), which charges
 * its connection. When the request is there the engine has it begun (kv_call_begin_unary, or a
 * stream's handlers by itself). When it is answered and nothing of the engine's refers to it, the
 * engine closes it (kv_call_close) and gives it back to the pool.
 *
 * Threads: the worker's, unless a field or function says otherwise.
 */
#ifndef KV_RPC_CALL_H
#define KV_RPC_CALL_H

#include "core/rpc/charge.h"
#include "core/rpc/connection.h"
#include "core/rpc/observed.h"
#include "core/rpc/rpc.h"
#include "core/rpc/stall.h"
#include "core/rpc/turn.h"

struct kv_engine;
struct kv_rpc_worker;

struct kv_call {
   const struct kv_engine *engine;
   struct kv_rpc_worker *worker;
   const struct kv_rpc_method *method; /* NULL: an unknown one */
   struct kv_connection *connection;
   struct kv_charge charge;
   size_t cost;         /* what any call costs in this engine */
   int64_t deadline_ms; /* by the monotonic clock; INT64_MAX: none */
   bool packed;         /* the request that its handler gets, or has, came compressed */
   bool given_to_handler;
   bool watched;          /* `cancelled` is kept up to date */
   bool keeps_arena;      /* the arena is needed until the end of the call */
   atomic_bool cancelled; /* any thread */
   void *state;           /* the handler's */

   /* Slow ones (turn.h). */
   TAILQ_ENTRY(kv_call) waiting;
   void (*resume)(struct kv_call *call);
   bool begun;                                         /* it waits to go on */
   void (*go_on)(void *service, struct kv_call *call); /* the handler's, after kv_call_yield */
   bool large;                                         /* its request is large */
   size_t request_size;                                /* bytes, as it came */

   struct kv_observed_call observed;
   struct kv_progress progress;
   struct kv_arena arena;
};

/* A call that is made for the pool: once. */
void kv_call_init(struct kv_call *call, const struct kv_engine *engine,
                  struct kv_rpc_worker *worker);
/* Charges the connection and opens the call, without a deadline; with `status` when there is no
 * memory for it: then it is not open. `cost`: what any call costs in this engine; `request`: bytes
 * that are there already. */
enum kv_code kv_call_open(struct kv_call *call, const struct kv_rpc_method *method,
                          struct kv_connection *connection, size_t cost, size_t request,
                          struct kv_status *status);
/* The call is answered, and nothing will touch it any more. Has its request dropped. */
void kv_call_close(struct kv_call *call);

/* Whether a call with such a request is to wait for its turn, see kv_turn_await. */
bool kv_call_is_slow(const struct kv_rpc_method *method, bool packed, size_t size);
/* A unary call's request has arrived: has it handled now, or as a slow call. `size` and `packed`
 * say how it came. */
void kv_call_begin_unary(struct kv_call *call, bool packed, size_t size);
/* Whether the call may be handed to its handler; else, why not: the server is being stopped, the
 * call is cancelled, or its deadline has passed. */
enum kv_code kv_call_may_begin(struct kv_call *call, struct kv_status *status);
bool kv_call_deadline_passed(const struct kv_call *call);
/* Why a call is not opened: its method is unknown, and has that path; its headers have so many
 * bytes, more than the limit. */
enum kv_code kv_call_refuse_unknown(struct kv_slice path, struct kv_status *status);
enum kv_code kv_call_refuse_metadata(size_t size, struct kv_status *status);
/* What programs are told of a failure, in `details`; empty: it has no reason. */
struct kv_slice kv_call_details(const struct kv_call *call, const struct kv_status *status,
                                uint8_t details[KV_RPC_DETAILS_MAX]);
/* As kv_call_fail, with the details; but for a stream that its handler has, on whichever thread. */
void kv_call_refuse(struct kv_call *call, const struct kv_status *status);
/* The reply waits for the client: releases what a large request took. */
void kv_call_drop_large_request(struct kv_call *call);
/* A large call is to be begun; false when there is no memory to work on it yet. */
bool kv_call_begin_work(struct kv_call *call);

static inline bool kv_call_is_unary(const struct kv_call *call)
{
   return call->method && call->method->kind == KV_RPC_UNARY;
}

#endif
