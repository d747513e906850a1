/*
 * One open plug-in instance: the host's side of the ABI. It owns the host table given to the
 * plug-in, turns views into records, and turns the plug-in's codes and texts into statuses that
 * name it. It knows no persistence format, and never calls a hook by itself.
 *
 * Threads, as the ABI says: open, load, tick and close on the control thread; write on the commit
 * thread, one at a time, possibly beside tick.
 */
#ifndef KV_INSTANCE_H
#define KV_INSTANCE_H

#include "core/host/hook_timing.h"
#include "core/host/inner.h"
#include "core/host/load_report.h"
#include "core/host/plugin_library.h"
#include "core/host/settings.h"
#include "core/store/store.h"
#include "core/support/status.h"
#include "kvstore/plugin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_instance;

/* What the host does about an instance while its hooks run. Each function may be NULL. */
struct kv_instance_observer {
   void *context; /* of all */
   /* The plug-in asks for a tick soon. Any thread. */
   void (*wake)(void *context);
   /* The plug-in has everything up to `sequence` in a durable checkpoint. Any thread. */
   void (*saved)(void *context, uint64_t sequence);
   /* Whether somebody waits for the end of the tick in progress. Any thread. NULL: nobody. */
   bool (*awaited)(void *context);
   /* Asked while records are handed over, either way: true makes the load, or the tick, fail as
    * CANCELLED. A tick is given no more of its view then, and may have made a checkpoint that lacks
    * the rest: never true for an instance that is to be used further. NULL: never. */
   bool (*give_up)(void *context);
   /* A hook has handed over, or taken, some records. Any thread. */
   void (*progress)(void *context);
   /* The load goes on with the history of the data: `loaded` is called for each record from now on,
    * and none above `sequence` is missing. When it is called again, it begins anew. Control thread,
    * inside of kv_instance_load; without meaning if that fails. */
   void (*complete_above)(void *context, uint64_t sequence);
   /* The next change, in order, before it is made: `previous` is the entry that the key has until
    * then, or NULL. Both are valid until it returns. As above. */
   void (*loaded)(void *context, const kvs_record *record, const struct kv_entry *previous);
};

struct kv_instance_config {
   const kvs_plugin *plugin;
   /* Where the plug-in may find others to stack on; must outlive the instance. NULL: nowhere. */
   struct kv_plugin_library *library;
   const struct kv_inner *inner; /* what it finds there, whatever it looks for; NULL: just that */
   struct kv_settings *settings; /* the instance takes ownership, also when open fails */
   const char *directory;        /* absolute, exists; copied */
   uint8_t store_id[16];
   bool resumed;                         /* an instance has been in use over the directory */
   struct kv_instance_observer observer; /* its context must outlive the instance */
   /* What kv_instance_load reads and finds goes here; must outlive it. May be NULL. */
   struct kv_load_report *report;
   /* Counts the calls of hooks, close among them; must outlive the instance. May be NULL. */
   struct kv_hook_timing *timing;
};

enum kv_code kv_instance_open(const struct kv_instance_config *config,
                              struct kv_instance **instance, struct kv_status *status);
void kv_instance_close(struct kv_instance *instance);

/* Puts all that the plug-in kept into `transaction`; *sequence is the one reached (0: nothing was
 * kept). DATA_LOSS when data is damaged. After a failure the transaction must be aborted.
 * `transaction` is NULL for a fresh generation: any record handed over is then an error. */
enum kv_code kv_instance_load(struct kv_instance *instance, struct kv_transaction *transaction,
                              uint64_t *sequence, struct kv_status *status);

/* RESOURCE_EXHAUSTED: rejected without a trace; go on with the next batch. After any other failure
 * the instance must be given no more. */
enum kv_code kv_instance_write(struct kv_instance *instance, const kvs_record *records,
                               size_t count, uint32_t flags, struct kv_status *status);

/* `reason` is KVS_TICK_*. The view stays the caller's. */
enum kv_code kv_instance_tick(struct kv_instance *instance, uint32_t reason,
                              const struct kv_store_view *view, struct kv_status *status);

/* Everything up to here is on stable storage, as far as the plug-in tells (KVS_EXTENSION_SYNCS); 0:
 * it has told nothing. Any thread. */
uint64_t kv_instance_synced(const struct kv_instance *instance);
const kvs_plugin *kv_instance_plugin(const struct kv_instance *instance);
/* Whether it has another plug-in do the keeping. */
bool kv_instance_is_stacked(const struct kv_instance *instance);
const struct kv_settings *kv_instance_settings(const struct kv_instance *instance);
/* As in the config. */
struct kv_hook_timing *kv_instance_timing(const struct kv_instance *instance);

#endif
