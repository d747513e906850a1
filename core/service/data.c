/* Set, Get, Del: one key a call. */
#include "core/service/internal.h"
#include "core/service/validate.h"
#include "core/service/writer.h"

#include <inttypes.h>

/* A Set or Del in the commit pipeline; lives in the call's arena. */
struct write {
   struct kv_submission submission; /* first: done gets back from it to the whole */
   struct kv_operation operation;
   struct kv_service *service;
   struct kv_call *call;
};

static void submit(struct kv_service *service, struct kv_call *call,
                   const struct kv_operation *operation,
                   void (*done)(struct kv_submission *, const struct kv_status *))
{
   struct write *write = kv_message_alloc(call, sizeof *write);
   if (!write)
      return;
   write->operation = *operation;
   write->service = service;
   write->call = call;
   write->submission = (struct kv_submission){
       .operations = &write->operation,
       .count = 1,
       .done = done,
   };
   kv_service_submit(service, call, &write->submission);
}

static void set_done(struct kv_submission *submission, const struct kv_status *status)
{
   struct write *write = (struct write *)submission;
   if (status) {
      kv_message_fail(write->call, status);
   } else if (write->operation.code != KV_OK) {
      struct kv_status full;
      kv_fail(&full, write->operation.code,
              "value: the memory limit of %" PRIu64
              " bytes (server setting max-memory) leaves no space for it; delete keys or raise it",
              write->service->config.memory_max);
      kv_message_fail(write->call, &full);
   } else {
      kv_call_carried_out(write->call);
      kv_call_reply(write->call); /* google.protobuf.Empty has no bytes */
   }
}

void kv_service_set(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__SetRequest *set =
       kv_service_request(service, call, &kvstore__set_request__descriptor, request);
   if (!set)
      return;
   const struct kv_operation operation = {
       .kind = KV_OPERATION_SET,
       .key = kv_service_bytes(set->key),
       .value = kv_service_bytes(set->value),
   };
   struct kv_status status;
   if (kv_validate_key("key", operation.key, &status) != KV_OK ||
       kv_validate_value("value", operation.value, service->config.value_size_max, &status) !=
           KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   submit(service, call, &operation, set_done);
}

static void del_done(struct kv_submission *submission, const struct kv_status *status)
{
   struct write *write = (struct write *)submission;
   if (status) {
      kv_message_fail(write->call, status);
      return;
   }
   Kvstore__DelResponse response = KVSTORE__DEL_RESPONSE__INIT;
   response.success = write->operation.found;
   kv_call_carried_out(write->call);
   kv_message_reply(write->call, &response.base);
}

void kv_service_del(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__DelRequest *del =
       kv_service_request(service, call, &kvstore__del_request__descriptor, request);
   if (!del)
      return;
   const struct kv_operation operation = {
       .kind = KV_OPERATION_DELETE,
       .key = kv_service_bytes(del->key),
   };
   struct kv_status status;
   if (kv_validate_key("key", operation.key, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   submit(service, call, &operation, del_done);
}

/* GetResponse; NULL: the key does not exist. */
static bool encode_get(struct kv_call *call, const struct kv_entry *entry)
{
   struct kv_writer writer;
   size_t size = 0, in_place = 0;
   if (entry) {
      size = kv_get_response_size(kv_entry_value(entry).size);
      in_place = kv_in_place_size(entry);
   }
   if (!kv_writer_begin(&writer, call, size, in_place))
      return false;
   if (entry) {
      kv_writer_value(&writer, KV_GET_RESPONSE_VALUE, entry);
      kv_writer_number(&writer, KV_GET_RESPONSE_FOUND, true);
   }
   return kv_writer_end(&writer);
}

void kv_service_get(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__GetRequest *get =
       kv_service_request(service, call, &kvstore__get_request__descriptor, request);
   if (!get)
      return;
   struct kv_slice key = kv_service_bytes(get->key);
   struct kv_status status;
   if (kv_validate_key("key", key, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }

   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_entry *entry = kv_version_find(kv_reader_pin(reader), key);
   bool encoded = encode_get(call, entry);
   kv_reader_unpin(reader);
   if (encoded)
      kv_call_reply(call);
}
