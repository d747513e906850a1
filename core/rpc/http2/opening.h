/*
 * The begin of a call: by what its headers say it is opened, refused with a status, or, where it is
 * no call of gRPC, answered with an error of HTTP's.
 *
 * Threads: the worker's.
 */
#ifndef KV_HTTP2_OPENING_H
#define KV_HTTP2_OPENING_H

#include "core/rpc/http2/connection.h"

/* All headers of the call are there: opens it (call->open), or answers its stream and gives the
 * call up. */
void kv_http2_open_call(struct kv_http2_connection *connection, struct kv_http2_call *call);

#endif
