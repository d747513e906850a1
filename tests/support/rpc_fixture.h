/*
 * A server with the service of rpc_service.h, and a gRPC client to it.
 *
 * Threads: the test's.
 */
#ifndef TESTS_RPC_FIXTURE_H
#define TESTS_RPC_FIXTURE_H

#include "tests/support/http2_client.h"
#include "tests/support/rpc_service.h"

#include <grpc/grpc.h>

struct world {
   struct service service;
   struct kv_rpc *rpc;
   int port;
   grpc_channel *channel;
   grpc_completion_queue *queue;
};

/* For cmocka: the world is *state, its server serves. */
int rpc_set_up(void **state);
/* The same with another server, and on the address "127.0.0.1:0" or "unix:PATH". */
int rpc_set_up_with(void **state, struct kv_rpc *(*create)(struct service *service),
                    const char *address);
int rpc_tear_down(void **state);

/* ---- The gRPC client ---- */

/* One call: `begin_call`, or its parts; then `finish_call` or `assert_ends`. */
struct caller {
   grpc_completion_queue *queue;
   grpc_call *call;
   grpc_metadata *metadata; /* the client's, to be sent */
   size_t metadata_count;
   grpc_metadata_array initial, trailing;
   grpc_status_code code;
   grpc_slice text;
   grpc_byte_buffer *message;
};

/* Opens a call; then its status is to be awaited. */
struct caller open_call(struct world *world, const char *path);
void await_status_from_now(struct caller *caller);
void send_message(struct caller *caller, struct kv_slice message);
void half_close(struct caller *caller);
/* All of these, with one request. */
void begin_call(struct caller *caller, struct world *world, const char *path,
                struct kv_slice request);
/* The next message, or NULL at the end; released with the next one or by finish_call. */
grpc_byte_buffer *receive_message(struct caller *caller);
void assert_receives(struct caller *caller, struct kv_slice expected);
/* Until its status has come. */
void await_end(struct caller *caller);
/* The text of the status is the caller's then. */
void release_call(struct caller *caller);
/* Both. */
void finish_call(struct caller *caller);
/* What the server has sent; NULL for none. */
const grpc_metadata *find_metadata(const grpc_metadata_array *metadata, const char *name);
/* NULL: any text. */
void assert_ends(struct caller *caller, enum kv_code code, const char *text);
/* With an empty message. */
void assert_answered(struct caller *caller);
void assert_echoes(struct world *world, struct kv_slice message);
/* As a message. */
struct kv_slice number(const uint32_t *value);

#endif
