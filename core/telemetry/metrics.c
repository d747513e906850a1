/* /metrics: each family with its help. docs/operations.md has the same table; a test compares. */
#include "core/telemetry/snapshot.h"

#include "core/metrics/calls.h"
#include "core/metrics/exposition.h"

#include <math.h>
#include <string.h>

#define NS 1e-9

/* The buckets of times on the page: from 2^11 ns (2 us) to 2^34 ns (17 s), two to a power of two.
 * Both kinds of histograms have four. */
#define TIME_BUCKET(power) (((power)-KV_CALL_PART_BITS + 1) * 4 - 1)
static const struct kv_exposition_scale call_scale = {KV_CALL_SHAPE, TIME_BUCKET(11), 2,
                                                      TIME_BUCKET(34), NS};
static const struct kv_exposition_scale hook_scale = {
    {KV_HOOK_PART_BITS, KV_HOOK_BUCKETS}, TIME_BUCKET(11), 2, TIME_BUCKET(37), NS};
static const struct kv_exposition_scale batch_scale = {KV_BATCH_SHAPE, 0, 1, KV_BATCH_BUCKETS - 2,
                                                       1};
_Static_assert(KV_HOOK_PART_BITS == KV_CALL_PART_BITS, "TIME_BUCKET is of both");

/* ---- Calls ---- */

static void put_call_counts(struct kv_exposition *page, const struct kv_telemetry *telemetry)
{
   struct kv_call_figures figures;
   kv_exposition_family(page, "kvstore_calls_total", "counter",
                        "Calls answered, by method and gRPC status code.");
   for (size_t i = 0; i <= telemetry->config.method_count; i++) {
      kv_call_metrics_read(telemetry->calls, i, &figures);
      for (unsigned code = 0; code < KV_CALL_CODES; code++)
         if (figures.codes[code] > 0 || (code == KV_OK && i < telemetry->config.method_count))
            kv_exposition_sample(page,
                                 &(struct kv_labels){{{"method", telemetry->paths[i]},
                                                      {"code", kv_code_name((enum kv_code)code)}}},
                                 (double)figures.codes[code]);
   }
}

static void put_call_times(struct kv_exposition *page, const struct kv_telemetry *telemetry)
{
   struct kv_call_figures figures;
   kv_exposition_family(page, "kvstore_call_duration_seconds", "histogram",
                        "Time from a request's arrival to its answer, by method; of a stream, to "
                        "its end.");
   for (size_t i = 0; i < telemetry->config.method_count; i++) {
      kv_call_metrics_read(telemetry->calls, i, &figures);
      if (kv_call_figures_count(&figures) > 0)
         kv_exposition_histogram(page, &KV_LABEL("method", telemetry->paths[i]), &call_scale,
                                 figures.buckets, (double)figures.total_ns * NS);
   }
}

static void put_wire(struct kv_exposition *page, const struct kv_rpc_statistics *wire)
{
   kv_exposition_counter(page, "kvstore_calls_refused_total",
                         "Calls refused without a handler: an unknown method, too much metadata, "
                         "or no memory.",
                         (double)wire->refused_calls);
   kv_exposition_counter(page, "kvstore_connections_accepted_total", "Connections accepted.",
                         (double)wire->accepted_connections);
   kv_exposition_counter(page, "kvstore_connections_refused_total",
                         "Connections closed at once: too many open files, or no memory.",
                         (double)wire->refused_connections);
   if (wire->knows_connections) {
      kv_exposition_gauge(page, "kvstore_connections", "Connections that are open.",
                          (double)wire->open_connections);
      kv_exposition_counter(page, "kvstore_connections_ended_total",
                            "Connections ended for what the client did to the protocol.",
                            (double)wire->ended_connections);
      kv_exposition_counter(page, "kvstore_stream_resets_total", "Streams reset by clients.",
                            (double)wire->resets);
   }
   kv_exposition_gauge(page, "kvstore_wire_memory_bytes", "Memory that calls hold in every form.",
                       (double)wire->memory_held);
   kv_exposition_gauge(page, "kvstore_wire_memory_limit_bytes",
                       "Limit on that memory (setting max-wire-memory).", (double)wire->memory_max);
}

static void put_watches(struct kv_exposition *page, const struct kv_watch_figures *watches)
{
   kv_exposition_gauge(page, "kvstore_watches", "Watches now.", (double)watches->watches);
   kv_exposition_counter(page, "kvstore_watch_events_total", "Events sent to watches.",
                         (double)watches->events);
   kv_exposition_counter(page, "kvstore_watches_too_slow_total",
                         "Watches ended because their clients read too slowly.",
                         (double)watches->ended_slow);
   kv_exposition_gauge(page, "kvstore_watch_history_bytes",
                       "Memory that the latest changes take (setting watch-history).",
                       (double)watches->history_bytes);
   kv_exposition_gauge(page, "kvstore_watch_history_lowest_version",
                       "Lowest version that a watch can start from.",
                       (double)watches->history_lowest);
}

static void put_tls(struct kv_exposition *page, const struct kv_tls_statistics *tls)
{
   kv_exposition_counter(page, "kvstore_tls_handshakes_total", "TLS handshakes completed.",
                         (double)tls->handshakes);
   kv_exposition_counter(page, "kvstore_tls_handshake_failures_total", "TLS handshakes failed.",
                         (double)tls->failed_handshakes);
   kv_exposition_counter(page, "kvstore_tls_reloads_total",
                         "Times that the certificates were read again.", (double)tls->reloads);
   kv_exposition_counter(page, "kvstore_tls_reload_failures_total",
                         "Times that new certificates were bad, and the old ones stayed in use.",
                         (double)tls->failed_reloads);
   kv_exposition_gauge(page, "kvstore_tls_certificate_expiry_timestamp_seconds",
                       "When the server's certificate ends, as Unix time.",
                       (double)tls->not_after_s);
}

/* ---- The store and its plug-in ---- */

static void put_store(struct kv_exposition *page, const struct kv_telemetry *telemetry)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   kv_exposition_gauge(page, "kvstore_ready", "1 when the data is loaded and calls are served.",
                       snapshot->stage == KV_TELEMETRY_SERVING);
   kv_exposition_gauge(page, "kvstore_read_only",
                       "1 while writes are refused because the plug-in failed.",
                       snapshot->read_only);
   kv_exposition_gauge(page, "kvstore_keys", "Keys in the store.", (double)snapshot->keys);
   kv_exposition_gauge(page, "kvstore_data_bytes", "Sum of the sizes of keys and values.",
                       (double)snapshot->bytes);
   kv_exposition_gauge(
       page, "kvstore_data_limit_bytes", "Limit on that sum (setting max-memory); +Inf: none.",
       telemetry->config.memory_max > 0 ? (double)telemetry->config.memory_max : INFINITY);
   kv_exposition_gauge(page, "kvstore_sequence", "Sequence of the last change.",
                       (double)snapshot->sequence);
   kv_exposition_gauge(page, "kvstore_load_duration_seconds",
                       "How long loading the data took at the start.",
                       (double)snapshot->load.duration_ms / 1000);
}

static void put_commit(struct kv_exposition *page, const struct kv_commit_statistics *commit)
{
   kv_exposition_family(page, "kvstore_commit_batch_changes", "histogram",
                        "Changes in each committed batch.");
   kv_exposition_histogram(page, &KV_NO_LABELS, &batch_scale, commit->buckets,
                           (double)commit->changes);
   kv_exposition_counter(page, "kvstore_expired_keys_total",
                         "Keys deleted because their time had come.", (double)commit->expired);
   kv_exposition_counter(page, "kvstore_commit_failures_total",
                         "Batches that the plug-in refused, or that memory was missing for.",
                         (double)commit->failed_batches);
   kv_exposition_gauge(page, "kvstore_commit_queue_length",
                       "Writes that wait for the batch before theirs.", (double)commit->queued);
}

static void put_mode(struct kv_exposition *page, const struct kv_snapshot *snapshot)
{
   kv_exposition_family(page, "kvstore_mode_info", "gauge",
                        "1, with the active plug-in and what it promises.");
   if (snapshot->mode[0])
      kv_exposition_sample(
          page, &(struct kv_labels){{{"mode", snapshot->mode}, {"promise", snapshot->promise}}}, 1);
   kv_exposition_gauge(page, "kvstore_generation", "Generation of the active mode.",
                       (double)snapshot->generation);
   kv_exposition_gauge(page, "kvstore_checkpoint_age_seconds",
                       "Age of the last durable checkpoint; without one since the start, of the "
                       "server.",
                       kv_snapshot_checkpoint_age_s(snapshot));
   kv_exposition_gauge(
       page, "kvstore_checkpoint_pending_changes",
       "Changes since the last durable checkpoint, or since the load.",
       (double)(snapshot->sequence > snapshot->save_sequence
                    ? snapshot->sequence - (snapshot->save_sequence > 0 ? snapshot->save_sequence
                                                                        : snapshot->load.first)
                    : 0));
   kv_exposition_counter(page, "kvstore_refused_changes_total",
                         "Changes that the plug-in had no space for.",
                         (double)snapshot->refused_writes);
   kv_exposition_gauge(page, "kvstore_last_error_timestamp_seconds",
                       "When a plug-in failed the last time, as Unix time; 0: not since the start.",
                       (double)snapshot->last_error_ms / 1000);
}

static void put_hooks(struct kv_exposition *page, const struct kv_snapshot *snapshot)
{
   kv_exposition_family(page, "kvstore_hook_duration_seconds", "histogram",
                        "Time in the active plug-in's hooks; of on_write: a commit, its sync "
                        "included.");
   for (int i = 0; i < KV_HOOK_KINDS; i++) {
      const struct kv_hook_figures *figures = &snapshot->hooks[i].figures;
      kv_exposition_histogram(page, &KV_LABEL("hook", kv_hook_name((enum kv_hook)i)), &hook_scale,
                              figures->buckets, (double)figures->total_ns * NS);
   }
   kv_exposition_family(page, "kvstore_hook_failures_total", "counter",
                        "Calls of the active plug-in's hooks that failed.");
   for (int i = 0; i < KV_HOOK_KINDS; i++)
      kv_exposition_sample(page, &KV_LABEL("hook", kv_hook_name((enum kv_hook)i)),
                           (double)snapshot->hooks[i].figures.errors);
   kv_exposition_family(page, "kvstore_hook_running_seconds", "gauge",
                        "How long the call of a hook in flight has run; 0: there is none.");
   for (int i = 0; i < KV_HOOK_KINDS; i++)
      kv_exposition_sample(page, &KV_LABEL("hook", kv_hook_name((enum kv_hook)i)),
                           (double)snapshot->hooks[i].running_ns * NS);
   kv_exposition_gauge(page, "kvstore_hooks_overdue",
                       "Hooks that are over their budget now (setting hook-budget).",
                       (double)snapshot->overdue_count);
}

static void put_syncs(struct kv_exposition *page, const struct kv_sync_figures *figures)
{
   kv_exposition_family(page, "kvstore_sync_duration_seconds", "histogram",
                        "Time of the active plug-in's syncs to stable storage.");
   kv_exposition_histogram(page, &KV_LABEL(NULL, NULL), &hook_scale, figures->syncs.buckets,
                           (double)figures->syncs.total_ns * NS);
   kv_exposition_gauge(page, "kvstore_sync_lag_seconds",
                       "How long the oldest write has waited that is not on stable storage; 0: "
                       "there is none.",
                       (double)figures->lag_ns * NS);
}

static void put_backups(struct kv_exposition *page, const struct kv_snapshot *snapshot)
{
   const struct kv_backup_schedule_state *backups = &snapshot->backups;
   kv_exposition_gauge(page, "kvstore_backup_age_seconds",
                       "Age of the newest backup that the server made; without one, of the server.",
                       kv_snapshot_backup_age_s(snapshot));
   kv_exposition_gauge(page, "kvstore_backup_interval_seconds",
                       "How often backups are to be made (setting backup-interval).",
                       (double)backups->interval_s);
   kv_exposition_gauge(page, "kvstore_backup_failing", "1 when the latest attempt failed.",
                       backups->last_error[0] != '\0');
   kv_exposition_gauge(page, "kvstore_backup_size_bytes", "Size of the newest backup.",
                       (double)backups->newest.bytes);
   kv_exposition_gauge(page, "kvstore_backup_files", "Backups in the directory.",
                       (double)backups->newest.count);
}

/* ---- The process ---- */

static void put_process(struct kv_exposition *page, const struct kv_telemetry *telemetry)
{
   const struct kv_process_figures *process = &telemetry->snapshot.process;
   kv_exposition_family(page, "kvstore_build_info", "gauge", "1, with version and engine.");
   kv_exposition_sample(page,
                        &(struct kv_labels){{{"version", telemetry->config.version},
                                             {"wire", telemetry->config.wire}}},
                        1);
   kv_exposition_counter(page, "process_cpu_seconds_total", "Processor time of the process.",
                         process->cpu_s);
   kv_exposition_gauge(page, "process_start_time_seconds",
                       "When the process was started, as Unix time.", process->start_s);
   kv_exposition_gauge(page, "process_resident_memory_bytes", "Memory of the process.",
                       (double)process->resident_bytes);
   kv_exposition_gauge(page, "process_virtual_memory_bytes", "Address space of the process.",
                       (double)process->virtual_bytes);
   kv_exposition_gauge(page, "process_open_fds", "Files that are open.",
                       (double)process->open_files);
   kv_exposition_gauge(page, "process_max_fds", "Limit on them; +Inf: none.",
                       process->files_max > 0 ? (double)process->files_max : INFINITY);
   kv_exposition_gauge(page, "process_threads", "Threads of the process.",
                       (double)process->threads);
}

char *kv_telemetry_metrics(const struct kv_telemetry *telemetry, size_t *size)
{
   const struct kv_snapshot *snapshot = &telemetry->snapshot;
   struct kv_exposition page = {0};
   put_call_counts(&page, telemetry);
   put_call_times(&page, telemetry);
   put_wire(&page, &snapshot->wire);
   put_watches(&page, &snapshot->watches);
   if (snapshot->has_tls)
      put_tls(&page, &snapshot->tls);
   put_store(&page, telemetry);
   put_commit(&page, &snapshot->commit);
   put_mode(&page, snapshot);
   put_hooks(&page, snapshot);
   if (snapshot->syncs.known)
      put_syncs(&page, &snapshot->syncs);
   if (snapshot->has_backups)
      put_backups(&page, snapshot);
   put_process(&page, telemetry);
   *size = page.size;
   return page.text;
}
