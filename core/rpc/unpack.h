/*
 * A call's compressed request, unpacked within the limits of its server, its kind and its
 * connection's share: in steps for unary calls, so that others have their turn in between.
 *
 * Threads: the worker's.
 */
#ifndef KV_RPC_UNPACK_H
#define KV_RPC_UNPACK_H

#include "core/rpc/inflate.h"

struct kv_call;

/* The request as it came, see struct kv_inflater_config. */
struct kv_packed {
   bool gzip;
   bool (*piece)(void *context, size_t index, struct kv_slice *piece);
   void *context;
};

/* Unpacks a step more. *inflater, NULL before the first step, is the engine's to destroy. When it
 * is *ready, `unpacked` is the engine's to free, and what was packed is not needed any more. */
enum kv_code kv_unpack(struct kv_call *call, const struct kv_packed *packed,
                       struct kv_inflater **inflater, bool *ready, struct kv_slice *unpacked,
                       struct kv_status *status);
/* Why a request that is flagged as compressed cannot be unpacked: the client names a way that is
 * not known, or none. */
enum kv_code kv_unpack_refuse(bool is_named, struct kv_status *status);

#endif
