/*
 * The ranges of keys that requests name: what they hold, and who may use them.
 *
 * Threads: any.
 */
#ifndef KV_KEYVALUE_RANGE_H
#define KV_KEYVALUE_RANGE_H

#include "core/access/users.h"
#include "core/support/arena.h"
#include "core/support/key_range.h"
#include "core/support/status.h"

#include "kvstore/v1/key_value.pb-c.h"

/* What a range holds: none of the server's own keys, and at least one that could be. `message`
 * NULL: all keys. INVALID_ARGUMENT names the field, which is in `field`, and what is wrong with it.
 * What is resolved lives as long as message and arena. */
enum kv_code kv_range_resolve(const char *field, const Kvstore__V1__KeyRange *message,
                              struct kv_arena *arena, struct kv_key_range *range,
                              struct kv_status *status);
/* Whether the user has the role for every key that could be in the range, as kv_user_may. */
bool kv_range_may(const struct kv_user *user, enum kv_role role,
                  const Kvstore__V1__KeyRange *message);

/* The same for a range that was resolved. */
bool kv_key_range_may(const struct kv_user *user, enum kv_role role,
                      const struct kv_key_range *range);

#endif
