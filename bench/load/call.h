/*
 * Calls over gRPC at little cost: the memory of a call is used again for the next one, and a unary
 * call is one batch of operations and one event.
 *
 * A call belongs to the thread that starts it, then to the one that takes its last event from the
 * completion queue.
 */
#ifndef BENCH_CALL_H
#define BENCH_CALL_H

#include "bench/load/reply.h"

#include <grpc/grpc.h>

/* A channel, the methods registered on it, and what each call sends along. */
struct call_target {
   grpc_channel *channel;
   grpc_metadata *metadata; /* of all channels */
   size_t metadata_count;
   void *methods[WORKLOAD_METHODS];
};

struct call {
   /* For its user: when it was due, and whether it counts. */
   uint64_t due_ns;
   bool counted;
   struct call *next_idle;
   reply_change_fn *changed; /* NULL, or is told of each change that the answer acknowledges */
   void *changed_context;

   /* Of the last call, once it has ended. */
   struct workload_request request;
   struct reply reply;
   grpc_status_code code;
   grpc_slice details;

   /* Internal. */
   const struct call_target *target;
   grpc_completion_queue *queue;
   grpc_call *grpc;
   grpc_byte_buffer *message;
   grpc_metadata_array headers, trailers;
   unsigned pending; /* batches of operations in flight */
};

/* Starts a call with the request that the workload chose last. It ends with DEADLINE_EXCEEDED after
 * `timeout_ms`. */
void call_start(struct call *call, const struct workload_request *request,
                const struct workload *workload, int64_t timeout_ms);

/* Takes an event of a queue on which calls were started. Returns the call if it has ended: the
 * caller reads its results, then calls call_release before it starts it again. NULL if it goes on.
 */
struct call *call_take(const grpc_event *event);
void call_release(struct call *call);

#endif
