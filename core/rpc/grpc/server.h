/*
 * The server and its workers.
 *
 * Each worker has a gRPC server of its own. A server with several queues reads a connection on
 * whichever thread is free and answers its calls on another, and the two wait for each other. Every
 * event of a call comes back on the queue of its worker: what a worker has needs no lock.
 */
#ifndef KV_RPC_GRPC_SERVER_H
#define KV_RPC_GRPC_SERVER_H

#include "core/rpc/account.h"
#include "core/rpc/grpc/stall.h"
#include "core/rpc/grpc/turn.h"
#include "core/rpc/rpc.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <pthread.h>
#include <stdatomic.h>

/* Worker's thread only, but for what it says of others. */
struct kv_rpc_worker {
   struct kv_rpc *rpc;
   unsigned index;
   pthread_t thread;
   bool running; /* `thread` is valid */
   grpc_server *server;
   grpc_completion_queue *queue;
   void **registered; /* gRPC's handle of each method */
   struct kv_rpc_slot *slots;
   struct kv_connection **connections; /* by number (connections.c) */
   size_t connection_count;
   struct kv_call *pool; /* closed calls to be used again */
   unsigned pool_size;
   struct kv_open_calls open;
   struct kv_turn turn;
   size_t pending;      /* posted slots and open calls; the thread ends when there are none */
   atomic_size_t calls; /* open ones; read by a stop */
   atomic_uint waits;   /* for an event; odd: in one just now. Read by the acceptor's thread */
};

struct kv_rpc {
   struct kv_rpc_options options;
   struct kv_rpc_method *methods;
   size_t method_count;
   struct kv_account *account;
   grpc_completion_queue *shutdown_queue;
   grpc_metadata encodings; /* that requests may have, for the client */
   struct kv_acceptor *acceptor;
   struct kv_monopoly *monopoly;
   grpc_server_credentials *credentials; /* insecure ones, of each connection */
   unsigned next_worker;                 /* that gets a connection; acceptor's thread only */
   bool stopped;
   atomic_bool stopping; /* nothing is begun any more */
   atomic_bool refused;  /* a call was, since then */
   pthread_mutex_t lock; /* of the condition: a worker has no open calls while stopping */
   pthread_cond_t quiet;
   unsigned worker_count;
   struct kv_rpc_worker workers[];
};

/* ---- slot.c: accept slots, where requests arrive ---- */

/* A slot is posted for one method on one worker's queue. When a request arrives its gRPC call moves
 * into a pooled kv_call and the slot is posted again: the number of calls in flight does not depend
 * on how many slots there are. */
enum kv_code kv_rpc_slots_create(struct kv_rpc_worker *worker, struct kv_status *status);
void kv_rpc_slots_post(struct kv_rpc_worker *worker);
void kv_rpc_slots_destroy(struct kv_rpc_worker *worker);

#endif
