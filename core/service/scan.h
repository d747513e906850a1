/*
 * Entries of a range as a stream of messages, for the methods that do so; each has the view of its
 * state, and the stream is the only thing that its call has.
 *
 * A message has at most 256 KiB and 4,096 entries, unless a single entry is larger. Where entries
 * are passed over or only counted, the worker serves others in between.
 *
 * Threads: as for the call's handlers.
 */
#ifndef KV_SERVICE_SCAN_H
#define KV_SERVICE_SCAN_H

#include "core/rpc/rpc.h"
#include "core/service/walk.h"

enum kv_scan_projection { KV_SCAN_ENTRIES, KV_SCAN_KEYS, KV_SCAN_COUNT };

struct kv_scan_request {
   struct kv_key_range range;
   bool descending;
   uint64_t limit; /* entries; 0: none */
   enum kv_scan_projection projection;
   uint64_t value_size_max; /* larger values are left out; 0: none is */
   bool v1;                 /* the messages are those of kvstore.v1; else of the old service */
   uint64_t digest;         /* of the page token where `limit` leaves entries out (page_token.h) */
};

/* Begins the stream; the range must live as long as the call. */
void kv_scan_begin(struct kv_store *store, struct kv_call *call,
                   const struct kv_scan_request *request);
/* For kv_rpc_method. */
void kv_scan_sent(void *service, struct kv_call *call);
void kv_scan_closed(void *service, struct kv_call *call);
size_t kv_scan_kept(void *service, struct kv_call *call);
void kv_scan_resume(void *service, struct kv_call *call, char *text, size_t size);

#endif
