/*
 * The kvstore service: what each RPC means. Decodes, validates, reads the store or submits a write,
 * and encodes the answer. Handlers never block on I/O: writes go to the commit pipeline, everything
 * that opens, switches or saves a plug-in goes to the control thread as a task.
 *
 * Threads: handlers run on the workers of core/rpc; completions run there, on the threads of the
 * commit pipeline and on the control thread.
 */
#ifndef KV_SERVICE_H
#define KV_SERVICE_H

#include "core/backup/schedule.h"
#include "core/commit/commit.h"
#include "core/control/control.h"
#include "core/observe/observe.h"
#include "core/rpc/rpc.h"
#include "core/store/store.h"
#include "core/watch/watchers.h"

#include <stddef.h>
#include <stdint.h>

struct kv_data_directory;
struct kv_guard;
struct kv_service;

struct kv_service_config {
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_control *control;
   struct kv_watchers *watchers; /* of whose history each worker is a reader, by its number */
   unsigned workers;             /* of core/rpc */
   uint64_t value_size_max;      /* bytes */
   uint64_t message_size_max;    /* bytes; also limits the values in the answer to one Batch */
   uint64_t memory_max;          /* as the commit pipeline has it, for texts */
   int64_t request_window_ms;    /* how long requests with an id are remembered */
   uint64_t key_cost;            /* the same */
   const char *memory_source;    /* for GetStatus: where memory_max comes from; NULL: nowhere */
   const uint8_t *store_id;      /* 16 bytes; read once the data is loaded */
   struct kv_guard *guard;       /* who may call; NULL: everybody */
   const struct kv_data_directory *directory; /* where a backup lies while it is restored */
   int64_t sender_timeout_ms;          /* how long a Restore waits for its client's next message */
   struct kv_observers *observers;     /* slow calls, monitors and hot prefixes, which it shows */
   struct kv_backup_schedule *backups; /* for GetStatus; NULL: the server makes none */
   const char *const *private_paths;   /* as core/rpc has them, for texts in replies */
};

struct kv_service *kv_service_create(const struct kv_service_config *config,
                                     struct kv_status *status);
void kv_service_destroy(struct kv_service *service);

/* Every call is refused as UNAVAILABLE until this is called. Any thread. */
void kv_service_set_loaded(struct kv_service *service);

/* The server is about to stop: ends the calls that would not end by themselves, but watches. Any
 * thread. */
void kv_service_drain(struct kv_service *service);
/* Of kv_rpc_options.followers_end: no call makes a change any more. Neither does a key's time from
 * now on, and watches end when they have told their clients of all. */
void kv_service_end_watches(void *service);

/* Fills in the methods of the service; returns how many. At most KV_SERVICE_METHODS_MAX. */
#define KV_SERVICE_METHODS_MAX 48
size_t kv_service_methods(struct kv_service *service, struct kv_rpc_method *methods);

/* For kv_backup_schedule_start, with the service as context: a backup of now, which may wait for
 * the control thread. Once the data is loaded. Any other thread but a worker's. */
enum kv_code kv_service_open_backup(void *service, struct kv_backup **backup,
                                    struct kv_status *status);

/* For kv_rpc_options.turn_end, with the service as context: has the turn's writes committed. */
void kv_service_turn_end(void *service, unsigned worker);

#endif
