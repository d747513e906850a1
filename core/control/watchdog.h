/*
 * Watches the hooks that run, on a thread of its own: neither the control nor the commit thread can
 * report a hook that does not return to it, and at the start and the end main itself is inside one.
 * A hook over its budget is logged when it is found so, again whenever the time has doubled, and
 * when it has ended (core/host/hook_timing.h). It never interrupts a hook: that is impossible.
 *
 * Threads: any.
 */
#ifndef KV_WATCHDOG_H
#define KV_WATCHDOG_H

#include "core/host/hook_timing.h"
#include "core/support/status.h"

struct kv_watchdog;

/* `write_budget_ns`: of on_write, the others' follow from it; 0: nothing is overdue, and there is
 * no thread. NULL with `status`. */
struct kv_watchdog *kv_watchdog_create(uint64_t write_budget_ns, struct kv_status *status);
/* All timings must have been removed. */
void kv_watchdog_destroy(struct kv_watchdog *watchdog);

/* A timing for an instance of `plugin`, watched until it is removed, which destroys it. Returns
 * NULL when memory runs out. */
struct kv_hook_timing *kv_watchdog_add(struct kv_watchdog *watchdog, const char *plugin);
void kv_watchdog_remove(struct kv_watchdog *watchdog, struct kv_hook_timing *timing);

/* Calls `visit` with a line for each hook that is over its budget right now, or, with `all`, that
 * runs, as "on_write of aof has run for 12 s; its budget is 5 s". */
void kv_watchdog_visit(struct kv_watchdog *watchdog, bool all,
                       void (*visit)(void *context, const char *text), void *context);

#endif
