/*
 * The shadow run as control drives it: at most one at a time (shadow.h says what it is for).
 *
 * Threads: the control thread.
 */
#ifndef KV_SHADOW_RUN_H
#define KV_SHADOW_RUN_H

#include "core/control/managed.h"
#include "core/control/shadow.h"

struct kv_shadow {
   const struct kv_control_parts *parts;
   struct kv_shadow_run *run; /* in progress, or NULL */
};

/* As kv_control_shadow, beside `active`. */
void kv_shadow_begin(struct kv_shadow *shadow, const struct kv_managed *active,
                     struct kv_shadow_request *request);
/* Gives the shadow a periodic tick, if there is one. */
void kv_shadow_tick(struct kv_shadow *shadow);
/* Ends the run in progress, if there is one, when its time is over, it has failed, or nobody wants
 * its report any more. */
void kv_shadow_attend(struct kv_shadow *shadow);
/* Ends it, if there is one, without a report. */
void kv_shadow_abandon(struct kv_shadow *shadow, enum kv_code code, const char *reason);

#endif
