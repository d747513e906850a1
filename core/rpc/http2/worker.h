/*
 * A worker: a thread with an epoll set of its connections. Each round of its loop is a turn
 * (core/rpc/turn.h): it reads once from each connection that has something, handles all of it, has
 * the turn ended, and writes once to each connection that has something to send. A slow call is
 * begun only then, so that the others' replies do not wait for it.
 *
 * Other threads reach it by two lists without locks: calls for which a handler has asked for
 * something, and connections that were accepted. Whoever adds to an empty list wakes it.
 *
 * Threads: its own, but for kv_http2_worker_bring, _give, _wake, and what the stop does.
 */
#ifndef KV_HTTP2_WORKER_H
#define KV_HTTP2_WORKER_H

#include "core/rpc/http2/balance.h"
#include "core/rpc/http2/connection.h"
#include "core/rpc/http2/methods.h"
#include "core/rpc/http2/output.h"
#include "core/rpc/http2/secure.h"
#include "core/rpc/server.h"
#include "core/support/cache_line.h"

#include <pthread.h>

#define KV_HTTP2_READ_SIZE ((size_t)64 * 1024)

/* How far a stop has come. */
enum kv_http2_stage {
   KV_HTTP2_SERVES,
   KV_HTTP2_DRAINS, /* clients are told to go elsewhere; calls in flight go on */
   KV_HTTP2_ENDS,   /* all is ended; clients have a moment to read what was sent */
   KV_HTTP2_ENDS_AT_ONCE,
};

struct kv_http2_worker {
   struct kv_rpc_worker base;
   /* Of the engine, which all workers use. */
   const struct kv_http2_methods *methods;
   const nghttp2_session_callbacks *callbacks;
   const nghttp2_option *options;
   struct kv_http2_worker *const *peers; /* all workers */
   unsigned peer_count;

   int epoll, wake;
   pthread_t thread; /* to be joined; the thread itself does not touch it */
   bool running;     /* `thread` is valid */
   pthread_t self;   /* the thread, as it calls itself */
   uint64_t now_ms;  /* when the round began */
   uint64_t look_at_ms, ends_at_ms;
   enum kv_http2_stage stage;
   unsigned handled; /* requests, in this turn */
   /* For kv_http2_worker_join. Each list that was taken has had one wake, and each ask. */
   uint64_t wakes_due, wakes_seen;
   uint64_t asks; /* of the thread that stops the server */
   struct kv_balance balance;
   _Atomic uint64_t resets, ended_connections; /* read by any thread */

   LIST_HEAD(, kv_http2_connection) connections;
   TAILQ_HEAD(kv_http2_reading, kv_http2_connection) reading;
   TAILQ_HEAD(kv_http2_touched, kv_http2_connection) touched;
   struct kv_http2_reading shaking;     /* those of `reading` whose TLS handshake is not over */
   TAILQ_HEAD(, kv_http2_call) waiting; /* requests that wait for memory */
   struct kv_http2_call *done;          /* calls that may be released */
   struct kv_http2_call *pool;          /* closed calls to be used again */
   unsigned pool_size;
   unsigned pool_unused; /* the least that it had since it was shrunk the last time */

   uint8_t input[KV_HTTP2_READ_SIZE];
   struct kv_http2_output output;
   struct kv_http2_secure *secure; /* NULL: no TLS */
   struct kv_http2_call *written;  /* those of which `output` has bytes */

   /* By other threads; the newest first. */
   _Alignas(KV_CACHE_LINE) _Atomic(struct kv_http2_call *) brought;
   _Atomic(struct kv_http2_connection *) given;
   atomic_int asked_stage;
};

struct kv_http2_worker *kv_http2_worker_of(struct kv_rpc_worker *base);
/* `tls`: its connections may have it. NULL with `status`. */
struct kv_http2_worker *kv_http2_worker_create(bool tls, struct kv_status *status);
void kv_http2_worker_destroy(struct kv_http2_worker *worker);
enum kv_code kv_http2_worker_start(struct kv_http2_worker *worker, struct kv_status *status);

/* One round of its loop, but for the wait before it; false after the last one. For tests, which set
 * `self` and `now_ms` themselves. */
bool kv_http2_worker_round(struct kv_http2_worker *worker);
/* Whether this is its thread. */
bool kv_http2_worker_is_current(const struct kv_http2_worker *worker);
/* The call's `asked` has something in it, and had nothing before. */
void kv_http2_worker_bring(struct kv_http2_worker *worker, struct kv_http2_call *call);
/* A connection is its own from now on: a new one, or one that has left another worker. */
void kv_http2_worker_give(struct kv_http2_worker *worker, struct kv_http2_connection *connection);
/* Releases calls that are over, if nothing needs them any more. Not within a handler. */
void kv_http2_worker_release_done(struct kv_http2_worker *worker);
/* Takes the next step of a stop. */
void kv_http2_worker_ask(struct kv_http2_worker *worker, enum kv_http2_stage stage);
/* Releases the calls that may be. Not within a handler, nor while a connection is written to. */
void kv_http2_worker_release_done(struct kv_http2_worker *worker);
/* Waits for the thread to end; without one, ends what there is. Then nobody is about to wake it any
 * more. */
void kv_http2_worker_join(struct kv_http2_worker *worker);
/* When the threads of all workers have ended: closes connections that came too late. */
void kv_http2_worker_close_given(struct kv_http2_worker *worker);

#endif
