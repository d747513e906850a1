/* Scan: the entries of a range. */
#include "core/service/scan.h"

#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/page_token.h"
#include "core/service/validate.h"

static enum kv_code resolve(const Kvstore__V1__ScanRequest *wanted, struct kv_arena *arena,
                            struct kv_scan_request *scan, struct kv_status *status)
{
   switch (wanted->projection) {
   case KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_UNSPECIFIED:
      scan->projection = KV_SCAN_ENTRIES;
      break;
   case KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS:
      scan->projection = KV_SCAN_KEYS;
      break;
   case KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_COUNT:
      scan->projection = KV_SCAN_COUNT;
      break;
   default:
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "projection: %d is none that this server knows",
                            (int)wanted->projection);
   }
   if (kv_range_resolve("range", wanted->range, arena, &scan->range, status) != KV_OK)
      return status->code;
   const struct kv_slice token = kv_service_bytes(wanted->page_token);
   return token.size == 0 ? KV_OK
                          : kv_page_token_apply(token, scan->digest, scan->descending, arena,
                                                &scan->range, status);
}

void kv_keyvalue_scan(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__ScanRequest *wanted =
       kv_service_request(service, call, &kvstore__v1__scan_request__descriptor, request);
   if (!wanted)
      return;
   struct kv_status status;
   struct kv_scan_request scan = {.descending = wanted->descending,
                                  .limit = wanted->limit,
                                  .value_size_max = wanted->value_size_max,
                                  .v1 = true,
                                  .digest = kv_page_digest(wanted)};
   if (resolve(wanted, kv_call_arena(call), &scan, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   kv_call_set_subject(call, kv_keyvalue_subject(wanted->range));
   kv_scan_begin(service->config.store, call, &scan);
}
