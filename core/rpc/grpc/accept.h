/*
 * Takes connections in and hands them to gRPC. gRPC has listeners of its own, but when the process
 * is out of file descriptors they end for good, and nobody can connect any more. Here connections
 * beyond what the limit on open files allows are closed at once, and some descriptors are always
 * left for files.
 *
 * Threads: add and start on the thread that owns the server; one thread of its own accepts from
 * start to stop. kv_acceptor_stop from any thread, once at a time.
 */
#ifndef KV_RPC_ACCEPT_H
#define KV_RPC_ACCEPT_H

#include "core/rpc/rpc.h"
#include "core/support/status.h"

#include <grpc/grpc.h>
#include <stdbool.h>
#include <sys/socket.h>

struct kv_acceptor;
struct kv_monopoly;

/* NULL with `status`. `monopoly` must outlive it, and is used on its thread. */
struct kv_acceptor *kv_acceptor_create(struct kv_monopoly *monopoly, struct kv_status *status);
/* Adds a server, at most KV_RPC_WORKERS_MAX; they get connections in turn. Before start. */
void kv_acceptor_serve(struct kv_acceptor *acceptor, grpc_server *server);
/* Takes over a listening socket that does not block. Before start. */
enum kv_code kv_acceptor_add(struct kv_acceptor *acceptor, int fd, struct kv_status *status);
/* Whether a connection to `address` would come in by what was added: the same address, or all of
 * its family. */
bool kv_acceptor_covers(const struct kv_acceptor *acceptor, const struct sockaddr *address);
/* The other way round: whether something was added that `address` covers. */
bool kv_acceptor_is_covered(const struct kv_acceptor *acceptor, const struct sockaddr *address);
/* After grpc_server_start of each. */
enum kv_code kv_acceptor_start(struct kv_acceptor *acceptor, struct kv_status *status);
/* Closes the sockets; when it returns no connection comes in any more. Also without a start. */
void kv_acceptor_stop(struct kv_acceptor *acceptor);
void kv_acceptor_destroy(struct kv_acceptor *acceptor);

#endif
