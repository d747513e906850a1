#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/operations.h"

/* `entry` NULL: the key is missing. */
static bool encode(struct kv_call *call, struct kv_operation *get, const struct kv_entry *entry)
{
   const struct kv_result result = {.operation = get, .entry = entry};
   struct kv_writer writer;
   get->found = entry;
   if (!kv_writer_begin(&writer, call, kv_response_size(&result),
                        entry ? kv_result_in_place(&result) : 0))
      return false;
   kv_response_write(&writer, &result);
   return kv_writer_end(&writer);
}

void kv_keyvalue_get(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__GetRequest *message =
       kv_service_request(service, call, &kvstore__v1__get_request__descriptor, request);
   if (!message)
      return;
   const struct kv_taking taking = {.service = service, .arena = kv_call_arena(call), .place = ""};
   struct kv_operation get;
   struct kv_status status;
   if (kv_take_get(&taking, message, &get, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   kv_call_set_subject(call, get.key);
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_entry *entry = kv_service_live(kv_version_find(kv_reader_pin(reader), get.key));
   bool encoded = encode(call, &get, entry);
   kv_reader_unpin(reader);
   if (encoded)
      kv_call_reply(call);
}
