/*
 * The shadow run: a shadow instance is given a checkpoint and then the live writes, like the
 * candidate of a switch, but is never promoted. What it kept is read back and compared with the
 * live data; then the shadow and its files are removed.
 *
 * Promises
 *  - The active mode alone decides what is acknowledged, and is what a restart comes back to. A
 *    shadow that fails, at whatever step, ends its run and nothing else.
 *  - A batch waits for the shadow's on_write, as it does for a candidate's. The shadow syncs as its
 *    own options say, so that its times are those that it would have when active.
 *  - The run ends early, with a status in place of a report, when its call is cancelled, the server
 *    stops, or the active mode fails.
 *
 * Reading back holds a second copy of the data in memory.
 *
 * Threads: all on the control thread.
 */
#ifndef KV_SHADOW_H
#define KV_SHADOW_H

#include "core/control/compare.h"
#include "core/control/control.h"

enum kv_shadow_outcome {
   KV_SHADOW_FAILED,       /* the shadow did; `failure` says how */
   KV_SHADOW_EQUAL,        /* it gave back exactly the live data */
   KV_SHADOW_DIFFERENT,    /* it did not */
   KV_SHADOW_NOTHING_KEPT, /* it promises to keep nothing: there is nothing to compare */
};

struct kv_shadow_report {
   enum kv_shadow_outcome outcome;
   struct kv_status failure;
   const char *plugin;
   const struct kv_settings *settings;
   uint64_t generation; /* where its files were */

   uint64_t sequence, keys, bytes;                      /* of the live data compared with */
   uint64_t loaded_sequence, loaded_keys, loaded_bytes; /* of what it gave back */
   struct kv_comparison comparison; /* first: live, second: loaded. For EQUAL and DIFFERENT */

   uint64_t records; /* effects that were written live while it was given them */
   uint64_t checkpoint_ms, mirrored_ms, reload_ms, compare_ms;
   /* Of on_write: the shadow's, and the active plug-in's in the same time. */
   struct kv_hook_figures shadow_writes, active_writes;
};

#define KV_SHADOW_SECONDS_DEFAULT 5
#define KV_SHADOW_SECONDS_MAX 86400

struct kv_shadow_request {
   struct kv_control_request plugin; /* what to try */
   uint64_t seconds; /* that it is given the live writes for, after its checkpoint */
   /* Whether nobody waits for the report any more; asked every second. */
   bool (*is_cancelled)(struct kv_shadow_request *request);
   /* Called exactly once: with a report, or NULL and a status. May free the request. */
   void (*done)(struct kv_shadow_request *request, const struct kv_shadow_report *report,
                const struct kv_status *status);
};

/* Begins a run; it goes on while the control thread does its other work. The request must live
 * until `done`, which may be called before this returns. [control] */
void kv_control_shadow(struct kv_control *control, struct kv_shadow_request *request);

#endif
