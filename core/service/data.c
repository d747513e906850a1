/* Set, Get, Del: one key a call. */
#include "core/service/internal.h"
#include "core/service/validate.h"

#include <inttypes.h>

/* Field numbers of GetResponse. */
enum { GET_VALUE = 1, GET_FOUND = 2 };

static void submit(struct kv_service *service, struct kv_call *call,
                   const struct kv_operation *operation,
                   void (*done)(struct kv_submission *, const struct kv_status *))
{
   struct kv_operation *kept = kv_message_alloc(call, sizeof *kept);
   if (!kept)
      return;
   *kept = *operation;
   kv_call_set_subject(call, kept->key);
   kv_service_submit(service, call,
                     &(struct kv_submission){.operations = kept, .count = 1, .done = done});
}

static void fail_full(const struct kv_write *write)
{
   struct kv_status status;
   kv_fail_reason(&status, KV_RESOURCE_EXHAUSTED, KV_REASON_MEMORY_FULL,
                  "value: the memory limit of %" PRIu64
                  " bytes (server setting max-memory) leaves no space for it; delete keys or "
                  "raise it",
                  write->service->config.memory_max);
   kv_message_fail(write->call, &status);
}

static void set_done(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   if (status) {
      kv_message_fail(write->call, status);
   } else if (submission->operations->code != KV_OK) {
      fail_full(write);
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
   const struct kv_write *write = (struct kv_write *)submission;
   if (status) {
      kv_message_fail(write->call, status);
      return;
   }
   Kvstore__DelResponse response = KVSTORE__DEL_RESPONSE__INIT;
   response.success = submission->operations->found;
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
      size = kv_optional_field_size(kv_entry_value(entry).size) + kv_number_field_size(true);
      in_place = kv_in_place_size(entry);
   }
   if (!kv_writer_begin(&writer, call, size, in_place))
      return false;
   if (entry) {
      kv_writer_value(&writer, GET_VALUE, entry);
      kv_writer_number(&writer, GET_FOUND, true);
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

   kv_call_set_subject(call, key);
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_entry *entry = kv_service_live(kv_version_find(kv_reader_pin(reader), key));
   bool encoded = encode_get(call, entry);
   kv_reader_unpin(reader);
   if (encoded)
      kv_call_reply(call);
}
