/*
 * What goes out on a call's stream: headers, messages in DATA frames, the status in trailers; or a
 * status alone. Frames are made when nghttp2 asks for them, as the client's windows permit
 * (kv_http2_session_fill); a message is written from where it lies (reply.h).
 *
 * Threads: the worker's. The call has a stream, and its connection a session.
 */
#ifndef KV_HTTP2_RESPONSE_H
#define KV_HTTP2_RESPONSE_H

#include "core/rpc/http2/connection.h"

/* The message of a stream, which is sealed. */
void kv_http2_response_send(struct kv_http2_call *call);
/* The call's end: with its code and text; unary: OK with the message, which is sealed. */
void kv_http2_response_end(struct kv_http2_call *call);
/* The end at once, whatever is still to be sent; the stream does not know the call any more.
 * `details`: as for kv_engine.abort. */
void kv_http2_response_abort(struct kv_http2_call *call, enum kv_code code, const char *text,
                             struct kv_slice details);
/* A status and nothing else. */
void kv_http2_response_fail(const struct kv_http2_call *call, enum kv_code code, const char *text,
                            struct kv_slice details);
/* An answer of HTTP's, where the request is none of gRPC's. */
void kv_http2_response_http(const struct kv_http2_call *call, const char *status);

/* For the callbacks of the session: adds a frame of DATA to the worker's output. */
int kv_http2_response_on_send_data(nghttp2_session *session, nghttp2_frame *frame,
                                   const uint8_t *head, size_t size, nghttp2_data_source *source,
                                   void *context);

#endif
