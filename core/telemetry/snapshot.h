/*
 * All figures of the server but those of calls, read one after the other: what the pages are made
 * of.
 *
 * Threads: one at a time, as a snapshot is large and has a reader of the store.
 */
#ifndef KV_TELEMETRY_SNAPSHOT_H
#define KV_TELEMETRY_SNAPSHOT_H

#include "core/host/sync_timing.h"
#include "core/telemetry/process.h"
#include "core/telemetry/telemetry.h"

#include <stdatomic.h>

#define KV_SNAPSHOT_OPTIONS_MAX 32
#define KV_SNAPSHOT_TEXT_SIZE 256
#define KV_SNAPSHOT_OVERDUE_MAX 8
#define KV_PAGE_POLICY_SIZE 320 /* page.h */

enum kv_telemetry_stage { KV_TELEMETRY_LOADING, KV_TELEMETRY_SERVING, KV_TELEMETRY_STOPPING };

struct kv_snapshot_hook {
   struct kv_hook_figures figures;
   uint64_t running_ns;
};

struct kv_snapshot_option {
   char name[KV_SNAPSHOT_TEXT_SIZE], text[KV_SNAPSHOT_TEXT_SIZE];
};

struct kv_snapshot {
   int64_t now_ms; /* Unix time */
   uint64_t uptime_ms;
   enum kv_telemetry_stage stage;
   int loaded_percent; /* -1: unknown */
   struct kv_process_figures process;
   struct kv_rpc_statistics wire;
   struct kv_commit_statistics commit;
   struct kv_watch_figures watches;
   struct kv_load_result load;
   uint64_t sequence, keys, bytes;
   bool read_only;

   /* The active plug-in; `mode` is empty before there is one. */
   char mode[KV_SNAPSHOT_TEXT_SIZE];
   const char *promise; /* "volatile", "periodic" or "durable" */
   struct kv_snapshot_option options[KV_SNAPSHOT_OPTIONS_MAX];
   size_t option_count;
   uint64_t generation;
   uint64_t save_sequence;
   int64_t save_ms; /* Unix time of the last checkpoint; 0: none since the start */
   struct kv_snapshot_hook hooks[KV_HOOK_KINDS];
   struct kv_sync_figures syncs;
   uint64_t refused_writes;
   char last_error[KV_STATUS_TEXT_SIZE]; /* "": none */
   int64_t last_error_ms;
   uint64_t last_error_count;
   char overdue[KV_SNAPSHOT_OVERDUE_MAX][KV_SNAPSHOT_TEXT_SIZE];
   size_t overdue_count;

   bool has_backups, has_tls;
   struct kv_backup_schedule_state backups;
   struct kv_tls_statistics tls;
};

struct kv_telemetry {
   struct kv_telemetry_config config;
   uint64_t started_ms; /* monotonic */
   atomic_int stage;    /* enum kv_telemetry_stage */
   struct kv_call_metrics *calls;
   char **paths; /* of the methods, without the first '/'; the last one is for unknown ones */
   struct kv_rpc *rpc;
   struct kv_http *http; /* NULL: serves nothing */
   /* Of the pages. */
   struct kv_reader *reader;
   struct kv_snapshot snapshot;
   bool shows_prefixes;              /* who asks is on this machine */
   char policy[KV_PAGE_POLICY_SIZE]; /* of the page "/" */
};

/* Into telemetry->snapshot. */
void kv_snapshot_take(struct kv_telemetry *telemetry);
/* How old the last checkpoint and the last backup are, or the server where there is none. */
double kv_snapshot_checkpoint_age_s(const struct kv_snapshot *snapshot);
double kv_snapshot_backup_age_s(const struct kv_snapshot *snapshot);

/* The pages, from telemetry->snapshot and the calls; *size without the '\0'. To be freed; NULL: out
 * of memory. */
char *kv_telemetry_metrics(const struct kv_telemetry *telemetry, size_t *size);
char *kv_telemetry_status(const struct kv_telemetry *telemetry, size_t *size);

#endif
