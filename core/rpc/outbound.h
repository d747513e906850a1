/*
 * The account of large replies: how many bytes of them wait in gRPC for clients that do not read,
 * and a bound on that.
 *
 * gRPC frees a message on a thread of its own, when the connection's last part lets go of it. That
 * can be after the server was destroyed: the account lives until the last message is gone.
 *
 * Threads: any.
 */
#ifndef KV_RPC_OUTBOUND_H
#define KV_RPC_OUTBOUND_H

#include "core/support/bytes.h"

#include <grpc/slice.h>

#include <stdbool.h>

struct kv_outbound;

/* Bounds the bytes under way to `max`. NULL when memory is out. */
struct kv_outbound *kv_outbound_create(size_t max);
/* Its owner needs it no more; what is under way still counts and is freed as ever. */
void kv_outbound_close(struct kv_outbound *outbound);

/* Both make *slice one that is counted until its last reference goes. False when memory is out or
 * too much is under way; one message alone may be larger than all are allowed to be together.
 * *counted has the bytes that are counted already for other slices of the same message, and grows
 * by these. */
/* `size` bytes to be filled in. */
bool kv_outbound_allocate(struct kv_outbound *outbound, size_t *counted, size_t size,
                          grpc_slice *slice);
/* Bytes that stay where they are: release(owner) follows, on any thread, when the slice is gone;
 * not after a failure. */
bool kv_outbound_refer(struct kv_outbound *outbound, size_t *counted, struct kv_bytes bytes,
                       void (*release)(void *owner), void *owner, grpc_slice *slice);

#endif
