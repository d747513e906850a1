/*
 * What the files of core/net/tls*.c share.
 */
#ifndef KV_TLS_INTERNAL_H
#define KV_TLS_INTERNAL_H

#include "core/net/tls.h"
#include "core/support/file_stamp.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

/* Which files a context was made of: any change shows. */
struct kv_tls_stamp {
   struct kv_file_stamp files[3];
};

struct kv_tls {
   struct kv_tls_options options;
   BIO_METHOD *method; /* of all sessions */

   pthread_mutex_t lock; /* of `context` and `not_after_s` */
   SSL_CTX *context;     /* for new sessions, which keep it */
   int64_t not_after_s;

   struct kv_tls_stamp stamp; /* of the files read the last time, good or bad */
   uint64_t warned_ms;        /* of the certificate's end; 0: not yet */
   atomic_uint_least64_t handshakes, failed_handshakes, reloads, failed_reloads;
};

/* Of the files as they are; NULL with `status`. */
SSL_CTX *kv_tls_context_create(const struct kv_tls_options *options, struct kv_status *status);
/* How a session reads and writes; NULL when memory runs out. */
BIO_METHOD *kv_tls_session_method(void);
/* The newest failure in OpenSSL's queue, which it empties. */
const char *kv_tls_reason(void);

#endif
