/*
 * What is asked of the server: operations with random keys and values, written as the bytes of
 * request messages.
 *
 * A plan says what is wanted. The threads of a run share a source; each has a workload with its own
 * random state. The same seed gives the same requests. Keys are "key:" and twelve digits; zipfian
 * ranks are scattered over the key space, so that hot keys are not neighbours.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_KEY_SIZE 16
#define WORKLOAD_KEYS_MAX 1000000000000u
#define WORKLOAD_ZIPF_EXPONENT 0.99

enum workload_kind { WORKLOAD_SET, WORKLOAD_GET, WORKLOAD_DEL, WORKLOAD_KINDS };

enum workload_method {
   WORKLOAD_CALL_SET,
   WORKLOAD_CALL_GET,
   WORKLOAD_CALL_DEL,
   WORKLOAD_CALL_BATCH,
   WORKLOAD_CALL_SCAN,
   WORKLOAD_METHODS
};

enum workload_distribution { WORKLOAD_UNIFORM, WORKLOAD_ZIPFIAN, WORKLOAD_SEQUENTIAL };

struct workload_plan {
   unsigned weights[WORKLOAD_KINDS]; /* of the operations; at least one is not 0 */
   uint64_t keys;                    /* 1 to WORKLOAD_KEYS_MAX */
   enum workload_distribution distribution;
   size_t value_size_min, value_size_max;
   size_t batch;         /* operations in a Batch message; 0: calls of one operation */
   bool scan, keys_only; /* scans of all entries instead */
   uint64_t limit;       /* operations in total, 0: none */
   uint64_t seed;
};

struct workload_request {
   enum workload_method method;
   size_t operations;
   size_t size; /* of the message in bytes */
};

struct workload_source;
struct workload;

/* NULL when memory runs out. Any thread. */
struct workload_source *workload_source_create(const struct workload_plan *plan);
/* All its workloads must have been destroyed. */
void workload_source_destroy(struct workload_source *source);

/* The workload of thread number `thread`. NULL when memory runs out. */
struct workload *workload_create(struct workload_source *source, unsigned thread);
void workload_destroy(struct workload *workload);

/* Chooses the next request; false at the plan's limit. */
bool workload_next(struct workload *workload, struct workload_request *request);
/* Writes the message of the request last chosen, of its size. */
void workload_write(const struct workload *workload, uint8_t *message);

#endif
