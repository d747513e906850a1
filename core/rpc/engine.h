/*
 * An engine: what carries calls over connections. core/rpc/rpc.h is what the service sees of the
 * wire; this is what stands behind it, one table of functions for each engine. What does not depend
 * on an engine's library is shared: listening and accepting (core/net), the account (account.h,
 * charge.h), the begin and the end of a call (call.h), the turn (turn.h), and the look at the open
 * calls (stall.h).
 *
 * An engine has one worker (server.h) for each thread that polls. What a worker has, its
 * connections and their calls, belongs to its thread.
 */
#ifndef KV_RPC_ENGINE_H
#define KV_RPC_ENGINE_H

#include "core/rpc/charge.h"
#include "core/rpc/rpc.h"
#include "core/rpc/server.h"

struct kv_engine {
   const char *name; /* as kv_rpc_options.wire */
   bool has_tls;     /* it can do as kv_rpc_options.tls says */

   /* ---- The server; `state` is what create returned ---- */

   /* All but threads; adds the workers to `rpc`. NULL with `status`. */
   void *(*create)(struct kv_rpc *rpc, struct kv_status *status);
   enum kv_code (*start)(void *state, struct kv_status *status);
   /* A connection, see acceptor.h: the engine's from now on. Acceptor's thread. */
   void (*connected)(void *state, int fd);
   /* About every `tick_ms` on the acceptor's thread; may be NULL. */
   void (*tick)(void *state);
   int tick_ms;
   /* rpc->stopping is set, and nothing is accepted any more: waits for the calls in flight, at most
    * `grace_ms`, ends the others, closes all connections and ends the threads. Also without a
    * start, or after one that failed. */
   void (*stop)(void *state, int64_t grace_ms);
   /* After a stop. */
   void (*destroy)(void *state);
   /* Adds what it knows about connections; NULL: nothing. Any thread. */
   void (*read_statistics)(void *state, struct kv_rpc_statistics *statistics);

   /* ---- A call: for kv_call_* of rpc.h. Any thread, while it is open ---- */

   /* Memory for a message of so many bytes, in place of an earlier one; NULL when there is none. */
   uint8_t *(*message)(struct kv_call *call, size_t size);
   /* As kv_call_insert. kv_piece_end(piece) follows when the bytes are no longer needed; not after
    * a failure. */
   bool (*insert)(struct kv_call *call, size_t at, struct kv_slice bytes, struct kv_piece *piece);
   /* Ends the call. Unary: KV_OK with the message made (if there is none, an empty one), else with
    * the status alone; it may be closed before this returns. Streams: after what was sent. `text`
    * is shorter than KV_STATUS_TEXT_SIZE. */
   void (*end)(struct kv_call *call, enum kv_code code, const char *text);
   /* Streams: sends the message made; `sent` follows. */
   void (*send)(struct kv_call *call);
   /* Bidi: the handler is done with the last request; the next one may be delivered. */
   void (*read_next)(struct kv_call *call);
   /* Streams: from now on the call waits in the turn (turn.h), and does not close meanwhile. Its
    * worker's thread. */
   void (*begin_wait)(struct kv_call *call);
   /* It waits no longer. False when it has ended meanwhile: it closes, and must not be touched. Its
    * worker's thread. */
   bool (*end_wait)(struct kv_call *call);
   /* Streams: has the worker call `notified`, unless the call has ended by then. */
   void (*notify)(struct kv_call *call);
   /* Releases the bytes of the request; not what is charged for them. */
   void (*drop_request)(struct kv_call *call);
   /* Unary: from now on call->cancelled is kept up to date. May be NULL where it always is. */
   void (*watch)(struct kv_call *call);
   /* As kv_call_metadata; the name is one that metadata can have. */
   size_t (*metadata)(struct kv_call *call, const char *name, struct kv_slice *value);
   /* As kv_call_add_metadata; name and value stay where they are until the call closes. */
   bool (*add_metadata)(struct kv_call *call, enum kv_rpc_metadata where, const char *name,
                        struct kv_slice value);

   /* ---- A call, on its worker's thread ---- */

   /* The request in one piece, unpacked; unary: if not *ready, some of it is done: ask again. Fails
    * where that cannot be, or where there is no request. */
   enum kv_code (*join_request)(struct kv_call *call, bool *ready, struct kv_slice *request,
                                struct kv_status *status);
   /* Ends the call at once, whatever of its reply is still to leave. It closes later, not within
    * this. `details` go along as KV_RPC_STATUS_DETAILS, unless they are empty; the library of
    * engine grpc cannot send them. */
   void (*abort)(struct kv_call *call, enum kv_code code, const char *text,
                 struct kv_slice details);
};

extern const struct kv_engine kv_engine_grpc;
extern const struct kv_engine kv_engine_http2;

/* NULL stands for the default. INVALID_ARGUMENT lists the names that there are. */
const struct kv_engine *kv_engine_find(const char *name, struct kv_status *status);

#endif
