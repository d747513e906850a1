/* What the files of the kvstore service share. */
#ifndef KV_SERVICE_INTERNAL_H
#define KV_SERVICE_INTERNAL_H

#include "core/control/shadow.h"
#include "core/service/admin/jobs.h"
#include "core/service/admin/monitor.h"
#include "core/service/keyvalue/durable.h"
#include "core/service/message.h"
#include "core/service/service.h"
#include "core/service/writer.h"
#include "core/support/clock.h"

#include "kvstore.pb-c.h"

#include <stdatomic.h>

struct kv_service {
   struct kv_service_config config;
   atomic_bool loaded;
   uint64_t started_ms; /* monotonic */
   struct kv_jobs backups, restores;
   struct kv_monitors monitors;
   struct kv_durable_waits durable_waits;
   struct kv_watch_part *watch_parts; /* one a worker (keyvalue/watch.h) */
   struct kv_reader *readers[];       /* one a worker, then that of the control thread */
};

/* The start of every handler: the decoded request, or NULL and the call has been failed, because
 * its caller may not make it, the request is malformed, or the data is not loaded yet. */
void *kv_service_request(struct kv_service *service, struct kv_call *call,
                         const ProtobufCMessageDescriptor *descriptor, struct kv_slice request);

/* For handlers. */
static inline struct kv_reader *kv_service_reader(struct kv_service *service,
                                                  const struct kv_call *call)
{
   return service->readers[kv_call_worker(call)];
}

/* For tasks on the control thread. */
static inline struct kv_reader *kv_service_control_reader(struct kv_service *service)
{
   return service->readers[service->config.workers];
}

static inline struct kv_slice kv_service_bytes(ProtobufCBinaryData data)
{
   return kv_slice(data.data, data.len);
}

/* The entry, or NULL when there is none or its time has come. The clock is asked only where there
 * is an expiry. */
static inline const struct kv_entry *kv_service_live(const struct kv_entry *entry)
{
   if (!entry || kv_entry_expires_at(entry) == 0)
      return entry;
   return kv_entry_is_live(entry, kv_clock_unix_ms()) ? entry : NULL;
}

/* A write in the commit pipeline; lives in the call's arena. */
struct kv_write {
   struct kv_submission submission; /* first: `done` gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
};

/* Has the write committed with the others of this turn, or fails the call when there is no memory
 * for it. The operations must live as long as the call. For handlers. */
void kv_service_submit(struct kv_service *service, struct kv_call *call,
                       const struct kv_submission *submission);

/* data.c */
void kv_service_set(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_get(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_del(void *service, struct kv_call *call, struct kv_slice request);
/* keys.c */
void kv_service_keys(void *service, struct kv_call *call, struct kv_slice request);
/* config.c */
void kv_service_config(void *service, struct kv_call *call, struct kv_slice request);

#endif
