/*
 * Reads the bytes of a reply of kvstore.v1.KeyValueService as far as is needed to count it. Copies
 * nothing. Any thread.
 */
#ifndef BENCH_REPLY_H
#define BENCH_REPLY_H

#include "bench/load/workload.h"
#include "core/support/slice.h"

#define REPLY_CODES 17 /* gRPC's status codes */

/* Is told the version of each change that an answer acknowledges. */
typedef void reply_change_fn(void *context, uint64_t version);

struct reply {
   uint64_t results;             /* operations answered: results of a list, entries of a scan */
   uint64_t missing;             /* gets and dels of missing keys */
   uint64_t version;             /* that the key of a Set or Get alone has; 0: it is missing */
   uint64_t last_change;         /* the highest version of a change */
   uint64_t errors[REPLY_CODES]; /* of the results of a batch, by code */
   char error_text[128];         /* of the first one */
};

/* Adds the content of one message to the reply; false if it cannot be decoded. `changed` may be
 * NULL. */
bool reply_add(struct reply *reply, enum workload_method method, struct kv_slice message,
               reply_change_fn *changed, void *context);

/* What a message of a watch says. */
struct reply_watch {
   uint64_t version; /* everything up to it has come */
   uint64_t events;
   bool created, ended;
   uint64_t code; /* of an end */
   char text[128];
};

/* Reads one; false if it cannot be decoded. `event` is called with the version of each event. */
bool reply_read_watch(struct reply_watch *reply, struct kv_slice message, reply_change_fn *event,
                      void *context);

#endif
