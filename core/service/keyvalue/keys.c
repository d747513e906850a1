#include "core/service/keyvalue/keys.h"

#include "core/service/keyvalue/range.h"

#include "kvstore/v1/key_value.pb-c.h"

static bool may(const struct kv_user *user, enum kv_role role, ProtobufCBinaryData key)
{
   return kv_user_may(user, role, kv_slice(key.data, key.len));
}

static bool may_write(const struct kv_user *user, ProtobufCBinaryData key, bool and_read)
{
   return may(user, KV_ROLE_WRITE, key) && (!and_read || may(user, KV_ROLE_READ, key));
}

/* By its outcome a comparison of values tells what the value is. */
static bool compares_value(const Kvstore__V1__Condition *condition)
{
   return condition && condition->kind_case == KVSTORE__V1__CONDITION__KIND_VALUE;
}

bool kv_keys_may_get(const struct kv_user *user, const ProtobufCMessage *message)
{
   return may(user, KV_ROLE_READ, ((const Kvstore__V1__GetRequest *)message)->key);
}

bool kv_keys_may_set(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__SetRequest *set = (const Kvstore__V1__SetRequest *)message;
   return may_write(user, set->key, set->return_previous || compares_value(set->condition));
}

bool kv_keys_may_delete(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__DeleteRequest *request = (const Kvstore__V1__DeleteRequest *)message;
   return may_write(user, request->key,
                    request->return_previous || compares_value(request->condition));
}

/* Its answer tells the value. */
bool kv_keys_may_increment(const struct kv_user *user, const ProtobufCMessage *message)
{
   return may_write(user, ((const Kvstore__V1__IncrementRequest *)message)->key, true);
}

bool kv_keys_may_set_expiry(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__SetExpiryRequest *request = (const Kvstore__V1__SetExpiryRequest *)message;
   return may_write(user, request->key, compares_value(request->condition));
}

/* Its count tells how many keys there are. */
bool kv_keys_may_delete_range(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__KeyRange *range = ((const Kvstore__V1__DeleteRangeRequest *)message)->range;
   return kv_range_may(user, KV_ROLE_WRITE, range);
}

static bool may_operate(const struct kv_user *user, const Kvstore__V1__Operation *operation)
{
   switch (operation->kind_case) {
   case KVSTORE__V1__OPERATION__KIND_GET:
      return kv_keys_may_get(user, &operation->get->base);
   case KVSTORE__V1__OPERATION__KIND_SET:
      return kv_keys_may_set(user, &operation->set->base);
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      return kv_keys_may_delete(user, &operation->delete_->base);
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      return kv_keys_may_increment(user, &operation->increment->base);
   case KVSTORE__V1__OPERATION__KIND_SET_EXPIRY:
      return kv_keys_may_set_expiry(user, &operation->set_expiry->base);
   default:
      return true; /* names no key: the handler refuses it */
   }
}

static bool may_operate_all(const struct kv_user *user, Kvstore__V1__Operation **operations,
                            size_t count)
{
   for (size_t i = 0; i < count; i++)
      if (!may_operate(user, operations[i]))
         return false;
   return true;
}

bool kv_keys_may_batch(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__BatchRequest *batch = (const Kvstore__V1__BatchRequest *)message;
   return may_operate_all(user, batch->operations, batch->n_operations);
}

bool kv_keys_may_transact(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__TransactionRequest *request =
       (const Kvstore__V1__TransactionRequest *)message;
   for (size_t i = 0; i < request->n_comparisons; i++)
      if (!may(user, KV_ROLE_READ, request->comparisons[i]->key))
         return false;
   return may_operate_all(user, request->success, request->n_success) &&
          may_operate_all(user, request->failure, request->n_failure);
}

bool kv_keys_may_scan(const struct kv_user *user, const ProtobufCMessage *message)
{
   return kv_range_may(user, KV_ROLE_READ, ((const Kvstore__V1__ScanRequest *)message)->range);
}

/* What ends a watch names no key. */
bool kv_keys_may_watch(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__V1__WatchRequest *request = (const Kvstore__V1__WatchRequest *)message;
   if (request->kind_case != KVSTORE__V1__WATCH_REQUEST__KIND_CREATE)
      return true;
   for (size_t i = 0; i < request->create->n_ranges; i++)
      if (!kv_range_may(user, KV_ROLE_READ, request->create->ranges[i]))
         return false;
   return true;
}
