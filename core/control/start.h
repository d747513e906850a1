/*
 * The start: which mode, which generation, and the data in it.
 *
 * Threads: the one that owns the control plane, before its thread runs.
 */
#ifndef KV_START_H
#define KV_START_H

#include "core/control/managed.h"

/* Opens the recorded mode and loads its data into the store, or begins a fresh store in the mode of
 * `choice`. *active is set as soon as an instance is open, also when the start fails then; it is
 * the caller's to close. */
enum kv_code kv_start(const struct kv_control_parts *parts, const struct kv_control_request *choice,
                      struct kv_managed **active, struct kv_status *status);

#endif
