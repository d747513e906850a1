/*
 * A call of this engine: a stream of nghttp2 with the request that it brings (request.h) and the
 * reply that it takes (reply.h).
 *
 * The stream and the call end independently. A client may reset its stream while a handler, or
 * another thread, still has the call: then `stream` is 0, and what is still sent goes nowhere. A
 * call is released when it has been answered, its stream is closed, and nothing that another thread
 * has asked for is left to do.
 *
 * Threads: the worker's. What a handler does on another thread (reply, fail, send, finish,
 * read_next) is noted in `asked` and comes to the worker by its list of calls (worker.h).
 */
#ifndef KV_HTTP2_CALL_H
#define KV_HTTP2_CALL_H

#include "core/rpc/call.h"
#include "core/rpc/http2/head.h"
#include "core/rpc/http2/reply.h"
#include "core/rpc/http2/request.h"

struct kv_http2_connection;
struct kv_http2_worker;

/* What a call in flight takes, here and in nghttp2, with a small request and reply. */
#define KV_HTTP2_CALL_COST ((size_t)8 * 1024)

/* Of `asked`: what a handler, or who notifies it, has asked for. */
enum { KV_HTTP2_SEND = 1, KV_HTTP2_READ_NEXT = 2, KV_HTTP2_END = 4, KV_HTTP2_NOTIFY = 8 };

/* Metadata for the client, as it is on the wire; at most so much of it. */
#define KV_HTTP2_ADDED_MAX 32
struct kv_http2_added {
   struct kv_http2_added *next;
   enum kv_rpc_metadata where;
   const char *name;
   struct kv_slice value;
};

struct kv_http2_call {
   int32_t stream;                     /* 0: closed */
   LIST_ENTRY(kv_http2_call) siblings; /* calls of the connection with a stream */
   struct kv_http2_call *next;         /* in the pool, or on the way to the worker */
   struct kv_http2_call *next_done;    /* see kv_http2_call_release_if_done */
   struct kv_http2_call *next_written; /* calls of which the output has bytes */

   atomic_uint asked; /* by another thread, and not done yet */
   atomic_bool over;  /* the handler has ended it, or it was ended; any thread */

   bool open;            /* kv_call_open has counted it */
   bool answered;        /* its end has come to the worker */
   bool done;            /* is in the worker's list of such calls */
   bool written;         /* is in the output's list */
   bool sending;         /* a message is being sent */
   bool responded;       /* the reply's headers have been submitted */
   bool queued;          /* a stream among the slow calls (turn.h) */
   bool lists_encodings; /* the status is to name those that are known */

   enum kv_code code; /* of the end */
   const char *text;  /* of a failure, in the arena or static */

   struct kv_http2_head head;
   struct kv_http2_added *added, **last_added; /* metadata for the client, in the arena */
   unsigned added_count;
   struct kv_http2_request request;
   struct kv_http2_reply reply;
   struct kv_call base;
};

/* The engine's part of a call. */
struct kv_http2_call *kv_http2_call_of(struct kv_call *call);
struct kv_http2_connection *kv_http2_call_connection(const struct kv_http2_call *call);
struct kv_http2_worker *kv_http2_call_worker(const struct kv_http2_call *call);

/* A call from the pool for a stream, not open yet; NULL when memory runs out. */
struct kv_http2_call *kv_http2_call_create(struct kv_http2_connection *connection, int32_t stream);
/* A message has arrived; the client sends no more. */
void kv_http2_call_request(struct kv_http2_call *call, bool packed, size_t size);
void kv_http2_call_half_closed(struct kv_http2_call *call);
/* Does what other threads have asked for. */
void kv_http2_call_do_asked(struct kv_http2_call *call);
/* The client has closed or reset the stream, or the connection has ended. */
void kv_http2_call_stream_closed(struct kv_http2_call *call);
/* Bytes of the reply have been given to the socket: lets go of them, tells the handler. */
void kv_http2_call_written(struct kv_http2_call *call);
/* Gives it back to the pool if nothing needs it any more. */
void kv_http2_call_release_if_done(struct kv_http2_call *call);
/* Frees what the pool has had left over all the time since this was called before. */
void kv_http2_call_pool_shrink(struct kv_http2_worker *worker);
void kv_http2_call_pool_destroy(struct kv_http2_worker *worker);

/* ---- The engine's functions, see engine.h ---- */

uint8_t *kv_http2_message(struct kv_call *call, size_t size);
bool kv_http2_insert(struct kv_call *call, size_t at, struct kv_slice bytes,
                     struct kv_piece *piece);
void kv_http2_end(struct kv_call *call, enum kv_code code, const char *text);
void kv_http2_send(struct kv_call *call);
void kv_http2_read_next(struct kv_call *call);
void kv_http2_notify(struct kv_call *call);
void kv_http2_drop_request(struct kv_call *call);
size_t kv_http2_metadata(struct kv_call *call, const char *name, struct kv_slice *value);
bool kv_http2_add_metadata(struct kv_call *call, enum kv_rpc_metadata where, const char *name,
                           struct kv_slice value);
enum kv_code kv_http2_join_request(struct kv_call *call, bool *ready, struct kv_slice *request,
                                   struct kv_status *status);
void kv_http2_begin_wait(struct kv_call *call);
bool kv_http2_end_wait(struct kv_call *call);
void kv_http2_abort(struct kv_call *call, enum kv_code code, const char *text,
                    struct kv_slice details);

#endif
