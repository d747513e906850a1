/*
 * What gRPC leaves to be checked of a call's headers. It passes on those that are not its own. Its
 * own (grpc-timeout, grpc-encoding) it reads itself, and reports what it cannot read only in its
 * log.
 *
 * Threads: any.
 */
#ifndef KV_RPC_GRPC_HEADERS_H
#define KV_RPC_GRPC_HEADERS_H

#include "core/support/status.h"

#include <grpc/grpc.h>

#include <stdbool.h>

/* RESOURCE_EXHAUSTED: they are too large (limits.h). INTERNAL, as for any call that is malformed: a
 * name is not in lower case, or belongs to HTTP/1 (RFC 9113, 8.2). */
enum kv_code kv_grpc_check_headers(const grpc_metadata_array *headers, struct kv_status *status);

/* Whether the client flagged the last message of a call as compressed. gRPC takes a message so
 * flagged as plain where no encoding that it knows was named. */
bool kv_grpc_is_flagged_compressed(grpc_call *call);

#endif
