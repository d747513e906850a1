/*
 * A call in flight: what kv_call_* of rpc.h are about. Every gRPC event of a call comes back on the
 * queue of its worker.
 *
 * Threads: the worker's, unless a field or function says otherwise.
 */
#ifndef KV_RPC_GRPC_CALL_H
#define KV_RPC_GRPC_CALL_H

#include "core/rpc/charge.h"
#include "core/rpc/grpc/connections.h"
#include "core/rpc/grpc/event.h"
#include "core/rpc/grpc/stall.h"
#include "core/rpc/grpc/stream.h"
#include "core/rpc/grpc/turn.h"
#include "core/rpc/rpc.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>

#include <pthread.h>

/* What a call in flight takes, here and in gRPC, with a small request and reply: 1,000 more of them
 * on a connection have the process grow by 14 MB. */
#define KV_CALL_COST ((size_t)14 * 1024)

struct kv_call {
   struct kv_rpc_worker *worker;
   const struct kv_rpc_method *method; /* NULL: an unknown one */
   grpc_call *grpc;
   struct kv_connection *connection;
   struct kv_charge charge;
   struct kv_call *next; /* in the pool */
   int64_t deadline_ms;  /* by the monotonic clock; INT64_MAX: none */
   bool given_to_handler;
   void *state; /* the handler's */

   grpc_byte_buffer *payload;    /* the request as it came, or NULL */
   void *joined;                 /* the request in one piece where it came in several or packed */
   struct kv_inflater *inflater; /* of a request that is being unpacked, or NULL */

   grpc_slice message;        /* the reply being made */
   size_t inserted_at;        /* where in it the last piece was inserted */
   grpc_byte_buffer *sending; /* the reply's pieces before that, then all of it; kept for the next
                               * call */
   bool lists_encodings;      /* the status is to name those that are known */

   /* Slow ones (turn.c). */
   TAILQ_ENTRY(kv_call) waiting;
   void (*resume)(struct kv_call *call);
   bool begun;                                         /* is to go on */
   void (*go_on)(void *service, struct kv_call *call); /* the handler's, after kv_call_yield */
   bool large;                                         /* its request is */

   struct kv_rpc_event closing; /* unary: everything; streams: RECV_CLOSE */
   int close_cancelled;         /* written by gRPC: what RECV_CLOSE found */

   /* Unary calls that are watched: RECV_CLOSE is a batch of its own then. */
   struct kv_rpc_event watch_ended;
   bool watched;
   unsigned batches_left; /* before it may be released */
   atomic_bool cancelled; /* read on any thread */

   struct kv_progress progress;
   struct kv_stream stream;
   pthread_mutex_t stream_lock; /* kept for the next call */
   struct kv_arena arena;       /* last: its first block is large and seldom touched whole */
};

/* A call from the pool; takes over `grpc` and `payload`. NULL with `status` when memory runs out or
 * the connection holds too much already. */
struct kv_call *kv_call_create(struct kv_rpc_worker *worker, const struct kv_rpc_method *method,
                               grpc_call *grpc, grpc_byte_buffer *payload,
                               struct kv_status *status);
/* Ends gRPC's part and gives the call back to the pool. */
void kv_call_release(struct kv_call *call);
void kv_call_pool_destroy(struct kv_rpc_worker *worker);
/* Whether the call may be handed to its handler; else, why not: the server is being stopped, the
 * call is cancelled, or its deadline has passed. */
enum kv_code kv_call_may_begin(struct kv_call *call, struct kv_status *status);
bool kv_call_deadline_passed(const struct kv_call *call);

/* Hands operations to gRPC, on any thread. Only a bug of this module makes it refuse them. */
void kv_call_start(struct kv_call *call, const grpc_op *ops, size_t count,
                   struct kv_rpc_event *event);
/* The op that sends the message made. */
grpc_op kv_call_send_op(struct kv_call *call);
/* The message has been sent: lets go of its memory. */
void kv_call_sent(struct kv_call *call);
/* The op that ends the call. */
grpc_op kv_call_status_op(struct kv_call *call, enum kv_code code, grpc_slice *text);
/* The op that ends when the call is over for the client, too. */
grpc_op kv_call_close_op(struct kv_call *call);

/* ---- request.c ---- */

/* Whether a request came compressed; NULL: not. */
bool kv_call_is_packed(const grpc_byte_buffer *payload);
/* A large call is to be begun; false when there is no memory to work on it yet. */
bool kv_call_begin_work(struct kv_call *call);
/* The payload in one piece, unpacked; unary: if not *ready, ask again. RESOURCE_EXHAUSTED or
 * INTERNAL when that cannot be done. There must be a payload. */
enum kv_code kv_call_join_request(struct kv_call *call, bool *ready, struct kv_slice *request,
                                  struct kv_status *status);
void kv_call_drop_request(struct kv_call *call);

#endif
