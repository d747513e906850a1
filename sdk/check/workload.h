/*
 * Records made from a seed. The workload is an endless sequence of groups, each one record or a
 * joined run. Group number N is the same whenever it is made, so one process knows what another,
 * which was killed, wrote.
 *
 * Threads: each object by one thread at a time.
 */
#ifndef SDK_CHECK_WORKLOAD_H
#define SDK_CHECK_WORKLOAD_H

#include "kvstore/plugin.h"

#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_RUN_MAX 48

struct workload {
   uint64_t seed;
   unsigned keys;             /* how many different ones */
   unsigned run_min, run_max; /* records of a joined group, up to WORKLOAD_RUN_MAX */
   unsigned joined_percent;   /* of the groups; the others are of one record */
   size_t value_max;
};

/* The next number of the random sequence; `state` is advanced. */
uint64_t workload_random(uint64_t *state);

/* A batch under construction; records and their bytes belong to it. */
struct batch {
   kvs_record *records;
   size_t count, capacity;
};

/* Adds one record, with the sequence after that of the one before it (`*sequence` is moved on).
 * Copies key and value. */
void batch_add(struct batch *batch, uint64_t *sequence, uint32_t kind, const void *key,
               size_t key_size, const void *value, size_t value_size);
/* Adds group `number` of the workload. */
void batch_add_group(struct batch *batch, uint64_t *sequence, const struct workload *workload,
                     uint64_t number);
/* Empties it. */
void batch_reset(struct batch *batch);
void batch_deinit(struct batch *batch);

#endif
