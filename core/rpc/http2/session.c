#include "core/rpc/http2/session.h"

#include "core/rpc/http2/opening.h"
#include "core/rpc/http2/response.h"
#include "core/rpc/http2/worker.h"
#include "core/rpc/limits.h"
#include "core/support/log.h"

#include <stdio.h>
#include <string.h>

/* Frames that wait for a client. With more of them nothing is read from it until it has read some:
 * what it sends makes more (replies, acknowledgements, resets), which nothing else counts. */
#define UNREAD_FRAMES_MAX 128
/* What a client may send on all streams that has not been charged. */
#define CONNECTION_WINDOW (256 * 1024)

static struct kv_http2_call *call_of(nghttp2_session *session, int32_t stream)
{
   return nghttp2_session_get_stream_user_data(session, stream);
}

/* ---- Windows ---- */

void kv_http2_session_consume(struct kv_http2_call *call, size_t size)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   if (!connection->session || size == 0)
      return;
   kv_http2_connection_check(connection,
                             nghttp2_session_consume_connection(connection->session, size));
   kv_http2_connection_touch(connection);
}

void kv_http2_session_consume_stream(struct kv_http2_call *call, size_t size)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   if (call->stream == 0)
      return;
   kv_http2_connection_check(
       connection, nghttp2_session_consume_stream(connection->session, call->stream, size));
   kv_http2_connection_touch(connection);
}

void kv_http2_session_widen(struct kv_http2_call *call, size_t size)
{
   struct kv_http2_connection *connection = kv_http2_call_connection(call);
   kv_http2_connection_check(
       connection, nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE,
                                                         call->stream, (int32_t)size));
   kv_http2_connection_touch(connection);
}

/* ---- Ends ---- */

static void count(_Atomic uint64_t *counter)
{
   atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void note_end(struct kv_http2_connection *connection, const char *reason)
{
   char peer[KV_RPC_PEER_SIZE];
   count(&connection->worker->ended_connections);
   kv_connection_peer(&connection->base, peer);
   kv_log(KV_LOG_WARNING, "the connection from %s was ended: %s", peer, reason);
}

/* By nghttp2, which says more than the error's name in the debug data. */
static void note_goaway(struct kv_http2_connection *connection, const nghttp2_goaway *goaway)
{
   char reason[160];
   snprintf(reason, sizeof reason, "%s%s%.*s", nghttp2_http2_strerror(goaway->error_code),
            goaway->opaque_data_len > 0 ? ": " : "", (int)goaway->opaque_data_len,
            (const char *)goaway->opaque_data);
   note_end(connection, reason);
}

/* None names a later stream than the one before (RFC 9113, 6.8), although calls may have arrived in
 * between. */
static void submit_goaway(struct kv_http2_connection *connection, uint32_t error, const char *debug)
{
   nghttp2_session *session = connection->session;
   int32_t last = nghttp2_session_get_last_proc_stream_id(session);
   if (connection->going_away && last > connection->last_stream)
      last = connection->last_stream;
   connection->going_away = true;
   connection->last_stream = last;
   kv_http2_connection_check(connection,
                             nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, last, error,
                                                   (const uint8_t *)debug, strlen(debug)));
}

/* The client is to be rid of: says why, and reads nothing more of it. */
static void calm(struct kv_http2_connection *connection, const char *debug, const char *reason)
{
   if (connection->ended)
      return;
   note_end(connection, reason);
   kv_http2_connection_end(connection);
   submit_goaway(connection, NGHTTP2_ENHANCE_YOUR_CALM, debug);
}

static void admit(struct kv_http2_connection *connection, enum kv_flood_kind kind)
{
   char reason[KV_FLOOD_REASON_SIZE];
   if (kv_flood_admit(&connection->flood, kind, connection->worker->now_ms))
      return;
   kv_flood_reason(kind, reason);
   calm(connection, reason, reason);
}

static void note_reset(struct kv_http2_connection *connection)
{
   count(&connection->worker->resets);
   admit(connection, KV_FLOOD_RESET_BY_CLIENT);
}

void kv_http2_session_go_away(struct kv_http2_connection *connection, bool final)
{
   if (connection->going_away)
      return;
   if (final)
      submit_goaway(connection, NGHTTP2_NO_ERROR, "");
   else
      kv_http2_connection_check(connection, nghttp2_submit_shutdown_notice(connection->session));
   kv_http2_connection_touch(connection);
}

void kv_http2_session_ping(struct kv_http2_connection *connection)
{
   kv_http2_connection_check(connection,
                             nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL));
   kv_http2_connection_touch(connection);
}

/* ---- What arrives ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
   struct kv_http2_connection *connection = context;
   if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
      return 0;
   if (connection->going_away && frame->hd.stream_id > connection->last_stream) {
      /* The client is being told that it may try this one elsewhere. */
      kv_http2_connection_check(connection, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE,
                                                                      frame->hd.stream_id,
                                                                      NGHTTP2_REFUSED_STREAM));
      return 0;
   }
   kv_flood_opened(&connection->flood);
   /* What the client has cancelled before holds nothing any more that this call may need. */
   kv_http2_worker_release_done(connection->worker);
   struct kv_http2_call *call = kv_http2_call_create(connection, frame->hd.stream_id);
   if (!call)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
   nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
   return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
   struct kv_http2_connection *connection = context;
   struct kv_http2_call *call = call_of(session, frame->hd.stream_id);
   (void)flags;
   connection->block_size += name_size + value_size + 1;
   if (connection->block_size > KV_HTTP2_BLOCK_MAX) {
      calm(connection, "a header block is too large", "it sent a header block that is too large");
      return NGHTTP2_ERR_CALLBACK_FAILURE;
   }
   if (call && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      kv_http2_head_add(&call->head, connection->worker->methods, kv_slice(name, name_size),
                        kv_slice(value, value_size));
   return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *context)
{
   struct kv_http2_connection *connection = context;
   struct kv_http2_call *call = call_of(session, stream);
   (void)flags;
   if (call) {
      kv_http2_request_receive(call, data, size);
   } else {
      kv_http2_connection_check(connection, nghttp2_session_consume_connection(session, size));
      kv_http2_connection_touch(connection);
   }
   return 0;
}

/* Once the connection has ended nothing more of what was read is handled. */
static int go_on(const struct kv_http2_connection *connection)
{
   return connection->ended ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Before the frame is handled. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *context)
{
   struct kv_http2_connection *connection = context;
   (void)session;
   switch (head->type) {
   case NGHTTP2_HEADERS:
      connection->block_size = 0;
      break;
   case NGHTTP2_DATA:         /* see on_frame */
   case NGHTTP2_CONTINUATION: /* nghttp2 limits them */
   case NGHTTP2_PING:         /* see handle_ping */
   case NGHTTP2_PUSH_PROMISE:
   case NGHTTP2_GOAWAY:
      break;
   case NGHTTP2_RST_STREAM:
      note_reset(connection);
      break;
   case NGHTTP2_SETTINGS:
      admit(connection, head->flags & NGHTTP2_FLAG_ACK ? KV_FLOOD_LATE : KV_FLOOD_SETTINGS);
      break;
   case NGHTTP2_PRIORITY:
      admit(connection, KV_FLOOD_PRIORITY);
      break;
   case NGHTTP2_WINDOW_UPDATE:
      admit(connection, KV_FLOOD_WINDOW_UPDATE);
      break;
   default:
      admit(connection, KV_FLOOD_UNKNOWN);
   }
   return go_on(connection);
}

static void handle_ping(struct kv_http2_connection *connection, bool answer)
{
   char reason[KV_FLOOD_REASON_SIZE];
   if (answer) {
      if (connection->draining && !connection->drained) {
         connection->drained = true;
         kv_http2_session_go_away(connection, true);
      }
      admit(connection, KV_FLOOD_LATE);
   } else if (!kv_flood_ping(&connection->flood, connection->worker->now_ms)) {
      calm(connection, KV_FLOOD_TOO_MANY_PINGS, kv_flood_ping_reason(reason));
   }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
   struct kv_http2_connection *connection = context;
   struct kv_http2_call *call;
   switch (frame->hd.type) {
   case NGHTTP2_DATA:
      if (frame->hd.length == frame->data.padlen && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
         admit(connection, KV_FLOOD_EMPTY_DATA);
      /* fall through */
   case NGHTTP2_HEADERS:
      call = call_of(session, frame->hd.stream_id);
      if (call && !call->open)
         kv_http2_open_call(connection, call);
      if (call && call->open && call->stream != 0 && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
         kv_http2_request_end(call);
      break;
   case NGHTTP2_SETTINGS:
      connection->settled = true;
      break;
   case NGHTTP2_PING:
      handle_ping(connection, frame->hd.flags & NGHTTP2_FLAG_ACK);
      break;
   default:
      break;
   }
   return go_on(connection);
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
   struct kv_http2_connection *connection = context;
   int32_t stream = frame->hd.stream_id;
   switch (frame->hd.type) {
   case NGHTTP2_HEADERS:
      kv_flood_sent(&connection->flood);
      if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
         break;
      kv_flood_answered(&connection->flood);
      /* The rest of the request is not needed (RFC 9113, 8.1). */
      if (nghttp2_session_get_stream_remote_close(session, stream) == 0)
         kv_http2_connection_check(connection, nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE,
                                                                         stream, NGHTTP2_NO_ERROR));
      break;
   case NGHTTP2_DATA:
      kv_flood_sent(&connection->flood);
      break;
   case NGHTTP2_RST_STREAM:
      if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
          frame->rst_stream.error_code != NGHTTP2_REFUSED_STREAM)
         admit(connection, KV_FLOOD_RESET_BY_SERVER);
      break;
   case NGHTTP2_GOAWAY:
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !connection->ended)
         note_goaway(connection, &frame->goaway);
      break;
   default:
      break;
   }
   return 0;
}

/* A frame of an unknown type, which on_begin_frame has counted. */
static int on_extension(nghttp2_session *session, void **payload, const nghttp2_frame_hd *head,
                        void *context)
{
   (void)session;
   (void)payload;
   (void)head;
   (void)context;
   return NGHTTP2_ERR_CANCEL;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error, void *context)
{
   struct kv_http2_call *call = call_of(session, stream);
   (void)error;
   (void)context;
   if (call)
      kv_http2_call_stream_closed(call);
   return 0;
}

/* ---- The session ---- */

nghttp2_session_callbacks *kv_http2_session_callbacks(void)
{
   nghttp2_session_callbacks *callbacks;
   if (nghttp2_session_callbacks_new(&callbacks) != 0)
      return NULL;
   nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
   nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
   nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
   nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
   nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
   nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
   nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
   nghttp2_session_callbacks_set_send_data_callback(callbacks, kv_http2_response_on_send_data);
   nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, on_extension);
   return callbacks;
}

nghttp2_option *kv_http2_session_options(void)
{
   nghttp2_option *options;
   if (nghttp2_option_new(&options) != 0)
      return NULL;
   nghttp2_option_set_no_auto_window_update(options, 1);
   nghttp2_option_set_no_closed_streams(options, 1);
   nghttp2_option_set_stream_reset_rate_limit(options, UINT64_MAX, UINT64_MAX); /* see flood.h */
   for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
      nghttp2_option_set_user_recv_extension_type(options, (uint8_t)type); /* to count them */
   return options;
}

bool kv_http2_session_open(struct kv_http2_connection *connection)
{
   const struct kv_http2_worker *worker = connection->worker;
   static const nghttp2_settings_entry settings[] = {
       {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, KV_RPC_CONCURRENT_STREAMS_MAX},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, KV_RPC_METADATA_ADVISED},
       {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
   };
   nghttp2_session *session;
   if (nghttp2_session_server_new2(&session, worker->callbacks, connection, worker->options) != 0)
      return false;
   connection->session = session;
   kv_http2_connection_touch(connection);
   return nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                                  sizeof settings / sizeof settings[0]) == 0 &&
          nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                CONNECTION_WINDOW) == 0;
}

/* False: the connection must be closed at once. */
static bool handle(struct kv_http2_connection *connection, struct kv_slice piece)
{
   ssize_t used = nghttp2_session_mem_recv(connection->session, piece.data, piece.size);
   if (used < 0 && !connection->ended)
      note_end(connection, nghttp2_strerror((int)used));
   return used == (ssize_t)piece.size || connection->ended;
}

bool kv_http2_session_receive(struct kv_http2_connection *connection, const uint8_t *data,
                              size_t size)
{
   struct kv_slice arrived = kv_slice(data, size);
   bool good = true, dropped;
   while (good && arrived.size > 0 && !connection->ended) {
      struct kv_slice piece = kv_http2_sieve_next(&connection->sieve, &arrived, &dropped);
      good = piece.size == 0 || handle(connection, piece);
      if (dropped)
         note_reset(connection);
   }
   kv_http2_connection_touch(connection); /* there may be acknowledgements */
   return good;
}

bool kv_http2_session_fill(struct kv_http2_connection *connection)
{
   struct kv_http2_output *output = &connection->worker->output;
   while (!kv_http2_output_is_full(output)) {
      const uint8_t *data;
      ssize_t size = nghttp2_session_mem_send(connection->session, &data);
      if (size <= 0)
         return size == 0;
      kv_http2_output_add(output, data, (size_t)size);
   }
   return true;
}

void kv_http2_session_written(struct kv_http2_connection *connection)
{
   struct kv_http2_worker *worker = connection->worker;
   while (worker->written) {
      struct kv_http2_call *call = worker->written;
      worker->written = call->next_written;
      call->written = false;
      kv_http2_call_written(call);
   }
}

bool kv_http2_session_waits_for_reader(const struct kv_http2_connection *connection)
{
   return connection->unsent &&
          nghttp2_session_get_outbound_queue_size(connection->session) > UNREAD_FRAMES_MAX;
}

bool kv_http2_session_is_over(const struct kv_http2_connection *connection)
{
   return !nghttp2_session_want_read(connection->session) &&
          !nghttp2_session_want_write(connection->session);
}

void kv_http2_session_close(struct kv_http2_connection *connection)
{
   nghttp2_session_del(connection->session); /* which closes no stream */
   connection->session = NULL;
   while (!LIST_EMPTY(&connection->calls))
      kv_http2_call_stream_closed(LIST_FIRST(&connection->calls));
}
