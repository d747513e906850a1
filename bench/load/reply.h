/*
 * Reads the bytes of a reply as far as is needed to count it. Copies nothing. Any thread.
 */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H

#include "bench/load/workload.h"
#include "core/support/slice.h"

#define REPLY_CODES 17 /* gRPC's status codes */

struct reply {
   uint64_t results;             /* operations answered: results of a batch, entries of a scan */
   uint64_t missing;             /* gets and dels of missing keys */
   uint64_t errors[REPLY_CODES]; /* of the results of a batch, by code */
   char error_text[128];         /* of the first one */
};

/* Adds the content of one message to the reply; false if it cannot be decoded. */
bool reply_add(struct reply *reply, enum workload_method method, struct kv_slice message);

#endif
