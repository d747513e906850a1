/*
 * TLS on one connection, as a filter: ciphertext that has arrived becomes plain bytes, and plain
 * bytes become ciphertext to be sent. It knows no socket and waits for nothing: what a reader or a
 * writer does with a slow network is the same with TLS and without.
 *
 * Threads: one at a time; it may move between threads.
 */
#ifndef KV_TLS_SESSION_H
#define KV_TLS_SESSION_H

#include "core/net/tls.h"
#include "core/support/slice.h"

#include <stddef.h>
#include <sys/types.h>

struct kv_tls_session;

/* Plain bytes that one record can have. */
#define KV_TLS_RECORD_SIZE ((size_t)16 * 1024)

/* Memory of a session that is open, at most: OpenSSL's, and a record that has not arrived whole.
 * Its handshake may need twice as much. */
#define KV_TLS_SESSION_SIZE ((size_t)40 * 1024)

/* Where ciphertext goes: returns false when there is no space for it. */
struct kv_tls_sink {
   bool (*add)(void *context, const void *data, size_t size);
   void *context;
};

enum kv_tls_state {
   KV_TLS_SHAKING, /* the handshake is not over */
   KV_TLS_OPEN,
   KV_TLS_CLOSED, /* by the client, in order */
   KV_TLS_BROKEN, /* see kv_tls_session_error */
};

/* A session that waits for a client's handshake, with the files as they are now. NULL when memory
 * runs out. Any thread. */
struct kv_tls_session *kv_tls_session_create(struct kv_tls *tls);
void kv_tls_session_destroy(struct kv_tls_session *session);
enum kv_tls_state kv_tls_session_state(const struct kv_tls_session *session);

/* Ciphertext that has arrived; it must stay until kv_tls_session_read has returned 0. */
void kv_tls_session_arrived(struct kv_tls_session *session, struct kv_slice arrived);
/* Plain bytes of it; 0: there are no more, which may be because the session is over. Handshakes and
 * alerts have something to send, too. */
size_t kv_tls_session_read(struct kv_tls_session *session, uint8_t *data, size_t size,
                           struct kv_tls_sink sink);
/* Seals bytes, in one record if they fit. Only while it is open; false: it is broken. */
bool kv_tls_session_write(struct kv_tls_session *session, const void *data, size_t size,
                          struct kv_tls_sink sink);
/* Says that nothing more follows. */
void kv_tls_session_end(struct kv_tls_session *session, struct kv_tls_sink sink);

/* The name in the client's verified certificate: its first URI, else its first DNS name, both of
 * the subject's alternative names, else its common name; empty where there is none. Lives as long
 * as the session. */
struct kv_slice kv_tls_session_client(const struct kv_tls_session *session);
/* Why it is broken, and what the client should do. */
const char *kv_tls_session_error(const struct kv_tls_session *session);

#endif
