/*
 * A plug-in instance as control manages it: with its generation, watched by the watchdog, and with
 * an observer that knows which role it plays.
 *
 * Threads: the control thread (at the start and the end, the one that owns the control plane).
 */
#ifndef KV_MANAGED_H
#define KV_MANAGED_H

#include "core/control/changes.h"
#include "core/control/control.h"
#include "core/control/inbox.h"
#include "core/control/state.h"
#include "core/control/watchdog.h"

#include <stdatomic.h>

/* What the files of control work with. Each part is opaque and has verbs of its own. */
struct kv_versions;

struct kv_control_parts {
   struct kv_control_config config;
   struct kv_watchdog *watchdog;
   struct kv_inbox *inbox;
   struct kv_shared_state *state;
   struct kv_load_report *load_report; /* of the start */
   struct kv_changes *changes;
   struct kv_versions *versions; /* NULL: nothing is to be written */
};

struct kv_managed {
   struct kv_instance *instance;
   uint64_t generation;

   /* Private. */
   const struct kv_control_parts *parts;
   atomic_bool is_active;
   bool (*give_up)(void *context);
   void *give_up_context;
};

/* How an instance is opened. */
struct kv_managed_use {
   bool resumed;   /* the directory has been in use before */
   bool is_active; /* its checkpoints are those of the store, and its history is that of the data */
   /* As in struct kv_instance_observer. */
   bool (*give_up)(void *context);
   void *give_up_context;
   struct kv_load_report *report; /* may be NULL */
   const struct kv_inner *inner;  /* as struct kv_instance_config has it */
   const uint8_t *store_id;       /* NULL: that of the directory */
};

/* Opens an instance of `request` over the directory of `generation`. */
enum kv_code kv_managed_open(const struct kv_control_parts *parts,
                             const struct kv_control_request *request, uint64_t generation,
                             const struct kv_managed_use *use, struct kv_managed **managed,
                             struct kv_status *status);
/* Closes it and counts that. */
void kv_managed_close(struct kv_managed *managed);

/* From now on its checkpoints are those of the store, and no longer those of `old` (may be NULL),
 * and it is never given up. */
void kv_managed_become_active(struct kv_managed *managed, struct kv_managed *old);
/* Makes the ACTIVE record name it. */
enum kv_code kv_managed_record(const struct kv_managed *managed, struct kv_status *status);

/* Checks plug-in and options by what the plug-in declares; *settings is the caller's. */
enum kv_code kv_managed_settings(const struct kv_control_parts *parts,
                                 const struct kv_control_request *request,
                                 const kvs_plugin **plugin, struct kv_settings **settings,
                                 struct kv_status *status);
/* The request that asks for what is in force in it, as long as it is open. */
struct kv_control_request kv_managed_request(const struct kv_managed *managed);

/* Removes a generation; what is wrong with that is logged, with `what` it belonged to. */
void kv_managed_discard(const struct kv_control_parts *parts, uint64_t generation,
                        const char *what);

#endif
