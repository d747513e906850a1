/*
 * Which plug-in instances the pipeline gives its batches to: the active one, which alone decides
 * what is acknowledged, and at most one standby, which is given each batch after the active one has
 * taken it.
 *
 * Promises
 *  - Every change takes effect between two batches, and each batch goes to one set of instances.
 *  - A standby that refuses a batch is given no more. That costs no acknowledgement; detach and
 *    promote report it.
 *  - After the active instance has failed, writes are refused until another one is promoted.
 *
 * Each function waits for the batch in flight, and writes wait until it returns.
 *
 * Threads: the control thread, but for kv_commit_read_only: any.
 */
#ifndef KV_COMMIT_TARGETS_H
#define KV_COMMIT_TARGETS_H

#include "core/commit/commit.h"
#include "core/host/hook_timing.h"

/* The state between two batches. */
struct kv_commit_point {
   struct kv_store_view *view;    /* the caller's */
   struct kv_hook_figures writes; /* on_write of the active instance so far */
};

enum kv_standby {
   KV_STANDBY_CANDIDATE, /* may be promoted: it has each batch on stable storage before the
                          * acknowledgement */
   KV_STANDBY_SHADOW,    /* never is: its own options say what is synced */
};

/* The instance of a start, which has all of the store; or NULL at the end: writes are refused. */
void kv_commit_set_active(struct kv_commit *commit, struct kv_instance *active);

/* Gives `standby` every batch above *point from now on. */
enum kv_code kv_commit_attach(struct kv_commit *commit, struct kv_instance *standby,
                              enum kv_standby kind, struct kv_commit_point *point,
                              struct kv_status *status);

/* Gives the standby, if there is one, no further batch. *point (may be NULL) is the state that it
 * must have. Fails when the standby has refused a batch, or when memory runs out for the view,
 * which is then NULL; the standby is detached all the same. */
enum kv_code kv_commit_detach(struct kv_commit *commit, struct kv_commit_point *point,
                              struct kv_status *status);

/* Makes the standby the active instance once `record` has made sure that a restart comes back to
 * it. While `record` runs no batch is committed, so writes wait for all that it does: for an fsync
 * of the ACTIVE record at least. The standby stays attached when it has refused a batch, or when
 * `record` fails. A `record` that fails and cannot tell what a restart comes back to says so in
 * `doubt`; then writes are refused with its text. */
typedef enum kv_code kv_commit_record(void *context, struct kv_status *doubt,
                                      struct kv_status *status);
enum kv_code kv_commit_promote(struct kv_commit *commit, kv_commit_record *record, void *context,
                               struct kv_status *status);

/* The same for an instance that was given nothing by the pipeline, since it has data of its own:
 * `record` also publishes that in place of the store's. After a failure all is as before. */
enum kv_code kv_commit_replace(struct kv_commit *commit, struct kv_instance *instance,
                               kv_commit_record *record, void *context, struct kv_status *status);

/* Refuses writes as `status` says, as if the active instance had failed. */
void kv_commit_refuse_writes(struct kv_commit *commit, const struct kv_status *status);

/* Whether writes are refused after a failure; fills in `status` (may be NULL) when they are. */
bool kv_commit_read_only(struct kv_commit *commit, struct kv_status *status);

/* What a change has replaced. */
struct kv_replaced {
   bool existed;
   const struct kv_entry *kept; /* has the value, which is large, and may be kept; else NULL */
   struct kv_previous entry;
};

/* Called between two batches by whoever commits or changes the targets; must not block. */
struct kv_commit_observer {
   void *context;
   /* Writes are refused from now on, or accepted again. */
   void (*read_only_changed)(void *context, bool read_only);
   /* The active instance had no space for a batch of so many changes, as `status` says. */
   void (*refused)(void *context, const struct kv_status *status, size_t changes);
   /* A batch has been published; nobody has been told. previous[i] is what records[i] has replaced;
    * NULL: it is not kept (kv_commit_keep_previous). All of it is valid until this returns. */
   void (*published)(void *context, const kvs_record *records, const struct kv_replaced *previous,
                     size_t count);
};
/* At most one; before the first batch. */
void kv_commit_observe(struct kv_commit *commit, const struct kv_commit_observer *observer);

#endif
