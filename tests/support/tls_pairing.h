/*
 * A client of TLS and the server's side of its connection, for cmocka: *state is a tls_pairing.
 *
 * Threads: the test's.
 */
#ifndef TESTS_TLS_PAIRING_H
#define TESTS_TLS_PAIRING_H

#include "tests/support/tls_client.h"

struct tls_pairing {
   struct tls_world world;
   struct kv_tls *tls;
   struct tls_client client;
   struct tls_server server;
};

/* Files, TLS that has read them, and a client without a certificate; nothing is connected. */
int tls_set_up(void **state);
int tls_tear_down(void **state);

/* Clients are to show certificates of the world's authority, once the files are used. */
void tls_ask_for_certificates(struct tls_pairing *all);
/* Has TLS made anew of the files. */
void tls_use_files(struct tls_pairing *all);
/* Another client, with a certificate or NULL. */
void tls_be(struct tls_pairing *all, const struct tls_pair *pair);

/* Makes a connection, which the test has to end. */
void tls_assert_shakes(struct tls_pairing *all);
/* No connection is made. */
void tls_assert_is_refused(struct tls_pairing *all, const char *reason);
/* Question and answer, in pieces of at most so many bytes. */
void tls_assert_echoes(struct tls_pairing *all, size_t piece);

#endif
