/*
 * What a client trusts and what it shows: TLS, a certificate of its own, a token. From options and
 * the environment, the same for all client programs.
 *
 * Promises
 *  - A token comes from a file, never from an argument or a variable, and so does a key; both are
 *    refused when others can read them.
 *  - A token leaves the machine only under TLS (credentials_may_send_token).
 *
 * Threads: any; it does not change once it has been read.
 */
#ifndef CLIENT_CREDENTIALS_H
#define CLIENT_CREDENTIALS_H

#include "core/support/status.h"

#include <getopt.h>
#include <stdbool.h>

/* Where a token is looked for when none is named: below $XDG_CONFIG_HOME, else ~/.config. */
#define CREDENTIALS_TOKEN_DEFAULT "kvstore/token"

/* As the user gives them; NULL: not given. */
struct credentials_options {
   bool tls;
   const char *ca, *certificate, *key, *server_name;
   const char *token_file; /* "": no token, not even the default one */
};

/* For getopt_long; the values of other options stay below CREDENTIALS_TLS. */
enum {
   CREDENTIALS_TLS = 512,
   CREDENTIALS_CA,
   CREDENTIALS_CERTIFICATE,
   CREDENTIALS_KEY,
   CREDENTIALS_SERVER_NAME,
   CREDENTIALS_TOKEN_FILE,
};
/* clang-format off */
#define CREDENTIALS_OPTIONS                                                                        \
   {"tls", no_argument, NULL, CREDENTIALS_TLS},                                                    \
   {"tls-ca", required_argument, NULL, CREDENTIALS_CA},                                            \
   {"tls-cert", required_argument, NULL, CREDENTIALS_CERTIFICATE},                                 \
   {"tls-key", required_argument, NULL, CREDENTIALS_KEY},                                          \
   {"tls-server-name", required_argument, NULL, CREDENTIALS_SERVER_NAME},                          \
   {"token-file", required_argument, NULL, CREDENTIALS_TOKEN_FILE}
/* clang-format on */
#define CREDENTIALS_HELP                                                                           \
   "  --tls                  connect with TLS but to Unix sockets; so does --tls-...\n"            \
   "  --tls-ca FILE          the authority that has signed the server's certificate\n"             \
   "                         (PEM; default: those of the system)\n"                                \
   "  --tls-cert FILE        certificate to show to the server (PEM), with --tls-key\n"            \
   "  --tls-key FILE         its private key\n"                                                    \
   "  --tls-server-name NAME the name that the server's certificate must have, if\n"               \
   "                         it is not that of the address\n"                                      \
   "  --token-file FILE      file with the token that says who calls (default:\n"                  \
   "                         ~/.config/kvstore/token if there is one; \"\": none)\n"

/* From the environment: KVSTORE_CLIENT_TLS (1 or 0), KVSTORE_CLIENT_TLS_CA, _CERT, _KEY and
 * _SERVER_NAME, and KVSTORE_TOKEN_FILE. An empty variable is none. */
void credentials_read_environment(struct credentials_options *options);
/* False when the option is none of CREDENTIALS_OPTIONS. */
bool credentials_take_option(struct credentials_options *options, int option, const char *value);

struct credentials;

/* Reads the files. NULL with `status`: INVALID_ARGUMENT or what the system says, the file, and what
 * to do. */
struct credentials *credentials_create(const struct credentials_options *options,
                                       struct kv_status *status);
void credentials_destroy(struct credentials *credentials);

bool credentials_use_tls(const struct credentials *credentials);
/* PEM texts, and a name; NULL: none. They live as long as the credentials. */
const char *credentials_ca(const struct credentials *credentials);
const char *credentials_certificate(const struct credentials *credentials);
const char *credentials_key(const struct credentials *credentials);
const char *credentials_server_name(const struct credentials *credentials);

/* The value of the "authorization" header; NULL: no token. */
const char *credentials_authorization(const struct credentials *credentials);
/* Whether the token, if there is one, may go to that host: a number or a name; NULL: a Unix
 * socket. */
bool credentials_may_send_token(const struct credentials *credentials, const char *host);
/* Why not, and what to do. */
#define CREDENTIALS_TOKEN_WITHHELD                                                                 \
   "the token is not sent without TLS to another machine; use --tls, an SSH tunnel, or "           \
   "--token-file \"\" to send none"

#endif
