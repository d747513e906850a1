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

/* A call on its way to the control thread; lives in the call's arena. */
struct kv_admin {
   struct kv_control_task task; /* first: run gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
   struct kv_control_request request;
   bool validate_only;
   struct kv_settings *settings; /* of a validation that has succeeded; its run's */
   uint64_t saved_sequence;      /* of a Save that has succeeded */
   struct kv_shadow_request shadow;
   Kvstore__ShadowReport *report; /* of a shadow run */
};

/* With `run`, which finds it as its task. Calls with the same `run` and request are the same,
 * unless task.is_same is changed. NULL when memory is out, and the call has been failed. */
struct kv_admin *kv_admin_create(struct kv_service *service, struct kv_call *call,
                                 void (*run)(struct kv_control_task *task));
/* Hands it to the control thread. */
void kv_admin_post(struct kv_admin *admin);
/* For `run`: calls `reply` for each of those that asked for the same, or fails it. They may be gone
 * after it. */
void kv_admin_answer(struct kv_control_task *task, enum kv_code code,
                     const struct kv_status *status, void (*reply)(struct kv_admin *admin));

#endif
