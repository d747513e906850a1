/*
 * How a plug-in instance makes writes durable, as far as it tells (KVS_EXTENSION_SYNCS): what its
 * syncs take, and how long the oldest write has waited that no sync has covered yet.
 *
 * A plug-in that does not ask for the extension is not known, and its writes cost nothing here.
 *
 * Threads: `written` from that which commits; the extension's function from any, one call at a
 * time; read from any.
 */
#ifndef KV_SYNC_TIMING_H
#define KV_SYNC_TIMING_H

#include "core/host/hook_timing.h"
#include "kvstore/plugin.h"

struct kv_sync_timing;

struct kv_sync_figures {
   bool known;                   /* the plug-in has asked for the extension */
   struct kv_hook_figures syncs; /* none of them counts as failed */
   uint64_t lag_ns;              /* 0: everything written is durable */
};

/* NULL when memory runs out. */
struct kv_sync_timing *kv_sync_timing_create(void);
void kv_sync_timing_destroy(struct kv_sync_timing *timing);

/* For the plug-in, which is known from now on. */
const kvs_syncs *kv_sync_timing_extension(struct kv_sync_timing *timing);
/* on_write has returned for all up to `sequence`. */
void kv_sync_timing_written(struct kv_sync_timing *timing, uint64_t sequence);

/* Everything up to here is durable; 0: nothing was told. */
uint64_t kv_sync_timing_durable(struct kv_sync_timing *timing);

void kv_sync_timing_read(struct kv_sync_timing *timing, struct kv_sync_figures *figures);

#endif
