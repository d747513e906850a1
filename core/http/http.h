/*
 * A small HTTP/1.1 server for those who look after the process: pages that are made on request, and
 * nothing to send to it. On libmicrohttpd.
 *
 * Promises
 *  - GET and HEAD of known paths; 404 for others, 405 for other methods. Each answer tells browsers
 *    to guess, keep, frame and refer nothing, and closes its connection.
 *  - At a loopback address, 403 to who calls it by a name but localhost (host.h). At an address
 *    beyond this machine it is for whoever can reach it, by any name.
 *  - A client costs little: at most 32 connections at a time (places.h) and a thousand new ones a
 *    second, each with a limit on its memory, its silence and its whole life. What exceeds them is
 *    closed; the rest waits to be accepted.
 *  - Descriptors stay free for others, as with any acceptor (core/net/acceptor.h).
 *
 * Threads: pages are made on one thread of its own, one at a time; another one accepts. The
 * functions on the thread that owns the object.
 */
#ifndef KV_HTTP_H
#define KV_HTTP_H

#include "core/net/admission.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>

struct kv_http;

/* An answer for its page to fill in; zeroed but for the status 200 and `is_local`. */
struct kv_http_answer {
   bool is_local; /* who asks is on this machine, or came by a program that is */
   unsigned status;
   const char *content_type;
   const char *content_policy; /* Content-Security-Policy; NULL: nothing may be loaded or run */
   char *body;                 /* to be freed by the server; NULL: out of memory, answered 500 */
   size_t size;
};

struct kv_http_page {
   const char *path;
   void (*make)(void *context, struct kv_http_answer *answer);
};

/* The pages end with one without a path; all must outlive the server. NULL with `status`. */
struct kv_http *kv_http_create(const struct kv_http_page *pages, void *context,
                               const struct kv_admission *admission, struct kv_status *status);
/* As kv_acceptor_listen. Before the start. */
enum kv_code kv_http_listen(struct kv_http *http, const char *address, int *port,
                            struct kv_status *status);
enum kv_code kv_http_start(struct kv_http *http, struct kv_status *status);
/* When it returns no page is being made. Also without a start. */
void kv_http_destroy(struct kv_http *http);

#endif
