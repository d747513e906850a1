/*
 * Who may come in where the server listens: an address that other machines reach needs both TLS and
 * users, or somebody who takes the risk in words.
 *
 * Threads: any.
 */
#ifndef KV_ADMISSION_H
#define KV_ADMISSION_H

#include "core/support/status.h"

#include <stdbool.h>
#include <sys/types.h>

struct sockaddr;

/* Lets in nobody but the server's own user. */
#define KV_SOCKET_MODE_PRIVATE ((mode_t)0600)

struct kv_admission {
   mode_t socket_mode; /* of the file of a Unix socket: who may write it may connect */
   bool has_tls, has_users;
   bool insecure;     /* other machines may connect all the same */
   bool metrics_only; /* that is all it serves: other machines may connect, and the log says so */
};

/* Whether the server may listen on the address. The failure names it, what the server lacks, and
 * each remedy; where the risk is taken, the log warns with the same words. */
enum kv_code kv_admission_check(const struct kv_admission *admission,
                                const struct sockaddr *address, struct kv_status *status);

#endif
