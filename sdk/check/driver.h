/*
 * One instance of the plug-in, driven as the server drives it, with the server's own host and
 * store: what on_write has taken is published in the store, and views for ticks are taken from it.
 *
 * Functions without a status fail the case when the plug-in does not do what it must.
 *
 * Threads: as the ABI says. driver_write and its like may run beside driver_tick, everything else
 * is for the case's main thread alone.
 */
#ifndef SDK_CHECK_DRIVER_H
#define SDK_CHECK_DRIVER_H

#include "core/host/instance.h"
#include "sdk/check/check.h"
#include "sdk/check/model.h"

struct driver {
   const struct check_subject *subject;
   char directory[CHECK_PATH_SIZE];
   uint8_t store_id[16];
   struct kv_store *store; /* what was acknowledged, or loaded */
   struct kv_instance *instance;
   bool resumed;                                /* an instance has been in use over the directory */
   const struct kv_instance_observer *observer; /* of each instance; NULL: none */
};

/* A directory in the workspace, as the host makes one: empty, mode 0700. */
void driver_make_directory(const struct check_subject *subject, const char *name,
                           char path[CHECK_PATH_SIZE]);

/* A driver over a fresh directory `name`, with an instance opened and loaded. */
void driver_begin(struct driver *driver, const struct check_subject *subject, const char *name);
/* The same with driver->observer, which the caller has set. */
void driver_begin_observed(struct driver *driver, const struct check_subject *subject,
                           const char *name);
/* The same over a directory that may hold data; `resumed` says whether an instance was in use
 * there.
 */
void driver_begin_over(struct driver *driver, const struct check_subject *subject,
                       const char *directory, bool resumed);
/* Opens and loads into a new store, which takes the place of driver->store; with a status upon
 * failure, in which case there is no instance. */
enum kv_code driver_try_open(struct driver *driver, struct kv_status *status);
void driver_open(struct driver *driver);
/* Without any tick before, as when the server is killed. */
void driver_close(struct driver *driver);
void driver_end(struct driver *driver);

/* Numbers the records on from the last sequence, as the server does: a rejected batch's sequences
 * are used again. */
enum kv_code driver_try_write(struct driver *driver, struct batch *batch, uint32_t flags,
                              struct kv_status *status);
void driver_write(struct driver *driver, struct batch *batch);
/* The two halves of a write: on_write, and, a moment later, what makes views hold the batch. The
 * host may do anything in between but write another one. */
void driver_take(struct driver *driver, struct batch *batch);
void driver_publish(struct driver *driver, const struct batch *batch);
/* A batch of one. `value` NULL deletes. */
void driver_set(struct driver *driver, const char *key, const char *value);
enum kv_code driver_try_tick(struct driver *driver, uint32_t reason, struct kv_status *status);
void driver_tick(struct driver *driver, uint32_t reason);
/* What is published, as it is now; kv_store_view_destroy ends it. */
struct kv_store_view *driver_view(struct driver *driver);
/* A tick that is given a view which was taken before. */
void driver_tick_view(struct driver *driver, uint32_t reason, const struct kv_store_view *view);

/* Closes as far as the promise goes (a checkpoint first, unless it is KVS_DURABLE), opens again,
 * and compares: state and sequence must be what was acknowledged. */
void driver_reload(struct driver *driver);
/* Opens again what is closed and compares with `expected`, with versions where the plug-in keeps
 * them; `what` completes "after ...". */
void driver_open_and_compare(struct driver *driver, struct kv_store *expected, const char *what);

#endif
