/*
 * The live switch: moves from the active instance to a candidate in a fresh generation (switch.c
 * says in which steps), or leaves everything as it was.
 *
 * Threads: the control thread.
 */
#ifndef KV_SWITCH_H
#define KV_SWITCH_H

#include "core/control/managed.h"

/* Makes *active an instance of `request`, and closes the one before. With `replacement` (may be
 * NULL) other data takes the place of the store's, as kv_control_replace says. CANCELLED when all
 * callers of the task that runs have cancelled, UNAVAILABLE when the server winds down. */
enum kv_code kv_switch(const struct kv_control_parts *parts,
                       const struct kv_control_request *request,
                       struct kv_control_replacement *replacement, struct kv_managed **active,
                       struct kv_status *status);
/* Whether a candidate opens: opens one in a generation of its own, closes it and removes that. */
enum kv_code kv_switch_try(const struct kv_control_parts *parts,
                           const struct kv_control_request *request,
                           const struct kv_managed *active, struct kv_status *status);

#endif
