#include "core/rpc/http2/opening.h"

#include "core/rpc/http2/response.h"
#include "core/rpc/http2/worker.h"
#include "core/rpc/limits.h"

/* A call that never was one: its stream is answered, and the call goes. It counts as a request, so
 * that few such answers wait for the turn's end. */
static void turn_away(struct kv_http2_connection *connection, struct kv_http2_call *call)
{
   connection->worker->handled++;
   nghttp2_session_set_stream_user_data(connection->session, call->stream, NULL);
   kv_http2_connection_touch(connection);
   kv_http2_call_stream_closed(call);
}

static void refuse(struct kv_http2_connection *connection, struct kv_http2_call *call,
                   const struct kv_status *status)
{
   uint8_t details[KV_RPC_DETAILS_MAX];
   kv_call_report_refused(&call->base, call->head.method, status->code);
   kv_http2_response_fail(call, status->code, status->text,
                          kv_call_details(&call->base, status, details));
   turn_away(connection, call);
}

/* Where it is no call of gRPC, the answer is HTTP's. */
static void refuse_http(struct kv_http2_connection *connection, struct kv_http2_call *call,
                        const char *status)
{
   kv_http2_response_http(call, status);
   turn_away(connection, call);
}

/* Whether it is one that can be handled, and whether there is memory for it. */
static enum kv_code begin_call(struct kv_http2_connection *connection, struct kv_http2_call *call,
                               struct kv_status *status)
{
   const struct kv_http2_head *head = &call->head;
   if (head->size > KV_RPC_METADATA_MAX)
      return kv_call_refuse_metadata(head->size, status);
   if (!head->method)
      return kv_call_refuse_unknown(kv_slice_of(head->path), status);
   if (head->bad_timeout)
      return kv_fail(status, KV_INTERNAL,
                     "the header \"grpc-timeout\" is not 1 to 8 digits and a unit of H, M, S, m, u "
                     "or n");
   if (head->metadata_lost)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
   return kv_call_open(&call->base, head->method, &connection->base,
                       KV_HTTP2_CALL_COST + head->metadata_size, 0, status);
}

void kv_http2_open_call(struct kv_http2_connection *connection, struct kv_http2_call *call)
{
   const struct kv_http2_head *head = &call->head;
   struct kv_status status;
   kv_http2_worker_release_done(connection->worker);  /* what they held is for this one */
   bool is_whole = head->size <= KV_RPC_METADATA_MAX; /* else the content-type may be missing */
   if (!head->is_post)
      refuse_http(connection, call, "405");
   else if (is_whole && !head->is_grpc)
      refuse_http(connection, call, "415");
   else if (begin_call(connection, call, &status) != KV_OK)
      refuse(connection, call, &status);
   else
      call->open = true;
   if (!call->open)
      return;
   if (head->timeout_ms != INT64_MAX)
      call->base.deadline_ms = (int64_t)connection->worker->now_ms + head->timeout_ms;
   kv_http2_request_open(call, head->method->kind != KV_RPC_BIDI, head->encoding);
}
