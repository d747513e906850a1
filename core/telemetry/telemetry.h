/*
 * What the server tells of itself over HTTP: /metrics for Prometheus, /healthz and /readyz for who
 * supervises it, "/" for people (page.h), /status.json and /tables for that page.
 *
 * Promises
 *  - It only reads: no page waits for a disk, changes anything, or has history. Each request reads
 *    all figures anew (snapshot.h).
 *  - A call costs it a few nanoseconds (kv_telemetry_answered).
 *  - No page shows a value, or a path of the data directory; and only the tables, to this machine
 *    alone, where everybody on it may read the keys anyway, the prefixes of keys.
 *
 * Threads: kv_telemetry_answered from those that answer calls; pages are made on the thread of the
 * HTTP server; the others on the one that owns the object.
 */
#ifndef KV_TELEMETRY_H
#define KV_TELEMETRY_H

#include "core/backup/schedule.h"
#include "core/commit/commit.h"
#include "core/control/control.h"
#include "core/net/admission.h"
#include "core/net/tls.h"
#include "core/observe/hot.h"
#include "core/rpc/rpc.h"
#include "core/store/store.h"
#include "core/watch/watchers.h"

#include <stdbool.h>

struct kv_telemetry;

struct kv_telemetry_config {
   const char *version, *wire; /* of the server; its engine */
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_control *control;
   struct kv_watchers *watchers;
   struct kv_backup_schedule *backups; /* NULL: the server makes none */
   struct kv_tls *tls;                 /* NULL: none */
   uint64_t memory_max;                /* as in kv_commit_options */
   unsigned workers;                   /* of core/rpc */
   /* The table of methods of core/rpc; it is not kept, but their paths are. */
   const struct kv_rpc_method *methods;
   size_t method_count;
   const char *const *private_paths; /* as core/rpc has them */
   struct kv_hot *hot; /* NULL: key prefixes are not for everybody on this machine to see */
   struct kv_admission admission; /* the same for the HTTP server */
};

/* NULL with `status`. */
struct kv_telemetry *kv_telemetry_create(const struct kv_telemetry_config *config,
                                         struct kv_status *status);
/* For kv_rpc_options.answered, with the object as observer. */
void kv_telemetry_answered(void *telemetry, const struct kv_rpc_answer *answer);

/* Begins to serve the pages; of the wire's figures they have those of `rpc`. *port as in
 * kv_acceptor_listen. */
enum kv_code kv_telemetry_serve(struct kv_telemetry *telemetry, struct kv_rpc *rpc,
                                const char *address, int *port, struct kv_status *status);
/* The data is loaded: /readyz says so. */
void kv_telemetry_set_loaded(struct kv_telemetry *telemetry);
/* The server stops: /readyz says so. */
void kv_telemetry_set_stopping(struct kv_telemetry *telemetry);
/* Serves no more pages; none is being made when it returns. Before the objects that the pages show
 * are destroyed. Also where it has not served any. */
void kv_telemetry_stop(struct kv_telemetry *telemetry);
/* When no call is answered any more. */
void kv_telemetry_destroy(struct kv_telemetry *telemetry);

#endif
