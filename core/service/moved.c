#include "core/service/moved.h"

#include "core/service/message.h"

struct moved {
   const char *path;
   const char *name; /* of today */
};

static void refuse(void *context, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   const struct moved *moved = context;
   struct kv_status status;
   kv_fail_reason(&status, KV_UNIMPLEMENTED, "METHOD_MOVED",
                  "%s has become %s; generate the client anew from "
                  "kvstore/v1/admin.proto",
                  moved->path + 1, moved->name);
   kv_message_fail(call, &status);
}

size_t kv_moved_methods(struct kv_rpc_method *methods)
{
   static const struct moved all[KV_MOVED_METHODS] = {
       {"/kvstore.KeyValueStore/Configure", "kvstore.v1.AdminService/Configure"},
       {"/kvstore.KeyValueStore/ListPlugins", "kvstore.v1.AdminService/ListPlugins"},
       {"/kvstore.KeyValueStore/Save", "kvstore.v1.AdminService/Save"},
       {"/kvstore.KeyValueStore/Status", "kvstore.v1.AdminService/GetStatus"},
   };
   for (size_t i = 0; i < KV_MOVED_METHODS; i++)
      methods[i] = (struct kv_rpc_method){
          .path = all[i].path, .service = (void *)(uintptr_t)&all[i], .request = refuse};
   return KV_MOVED_METHODS;
}
