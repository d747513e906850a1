/*
 * What a plug-in over another one makes of data, and back: by an instance of its own, with the host
 * in the place of the plug-in below it, in a generation that is removed again.
 *
 * Threads: the control thread.
 */
#ifndef KV_SEAL_H
#define KV_SEAL_H

#include "core/control/managed.h"
#include "core/host/inner.h"

/* As the functions of control.h, beside `active`. */
enum kv_code kv_seal(const struct kv_managed *active, const struct kv_store_view *view,
                     const struct kv_inner *inner, struct kv_status *status);
enum kv_code kv_unseal(const struct kv_managed *active, const struct kv_control_sealed *sealed,
                       struct kv_transaction *transaction, struct kv_status *status);

#endif
