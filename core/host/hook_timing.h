/*
 * How the hooks of one plug-in instance perform: calls, failures and times of each, and whether one
 * takes longer than it should, also while it still runs.
 *
 * Times are counted in the buckets of a log-linear histogram (core/support/histogram.h), so that a
 * percentile is at most a quarter too high, however long the server runs.
 *
 * It belongs to the host, which calls the hooks and knows what they are. Whoever reports the
 * figures (GetStatus, a shadow run, metrics) reads them here, and needs nothing else of the host.
 *
 * Threads: begin and end of a kind on the thread that calls the hook, one call of a kind at a time.
 * Everything else from any thread at any time. It never locks.
 */
#ifndef KV_HOOK_TIMING_H
#define KV_HOOK_TIMING_H

#include "core/support/histogram.h"

#include <stdbool.h>
#include <stdint.h>

/* on_tick is two kinds: the periodic one, and the one that goes through all data while somebody
 * waits for it. */
enum kv_hook {
   KV_HOOK_OPEN,
   KV_HOOK_LOAD,
   KV_HOOK_WRITE,
   KV_HOOK_TICK,
   KV_HOOK_CHECKPOINT, /* and the tick at shutdown */
   KV_HOOK_CLOSE,
   KV_HOOK_KINDS,
};

/* "on_write" and so on. */
const char *kv_hook_name(enum kv_hook hook);

/* Budgets as multiples of that of on_write: of open and close, and of what may go through all data,
 * which is a load and any tick, since a periodic one may make a snapshot. */
#define KV_HOOK_BUDGET_OPEN 12
#define KV_HOOK_BUDGET_ALL_DATA 120

#define KV_HOOK_PART_BITS 2
#define KV_HOOK_BUCKETS KV_HISTOGRAM_SIZE(KV_HOOK_PART_BITS, 42) /* more than an hour in ns */

struct kv_hook_figures {
   uint64_t calls, errors; /* that have ended, and those of them that failed */
   uint64_t total_ns, max_ns;
   uint64_t buckets[KV_HOOK_BUCKETS];
};

struct kv_hook_timing;
struct kv_sync_timing;

/* `write_budget_ns`: after which a call of on_write is overdue; 0: none ever is. Returns NULL when
 * memory runs out. The name is copied. */
struct kv_hook_timing *kv_hook_timing_create(const char *plugin, uint64_t write_budget_ns);
void kv_hook_timing_destroy(struct kv_hook_timing *timing);

/* Around each call. `timing` may be NULL: then nothing is counted. An end that comes after the
 * budget is logged. */
void kv_hook_timing_begin(struct kv_hook_timing *timing, enum kv_hook hook);
void kv_hook_timing_end(struct kv_hook_timing *timing, enum kv_hook hook, bool failed);

/* What the instance tells of its syncs (sync_timing.h); as long as `timing`. */
struct kv_sync_timing *kv_hook_timing_syncs(const struct kv_hook_timing *timing);

const char *kv_hook_timing_plugin(const struct kv_hook_timing *timing);
uint64_t kv_hook_timing_budget_ns(const struct kv_hook_timing *timing, enum kv_hook hook);
/* How long the call in flight has run; 0: there is none. *started_ns (may be NULL) is different for
 * each call. */
uint64_t kv_hook_timing_running_ns(const struct kv_hook_timing *timing, enum kv_hook hook,
                                   uint64_t *started_ns);

/* While calls end, the figures may be of different moments, a few calls apart. `timing` may be
 * NULL. */
void kv_hook_timing_read(const struct kv_hook_timing *timing, enum kv_hook hook,
                         struct kv_hook_figures *figures);
/* Counts one more call, of that time, in figures that belong to the caller. */
void kv_hook_figures_count(struct kv_hook_figures *figures, uint64_t ns);
/* Adds what was counted elsewhere. */
void kv_hook_figures_add(struct kv_hook_figures *figures, const struct kv_hook_figures *more);
/* Subtracts what was counted `before`. The maximum is then exact only where it is a new one, else
 * it is the end of its bucket. */
void kv_hook_figures_since(struct kv_hook_figures *figures, const struct kv_hook_figures *before);
/* The time that `permille` of the calls did not exceed; 0 without calls. */
uint64_t kv_hook_figures_percentile_ns(const struct kv_hook_figures *figures, unsigned permille);
uint64_t kv_hook_figures_mean_ns(const struct kv_hook_figures *figures);

#endif
