/*
 * The connection to the server: connects to the first of several addresses that answers, makes one
 * call at a time, and reconnects when the connection was lost between calls. No call is ever sent
 * twice.
 *
 * One thread. Besides channel.h and dial.h the only module of the client that includes gRPC.
 */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include "client/credentials.h"
#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* Gives the next message of a request that has many; *last when there is none any more. Anything
 * but KV_OK, with the status filled in, ends the call. */
typedef enum kv_code connection_next_fn(void *context, struct kv_slice *message, bool *last,
                                        struct kv_status *status);

struct connection_call {
   const char *method; /* full name, "/kvstore.KeyValueStore/Get" */
   struct kv_slice request;
   connection_next_fn *next; /* of a client's stream, in place of `request`; NULL: it is none */
   void *next_context;
   int64_t timeout_ms;         /* of the call, including connecting; 0: none */
   int64_t connect_timeout_ms; /* of connecting alone */
};

/* Takes one message of the answer; `reply` is valid during the call only. Anything but KV_OK, with
 * the status filled in, ends the call. */
typedef enum kv_code connection_reply_fn(void *context, struct kv_slice reply,
                                         struct kv_status *status);

/* `addresses` as in client/address.h; the credentials must outlive it. Nothing is sent before the
 * first call. An `interruptible` connection ends calls with KV_CANCELLED when a SIGINT is pending;
 * the caller has blocked that signal. NULL with status on failure. */
struct connection *connection_create(const char *addresses, const struct credentials *credentials,
                                     bool interruptible, struct kv_status *status);
void connection_destroy(struct connection *connection);

/* Makes a unary or streaming call and waits for its end. The code is the server's, or of the
 * connection: UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED. */
enum kv_code connection_call(struct connection *connection, const struct connection_call *call,
                             connection_reply_fn *on_reply, void *context,
                             struct kv_status *status);

/* Whether ^C was pressed since the connection was created or the last one was forgotten. */
bool connection_interrupted(struct connection *connection);
void connection_forget_interrupt(struct connection *connection);

/* False when the last call failed because no address answered. */
bool connection_reached(const struct connection *connection);

#endif
