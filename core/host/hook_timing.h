/*
 * How the hooks of one plug-in instance do: calls, failures and times of each, and whether one
 * takes longer than it should, also while it still runs.
 *
 * Times are counted in buckets of a fourth of a power of two, so that a percentile is at most a
 * fourth too high, however long the server runs.
 *
 * Threads: begin and end of a kind on the thread that calls the hook, one call of a kind at a time.
 * Everything else from any thread at any time; it never locks.
 */
#ifndef KV_HOOK_TIMING_H
#define KV_HOOK_TIMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* on_tick is two kinds: what it does in passing, and what goes through all data while somebody
 * waits. */
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

/* Each kind has its budget as a multiple of that of on_write: one for open and close, and one for
 * what may go through all data: a load and any tick, since a periodic one may make a snapshot. */
#define KV_HOOK_BUDGET_ASIDE 12
#define KV_HOOK_BUDGET_ALL_DATA 120

#define KV_HOOK_BUCKETS 164 /* up to 2^42 ns, more than an hour */

struct kv_hook_figures {
   uint64_t calls, errors; /* ended; of them with a code other than KVS_OK */
   uint64_t total_ns, max_ns;
   uint64_t buckets[KV_HOOK_BUCKETS];
};

struct kv_hook_timing;

/* `write_budget_ns`: after which a call of on_write is overdue; 0: none ever is. NULL when memory
 * is out. The name is copied. */
struct kv_hook_timing *kv_hook_timing_create(const char *plugin, uint64_t write_budget_ns);
void kv_hook_timing_destroy(struct kv_hook_timing *timing);

/* Around each call. `timing` may be NULL: then nothing is counted. An end that comes after the
 * budget is logged. */
void kv_hook_timing_begin(struct kv_hook_timing *timing, enum kv_hook hook);
void kv_hook_timing_end(struct kv_hook_timing *timing, enum kv_hook hook, bool failed);

const char *kv_hook_timing_plugin(const struct kv_hook_timing *timing);
uint64_t kv_hook_timing_budget_ns(const struct kv_hook_timing *timing, enum kv_hook hook);
/* How long the call in flight has run, 0 when there is none. `started_ns` (may be NULL) tells calls
 * apart. */
uint64_t kv_hook_timing_running_ns(const struct kv_hook_timing *timing, enum kv_hook hook,
                                   uint64_t *started_ns);

/* While calls end, the figures may be of different moments, a few calls apart. `timing` may be
 * NULL. */
void kv_hook_timing_read(const struct kv_hook_timing *timing, enum kv_hook hook,
                         struct kv_hook_figures *figures);
/* Adds what was counted elsewhere. */
void kv_hook_figures_add(struct kv_hook_figures *figures, const struct kv_hook_figures *more);
/* Takes away what was counted `before`; the maximum is then exact only where it is a new one, else
 * the upper end of its bucket. */
void kv_hook_figures_since(struct kv_hook_figures *figures, const struct kv_hook_figures *before);
/* The time that `permille` of the calls did not exceed; 0 without calls. */
uint64_t kv_hook_figures_percentile_ns(const struct kv_hook_figures *figures, unsigned permille);
uint64_t kv_hook_figures_mean_ns(const struct kv_hook_figures *figures);

#endif
