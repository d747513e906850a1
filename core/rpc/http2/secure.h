/*
 * TLS of a connection: stands between the bytes of its socket and its session. Where the connection
 * has none, nothing here does anything.
 *
 * All ciphertext that a read brings is opened within it, and all that a turn has to say is sealed
 * before it is written; so nothing waits inside TLS but a record that has not arrived whole, and a
 * slow socket is met with ciphertext that is kept, as plain bytes are.
 *
 * Threads: the worker's, but for kv_http2_secure_open.
 */
#ifndef KV_HTTP2_SECURE_H
#define KV_HTTP2_SECURE_H

#include "core/net/tls_session.h"
#include "core/rpc/http2/output.h"

struct kv_http2_connection;

/* Of a worker, used for one connection at a time. */
struct kv_http2_secure {
   uint8_t arrived[64 * 1024];           /* ciphertext, as it was read */
   uint8_t gathered[KV_TLS_RECORD_SIZE]; /* plain bytes of a record that is made of parts */
   struct kv_http2_output sealed;        /* ciphertext to be written */
};

/* Gives a new connection, whose identity is known, a session if it is to have one: where the server
 * has TLS, unless it is a Unix socket or has none. False when memory runs out, or the account has
 * no space for one more. Any thread. */
bool kv_http2_secure_open(struct kv_http2_connection *connection);
/* When no call refers to it any more. */
void kv_http2_secure_close(struct kv_http2_connection *connection);
/* Whether its handshake is not over; whether it may not send, or no more. */
bool kv_http2_secure_is_shaking(const struct kv_http2_connection *connection);
bool kv_http2_secure_is_mute(const struct kv_http2_connection *connection);
/* Opens what has arrived and has the session handle it; then `sealed` is to be written, whatever
 * comes of it. False: the connection must be closed at once. */
bool kv_http2_secure_receive(struct kv_http2_connection *connection, struct kv_slice arrived);
/* Seals the worker's output. False: the connection cannot go on. */
bool kv_http2_secure_seal(struct kv_http2_connection *connection);
/* Seals the word that nothing more follows. */
void kv_http2_secure_end(struct kv_http2_connection *connection);

#endif
