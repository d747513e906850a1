/*
 * The latest calls that took long.
 *
 * Only a slow call takes the lock; any other costs a comparison.
 *
 * Threads: any.
 */
#ifndef KV_SLOW_LOG_H
#define KV_SLOW_LOG_H

#include "core/observe/event.h"

#include <stdbool.h>
#include <stddef.h>

#define KV_SLOW_LOG_SIZE 1024u

struct kv_slow_log;

/* Calls of at least `threshold_ms` are slow; 0: none is. NULL: out of memory. */
struct kv_slow_log *kv_slow_log_create(uint64_t threshold_ms);
void kv_slow_log_destroy(struct kv_slow_log *log);

uint64_t kv_slow_log_threshold_ms(const struct kv_slow_log *log);
bool kv_slow_log_wants(const struct kv_slow_log *log, uint64_t elapsed_ns);
void kv_slow_log_add(struct kv_slow_log *log, const struct kv_event *event);
/* Copies at most `max` events, the newest first, and returns how many; *total: how many have been
 * added ever. */
size_t kv_slow_log_read(struct kv_slow_log *log, struct kv_event *events, size_t max,
                        uint64_t *total);

#endif
