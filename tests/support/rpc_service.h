/*
 * A service for tests of the wire: handlers that echo, hold, count and chat, and note what they
 * saw.
 *
 * Threads: handlers run on the server's workers; the functions below are for the test's.
 */
#ifndef TESTS_RPC_SERVICE_H
#define TESTS_RPC_SERVICE_H

#include "core/rpc/rpc.h"

#include <pthread.h>

#define LIMIT ((size_t)1024 * 1024) /* of a request */
#define MEMORY_MAX ((size_t)256 << 20)
#define MANY_CALLS 200 /* more than there are accept slots for a method */
#define PATIENCE_S 60  /* then a test that waits for an event has failed */

/* What the handlers saw; each change is signalled. */
struct service {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   unsigned requests, half_closed, closed, released, notified;
   pthread_t notified_on;
   struct kv_call *held[MANY_CALLS]; /* calls that a test answers itself */
   size_t held_count;
   struct kv_call *unanswered[MANY_CALLS]; /* of one worker: until its turn ends */
   size_t unanswered_count;
   unsigned turns;          /* that have ended with such calls */
   unsigned answered;       /* such calls */
   unsigned counted;        /* messages of streams that count */
   unsigned counted_before; /* the last of the turns ended */
   bool open;               /* the gate */
   bool were_behind;        /* a slow handler ran before the end of a turn that was due */
};

/* The engine that the tests are about: the environment's KVSTORE_TEST_WIRE; NULL: the default. */
const char *tested_wire(void);
/* Whether that engine sees all that happens on a connection. The C core of gRPC does not let its
 * engine do so:
 *  - half a message is to it the end of a bidi's requests;
 *  - it may say nothing of a message that is too large before it has come;
 *  - what it has begun to write of a reply it keeps until the socket takes it, also when the client
 *    has reset the call; and a stop waits for that. */
bool engine_sees_all(void);
/* After a stop: no connection holds anything. Engine grpc may free replies later. */
void assert_nothing_is_charged(const struct kv_rpc *rpc);
/* A server with the service's methods, which are /test.Test/... */
struct kv_rpc *create_rpc(struct service *service);

/* Of the counters of `service`. */
unsigned count_of(struct service *service, const unsigned *counter);
/* Until it is at `value`, which it may not pass. */
void await_count(struct service *service, const unsigned *counter, unsigned value);
/* The message of a call that is held. */
void put_message(struct kv_call *call, struct kv_slice bytes);
/* Lets one handler that waits at the gate go on. */
void open_gate(struct service *service);
void close_gate(struct service *service);

#endif
