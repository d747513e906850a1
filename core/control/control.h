/*
 * The control plane: the one thread that opens, ticks, switches, repairs and closes plug-ins, and
 * brings the store back at the start.
 *
 * Promises
 *  - A restart comes back in the mode and with the options last configured, with exactly the data
 *    that was promised, or refuses and says why.
 *  - A switch loses no acknowledged write, whenever the process dies: until the new mode's record
 *    is durable the old mode takes every batch and is what a restart comes back to.
 *  - A switch that fails at any step leaves the old mode as it was.
 *  - A switch whose callers have all cancelled, or that the end of the server finds in progress, is
 *    cancelled unless it is recorded.
 *  - Tasks wait in a queue of limited length; those whose callers have cancelled are dropped.
 *  - After the active plug-in has failed, writes are refused until a fresh generation is durable.
 *    The control thread tries to make one by itself, at growing intervals, and at Save and
 *    Configure.
 *
 * The data path (commit) never waits for the control thread, but while it changes the targets of
 * commit between two batches (core/commit/targets.h).
 *
 * Threads: kv_control_post, kv_control_inspect, kv_control_read_durability, kv_control_hooks and
 * kv_control_wind_down from any thread. What is marked [control] may be called only inside a posted
 * task. The others on the thread that owns the object.
 */
#ifndef KV_CONTROL_H
#define KV_CONTROL_H

#include "core/commit/targets.h"
#include "core/datadir/data_directory.h"
#include "core/host/inner.h"
#include "core/host/load_report.h"
#include "core/host/plugin_library.h"
#include "core/store/store.h"
#include "core/support/status.h"
#include "core/watch/watchers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_control;

/* What the owner does about it, and lets it know. None may block; each may be NULL. */
struct kv_control_observer {
   void *context; /* of all */
   /* Writes begin to be refused because the plug-in failed, or are accepted again. Called by
    * whoever commits, or on the control thread. */
   void (*writable_changed)(void *context, bool writable);
   /* Whether the server is to stop: the load of a start is cancelled then. NULL: never. */
   bool (*stop_wanted)(void *context);
   /* A hook makes progress. */
   void (*progress)(void *context);
};

struct kv_control_config {
   struct kv_data_directory *directory;
   struct kv_plugin_library *library;
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_watchers *watchers; /* who are told every change; NULL: nobody */
   struct kv_control_observer observer;
   uint64_t hook_budget_ms; /* of on_write, see core/host/hook_timing.h; 0: no hook is overdue */
};

/* The mode of a new store where none is asked for. */
#define KV_CONTROL_DEFAULT_MODE "hybrid"

/* A mode that is asked for. At a start NULL and 0 where nothing is. */
struct kv_control_request {
   const char *plugin;
   const struct kv_mode_option *options;
   size_t option_count;
};

/* What is active; valid only inside the callback of kv_control_inspect. */
struct kv_control_state {
   const kvs_plugin *plugin;
   const kvs_setting *settings; /* plugin->option_count of them */
   bool stacked;                /* another plug-in does the keeping for it */
   uint64_t generation;
   uint64_t last_save_sequence;
   int64_t last_save_ms;                /* Unix time; 0 = none since the start */
   const char *last_error;              /* "" = none since the start */
   int64_t last_error_ms;               /* Unix time of it; 0 = none since the start */
   uint64_t last_error_count;           /* how often it came, with nothing else in between */
   uint64_t refused_writes;             /* that the plug-in had no space for, since the start */
   const struct kv_hook_timing *timing; /* of the plug-in's instance */
   struct kv_hook_figures closes;       /* of all instances that have been closed */
};

struct kv_control *kv_control_create(const struct kv_control_config *config,
                                     struct kv_status *status);

/* Brings back the recorded mode and its data, or begins a fresh store in the mode of `choice`
 * (default: hybrid), and starts the thread. FAILED_PRECONDITION when `choice` differs from what is
 * recorded; DATA_LOSS when files are damaged. Once, before any task is posted. */
enum kv_code kv_control_start(struct kv_control *control, const struct kv_control_request *choice,
                              struct kv_status *status);
/* The first half of kv_control_start alone: no thread runs, and no task may be posted. For tools
 * that only load. */
enum kv_code kv_control_load(struct kv_control *control, const struct kv_control_request *choice,
                             struct kv_status *status);
/* Whether kv_control_start would take the choice over what is recorded. Any thread, while none is
 * running. */
enum kv_code kv_control_check_choice(struct kv_plugin_library *library,
                                     const struct kv_control_request *choice,
                                     const struct kv_active *recorded, struct kv_status *status);
/* Ends what takes long and is not needed: tasks that wait and those to come are refused, a shadow
 * run is abandoned, and a switch is cancelled unless it is recorded. Called before the wire is
 * stopped, so that their calls get an answer. Waits for no hook. */
void kv_control_wind_down(struct kv_control *control);
/* Ends the thread after the task in progress, and gives the plug-in its last tick. No write may be
 * in flight. The status is that of the last checkpoint. */
enum kv_code kv_control_stop(struct kv_control *control, struct kv_status *status);
/* Closes the plug-in; after it only kv_control_destroy. After kv_control_stop, or when
 * kv_control_start failed or was never called. */
void kv_control_close(struct kv_control *control);
void kv_control_destroy(struct kv_control *control);

/* How far the load of the start is; its result only once kv_control_start has returned. Any thread;
 * lives as long as `control`. */
const struct kv_load_report *kv_control_load_report(const struct kv_control *control);

/* Work for the control thread, embedded by its owner. Either `run` or `refuse` is called, once. */
struct kv_control_task {
   /* Does what this task and all in `merged` ask for, and answers each; may free them. */
   void (*run)(struct kv_control_task *task);
   /* Answers this task alone, which will not be run; may free it. Any thread. */
   void (*refuse)(struct kv_control_task *task, const struct kv_status *status);
   /* Whether its caller has cancelled. Any thread. NULL: never. */
   bool (*is_cancelled)(const struct kv_control_task *task);
   /* Whether two tasks with the same `run` ask for the same. NULL: never. */
   bool (*is_same)(const struct kv_control_task *a, const struct kv_control_task *b);
   uint64_t caller; /* callers with different numbers take turns */

   struct kv_control_task *merged; /* those that ask for the same; for `run` to read */
   /* Private, and zeroed when it is posted. */
   struct kv_control_task *next;
   uint64_t turn;
   bool pending; /* neither run nor refused yet */
};
/* May refuse a task at once: RESOURCE_EXHAUSTED when too many wait, UNAVAILABLE at the end. */
void kv_control_post(struct kv_control *control, struct kv_control_task *task);

/* Calls `visit` with a line for each hook that is over its budget right now, or, with `all`, that
 * runs. Any thread. */
void kv_control_hooks(struct kv_control *control, bool all,
                      void (*visit)(void *context, const char *text), void *context);

/* Shows the state to `visit` under a lock: copy what is needed and return. */
void kv_control_inspect(struct kv_control *control,
                        void (*visit)(void *context, const struct kv_control_state *state),
                        void *context);

/* How durable it is what the active instance has taken. */
struct kv_control_durability {
   uint32_t promise; /* KVS_VOLATILE, ... */
   uint64_t synced;  /* everything up to here is on stable storage */
   uint64_t lag_ns; /* how long the oldest write has waited for the mode's own sync; 0: none does */
};
void kv_control_read_durability(struct kv_control *control,
                                struct kv_control_durability *durability);

/* Whether a switch to it could begin: checks plug-in and options by what the plug-in declares, and
 * opens an instance in a directory of its own, which is removed again. Only that shows what a
 * plug-in itself refuses. *settings is the caller's. [control] */
enum kv_code kv_control_try(struct kv_control *control, const struct kv_control_request *request,
                            struct kv_settings **settings, struct kv_status *status);
/* Switches to a plug-in, or to other options of the same one. Nothing to do when both are in force
 * already and work. [control] */
enum kv_code kv_control_configure(struct kv_control *control,
                                  const struct kv_control_request *request,
                                  struct kv_status *status);
/* Data that is to take the place of the store's. */
struct kv_control_replacement {
   struct kv_store *data; /* with the data, and used by nobody; empty when it has taken the place */
   uint64_t began;        /* sequence of the store when the loading of the data began */
   bool over_existing;    /* else it must not replace any key */
   /* The result: what the store goes on from, above all that either has had; and how many keys it
    * had before. */
   uint64_t sequence, replaced_keys;
};
/* Puts other data in place of the store's, in a fresh generation of the mode in force. Readers see
 * all of the old data or all of the new; writes that are acknowledged before it takes the place are
 * replaced, later ones stand. Until it is recorded a restart comes back to the old data, then to
 * the new. A failure leaves all as it was. [control] */
enum kv_code kv_control_replace(struct kv_control *control,
                                struct kv_control_replacement *replacement,
                                struct kv_status *status);
/* What that fails with where so many keys may not be replaced. Any thread. */
enum kv_code kv_control_refuse_replacing(uint64_t keys, struct kv_status *status);
/* Has the plug-in in force, which is one over another, make a checkpoint of the view for `inner`,
 * in place of the one below it. [control] */
enum kv_code kv_control_seal(struct kv_control *control, const struct kv_store_view *view,
                             const struct kv_inner *inner, struct kv_status *status);
/* What was sealed so, in whatever store. */
struct kv_control_sealed {
   struct kv_control_request request; /* of the mode that did, where another one is in force here */
   const uint8_t *store_id;
   uint64_t sequence;            /* nothing in it is above */
   const struct kv_inner *inner; /* hands it over */
};
/* Opens it into `transaction`. [control] */
enum kv_code kv_control_unseal(struct kv_control *control, const struct kv_control_sealed *sealed,
                               struct kv_transaction *transaction, struct kv_status *status);
/* Makes a checkpoint; *sequence is that of the state in it. [control] */
enum kv_code kv_control_save(struct kv_control *control, uint64_t *sequence,
                             struct kv_status *status);
/* [control] */
struct kv_plugin_library *kv_control_library(struct kv_control *control);

#endif
