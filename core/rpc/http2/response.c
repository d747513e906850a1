#include "core/rpc/http2/response.h"

#include "core/rpc/http2/worker.h"
#include "core/support/invariant.h"

#include <string.h>

/* ---- Header fields ---- */

#define FIELD(name, value)                                                                         \
   {                                                                                               \
      (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                  \
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                             \
   }

#define FIELDS_MAX (9 + KV_HTTP2_ADDED_MAX) /* of a block: ours, and the service's */

struct fields {
   nghttp2_nv items[FIELDS_MAX];
   size_t count;
};

static void add(struct fields *fields, nghttp2_nv field)
{
   KV_INVARIANT(fields->count < FIELDS_MAX);
   fields->items[fields->count++] = field;
}

static void add_copy(struct fields *fields, const char *name, const char *value, size_t size)
{
   add(fields,
       (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), size, NGHTTP2_NV_FLAG_NONE});
}

static void add_encodings(struct fields *fields)
{
   add(fields, (nghttp2_nv)FIELD("grpc-accept-encoding", KV_FIELDS_ACCEPTED_ENCODINGS));
}

static void begin_response(struct kv_http2_connection *connection, struct fields *fields)
{
   add(fields, (nghttp2_nv)FIELD(":status", "200"));
   add(fields, (nghttp2_nv)FIELD("content-type", "application/grpc"));
   if (!connection->greeted)
      add_encodings(fields);
   connection->greeted = true;
}

static void add_initial(struct fields *fields, const struct kv_http2_call *call)
{
   for (const struct kv_http2_added *added = call->added; added; added = added->next)
      if (added->where == KV_RPC_INITIAL)
         add_copy(fields, added->name, added->value.data, added->value.size);
}

/* `message` is as large as a text can be when it is encoded. */
static void add_status(struct fields *fields, enum kv_code code, const char *text, char *message)
{
   static const char *const codes[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                       "9", "10", "11", "12", "13", "14", "15", "16"};
   add_copy(fields, "grpc-status", codes[code], strlen(codes[code]));
   size_t size = strlen(text);
   if (size > 0)
      add_copy(fields, "grpc-message", message,
               kv_fields_encode_message(text, size, message,
                                        KV_STATUS_TEXT_SIZE * KV_FIELDS_MESSAGE_GROWTH));
}

typedef char encoded_message[KV_STATUS_TEXT_SIZE * KV_FIELDS_MESSAGE_GROWTH];
typedef char encoded_details[KV_RPC_DETAILS_MAX / 3 * 4 + 4];

/* `details`, where there are any, are in place of the handler's, whose status does not go out. */
static void add_trailing(struct fields *fields, const struct kv_http2_call *call,
                         struct kv_slice details, encoded_details encoded)
{
   if (details.size > 0)
      add_copy(fields, KV_RPC_STATUS_DETAILS, encoded, kv_fields_encode_binary(details, encoded));
   for (const struct kv_http2_added *added = call->added; added; added = added->next)
      if (added->where == KV_RPC_TRAILING &&
          (details.size == 0 || strcmp(added->name, KV_RPC_STATUS_DETAILS) != 0))
         add_copy(fields, added->name, added->value.data, added->value.size);
   if (call->lists_encodings)
      add_encodings(fields);
}

void kv_http2_response_fail(const struct kv_http2_call *call, enum kv_code code, const char *text,
                            struct kv_slice details)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   encoded_message message;
   encoded_details encoded;
   struct fields fields = {.count = 0};
   begin_response(connection, &fields);
   add_status(&fields, code, text, message);
   add_initial(&fields, call);
   add_trailing(&fields, call, details, encoded);
   kv_http2_connection_check(connection, nghttp2_submit_response(connection->session, call->stream,
                                                                 fields.items, fields.count, NULL));
   kv_http2_connection_touch(connection);
}

static void submit_trailer(const struct kv_http2_call *call, enum kv_code code, const char *text,
                           struct kv_slice details)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   encoded_message message;
   encoded_details encoded;
   struct fields fields = {.count = 0};
   add_status(&fields, code, text, message);
   add_trailing(&fields, call, details, encoded);
   kv_http2_connection_check(connection, nghttp2_submit_trailer(connection->session, call->stream,
                                                                fields.items, fields.count));
}

void kv_http2_response_http(const struct kv_http2_call *call, const char *status)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   struct fields fields = {.count = 0};
   add_copy(&fields, ":status", status, strlen(status));
   if (!call->head.is_post)
      add(&fields, (nghttp2_nv)FIELD("allow", "POST"));
   kv_http2_connection_check(connection, nghttp2_submit_response(connection->session, call->stream,
                                                                 fields.items, fields.count, NULL));
   kv_http2_connection_touch(connection);
}

/* ---- Replies ---- */

static struct kv_http2_call *call_of(nghttp2_session *session, int32_t stream)
{
   return nghttp2_session_get_stream_user_data(session, stream);
}

/* How much of the message goes into the next frame. */
static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t size,
                       uint32_t *flags, nghttp2_data_source *source, void *context)
{
   struct kv_http2_call *call = call_of(session, stream);
   (void)buffer;
   (void)source;
   (void)context;
   *flags = NGHTTP2_DATA_FLAG_NO_COPY;
   if (!call) { /* aborted: its status is on the way */
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      return 0;
   }
   size_t left = call->sending ? call->reply.left : 0;
   if (left > size)
      return (ssize_t)size;
   if (call->answered) {
      *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
      submit_trailer(call, call->code, call->text ? call->text : "", kv_slice(NULL, 0));
   } else if (left == 0) {
      return NGHTTP2_ERR_DEFERRED;
   }
   return (ssize_t)left;
}

int kv_http2_response_on_send_data(nghttp2_session *session, nghttp2_frame *frame,
                                   const uint8_t *head, size_t size, nghttp2_data_source *source,
                                   void *context)
{
   struct kv_http2_connection *connection = context;
   struct kv_http2_worker *worker = connection->worker;
   struct kv_http2_call *call = call_of(session, frame->hd.stream_id);
   (void)source;
   kv_http2_output_add(&worker->output, head, KV_HTTP2_FRAME_HEAD);
   kv_http2_reply_write(&call->reply, size, &worker->output);
   if (!call->written) {
      call->written = true;
      call->next_written = worker->written;
      worker->written = call;
   }
   return kv_http2_output_is_full(&worker->output) ? NGHTTP2_ERR_PAUSE : 0;
}

static void respond(struct kv_http2_call *call)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   const nghttp2_data_provider provider = {.read_callback = on_read};
   if (call->responded) {
      kv_http2_connection_check(connection,
                                nghttp2_session_resume_data(connection->session, call->stream));
   } else {
      struct fields fields = {.count = 0};
      call->responded = true;
      begin_response(connection, &fields);
      add_initial(&fields, call);
      kv_http2_connection_check(connection,
                                nghttp2_submit_response(connection->session, call->stream,
                                                        fields.items, fields.count, &provider));
   }
   kv_http2_connection_touch(connection);
}

void kv_http2_response_send(struct kv_http2_call *call)
{
   call->sending = true;
   kv_http2_reply_begin(&call->reply);
   respond(call);
}

void kv_http2_response_end(struct kv_http2_call *call)
{
   if (call->code != KV_OK && !call->responded)
      kv_http2_response_fail(call, call->code, call->text, kv_slice(NULL, 0));
   else if (call->code == KV_OK && kv_call_is_unary(&call->base))
      kv_http2_response_send(call);
   else
      respond(call);
}

void kv_http2_response_abort(struct kv_http2_call *call, enum kv_code code, const char *text,
                             struct kv_slice details)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   nghttp2_session_set_stream_user_data(connection->session, call->stream, NULL);
   if (call->responded)
      submit_trailer(call, code, text, details);
   else
      kv_http2_response_fail(call, code, text, details);
   kv_http2_connection_touch(connection);
}
