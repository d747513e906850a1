/*
 * A client of TLS in memory: what it says and what it is told are bytes that a test hands over, as
 * many at a time as it likes.
 *
 * Threads: the test's.
 */
#ifndef TESTS_TLS_CLIENT_H
#define TESTS_TLS_CLIENT_H

#include "core/net/tls_session.h"
#include "tests/support/tls_files.h"

#include <openssl/ssl.h>

struct tls_client {
   SSL_CTX *context;
   SSL *ssl;
   BIO *told, *says; /* ciphertext */
};

/* One that offers HTTP/2 and trusts `world`, with a certificate unless `pair` is NULL. The context
 * may still be changed. */
void tls_client_create(struct tls_client *client, const struct tls_world *world,
                       const struct tls_pair *pair);
/* Forgets the connection, and begins another one. */
void tls_client_begin(struct tls_client *client);
void tls_client_destroy(struct tls_client *client);

/* A session, and what it has to send. */
struct tls_server {
   struct kv_tls_session *session;
   BIO *says;
   size_t most; /* that `says` takes */
   uint8_t got[64 * 1024];
   size_t got_size; /* plain bytes */
};

void tls_server_begin(struct tls_server *server, struct kv_tls *tls);
void tls_server_end(struct tls_server *server);
struct kv_tls_sink tls_server_sink(struct tls_server *server);

/* Carries bytes in pieces of at most `piece` between the two until both have nothing to say. */
void tls_carry(struct tls_client *client, struct tls_server *server, size_t piece);
/* Begins a connection and has it made; the state that the server's side comes to. */
enum kv_tls_state tls_shake(struct tls_client *client, struct tls_server *server,
                            struct kv_tls *tls);
/* The client reads plain bytes; how many there were. */
size_t tls_client_read(struct tls_client *client, void *data, size_t size);

#endif
