/*
 * The server behind rpc.h and its workers, as engines see them. An engine has a server of its own
 * (kv_rpc.state) and embeds struct kv_rpc_worker in its workers.
 *
 * Threads: what a worker has is its thread's, but for what says otherwise.
 */
#ifndef KV_RPC_SERVER_H
#define KV_RPC_SERVER_H

#include "core/rpc/account.h"
#include "core/rpc/observed.h"
#include "core/rpc/rpc.h"
#include "core/rpc/stall.h"
#include "core/rpc/turn.h"

#include <pthread.h>
#include <stdatomic.h>

struct kv_acceptor;
struct kv_engine;
struct kv_rpc_worker;

struct kv_rpc {
   const struct kv_engine *engine;
   void *state; /* the engine's */
   struct kv_rpc_options options;
   struct kv_rpc_method *methods;
   size_t method_count;
   struct kv_account *account;
   struct kv_acceptor *acceptor;
   bool stopped;
   atomic_bool stopping; /* no call is begun any more */
   atomic_bool refused;  /* a call has been refused since then */
   pthread_mutex_t
       lock; /* of the condition: while stopping, a worker has none of a kind any more */
   pthread_cond_t quiet;
   _Atomic uint64_t refused_calls;
   unsigned worker_count;
   struct kv_rpc_worker *workers[KV_RPC_WORKERS_MAX];
};

struct kv_rpc_worker {
   struct kv_rpc *rpc;
   unsigned index;
   struct kv_open_calls open;
   struct kv_turn turn;
   struct kv_observed_worker observed;
   /* Open ones, read by a stop: those that follow others (rpc.h), and all others. */
   atomic_size_t following, calls;
};

/* Adds a zeroed worker; before the start. */
void kv_rpc_add_worker(struct kv_rpc *rpc, struct kv_rpc_worker *worker);

/* ---- For a stop ---- */

bool kv_rpc_has_calls(const struct kv_rpc *rpc);
/* While the server is stopping: waits until no call is open, at most so long; those that follow are
 * told to end when all others have, and get a little longer. */
void kv_rpc_await_quiet(struct kv_rpc *rpc, int64_t most_ms);
/* A worker's last call, of one kind or the other, has been closed while the server is stopping. */
void kv_rpc_note_quiet(struct kv_rpc *rpc);

#endif
