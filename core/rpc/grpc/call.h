/*
 * A call in flight (core/rpc/call.h), as this engine has it. Every gRPC event of a call comes back
 * on the queue of its worker.
 *
 * Threads: the worker's, unless a field or function says otherwise.
 */
#ifndef KV_RPC_GRPC_CALL_H
#define KV_RPC_GRPC_CALL_H

#include "core/rpc/call.h"
#include "core/rpc/grpc/event.h"
#include "core/rpc/grpc/stream.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>

#include <pthread.h>
#include <stddef.h>

/* What a call in flight takes, here and in gRPC, with a small request and reply: 1,000 more of them
 * on a connection have the process grow by 14 MB. */
#define KV_GRPC_CALL_COST ((size_t)14 * 1024)

/* What is sent at once; the arena has it. */
struct kv_grpc_metadata {
   grpc_metadata *items;
   size_t count, space;
};

struct kv_grpc_worker;

struct kv_grpc_call {
   grpc_call *grpc;
   struct kv_grpc_call *next; /* in the pool */

   grpc_byte_buffer *payload;    /* the request as it came, or NULL */
   void *joined;                 /* the request in one piece where it came in several or packed */
   struct kv_inflater *inflater; /* of a request that is being unpacked, or NULL */

   grpc_slice message;        /* the reply being made */
   size_t inserted_at;        /* where in it the last piece was inserted */
   grpc_byte_buffer *sending; /* the reply's pieces before that, then all of it; kept for the next
                               * call */

   bool lists_encodings; /* the status is to name those that are known, and nothing else */

   grpc_metadata_array received;        /* the client's headers, where metadata is among them */
   struct kv_grpc_metadata metadata[2]; /* for the client, by enum kv_rpc_metadata */

   struct kv_grpc_event closing; /* unary: everything; streams: RECV_CLOSE */
   int close_cancelled;          /* written by gRPC: what RECV_CLOSE found */

   /* Unary calls that are watched: RECV_CLOSE is a batch of its own then. */
   struct kv_grpc_event watch_ended;
   unsigned batches_left; /* before it may be released */

   struct kv_grpc_stream stream;
   pthread_mutex_t stream_lock; /* kept for the next call */
   struct kv_call base;         /* last: its arena's first block is seldom touched whole */
};

static inline struct kv_grpc_call *kv_grpc_call_of(struct kv_call *call)
{
   return (struct kv_grpc_call *)((char *)call - offsetof(struct kv_grpc_call, base));
}

/* A call from the pool; takes over `grpc` and `payload`. NULL with `status` when memory runs out or
 * the connection holds too much already. */
struct kv_grpc_call *kv_grpc_call_create(struct kv_grpc_worker *worker,
                                         const struct kv_rpc_method *method, grpc_call *grpc,
                                         grpc_byte_buffer *payload, struct kv_status *status);
/* Ends gRPC's part and gives the call back to the pool. */
void kv_grpc_call_release(struct kv_grpc_call *call);
void kv_grpc_call_pool_destroy(struct kv_grpc_worker *worker);

/* ---- For the engine's table ---- */

uint8_t *kv_grpc_message(struct kv_call *call, size_t size);
bool kv_grpc_insert(struct kv_call *call, size_t at, struct kv_slice bytes, struct kv_piece *piece);
void kv_grpc_end(struct kv_call *call, enum kv_code code, const char *text);
void kv_grpc_watch(struct kv_call *call);
void kv_grpc_abort(struct kv_call *call, enum kv_code code, const char *text,
                   struct kv_slice details);

/* ---- Batches ---- */
/* Hands operations to gRPC, on any thread. Only a bug of this module makes it refuse them. */
void kv_grpc_start(struct kv_grpc_call *call, const grpc_op *ops, size_t count,
                   struct kv_grpc_event *event);
/* The op that comes before anything else is sent. */
grpc_op kv_grpc_initial_op(const struct kv_grpc_call *call);
/* The op that sends the message made. */
grpc_op kv_grpc_send_op(struct kv_grpc_call *call);
/* The message has been sent: lets go of its memory. */
void kv_grpc_sent(struct kv_grpc_call *call);
/* The op that ends the call; `text` is for codes other than KV_OK. */
grpc_op kv_grpc_status_op(const struct kv_grpc_call *call, enum kv_code code, grpc_slice *text);
/* The op that ends when the call is over for the client, too. */
grpc_op kv_grpc_close_op(struct kv_grpc_call *call);

/* ---- request.c ---- */

/* Whether a request came compressed; NULL: not. */
bool kv_grpc_is_packed(const grpc_byte_buffer *payload);
enum kv_code kv_grpc_join_request(struct kv_call *call, bool *ready, struct kv_slice *request,
                                  struct kv_status *status);
void kv_grpc_drop_request(struct kv_call *call);

/* ---- metadata.c ---- */

/* Keeps the client's headers if there is metadata among them; else ends the array. */
void kv_grpc_keep_headers(struct kv_grpc_call *call, grpc_metadata_array *headers);
/* Of both directions; before the call closes. */
void kv_grpc_drop_metadata(struct kv_grpc_call *call);
size_t kv_grpc_metadata(struct kv_call *call, const char *name, struct kv_slice *value);
bool kv_grpc_add_metadata(struct kv_call *call, enum kv_rpc_metadata where, const char *name,
                          struct kv_slice value);

#endif
