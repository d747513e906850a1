/*
 * The one place where it is asked who makes a call, and whether they may make it. Without a users
 * file everybody may make every call.
 *
 * A refusal is UNAUTHENTICATED or PERMISSION_DENIED with a reason for programs (grants.h,
 * core/access), and a line in the log that says from where.
 *
 * Threads: as for the call's handlers.
 */
#ifndef KV_GUARD_H
#define KV_GUARD_H

#include "core/access/access.h"
#include "core/rpc/rpc.h"

#include <protobuf-c/protobuf-c.h>

/* The decoded request, as kv_message_decode, of a caller who may make it; or NULL, and the call has
 * been failed. The caller is known before anything is decoded. `access` NULL: no users file. */
void *kv_guard_request(struct kv_access *access, struct kv_call *call,
                       const ProtobufCMessageDescriptor *descriptor, struct kv_slice request);

#endif
