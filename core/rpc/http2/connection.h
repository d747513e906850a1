/*
 * A connection: a socket, and the session of HTTP/2 that it carries (session.h). What arrives is
 * read into the worker's buffer and handled at once; what is to be sent is written once for each
 * turn. What the socket does not take is kept until it does, and nothing more is made meanwhile:
 * for a client that does not read, the server keeps its replies and one output's worth of bytes.
 * When many frames wait for it, nothing more is read from it.
 *
 * A connection ends when its session is over, when the client has disconnected or has been silent
 * for too long, or when the server ends it; it is freed when no call refers to it.
 *
 * With TLS what arrives and what leaves passes through secure.h; all else is the same.
 *
 * Threads: the worker's.
 */
#ifndef KV_HTTP2_CONNECTION_H
#define KV_HTTP2_CONNECTION_H

#include "core/rpc/connection.h"
#include "core/rpc/http2/call.h"
#include "core/rpc/http2/flood.h"
#include "core/rpc/http2/sieve.h"

#include <nghttp2/nghttp2.h>

struct kv_http2_worker;
struct kv_tls_session;

struct kv_http2_connection {
   struct kv_http2_worker *worker;
   struct kv_http2_connection *next; /* on the way to its worker */
   LIST_ENTRY(kv_http2_connection) siblings;
   TAILQ_ENTRY(kv_http2_connection) reading; /* there may be more to read */
   TAILQ_ENTRY(kv_http2_connection) touched; /* there may be something to write */
   bool in_reading, in_touched;

   nghttp2_session *session;         /* NULL: the connection is closed */
   LIST_HEAD(, kv_http2_call) calls; /* with a stream */
   size_t call_count;                /* calls that refer to it */
   bool greeted;                     /* a response has named the encodings */
   bool settled;                     /* the client's SETTINGS have arrived */
   bool ended;                       /* nothing that arrives is handled any more */
   bool shut;                        /* all is written, and our side closed */
   bool halted;                      /* is not read until the client has read */
   bool hung_up;                     /* the client has closed its side, or the connection broke */
   bool draining, drained; /* a ping behind the first GOAWAY of a graceful end was sent; answered */
   bool going_away;        /* a GOAWAY that names a stream was submitted */
   int32_t last_stream;    /* which it names */
   size_t block_size;      /* of the header block that is being read, unpacked */
   struct kv_flood flood;
   struct kv_http2_sieve sieve;
   struct kv_tls_session *tls; /* NULL: none */

   uint8_t *unsent; /* what the socket has not taken, or NULL */
   size_t unsent_from, unsent_size;

   uint64_t heard_ms;  /* when something arrived the last time */
   uint64_t called_ms; /* when it had a call the last time */
   uint64_t ended_ms;  /* when it was `ended` */
   bool pinged;        /* by us, since then */

   struct kv_connection base;
};

struct kv_http2_connection *kv_http2_connection_of(struct kv_connection *base);

/* A connection for a socket, which it owns; -1: none, for tests. Any thread. NULL when memory runs
 * out: the socket is closed. */
struct kv_http2_connection *kv_http2_connection_create(struct kv_http2_worker *worker, int fd,
                                                       uint64_t number);
/* On the worker that it was given to: begins the session, or goes on with it. */
void kv_http2_connection_join(struct kv_http2_connection *connection,
                              struct kv_http2_worker *worker);
/* Leaves its worker, for another one to join; false when it cannot just now. */
bool kv_http2_connection_leave(struct kv_http2_connection *connection);
/* The socket may have something to read: it is read in this round, or the next one. */
void kv_http2_connection_readable(struct kv_http2_connection *connection);
/* The same, and behind it is the end: no later event will say so. */
void kv_http2_connection_hung_up(struct kv_http2_connection *connection);
/* Reads once; there may be more. */
void kv_http2_connection_read(struct kv_http2_connection *connection);
/* Has it written at the end of the turn. */
void kv_http2_connection_touch(struct kv_http2_connection *connection);
/* Writes what there is, as far as the socket takes it. */
void kv_http2_connection_flush(struct kv_http2_connection *connection);
/* Every few seconds: keepalive, time-outs. */
void kv_http2_connection_look(struct kv_http2_connection *connection);
/* A graceful end begins: tells the client to go elsewhere, twice (RFC 9113, 6.8): calls that are on
 * the way when it learns of it are still answered. */
void kv_http2_connection_drain(struct kv_http2_connection *connection);
/* The graceful end is over: calls that are left do not go on. */
void kv_http2_connection_farewell(struct kv_http2_connection *connection);
/* Handles nothing more that arrives; closes it when all is written and the client has closed its
 * side, or takes too long to. */
void kv_http2_connection_end(struct kv_http2_connection *connection);
/* What nghttp2 has answered: ends the connection when memory has run out. */
void kv_http2_connection_check(struct kv_http2_connection *connection, int result);
/* Closes it at once; its calls are cancelled. */
void kv_http2_connection_close(struct kv_http2_connection *connection);
/* A call that referred to it was released. */
void kv_http2_connection_call_ended(struct kv_http2_connection *connection);

#endif
