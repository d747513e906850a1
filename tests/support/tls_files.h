/*
 * Certificates and keys for tests of TLS, made in memory and written as PEM files where the server
 * is to read them.
 *
 * Threads: the test's.
 */
#ifndef TESTS_TLS_FILES_H
#define TESTS_TLS_FILES_H

#include "core/net/tls.h"
#include "tests/support/temporary.h"

#include <openssl/x509.h>

enum tls_key_kind { TLS_EC, TLS_RSA, TLS_WEAK_RSA, TLS_ED25519 };

struct tls_pair {
   X509 *certificate;
   EVP_PKEY *key;
};

/* An authority that signs itself; it, or one that another has signed. */
struct tls_pair tls_authority(const char *name);
struct tls_pair tls_sub_authority(const struct tls_pair *authority, const char *name);
/* `names` as OpenSSL's subjectAltName has them, `usage` as its extendedKeyUsage; NULL: none. */
struct tls_pair tls_sign(const struct tls_pair *authority, enum tls_key_kind kind, const char *name,
                         const char *names, const char *usage);
void tls_pair_free(struct tls_pair *pair);

/* Certificates, up to a NULL, one behind the other. */
void tls_write_certificates(const struct temporary *folder, const char *name, ...);
/* With mode 0600; encrypted where there is a passphrase. */
void tls_write_key(const struct temporary *folder, const char *name, const struct tls_pair *pair,
                   const char *passphrase);
/* The list of what an authority has revoked: certificates, up to a NULL; added to the file. */
void tls_append_revocations(const struct temporary *folder, const char *name,
                            const struct tls_pair *authority, ...);

/* A folder with "server.pem" and "server.key", and the options that name them. */
struct tls_world {
   struct temporary folder;
   struct tls_pair authority, server;
   struct kv_tls_options options;
   char certificate[TEMPORARY_PATH_SIZE], key[TEMPORARY_PATH_SIZE];
   char client_ca[TEMPORARY_PATH_SIZE]; /* "clients.pem", which a test writes */
};

void tls_world_create(struct tls_world *world);
void tls_world_destroy(struct tls_world *world);

#endif
