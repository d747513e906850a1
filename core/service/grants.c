#include "core/service/grants.h"

#include "core/service/keyvalue/keys.h"

#include "health.pb-c.h"
#include "kvstore.pb-c.h"
#include "kvstore/v1/admin.pb-c.h"
#include "kvstore/v1/key_value.pb-c.h"
#include "reflection.pb-c.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct kv_slice bytes_of(ProtobufCBinaryData data)
{
   return kv_slice(data.data, data.len);
}

/* ---- The keys of a request ---- */

static bool may_set(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__SetRequest *set = (const Kvstore__SetRequest *)message;
   return kv_user_may(user, KV_ROLE_WRITE, bytes_of(set->key));
}

static bool may_get(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__GetRequest *get = (const Kvstore__GetRequest *)message;
   return kv_user_may(user, KV_ROLE_READ, bytes_of(get->key));
}

static bool may_del(const struct kv_user *user, const ProtobufCMessage *message)
{
   const Kvstore__DelRequest *del = (const Kvstore__DelRequest *)message;
   return kv_user_may(user, KV_ROLE_WRITE, bytes_of(del->key));
}

static bool may_list(const struct kv_user *user, const ProtobufCMessage *message)
{
   (void)message;
   return kv_user_may(user, KV_ROLE_READ, kv_slice(NULL, 0));
}

/* ---- The table ---- */

struct rule {
   const ProtobufCMessageDescriptor *request;
   enum kv_need need;
   bool (*may)(const struct kv_user *user, const ProtobufCMessage *message); /* of KV_NEED_KEYS */
};

static const struct rule rules[] = {
    {&kvstore__set_request__descriptor, KV_NEED_KEYS, may_set},
    {&kvstore__get_request__descriptor, KV_NEED_KEYS, may_get},
    {&kvstore__del_request__descriptor, KV_NEED_KEYS, may_del},
    {&kvstore__keys_request__descriptor, KV_NEED_KEYS, may_list},
    {&kvstore__v1__get_request__descriptor, KV_NEED_KEYS, kv_keys_may_get},
    {&kvstore__v1__set_request__descriptor, KV_NEED_KEYS, kv_keys_may_set},
    {&kvstore__v1__delete_request__descriptor, KV_NEED_KEYS, kv_keys_may_delete},
    {&kvstore__v1__increment_request__descriptor, KV_NEED_KEYS, kv_keys_may_increment},
    {&kvstore__v1__set_expiry_request__descriptor, KV_NEED_KEYS, kv_keys_may_set_expiry},
    {&kvstore__v1__delete_range_request__descriptor, KV_NEED_KEYS, kv_keys_may_delete_range},
    {&kvstore__v1__batch_request__descriptor, KV_NEED_KEYS, kv_keys_may_batch},
    {&kvstore__v1__transaction_request__descriptor, KV_NEED_KEYS, kv_keys_may_transact},
    {&kvstore__v1__scan_request__descriptor, KV_NEED_KEYS, kv_keys_may_scan},
    {&kvstore__v1__watch_request__descriptor, KV_NEED_KEYS, kv_keys_may_watch},
    {&kvstore__v1__wait_durable_request__descriptor, KV_NEED_USER, NULL},
    {&kvstore__config_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__configure_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__list_plugins_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__save_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__get_status_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__backup_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__restore_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__list_slow_calls_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__monitor_request__descriptor, KV_NEED_ADMIN, NULL},
    {&kvstore__v1__list_hot_prefixes_request__descriptor, KV_NEED_ADMIN, NULL},
    {&grpc__health__v1__health_check_request__descriptor, KV_NEED_NOTHING, NULL},
    {&grpc__reflection__v1__server_reflection_request__descriptor, KV_NEED_USER, NULL},
};

static const struct rule *find(const ProtobufCMessageDescriptor *request)
{
   for (size_t i = 0; i < COUNT(rules); i++)
      if (rules[i].request == request)
         return &rules[i];
   return NULL;
}

bool kv_grants_find(const ProtobufCMessageDescriptor *request, enum kv_need *need)
{
   const struct rule *rule = find(request);
   *need = rule ? rule->need : KV_NEED_ADMIN;
   return rule != NULL;
}

static bool is_granted(const struct rule *rule, const struct kv_user *user,
                       const ProtobufCMessage *message)
{
   switch (rule ? rule->need : KV_NEED_ADMIN) {
   case KV_NEED_KEYS:
      return rule->may(user, message);
   case KV_NEED_ADMIN:
      return kv_user_is_admin(user);
   default:
      return true;
   }
}

enum kv_code kv_grants_check(const struct kv_user *user, const ProtobufCMessage *message,
                             struct kv_status *status)
{
   const struct rule *rule = find(message->descriptor);
   if (rule && rule->need == KV_NEED_NOTHING)
      return KV_OK;
   if (!user)
      return kv_fail_reason(
          status, KV_UNAUTHENTICATED, "UNAUTHENTICATED",
          "this server wants to know who calls: send a token as \"authorization: "
          "Bearer TOKEN\", or use a client certificate that its users file names");
   if (is_granted(rule, user, message))
      return KV_OK;
   if (rule && rule->need == KV_NEED_KEYS)
      return kv_fail_reason(status, KV_PERMISSION_DENIED, "PERMISSION_DENIED",
                            "user \"%s\" has no grant that covers all keys of this call; to "
                            "allow it, add read:PREFIX or write:PREFIX to its line in the server's "
                            "users file",
                            kv_user_name(user));
   return kv_fail_reason(
       status, KV_PERMISSION_DENIED, "PERMISSION_DENIED",
       "user \"%s\" is no admin, which this call needs; to allow it, add admin to "
       "its line in the server's users file",
       kv_user_name(user));
}
