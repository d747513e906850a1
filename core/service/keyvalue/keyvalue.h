/*
 * kvstore.v1.KeyValueService: its methods, each in the file of its name (those that write one key
 * in write.c). What they share is in operations.h, range.h and request_id.h.
 *
 * Threads: as for the handlers of calls (core/rpc/rpc.h).
 */
#ifndef KV_KEYVALUE_H
#define KV_KEYVALUE_H

#include "core/service/internal.h"
#include "core/service/keyvalue/range.h"

#include "kvstore/v1/key_value.pb-c.h"

/* What observers are to see of a call about a range; NULL: all keys. */
static inline struct kv_slice kv_keyvalue_subject(const Kvstore__V1__KeyRange *range)
{
   if (!range)
      return kv_slice(NULL, 0);
   return kv_service_bytes(range->key.len > 0 ? range->key : range->prefix);
}

void kv_keyvalue_get(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_set(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_delete(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_increment(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_set_expiry(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_batch(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_transaction(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_delete_range(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_wait_durable(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_watch(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_watch_sent(void *service, struct kv_call *call);
void kv_keyvalue_watch_half_closed(void *service, struct kv_call *call);
void kv_keyvalue_watch_notified(void *service, struct kv_call *call);
void kv_keyvalue_watch_closed(void *service, struct kv_call *call);
size_t kv_keyvalue_watch_kept(void *service, struct kv_call *call);
void kv_keyvalue_watch_resume(void *service, struct kv_call *call, char *text, size_t size);
void kv_keyvalue_scan(void *service, struct kv_call *call, struct kv_slice request);
void kv_keyvalue_scan_sent(void *service, struct kv_call *call);
void kv_keyvalue_scan_closed(void *service, struct kv_call *call);
size_t kv_keyvalue_scan_kept(void *service, struct kv_call *call);
void kv_keyvalue_scan_resume(void *service, struct kv_call *call, char *text, size_t size);

#endif
