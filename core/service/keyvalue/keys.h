/*
 * Whether a user may use the keys that a request to kvstore.v1.KeyValueService names: for the table
 * of grants (core/service/grants.h). Reading and writing are separate: what returns a value, or
 * compares it, needs both.
 *
 * Threads: any.
 */
#ifndef KV_KEYVALUE_KEYS_H
#define KV_KEYVALUE_KEYS_H

#include "core/access/users.h"

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>

/* Each of the request of its name. */
bool kv_keys_may_get(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_set(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_delete(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_increment(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_set_expiry(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_delete_range(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_batch(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_transact(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_scan(const struct kv_user *user, const ProtobufCMessage *message);
bool kv_keys_may_watch(const struct kv_user *user, const ProtobufCMessage *message);

#endif
