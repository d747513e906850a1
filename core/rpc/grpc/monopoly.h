/*
 * Ends connections that keep a worker from all others. gRPC reads a connection until nothing is
 * left to read, and a worker that waits for its next event is inside gRPC until then: a client that
 * sends faster than gRPC parses would hold up the other connections of that worker for as long as
 * it likes. So another thread looks. While a worker is busy within one wait, the connection that
 * sends the most is ended as soon as that is more than all requests may hold together: it was no
 * request.
 *
 * Threads: note and look on one thread, which must end before the workers do.
 */
#ifndef KV_RPC_GRPC_MONOPOLY_H
#define KV_RPC_GRPC_MONOPOLY_H

#include "core/support/status.h"

struct kv_monopoly;
struct kv_grpc_server;

#define KV_MONOPOLY_LOOK_MS 250

/* NULL with `status`. The workers are looked at from their start on. */
struct kv_monopoly *kv_monopoly_create(struct kv_grpc_server *server, struct kv_status *status);
void kv_monopoly_destroy(struct kv_monopoly *monopoly);
/* A connection that is about to be handed to gRPC. */
void kv_monopoly_note(struct kv_monopoly *monopoly, int fd);
/* Call it every KV_MONOPOLY_LOOK_MS. */
void kv_monopoly_look(struct kv_monopoly *monopoly);

#endif
