/*
 * The wire: a gRPC server seen as a table of methods and opaque calls that carry bytes and
 * statuses. What carries them is an engine (engine.h); nothing above sees the engine's library.
 *
 * Promises
 *  - Every call that reaches a handler is answered on the wire exactly once, by the handler, unless
 *    it was cancelled; its memory is released either way.
 *  - An unknown method is answered UNIMPLEMENTED at once.
 *  - A handler never sees half a message, none above the receive limit, and no call that is
 *    malformed, as far as the engine can see that, or whose deadline has passed.
 *  - What all calls hold in memory keeps to one account (account.h).
 *
 * Threads: `workers` threads poll for events; connections are given to them in turn. Handlers run
 * on them and must not block on I/O. A turn is what a worker handles before it calls `turn_end`:
 * much when much has arrived, but never so much that anybody waits long for its end. The functions
 * of a call may be used from any thread, one at a time, while the call is open. A unary call closes
 * with its reply or failure and must not be touched afterwards; a stream closes with its `closed`
 * handler.
 */
#ifndef KV_RPC_H
#define KV_RPC_H

#include "core/net/admission.h"
#include "core/support/arena.h"
#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_rpc;
struct kv_call;
struct kv_tls;

enum kv_rpc_kind {
   KV_RPC_UNARY,         /* one request, one reply */
   KV_RPC_SERVER_STREAM, /* one request, many replies */
   KV_RPC_BIDI,          /* many of both, in any order */
};

struct kv_rpc_method {
   const char *path; /* "/package.Service/Method"; must outlive the server */
   enum kv_rpc_kind kind;
   void *service; /* given to the handlers */
   /* Its handlers may take long. Slow calls wait for one another: one is begun at the end of a
    * turn, never if it has been cancelled by then. A request that came compressed is slow, too. */
   bool slow;
   /* A request has many parts, so that a large one is slow. */
   bool compound;
   /* Its calls follow what others do, and go on until they are told to end: a stop has that done
    * when no other call is in flight any more (options.followers_end). */
   bool follows;

   /* A request has arrived. `request` lives until the call closes (unary, server stream) or until
    * the next request (bidi). Unary: end with kv_call_reply or kv_call_fail, now or later. Bidi:
    * called for each request; the next one is read only after kv_call_read_next. */
   void (*request)(void *service, struct kv_call *call, struct kv_slice request);
   /* Streams only, may be NULL: the reply given to kv_call_send has left; the next may be sent. */
   void (*sent)(void *service, struct kv_call *call);
   /* Bidi only: the client will send no more. */
   void (*half_closed)(void *service, struct kv_call *call);
   /* Streams only, may be NULL: kv_call_notify has been called since the last time. Not after the
    * handler has ended the call. */
   void (*notified)(void *service, struct kv_call *call);
   /* Streams only, may be NULL: the call is over (finished, failed or cancelled); release what
    * belongs to it. No other handler follows, and the call must not be touched afterwards. Called
    * exactly once for each stream whose `request` or `half_closed` was called. */
   void (*closed)(void *service, struct kv_call *call);
   /* Streams only, may be NULL: bytes that the call keeps and nothing else counts. Asked now and
    * then, on the worker's thread. */
   size_t (*kept)(void *service, struct kv_call *call);
   /* Streams only, may be NULL: the call is about to be ended because its client does not read, or
    * because it keeps too much. Appends to the status text how the client can go on. */
   void (*resume)(void *service, struct kv_call *call, char *text, size_t size);
};

/* What a call is about, and who asks: noted by the service for those who observe calls. */
struct kv_rpc_subject {
   struct kv_slice key; /* the first one; empty: none */
   const char *user;    /* "": nobody in particular */
   const char *request; /* what it asks for, in words; NULL: nobody has said */
};

/* A call that is being answered. */
struct kv_rpc_answer {
   const struct kv_call *call;
   const struct kv_rpc_method *method; /* NULL: an unknown one */
   size_t method_index; /* in the table given to kv_rpc_create; its size for an unknown one */
   unsigned worker;     /* of the call's connection */
   unsigned thread;     /* the worker whose thread this is; options.workers: none of them */
   enum kv_code code;   /* KV_CANCELLED also where the client did not wait for an answer */
   uint64_t elapsed_ns; /* since the request had arrived, the first one of a stream; 0 where the
                         * call was refused before that. Within some microseconds. */
   size_t request_size; /* bytes, as it came */
};

/* Counted since the start, but for what is said to be now. */
struct kv_rpc_statistics {
   uint64_t accepted_connections;
   uint64_t refused_connections; /* too many files are open, or there was no memory */
   uint64_t refused_calls;       /* without a handler: unknown, too much metadata, or no memory */
   uint64_t memory_held, memory_max; /* as options.memory_max counts it; now */
   /* Engine http2 only; the C core of gRPC does not tell its engine. */
   bool knows_connections;
   uint64_t open_connections;  /* now, and those closed whose calls are not over */
   uint64_t ended_connections; /* by the server, for what the client did to the protocol */
   uint64_t resets;            /* streams that clients have reset */
};

#define KV_RPC_WORKERS_MAX 64u

/* What a failure's text has in place of options.private_paths. */
#define KV_RPC_PRIVATE_PATH_SHOWN "DATA_DIR"

/* Whom a connection belongs to, as far as the connection itself proves it. */
struct kv_rpc_identity {
   struct kv_slice certificate; /* the name in the verified client certificate; empty: none */
   bool is_local;               /* a Unix socket, of whose other end the system has told: */
   uint32_t uid, gid;
};

/* Of a peer's text. */
#define KV_RPC_PEER_SIZE 80

/* Where a server's metadata goes. */
enum kv_rpc_metadata {
   KV_RPC_INITIAL,  /* before the first message */
   KV_RPC_TRAILING, /* with the status */
};

/* Bytes of a google.rpc.Status, at most. */
#define KV_RPC_DETAILS_MAX (KV_STATUS_TEXT_SIZE + 512)

struct kv_rpc_options {
   struct kv_admission admission; /* who may come in */
   const char *wire;              /* the engine's name; NULL: the default */
   unsigned workers;              /* polling threads, 1 to KV_RPC_WORKERS_MAX */
   size_t receive_message_max;    /* bytes; larger requests are refused with RESOURCE_EXHAUSTED */
   /* Bytes that the calls of all connections may hold in every form (account.h). Beyond that
    * requests wait, as far as the engine can hold them back, or calls are refused; arenas,
    * kv_call_message and kv_call_insert give nothing. Engine grpc may hold as much again of what it
    * has received and not handed over. */
   size_t memory_max;
   /* A call whose client has read nothing for so long ends with ABORTED; so does one whose client
    * has sent nothing in the middle of a request, if the engine can see that. It gets longer where
    * something else moves on its connection. Where the account is short of memory it gets half a
    * second, and ends with RESOURCE_EXHAUSTED. */
   int64_t reader_timeout_ms;
   /* May be NULL. Called on the worker's thread at the end of a turn in which a handler has left a
    * unary call unanswered, before a slow call is begun: for what costs less when it is done for
    * all of them together. It must answer those calls, or have them answered. */
   void (*turn_end)(void *context, unsigned worker);
   /* May be NULL. Called once by kv_rpc_stop, when only calls of methods that follow are in flight,
    * or the grace period is over: they are to end now. */
   void (*followers_end)(void *context);
   void *context;
   /* May be NULL. Called once for each call that is answered, right before its answer leaves, on
    * the thread that answers; also for one that is refused, except where engine grpc has no memory
    * for the call. It must not wait for anything, nor keep the call. */
   void (*answered)(void *observer, const struct kv_rpc_answer *answer);
   void *observer;
   /* May be NULL. Encodes what programs are to know of a failure that has a reason and that no
    * handler has seen, as a google.rpc.Status with the text that the client is shown; returns its
    * size. Any thread. */
   size_t (*describe)(const struct kv_status *status, const char *shown,
                      uint8_t details[KV_RPC_DETAILS_MAX]);
   /* Paths that no failure's text shows to clients; NULL ends them. They must outlive the server.
    * May be NULL. */
   const char *const *private_paths;
   /* Connections but those of Unix sockets have TLS; NULL: none has. It must outlive the server.
    * Not with engine grpc. */
   struct kv_tls *tls;
};

/* Copies the table of methods; paths and services must outlive the server. NULL with `status`. */
struct kv_rpc *kv_rpc_create(const struct kv_rpc_options *options,
                             const struct kv_rpc_method *methods, size_t count,
                             struct kv_status *status);
/* Adds an address to listen on, as kv_acceptor_listen does. Before kv_rpc_start. */
enum kv_code kv_rpc_listen(struct kv_rpc *rpc, const char *address, int *port,
                           struct kv_status *status);
enum kv_code kv_rpc_start(struct kv_rpc *rpc, struct kv_status *status);
/* Refuses new calls as UNAVAILABLE and waits for those in flight, at most `grace_ms`, and then for
 * those that follow; then closes all connections, cancels the remaining calls and waits for them.
 * Returns when no handler runs and none will. Not from a handler. */
void kv_rpc_stop(struct kv_rpc *rpc, int64_t grace_ms);
/* After kv_rpc_stop, or without a start. */
void kv_rpc_destroy(struct kv_rpc *rpc);
/* Any thread, also while it stops. */
void kv_rpc_read_statistics(struct kv_rpc *rpc, struct kv_rpc_statistics *statistics);

/* ---- Calls ---- */

/* In handlers only: which worker (0 to workers - 1) runs it; for state kept per thread. */
unsigned kv_call_worker(const struct kv_call *call);
/* Memory that is released when the call closes, and counts for its connection. */
struct kv_arena *kv_call_arena(struct kv_call *call);
/* Where a handler keeps its own state of a stream; NULL at first. */
void **kv_call_state(struct kv_call *call);

/* Counts bytes that the handler is about to allocate itself, until the call is answered. Returns
 * false when it must not allocate them. */
bool kv_call_take(struct kv_call *call, size_t size);
/* Unary: the call has taken effect. From now on its reply is refused no memory, since a call that
 * fails must not have changed anything. */
void kv_call_carried_out(struct kv_call *call);
/* The request's bytes are no longer needed. */
void kv_call_forget_request(struct kv_call *call);
/* Says why arena, kv_call_take, kv_call_message or kv_call_insert had no memory, and returns the
 * code: RESOURCE_EXHAUSTED, or INTERNAL when the call has taken effect. */
enum kv_code kv_call_exhausted(const struct kv_call *call, struct kv_status *status);
/* A message of `size` bytes for the caller to fill in, in place of an earlier one that was not
 * sent. NULL when memory runs out or the connection holds too much already. */
uint8_t *kv_call_message(struct kv_call *call, size_t size);
/* Inserts bytes that stay where they are after the first `at` bytes of the message, which must have
 * been filled in. release(owner) follows on any thread when the bytes are no longer needed; not
 * after a failure. `at` must not be below that of an earlier insertion. False when memory runs
 * out or the connection holds too much. */
bool kv_call_insert(struct kv_call *call, size_t at, struct kv_slice bytes,
                    void (*release)(void *owner), void *owner);

/* Unary: sends the message (if there is none, an empty one) with status OK; or DEADLINE_EXCEEDED
 * alone when the deadline has passed. A deadline that passes later is left to the client: a status
 * behind half a reply would look to it like a broken reply. */
void kv_call_reply(struct kv_call *call);
/* Any kind: ends the call with a status other than OK; `text` is copied. */
void kv_call_fail(struct kv_call *call, enum kv_code code, const char *text);
/* The text that kv_call_fail shows to the client in place of `text`. */
void kv_call_shown(const struct kv_call *call, const char *text, char shown[KV_STATUS_TEXT_SIZE]);

/* In the `request` handler of a slow call, in `sent` or in `go_on`: gives the thread back, and has
 * go_on called at the end of a later turn.
 * Unary: of the next one; no other slow call of this worker is begun in between. go_on should first
 * ask kv_call_is_cancelled; a cancelled call still has to be ended.
 * Streams: slow calls of this worker take turns with it. `closed` comes in place of go_on when the
 * call has ended meanwhile. Nothing may be being sent. */
void kv_call_yield(struct kv_call *call, void (*go_on)(void *service, struct kv_call *call));

/* Unary, in the `request` handler: from now on kv_call_is_cancelled knows whether the client has
 * cancelled the call or disconnected, or the server is being stopped; it always knows whether the
 * deadline has passed. The call must be answered all the same. Slow calls are watched from the
 * start; so is every one whose request is compressed. */
void kv_call_watch(struct kv_call *call);
/* A number for the connection that the call came on, the same for all its calls. */
uint64_t kv_call_connection(const struct kv_call *call);

/* In handlers: what observers are to see. It all stays where it is until the call closes; the key
 * may lie in the request, unless the handler forgets that. */
void kv_call_set_subject(struct kv_call *call, struct kv_slice key);
void kv_call_set_caller(struct kv_call *call, const char *user, const char *request);
/* For observers; lives as long as the call. */
const struct kv_rpc_subject *kv_call_subject(const struct kv_call *call);

/* The address that the call came from: "address:port", "unix:" for a Unix socket, or "unknown"
 * where the connection has ended. */
void kv_call_peer(const struct kv_call *call, char text[KV_RPC_PEER_SIZE]);
/* A number for the network that the call came from: an IPv4 address, the first 64 bits of an IPv6
 * address, a user of this system behind a Unix socket; 0 where that is unknown. */
uint64_t kv_call_network(const struct kv_call *call);
enum kv_rpc_kind kv_call_kind(const struct kv_call *call);
/* In handlers: lives as long as the call. Empty with engine grpc, which cannot tell a connection
 * from the one that had its descriptor before: nobody must be taken for somebody else. */
const struct kv_rpc_identity *kv_call_identity(const struct kv_call *call);
/* In handlers: what the service notes of the connection that the call came on, NULL at first, the
 * same for all its calls. release(note) follows on the worker's thread when another note takes its
 * place, and when the connection is forgotten. With engine grpc a note may be that of an earlier
 * connection: it must hold nothing that a call does not prove again. */
void *kv_call_peer_note(const struct kv_call *call);
void kv_call_set_peer_note(struct kv_call *call, void *note, void (*release)(void *note));
/* How many values the client's metadata has of that name, which is in lower case; *value is the
 * first one. 0, too, where the first one cannot be had: it is no base64, or memory has run out. Of
 * a name that ends in "-bin" it is the bytes that the client gave. Headers that belong to HTTP or
 * gRPC are no metadata. The value lives until the call closes. */
size_t kv_call_metadata(struct kv_call *call, const char *name, struct kv_slice *value);
/* The one of gRPC's own names that handlers may send: a google.rpc.Status, trailing. */
#define KV_RPC_STATUS_DETAILS "grpc-status-details-bin"

/* Adds metadata for the client; both name and value are copied. The name has a-z, 0-9, "-", "_" and
 * "." and is none of HTTP's or gRPC's but KV_RPC_STATUS_DETAILS; the value has printable ASCII, or
 * any bytes where the name ends in "-bin". KV_RPC_INITIAL only before the first message is sent.
 * False when memory runs out, when the connection holds too much already, or when the call has 32
 * of them. */
bool kv_call_add_metadata(struct kv_call *call, enum kv_rpc_metadata where, const char *name,
                          struct kv_slice value);

/* Any thread, until the call is answered. */
bool kv_call_is_cancelled(const struct kv_call *call);

/* Streams: sends the message; then wait for `sent`. Ends the call if its deadline has passed. */
void kv_call_send(struct kv_call *call);
/* Bidi: lets the next request in. */
void kv_call_read_next(struct kv_call *call);
/* Streams: has `notified` called soon on the worker's thread. Any thread, also while another one
 * uses the call, between `request` and `closed`. */
void kv_call_notify(struct kv_call *call);
/* Streams: ends the call with status OK after what was sent. */
void kv_call_finish(struct kv_call *call);

#endif
