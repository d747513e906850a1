/*
 * Connections, as far as gRPC shows them: it names the one that a call came on. For one that was
 * handed to it as a descriptor that is "fd:" and its number. When a number is used again, the new
 * connection goes on with what is known of the old one: what that still holds it gives back as its
 * calls end, and soon.
 *
 * Threads: the worker's, but for kv_grpc_accept.
 */
#ifndef KV_RPC_GRPC_CONNECTIONS_H
#define KV_RPC_GRPC_CONNECTIONS_H

#include "core/rpc/connection.h"

#include <grpc/grpc.h>

struct kv_grpc_worker;

/* For tables by the number of a descriptor: makes a table of *count zeroed elements of `size` bytes
 * large enough to have one at `number`. NULL when memory runs out: the old table is unchanged. */
void *kv_table_extend(void *table, size_t size, size_t *count, size_t number);
/* On the acceptor's thread: gives a new connection to the next worker. `server` is a
 * struct kv_grpc_server. */
void kv_grpc_accept(void *server, int fd);
/* The connection that a call came on; NULL when memory runs out. */
struct kv_connection *kv_grpc_connection_of(struct kv_grpc_worker *worker, grpc_call *call);
void kv_grpc_connections_destroy(struct kv_grpc_worker *worker);

#endif
