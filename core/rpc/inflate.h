/*
 * Compressed requests. gRPC would unpack them itself, but to any size: a client could make
 * gigabytes of a message that is well below the receive limit. Here the result keeps to the limit,
 * too.
 *
 * Threads: any.
 */
#ifndef KV_RPC_INFLATE_H
#define KV_RPC_INFLATE_H

#include "core/support/status.h"

#include <grpc/compression.h>
#include <grpc/slice_buffer.h>

#include <stddef.h>

/* Unpacks `packed` into *data, which the caller frees. RESOURCE_EXHAUSTED: more than `size_max`
 * bytes, or no memory; INTERNAL: it is not what the algorithm makes. */
enum kv_code kv_rpc_inflate(const grpc_slice_buffer *packed, grpc_compression_algorithm algorithm,
                            size_t size_max, char **data, size_t *size, struct kv_status *status);

#endif
