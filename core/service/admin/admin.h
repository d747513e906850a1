/*
 * kvstore.v1.AdminService: its methods, and the calls that the control thread handles: how they
 * wait for it, and how they are answered, alone or together with those that ask for the same.
 *
 * Threads: created and posted in the call's handler; answered on the control thread, or refused on
 * any.
 */
#ifndef KV_SERVICE_ADMIN_ADMIN_H
#define KV_SERVICE_ADMIN_ADMIN_H

#include "core/service/internal.h"

#include "kvstore/v1/admin.pb-c.h"

/* A call that waits for the control thread; the first part of what its method needs. It lives in
 * the call's arena. */
struct kv_admin {
   struct kv_control_task task; /* first: `run` gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
};

/* A zeroed structure of `size` bytes that begins with a kv_admin, whose task has `run`; set
 * task.is_same where calls can ask for the same. NULL when memory runs out: the call has been
 * failed.
 */
void *kv_admin_create(struct kv_service *service, struct kv_call *call, size_t size,
                      void (*run)(struct kv_control_task *task));
/* Hands it to the control thread. */
void kv_admin_post(struct kv_admin *admin);
/* For `run`: calls `reply` for each of those that asked for the same, or fails it. They must not be
 * touched afterwards. */
void kv_admin_answer(struct kv_control_task *task, enum kv_code code,
                     const struct kv_status *status, void (*reply)(struct kv_admin *admin));

/* ---- Config and Configure ---- */

struct kv_configuration {
   struct kv_admin admin; /* first */
   struct kv_control_request request;
   struct kv_slice etag;         /* that must be in force; empty: any */
   struct kv_settings *settings; /* of a validation that has succeeded; its run's */
   struct kv_shadow_request shadow;
};

/* As kv_admin_create. Those with the same `run` and request ask for the same. */
struct kv_configuration *kv_configuration_create(struct kv_service *service, struct kv_call *call,
                                                 void (*run)(struct kv_control_task *task));

/* ---- The methods; each in the file of its name ---- */

void kv_service_configure(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_list_plugins(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_save(void *service, struct kv_call *call, struct kv_slice request);
/* backup.c */
void kv_service_backup(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_backup_sent(void *service, struct kv_call *call);
void kv_service_backup_closed(void *service, struct kv_call *call);
size_t kv_service_backup_kept(void *service, struct kv_call *call);
/* restore.c */
void kv_service_restore(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_restore_sent(void *service, struct kv_call *call);
void kv_service_restore_half_closed(void *service, struct kv_call *call);
void kv_service_restore_closed(void *service, struct kv_call *call);
size_t kv_service_restore_kept(void *service, struct kv_call *call);
/* status.c */
void kv_service_get_status(void *service, struct kv_call *call, struct kv_slice request);
/* calls.c */
void kv_service_list_slow_calls(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_list_hot_prefixes(void *service, struct kv_call *call, struct kv_slice request);
/* monitor.c */
void kv_service_monitor(void *service, struct kv_call *call, struct kv_slice request);
void kv_service_monitor_sent(void *service, struct kv_call *call);
void kv_service_monitor_closed(void *service, struct kv_call *call);
size_t kv_service_monitor_kept(void *service, struct kv_call *call);

/* ---- The mode in force, for backups ---- */

struct kv_service_mode {
   struct kv_active active;
   struct kv_mode_option options[KV_OPTION_COUNT_MAX];
   bool stacked; /* another plug-in does the keeping for it */
};
/* backup.c: valid until the task that asks has ended. [control] */
void kv_service_mode(const struct kv_service *service, struct kv_service_mode *mode);
/* seal.c: a backup of now; waits for the control thread. Any other thread but a worker's. */
enum kv_code kv_service_seal_backup(const struct kv_service *service, struct kv_backup **backup,
                                    struct kv_status *status);

/* ---- Parts of replies ---- */

/* shadow.c: valid as long as `report`; NULL when memory runs out. */
Kvstore__V1__ShadowReport *kv_service_shadow_report(const struct kv_service *service,
                                                    struct kv_builder *builder,
                                                    const struct kv_shadow_report *report);

/* calls.c: valid as long as `event`. */
void kv_service_call_event(const struct kv_event *event, Kvstore__V1__CallEvent *message);

/* etag.c: that of the state. */
ProtobufCBinaryData kv_service_etag(struct kv_builder *builder,
                                    const struct kv_control_state *state);
/* FAILED_PRECONDITION unless the etag is that of what is in force, or empty. What is in force stays
 * so until the task that asks has ended. [control] */
enum kv_code kv_service_check_etag(struct kv_control *control, struct kv_slice etag,
                                   struct kv_status *status);

/* status.c: settings as they go on the wire; a copy of the text of a failure, without private
 * paths; the figures of one hook, whose `name` must outlive the message. */
Kvstore__V1__MapEntry **kv_service_settings(struct kv_builder *builder, const kvs_setting *settings,
                                            size_t count);
ProtobufCBinaryData kv_service_failure_text(const struct kv_service *service,
                                            struct kv_builder *builder, const char *text);
void kv_service_hook(const char *name, const struct kv_hook_figures *figures,
                     Kvstore__V1__Hook *hook);

#endif
