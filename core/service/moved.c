#include "core/service/moved.h"

#include "core/service/message.h"

struct moved {
   const char *path;
   const char *name; /* of today, in: */
   const char *proto;
};

#define OLD(method) "/kvstore.KeyValueStore/" method
#define ADMIN(method) "kvstore.v1.AdminService/" method, "kvstore/v1/admin.proto"
#define DATA(method) "kvstore.v1.KeyValueService/" method, "kvstore/v1/key_value.proto"

static void refuse(void *context, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   const struct moved *moved = context;
   struct kv_status status;
   kv_fail_reason(&status, KV_UNIMPLEMENTED, "METHOD_MOVED",
                  "%s has become %s; generate the client anew from %s", moved->path + 1,
                  moved->name, moved->proto);
   kv_message_fail(call, &status);
}

size_t kv_moved_methods(struct kv_rpc_method *methods)
{
   static const struct moved all[KV_MOVED_METHODS] = {
       {OLD("Batch"), DATA("Batch")},          {OLD("Scan"), DATA("Scan")},
       {OLD("Configure"), ADMIN("Configure")}, {OLD("ListPlugins"), ADMIN("ListPlugins")},
       {OLD("Save"), ADMIN("Save")},           {OLD("Status"), ADMIN("GetStatus")},
   };
   for (size_t i = 0; i < KV_MOVED_METHODS; i++)
      methods[i] = (struct kv_rpc_method){
          .path = all[i].path, .service = (void *)(uintptr_t)&all[i], .request = refuse};
   return KV_MOVED_METHODS;
}
