/*
 * Connections, as far as gRPC shows them: it names the one that a call came on. For one that was
 * handed to it as a descriptor that is "fd:" and its number. When a number is used again, the new
 * connection goes on with what is known of the old one: what that still holds it gives back as its
 * calls end, and soon.
 *
 * Threads: the worker's, but for kv_connection_accept.
 */
#ifndef KV_RPC_GRPC_CONNECTIONS_H
#define KV_RPC_GRPC_CONNECTIONS_H

#include "core/rpc/account.h"

#include <grpc/grpc.h>

struct kv_rpc_worker;

struct kv_connection {
   struct kv_share *share;
   int fd;         /* gRPC's; only to ask the system about it */
   unsigned look;  /* the last one */
   unsigned still; /* looks in a row at which it had not moved */
   uint64_t given; /* turn.given when a slow call of it was begun or went on */
   uint64_t taken; /* by the client, in bytes, when it moved the last time */
};

/* For tables by the number of a descriptor: makes a table of *count zeroed elements of `size` bytes
 * large enough to have one at `number`. NULL when memory runs out: the old table is unchanged. */
void *kv_table_extend(void *table, size_t size, size_t *count, size_t number);
/* On the acceptor's thread: gives a new connection to the next worker. `rpc` is a struct kv_rpc. */
void kv_connection_accept(void *rpc, int fd);
/* The connection that a call came on; NULL when memory runs out. */
struct kv_connection *kv_connection_of(struct kv_rpc_worker *worker, grpc_call *call);
/* At how many looks in a row, this one included, the client had taken nothing that counts. */
unsigned kv_connection_still(struct kv_connection *connection, unsigned look);
void kv_connections_destroy(struct kv_rpc_worker *worker);

#endif
