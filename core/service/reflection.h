/*
 * Server reflection, v1 and v1alpha: shows stock gRPC tools the services and their messages, from
 * descriptors that are embedded at build time.
 *
 * Threads: any; nothing changes after create.
 */
#ifndef KV_REFLECTION_H
#define KV_REFLECTION_H

#include "core/rpc/rpc.h"
#include "core/service/guard.h"

#include <stddef.h>

struct kv_reflection;

/* `guard`: whoever it knows may ask; NULL: everybody may. */
struct kv_reflection *kv_reflection_create(struct kv_guard *guard, struct kv_status *status);
/* All calls must have ended. */
void kv_reflection_destroy(struct kv_reflection *reflection);

#define KV_REFLECTION_METHODS 2
size_t kv_reflection_methods(struct kv_reflection *reflection, struct kv_rpc_method *methods);

#endif
