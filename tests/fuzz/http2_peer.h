/*
 * The other side of the connection that fuzz_http2.c tests, and the socket between: recv, send,
 * sendmsg, shutdown and the clock are its own (the linker's --wrap).
 *
 * What the server sends must be frames of HTTP/2 with replies of gRPC in them, whatever it was
 * sent: of each stream HEADERS, DATA, and trailers, in this order; messages as the service made
 * them; a status at the end. A well-behaved peer is a client session of nghttp2 beside that, which
 * must accept everything.
 */
#ifndef FUZZ_HTTP2_PEER_H
#define FUZZ_HTTP2_PEER_H

#include "tests/fuzz/support.h"

#include <nghttp2/nghttp2.h>

#define PEER_STREAMS_MAX 48
#define PEER_FRAME_SIZE 16384
#define PEER_FRAME_HEAD_SIZE 9

struct peer_stream {
   int32_t id;
   /* What the peer sends. */
   uint8_t *data; /* of all its DATA */
   size_t size;
   size_t framed;    /* that are in frames */
   size_t allowed;   /* may be in frames now */
   size_t delivered; /* that handlers have been given */
   bool ends, ended; /* after the data; END_STREAM is in a frame */
   /* What the service has answered. */
   bool unary;
   unsigned replies;
   /* What the server has sent. */
   int http_status, grpc_status; /* -1: none yet */
   bool over;                    /* ended, or reset */
   uint8_t prefix[5];
   unsigned prefix_size, messages;
   size_t message_size, arrived;
   size_t unread; /* bytes that the client has not given the window back for */
};

struct peer {
   bool is_client; /* nghttp2's, else what it sends may be anything */
   bool knows;     /* what its streams carry; not so after bytes at random */
   uint64_t now_ms;
   /* To the server. */
   uint8_t *pending;
   size_t pending_from, pending_size;
   size_t chunk; /* that the server gets at most of it at a time */
   bool closed, reset;
   bool goes_away; /* the client begins no more calls */
   /* From the server. */
   size_t room; /* that the socket has for it */
   bool shut, refuses;
   int32_t last_begun; /* the latest stream of which a handler was given a request */
   uint8_t frame[PEER_FRAME_HEAD_SIZE + PEER_FRAME_SIZE];
   size_t frame_size, frames;
   nghttp2_hd_inflater *inflater;
   nghttp2_session *client;
   bool reads; /* the client gives the windows back */
   struct peer_stream streams[PEER_STREAMS_MAX];
   size_t stream_count;
};

extern struct peer peer;

void peer_begin(bool is_client);
void peer_end(void);
/* Of that number, known or new; NULL: there are too many. */
struct peer_stream *peer_stream(int32_t id);
/* Adds bytes to what the server is to receive. False: the peer has closed its side, or does so now,
 * since they are too many. */
bool peer_put(const void *data, size_t size);
bool peer_has_pending(void);
/* Adds bytes to what is to be sent as DATA of a stream. */
void peer_stream_add(struct peer_stream *stream, const void *data, size_t size);
/* A handler gets a message of the stream: it must be the next one that was sent. */
void peer_check_delivery(int32_t id, bool packed, const void *message, size_t size);
/* The handler has learned that the client sends no more. */
void peer_check_half_close(int32_t id);

/* ---- The contents of all messages ---- */

#define PEER_MESSAGE_MAX ((size_t)128 * 1024)
/* A message of `size` bytes of the service. */
const uint8_t *peer_pattern(size_t size);

#endif
