/*
 * How much memory the process may take, and what of it the data and the calls get where no setting
 * says so.
 *
 * The limit is the smallest that the control group of the process, or one above it, has: memory.max
 * and memory.high of version 2, memory.limit_in_bytes of version 1 (cgroups(7)). A limit of more
 * than the machine has is none.
 *
 * Used by main before any thread exists.
 */
#ifndef KV_MEMORY_H
#define KV_MEMORY_H

#include "core/config.h"

#include <limits.h>
#include <stdint.h>

struct kv_memory_limit {
   uint64_t bytes;          /* 0: none */
   char file[2 * PATH_MAX]; /* that says so */
};

/* Reads what lies in /proc and /sys below `root`, "" for those of the system. What cannot be read
 * limits nothing. */
void kv_memory_limit_find(const char *root, struct kv_memory_limit *limit);

/* Gives max-wire-memory a quarter of the limit, where that is less than its default, and max-memory
 * half of what is left, in which each key counts more than its own bytes. Settings that were given
 * stay as they are. `limit` must outlive the configuration. */
void kv_memory_share(const struct kv_memory_limit *limit, struct kv_config *config);

/* Says in the log what the limit is and what came of it. */
void kv_memory_log(const struct kv_config *config);

#endif
