/*
 * A call's request: messages, assembled from DATA frames as they arrive.
 *
 * A message takes memory only when its connection's share has space for it. Until then, and while
 * the handler of a bidi call has not asked for the next message, what arrives is set aside, and the
 * client may send no more than a stream's window. Nothing is refused for memory that waiting would
 * free.
 *
 * Threads: the worker's.
 */
#ifndef KV_HTTP2_REQUEST_H
#define KV_HTTP2_REQUEST_H

#include "core/rpc/http2/fields.h"
#include "core/rpc/http2/framing.h"
#include "core/support/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct kv_http2_call;
struct kv_inflater;

/* What a client may send of a call before its window is opened further. */
#define KV_HTTP2_STREAM_WINDOW 65535

struct kv_http2_request {
   uint8_t prefix[KV_FRAMING_PREFIX_SIZE];
   uint8_t prefix_size; /* bytes of it that have arrived */
   bool only_one;       /* message, as the method has it */
   bool ended;          /* the client sends no more */
   bool delivered;      /* the handler has a message and has not asked for the next one */
   bool waits;          /* for memory: is in the worker's list */
   bool closed;         /* takes nothing more */
   bool taking;         /* take_all is running */
   enum kv_encoding encoding;

   uint8_t *message;     /* NULL: no memory yet */
   bool allocated;       /* else it lies in the arena */
   size_t size, arrived; /* of the message: announced; there */

   uint8_t *aside; /* bytes that have arrived and cannot be taken yet, or NULL */
   size_t aside_from, aside_size, aside_capacity;
   size_t unread; /* bytes that were not given back to the connection's window */

   struct kv_inflater *inflater;
   TAILQ_ENTRY(kv_http2_call) waiting;
};

/* The first state of a call's request. */
void kv_http2_request_init(struct kv_http2_request *request);
/* The call is known: whether it has only one message, and how messages are compressed. */
void kv_http2_request_open(struct kv_http2_call *call, bool only_one, enum kv_encoding encoding);
/* Bytes of DATA have arrived. */
void kv_http2_request_receive(struct kv_http2_call *call, const uint8_t *data, size_t size);
/* The client has closed its side. */
void kv_http2_request_end(struct kv_http2_call *call);
/* The handler wants the next message. */
void kv_http2_request_next(struct kv_http2_call *call);
/* There may be memory now for a request that waits. False: still not. */
bool kv_http2_request_try_again(struct kv_http2_call *call);
/* Lets go of the message. */
void kv_http2_request_drop(struct kv_http2_call *call);
/* Takes no more, and lets go of all but the message. */
void kv_http2_request_close(struct kv_http2_call *call);

#endif
