/*
 * What the service manager is told by way of NOTIFY_SOCKET (sd_notify(3)), and the sockets that it
 * hands over (LISTEN_FDS, sd_listen_fds(3)). Without a service manager all of it does nothing.
 *
 * A thread of its own shows how far the load is, and feeds the manager's watchdog, when there is
 * one, at half its interval. Before each time it feeds it runs the owner's probe: a probe that does
 * not return lets the manager end the process. Once the server stops it feeds regardless, as
 * kv_stop ends a stop that hangs.
 *
 * Threads: that which owns the object.
 */
#ifndef KV_NOTIFY_H
#define KV_NOTIFY_H

#include "core/support/status.h"

#include <stdbool.h>

struct kv_notify;

struct kv_notify_owner {
   void *context;
   /* How much is loaded, 0 to 100; -1: unknown. Until kv_notify_ready. */
   int (*percent)(void *context);
   /* Returns when the server makes progress. From kv_notify_ready to kv_notify_stopping. */
   void (*probe)(void *context);
};

/* Begins with the load. NULL with `status`. */
struct kv_notify *kv_notify_create(const struct kv_notify_owner *owner, struct kv_status *status);
/* The owner's functions do not run any more when it returns. */
void kv_notify_destroy(struct kv_notify *notify);

void kv_notify_ready(struct kv_notify *notify);
/* Files are being read again; kv_notify_ready follows. */
void kv_notify_reloading(void);
/* `probe` does not run any more when it returns. */
void kv_notify_stopping(struct kv_notify *notify);

/* Whether there is one that wants to be told. */
bool kv_notify_is_managed(void);

/* How many sockets were handed over; they are numbered from 0, and take the place of --listen.
 * Once, before anything else is started. */
enum kv_code kv_notify_sockets(unsigned *count, struct kv_status *status);

#endif
