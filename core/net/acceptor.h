/*
 * Listens on addresses and hands on each connection that comes in.
 *
 * Promises
 *  - Some descriptors are always left for files: beyond what the limit on open files allows,
 *    connections are closed at once.
 *  - No failure of the system ends a listener: it goes on as soon as the system can accept again.
 *  - A Unix socket serves those alone whom its mode lets in, from its first moment; its file goes
 *    with the acceptor.
 *
 * It never reads or writes a connection, and knows no protocol.
 *
 * Threads: one thread of its own accepts from start to stop, and calls the handler. All else on the
 * thread that owns the acceptor; kv_acceptor_stop on any, once at a time.
 */
#ifndef KV_ACCEPTOR_H
#define KV_ACCEPTOR_H

#include "core/net/admission.h"
#include "core/support/status.h"

#include <stdint.h>

struct kv_acceptor;

/* Connections since the start. */
struct kv_acceptor_statistics {
   uint64_t accepted;
   uint64_t refused; /* at once, as too many files are open */
};

struct kv_acceptor_handler {
   /* A connection: a socket that does not block and sends small writes at once. The handler's from
    * now on. */
   void (*connected)(void *context, int fd);
   /* May be NULL. Called about every `tick_ms` from the first connection on. */
   void (*tick)(void *context);
   int tick_ms;
   void *context; /* must outlive the thread */
};

/* NULL with `status`. */
struct kv_acceptor *kv_acceptor_create(const struct kv_acceptor_handler *handler,
                                       const struct kv_admission *admission,
                                       struct kv_status *status);
/* Adds an address (address.h); does nothing where an earlier one covers it. Port 0 takes a free
 * one; *port (may be NULL) is the port taken, 0 for a Unix socket and one
 * of the service manager (listeners.h). Before start. The text of a
 * failure names the address, the system's reason, and what to do. */
enum kv_code kv_acceptor_listen(struct kv_acceptor *acceptor, const char *address, int *port,
                                struct kv_status *status);
enum kv_code kv_acceptor_start(struct kv_acceptor *acceptor, struct kv_status *status);
/* Closes the sockets; when it returns no handler runs and none will. Also without a start. */
void kv_acceptor_stop(struct kv_acceptor *acceptor);
void kv_acceptor_destroy(struct kv_acceptor *acceptor);
/* Any thread. */
void kv_acceptor_read_statistics(struct kv_acceptor *acceptor,
                                 struct kv_acceptor_statistics *statistics);

#endif
