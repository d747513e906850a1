/*
 * What is asked of the server: operations with random keys and values, written as the bytes of
 * request messages.
 *
 * A plan says what is wanted. The threads of a run share a source; each has a workload with its own
 * random state. The same seed gives the same requests, but for a WORKLOAD_CAS, which goes by the
 * answers. Keys are "key:" and twelve digits, those of counters "num:" and twelve digits; zipfian
 * ranks are scattered over the key space, so that hot keys are not neighbours.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKLOAD_KEYS_MAX 999999999999u /* twelve digits */
#define WORKLOAD_VERSIONS_MAX 100000000u
#define WORKLOAD_ZIPF_EXPONENT 0.99

/* A WORKLOAD_CAS is what a program does that changes a value as it has read it: a set on condition
 * that the key still has the version which some call of the run has seen last, or a get to see one
 * where none is known. */
enum workload_kind {
   WORKLOAD_SET,
   WORKLOAD_GET,
   WORKLOAD_DEL,
   WORKLOAD_INCR,
   WORKLOAD_CAS,
   WORKLOAD_SCAN,
   WORKLOAD_KINDS
};

enum workload_method {
   WORKLOAD_CALL_SET,
   WORKLOAD_CALL_GET,
   WORKLOAD_CALL_DEL,
   WORKLOAD_CALL_INCR,
   WORKLOAD_CALL_SCAN,
   WORKLOAD_CALL_BATCH,
   WORKLOAD_CALL_TRANSACTION,
   WORKLOAD_METHODS
};

enum workload_distribution { WORKLOAD_UNIFORM, WORKLOAD_ZIPFIAN, WORKLOAD_SEQUENTIAL };

struct workload_plan {
   unsigned weights[WORKLOAD_KINDS]; /* of the operations; at least one is not 0 */
   uint64_t keys; /* 1 to WORKLOAD_KEYS_MAX; with a WORKLOAD_CAS, to WORKLOAD_VERSIONS_MAX */
   enum workload_distribution distribution;
   size_t value_size_min, value_size_max;
   uint64_t ttl_ms_min, ttl_ms_max; /* of what is set; 0: it never expires */
   /* Operations in a Batch or a Transaction, in which no WORKLOAD_CAS or WORKLOAD_SCAN can be; 0:
    * calls of one operation. */
   size_t batch;
   bool atomic;                /* Transactions instead of Batches */
   uint64_t scan_entries;      /* of each scan, from a chosen key on; 0: all of the key space */
   bool keys_only, descending; /* scans */
   uint64_t limit;             /* operations in total, 0: none */
   uint64_t seed;
};

struct workload_request {
   enum workload_method method;
   size_t operations;
   size_t size;      /* of the message in bytes */
   uint64_t key;     /* of an operation alone */
   bool conditional; /* a Set that may find that its condition is not met */
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

/* Tells what the answer to a Set, Get or Del alone has shown of its key, for a WORKLOAD_CAS: the
 * version that it has, 0 where it is missing, or that this is not known. Any thread. */
#define WORKLOAD_UNKNOWN UINT64_MAX
void workload_learn(struct workload_source *source, uint64_t key, uint64_t version);

#endif
