/*
 * TLS for connections that clients open: certificates, keys and the policy, as the files have them.
 *
 * Promises
 *  - TLS 1.2 or 1.3 with authenticated ciphers, for HTTP/2 alone (ALPN "h2"); no renegotiation, no
 *    compression, no early data.
 *  - Files that change are read again (kv_tls_look, kv_tls_reload). What is bad in them leaves what
 *    is in use as it is, and is logged as an error. A session keeps what it began with, so that no
 *    reload ends a connection.
 *  - A key file that others can read or write is refused.
 *  - Where client certificates are verified no session is resumed, so that each new connection is
 *    checked against the CA file as it is.
 *
 * Threads: kv_tls_look and kv_tls_reload one at a time; kv_tls_statistics from any.
 */
#ifndef KV_TLS_H
#define KV_TLS_H

#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>

struct kv_tls;

struct kv_tls_options {
   const char *certificate; /* PEM files: the server's certificate and those that lead to its CA */
   const char *key;
   const char *client_ca; /* whose certificates of clients are accepted; NULL: none is asked for */
   bool client_may_be_none; /* a client without a certificate is accepted all the same */
};

struct kv_tls_statistics {
   uint64_t handshakes, failed_handshakes;
   uint64_t reloads, failed_reloads;
   int64_t not_after_s; /* when the server's certificate ends, Unix time */
};

/* The texts must outlive it. NULL with `status`: which file is bad, and what to do. */
struct kv_tls *kv_tls_create(const struct kv_tls_options *options, struct kv_status *status);
/* After the last session. */
void kv_tls_destroy(struct kv_tls *tls);

/* Reads the files again. */
void kv_tls_reload(struct kv_tls *tls);
/* Reads them again if one has changed; warns of a certificate that ends soon. */
void kv_tls_look(struct kv_tls *tls);

void kv_tls_statistics(struct kv_tls *tls, struct kv_tls_statistics *statistics);

#endif
