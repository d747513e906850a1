/*
 * A server for clients that speak HTTP/2 by hand (http2_client.h), with the service of
 * rpc_service.h or a test's own.
 *
 * Threads: the test's.
 */
#ifndef TESTS_WIRE_FIXTURE_H
#define TESTS_WIRE_FIXTURE_H

#include "tests/support/http2_client.h"
#include "tests/support/rpc_service.h"

struct wire {
   struct service service;
   struct kv_rpc *rpc;
   int port;
};

/* For cmocka: *state is the wire, its server serves. */
int wire_set_up(void **state);
int wire_set_up_with(void **state, struct kv_rpc *(*create)(struct service *service));
/* Stops the server; nothing may be charged to anybody then. */
int wire_tear_down(void **state);
/* The methods in a server of so many workers. */
struct kv_rpc *wire_create(const struct kv_rpc_method *methods, size_t count, unsigned workers);

/* A client that takes all that it is sent, as far as windows go. */
struct http2_client *wire_connect(const struct wire *wire);
/* Begins a call, and sends a message and the end of the client's side in frames of so many bytes.
 */
bool wire_upload(struct http2_client *client, uint32_t stream, const char *path,
                 struct kv_slice message, size_t frame_size);
/* The stream's DATA is this one message. */
bool wire_has_message(const struct http2_client *client, uint32_t stream, struct kv_slice message);
/* Another client is served. */
void wire_assert_serves(const struct wire *wire);

#endif
