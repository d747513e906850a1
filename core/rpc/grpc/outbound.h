/*
 * A large reply that is being sent: each piece of it counts in the account (account.h) until the
 * last of its bytes has left.
 *
 * gRPC frees a message on a thread of its own, when the connection's last part lets go of it. That
 * can be after the call or the server was destroyed: a reply is kept by its owner and by each
 * piece.
 *
 * Threads: one at a time for its owner; its pieces end on any.
 */
#ifndef KV_RPC_OUTBOUND_H
#define KV_RPC_OUTBOUND_H

#include "core/rpc/account.h"
#include "core/support/slice.h"

#include <grpc/slice.h>

#include <stdbool.h>

struct kv_outbound;

/* NULL when memory is out. */
struct kv_outbound *kv_outbound_create(struct kv_share *share);
/* Its owner needs it no more. */
void kv_outbound_close(struct kv_outbound *outbound);
/* Bytes counted for it so far, whether they have left or not. */
size_t kv_outbound_size(const struct kv_outbound *outbound);

/* Both make *slice one that is counted until its last reference goes. False when memory is out or
 * the account has no room; `own`: what the share holds for the same call beside this reply. */
/* `size` bytes to be filled in. */
bool kv_outbound_allocate(struct kv_outbound *outbound, size_t own, size_t size, grpc_slice *slice);
/* Bytes that stay where they are: release(owner) follows, on any thread, when the slice is gone;
 * not after a failure. */
bool kv_outbound_refer(struct kv_outbound *outbound, size_t own, struct kv_slice bytes,
                       void (*release)(void *owner), void *owner, grpc_slice *slice);

#endif
