/*
 * Who may come in where the server listens.
 *
 * Pure data, any thread.
 */
#ifndef KV_ADMISSION_H
#define KV_ADMISSION_H

#include <sys/types.h>

/* Lets in nobody but the server's own user. */
#define KV_SOCKET_MODE_PRIVATE ((mode_t)0600)

struct kv_admission {
   mode_t socket_mode; /* of the file of a Unix socket: who may write it may connect */
};

#endif
