/*
 * Calls with many messages. gRPC's batches end on the worker's thread, but a handler may send from
 * any: the stream's lock orders the two. Once `over` is set nothing more is handed to gRPC but a
 * status that waits; when the last batch has ended, `closed` is called and the call released.
 */
#ifndef KV_RPC_GRPC_STREAM_H
#define KV_RPC_GRPC_STREAM_H

#include "core/rpc/grpc/event.h"
#include "core/support/status.h"

#include <grpc/slice.h>

struct kv_call;
struct kv_grpc_call;

/* Of a call that is one; under the call's stream_lock. */
struct kv_grpc_stream {
   unsigned batches; /* in flight in gRPC, and one while it waits in the turn */
   bool metadata_sent;
   bool send_in_flight;
   bool over;         /* finished, failed or cancelled: nothing more is sent or read */
   bool status_waits; /* `status_code` goes out when the send in flight is done */
   enum kv_code status_code;
   grpc_slice status_text;
   bool notification_in_flight;
   struct kv_grpc_event sent, ended, read, notified;
};

/* On the worker's thread. */
void kv_grpc_stream_open(struct kv_grpc_call *call, bool slow);

/* On any thread. */
void kv_grpc_stream_end(struct kv_grpc_call *call, enum kv_code code, const char *text);
/* For the engine's table. */
void kv_grpc_stream_send(struct kv_call *call);
void kv_grpc_stream_read_next(struct kv_call *call);
void kv_grpc_stream_notify(struct kv_call *call);
void kv_grpc_stream_begin_wait(struct kv_call *call);
bool kv_grpc_stream_end_wait(struct kv_call *call);

#endif
