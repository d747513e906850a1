/*
 * The active mode: its instance, with the ticks, saves and switches of it, and the repair of one
 * that has failed.
 *
 * Promises
 *  - After the active instance has failed, or what is written would not be there after a restart,
 *    writes are refused until a fresh generation is durable where a restart looks for it.
 *  - Repairs are tried at each tick that is due, at intervals that grow from a second to a minute,
 *    and at Save and Configure. Each ends a shadow run first.
 *
 * Threads: the control thread (at the start and the end, the one that owns the control plane).
 */
#ifndef KV_MODE_H
#define KV_MODE_H

#include "core/control/managed.h"
#include "core/control/shadow_run.h"

/* Begins with `parts` and `shadow`, and the rest zeroed. */
struct kv_mode {
   const struct kv_control_parts *parts;
   struct kv_shadow *shadow;
   struct kv_managed *active; /* NULL: none is open */
   uint64_t next_repair_ms;   /* monotonic */
   uint64_t repair_delay_ms;  /* the last one; 0: none since a repair worked */
};

/* The periodic tick; repairs where that is needed and due. Errors go to the shared state. */
void kv_mode_tick(struct kv_mode *mode);
/* The last checkpoint. Fails also when it would not be there after a restart. */
enum kv_code kv_mode_shut_down(struct kv_mode *mode, struct kv_status *status);

/* As the functions of control.h. */
enum kv_code kv_mode_save(struct kv_mode *mode, uint64_t *sequence, struct kv_status *status);
enum kv_code kv_mode_configure(struct kv_mode *mode, const struct kv_control_request *request,
                               struct kv_status *status);
enum kv_code kv_mode_replace(struct kv_mode *mode, struct kv_control_replacement *replacement,
                             struct kv_status *status);
enum kv_code kv_mode_try(struct kv_mode *mode, const struct kv_control_request *request,
                         struct kv_settings **settings, struct kv_status *status);

#endif
