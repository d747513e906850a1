/*
 * The one place where it is asked who makes a call, and whether they may make it. Without a users
 * file everybody may make every call.
 *
 * A refusal is UNAUTHENTICATED or PERMISSION_DENIED with a reason for programs (grants.h,
 * core/access), and a line in the log that says from where. Peers that guess tokens are slowed
 * down (guesses.h).
 *
 * Threads: as for the call's handlers.
 */
#ifndef KV_GUARD_H
#define KV_GUARD_H

#include "core/access/access.h"
#include "core/rpc/rpc.h"

#include <protobuf-c/protobuf-c.h>

struct kv_guard;

/* NULL with `status`. */
struct kv_guard *kv_guard_create(struct kv_access *access, struct kv_status *status);
/* From now on no answer waits: the server is being stopped. */
void kv_guard_release(struct kv_guard *guard);
/* When no handler runs, and none will. */
void kv_guard_destroy(struct kv_guard *guard);

/* The decoded request, as kv_message_decode, of a caller who may make it; or NULL, and the call has
 * been failed, or will be. The caller is known before anything is decoded. `guard` NULL: no users
 * file. */
void *kv_guard_request(struct kv_guard *guard, struct kv_call *call,
                       const ProtobufCMessageDescriptor *descriptor, struct kv_slice request);

/* For streams that go on for long. A number that changes with the users; 0: there is no users
 * file. */
uint64_t kv_guard_edition(const struct kv_guard *guard);
/* Who makes the call, by the users of now; or NULL with `status`, and that has been logged. */
const struct kv_user *kv_guard_identify(struct kv_guard *guard, struct kv_call *call,
                                        struct kv_status *status);

#endif
