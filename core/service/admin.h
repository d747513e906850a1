/*
 * Calls that the control thread handles: how they wait for it, and how they are answered, alone or
 * together with those that ask for the same.
 *
 * Threads: created and posted in the call's handler; answered on the control thread, or refused on
 * any.
 */
#ifndef KV_SERVICE_ADMIN_H
#define KV_SERVICE_ADMIN_H

#include "core/service/internal.h"

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
   struct kv_settings *settings; /* of a validation that has succeeded; its run's */
   struct kv_shadow_request shadow;
};

/* As kv_admin_create. Those with the same `run` and request ask for the same. */
struct kv_configuration *kv_configuration_create(struct kv_service *service, struct kv_call *call,
                                                 void (*run)(struct kv_control_task *task));

#endif
