/*
 * HTTP/2 and gRPC on one connection, by nghttp2: makes calls of the bytes that arrive, and bytes of
 * what calls answer (response.h). It knows no socket.
 *
 * nghttp2 checks the protocol, and ends a stream or the connection that breaks it, except for one
 * fault that clients have (sieve.h). What it leaves to us: windows (nothing is given back to the
 * client that there is no memory for), floods (flood.h), the size of header blocks, and all of
 * gRPC.
 *
 * Threads: the worker's. kv_http2_session_fill must not be called within
 * kv_http2_session_receive, and so not by handlers.
 */
#ifndef KV_HTTP2_SESSION_H
#define KV_HTTP2_SESSION_H

#include "core/rpc/http2/connection.h"

/* What all sessions of a server use. NULL when memory runs out. */
nghttp2_session_callbacks *kv_http2_session_callbacks(void);
nghttp2_option *kv_http2_session_options(void);

/* False when memory runs out. */
bool kv_http2_session_open(struct kv_http2_connection *connection);
/* Handles what has arrived. False: the connection must be closed at once. */
bool kv_http2_session_receive(struct kv_http2_connection *connection, const uint8_t *data,
                              size_t size);
/* Adds to the worker's output until it is full or there is no more; afterwards, when the output has
 * been written, kv_http2_session_written. False: the connection must be closed at once. */
bool kv_http2_session_fill(struct kv_http2_connection *connection);
void kv_http2_session_written(struct kv_http2_connection *connection);
/* Whether so much waits for the client to read that nothing more of it should be handled. */
bool kv_http2_session_waits_for_reader(const struct kv_http2_connection *connection);
/* Whether it neither expects nor says anything any more. */
bool kv_http2_session_is_over(const struct kv_http2_connection *connection);
/* Ends all streams, and the session. */
void kv_http2_session_close(struct kv_http2_connection *connection);

/* Says that the server will answer no more than the calls that it has; with `final` false, that it
 * will soon say so, since calls are on the way. */
void kv_http2_session_go_away(struct kv_http2_connection *connection, bool final);
void kv_http2_session_ping(struct kv_http2_connection *connection);

/* ---- What a client may send, see request.h ---- */

/* So many bytes that the client sent take no memory any more, or are charged. */
void kv_http2_session_consume(struct kv_http2_call *call, size_t size);
void kv_http2_session_consume_stream(struct kv_http2_call *call, size_t size);
/* The client may send so much on this stream in all. */
void kv_http2_session_widen(struct kv_http2_call *call, size_t size);

#endif
