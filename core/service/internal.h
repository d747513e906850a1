/* What the files of the kvstore service share. */
#ifndef KV_SERVICE_INTERNAL_H
#define KV_SERVICE_INTERNAL_H

#include "core/control/shadow.h"
#include "core/service/message.h"
#include "core/service/service.h"
#include "core/service/writer.h"
#include "core/support/cache_line.h"

#include "kvstore.pb-c.h"

#include <stdatomic.h>

/* What a thread that serves calls has for itself. */
struct kv_service_thread {
   _Alignas(KV_CACHE_LINE) struct kv_reader *reader;
};

struct kv_service {
   struct kv_service_config config;
   atomic_bool loaded;
   uint64_t started_ms;                /* monotonic */
   struct kv_service_thread threads[]; /* one a worker, then the control thread */
};

/* The start of every handler: the decoded request, or NULL and the call has been failed, because
 * the data is not loaded yet or the request is malformed. */
void *kv_service_request(struct kv_service *service, struct kv_call *call,
                         const ProtobufCMessageDescriptor *descriptor, struct kv_slice request);

/* For handlers. */
static inline struct kv_reader *kv_service_reader(struct kv_service *service,
                                                  const struct kv_call *call)
{
   return service->threads[kv_call_worker(call)].reader;
}

/* For tasks on the control thread. */
static inline struct kv_reader *kv_service_control_reader(struct kv_service *service)
{
   return service->threads[service->config.workers].reader;
}

static inline struct kv_slice kv_service_bytes(ProtobufCBinaryData data)
{
   return kv_slice(data.data, data.len);
}

/* submit.c: has the write committed with the others of this turn, or fails the call as there is no
 * memory for it. For handlers. */
void kv_service_submit(struct kv_service *service, struct kv_call *call,
                       struct kv_submission *submission);

/* Field numbers of GetResponse, and its size when the key was found. */
enum { KV_GET_RESPONSE_VALUE = 1, KV_GET_RESPONSE_FOUND = 2 };
static inline size_t kv_get_response_size(size_t value_size)
{
   return kv_optional_field_size(value_size) + kv_number_field_size(true);
}

/* data.c */
void kv_service_set(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_get(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_del(void *service, struct kv_call *call, struct kv_slice request);
/* batch.c */
void kv_service_batch(void *service, struct kv_call *call, struct kv_slice request);
/* scan.c */
void kv_service_keys(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_scan(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_scan_sent(void *service, struct kv_call *call);
void kv_service_scan_closed(void *service, struct kv_call *call);
size_t kv_service_scan_kept(void *service, struct kv_call *call);
void kv_service_scan_resume(void *service, struct kv_call *call, char *text, size_t size);
/* config.c */
void kv_service_config(void *service, struct kv_call *call, struct kv_slice request);
/* configure.c */
void kv_service_configure(void *service, struct kv_call *call, struct kv_slice request);
/* save.c */
void kv_service_save(void *service, struct kv_call *call, struct kv_slice request);
/* plugins.c */
void kv_service_list_plugins(void *service, struct kv_call *call, struct kv_slice request);
/* status.c */
void kv_service_status(void *service, struct kv_call *call, struct kv_slice request);

/* recovery_report.c: how the start went, in the arena; NULL when memory is out. The texts are those of the
 * report. */
Kvstore__Recovery *kv_service_recovery(struct kv_arena *arena, const struct kv_load_report *report);

/* hooks.c: the figures of one hook; `name` must outlive the message. */
void kv_service_hook(const char *name, const struct kv_hook_figures *figures, Kvstore__Hook *hook);
/* hooks.c: fill in hooks and overdue, in the arena; false when memory is out. */
bool kv_service_hooks(struct kv_arena *arena, const struct kv_control_state *state,
                      Kvstore__StatusResponse *response);
bool kv_service_overdue(struct kv_arena *arena, struct kv_control *control,
                        Kvstore__StatusResponse *response);

/* shadow.c: in the arena; NULL when memory is out. */
Kvstore__ShadowReport *kv_service_shadow_report(const struct kv_service *service,
                                                struct kv_arena *arena,
                                                const struct kv_shadow_report *report);

/* status.c: a copy of the text of a failure in the arena, without the private path; false when
 * memory is out. */
bool kv_service_failure_text(const struct kv_service *service, struct kv_arena *arena,
                             const char *text, ProtobufCBinaryData *field);

/* Settings as they go on the wire, in the arena; false when memory is out. */
bool kv_service_settings(struct kv_arena *arena, const kvs_setting *settings, size_t count,
                         Kvstore__MapEntry ***entries);

#endif
