/*
 * The engine's server and its workers.
 *
 * Each worker has a gRPC server of its own. A server with several queues reads a connection on
 * whichever thread is free and answers its calls on another, and the two wait for each other. Every
 * event of a call comes back on the queue of its worker: what a worker has needs no lock.
 */
#ifndef KV_RPC_GRPC_SERVER_H
#define KV_RPC_GRPC_SERVER_H

#include "core/rpc/server.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <stddef.h>

/* Worker's thread only, but for what it says of others. */
struct kv_grpc_worker {
   pthread_t thread;
   bool running; /* `thread` is valid */
   grpc_server *server;
   grpc_completion_queue *queue;
   void **registered; /* gRPC's handle of each method */
   struct kv_grpc_slot *slots;
   struct kv_connection **connections; /* by number (connections.c) */
   size_t connection_count;
   struct kv_grpc_call *pool; /* closed calls to be used again */
   unsigned pool_size;
   size_t pending;    /* posted slots and open calls; the thread ends when there are none */
   atomic_uint waits; /* for an event; odd: in one just now. Read by the acceptor's thread */
   struct kv_rpc_worker base;
};

static inline struct kv_grpc_worker *kv_grpc_worker_of(struct kv_rpc_worker *worker)
{
   return (struct kv_grpc_worker *)((char *)worker - offsetof(struct kv_grpc_worker, base));
}

struct kv_grpc_server {
   struct kv_rpc *rpc;
   grpc_completion_queue *shutdown_queue;
   grpc_metadata encodings; /* that requests may have, for the client */
   struct kv_monopoly *monopoly;
   grpc_server_credentials *credentials; /* insecure ones, of each connection */
   unsigned next_worker;                 /* that gets a connection; acceptor's thread only */
   unsigned worker_count;
   struct kv_grpc_worker workers[];
};

/* ---- slot.c: accept slots, where requests arrive ---- */

/* A slot is posted for one method on one worker's queue. When a request arrives its gRPC call moves
 * into a pooled kv_grpc_call and the slot is posted again: the number of calls in flight does not
 * depend on how many slots there are. */
enum kv_code kv_grpc_slots_create(struct kv_grpc_worker *worker, struct kv_status *status);
void kv_grpc_slots_post(struct kv_grpc_worker *worker);
void kv_grpc_slots_destroy(struct kv_grpc_worker *worker);

#endif
