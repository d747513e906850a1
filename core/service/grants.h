/*
 * What a user needs for a call. One table classifies every method by the type of its request: open
 * to all, for any user, for users who may read or write the keys that the request names, or for
 * admins. A test compares it with the services of the protos.
 *
 * The texts say nothing of keys: what a user may not read it does not learn from a refusal.
 *
 * Threads: any.
 */
#ifndef KV_GRANTS_H
#define KV_GRANTS_H

#include "core/access/users.h"

#include <protobuf-c/protobuf-c.h>

enum kv_need {
   KV_NEED_ADMIN, /* also what a method needs that is not in the table */
   KV_NEED_KEYS,
   KV_NEED_USER,
   KV_NEED_NOTHING,
};

/* False: the table does not have it. */
bool kv_grants_find(const ProtobufCMessageDescriptor *request, enum kv_need *need);
/* KV_OK, or why not; NULL: nobody in particular. `message` is a request as it was decoded. */
enum kv_code kv_grants_check(const struct kv_user *user, const ProtobufCMessage *message,
                             struct kv_status *status);

#endif
