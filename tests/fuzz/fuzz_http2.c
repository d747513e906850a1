/*
 * A connection of the http2 engine: what a client may send, in frames that are sound, broken, or in an
 * order that no client would choose, to a service of each kind of method. Whatever comes, each call
 * is answered once, each stream closed once, what is sent consists of whole frames, and nothing is
 * held when the connection is gone.
 *
 * Input: steps, each a byte that chooses what is done, and what that takes (step below).
 */
#include "core/rpc/http2/session.h"
#include "core/rpc/http2/worker.h"

#include "core/rpc/server.h"
#include "core/support/log.h"
#include "tests/fuzz/support.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 400
#define HELD_MAX 64
#define REPLIES 3
#define RECEIVE_MAX ((size_t)256 * 1024)
#define MEMORY_MAX ((size_t)4 * 1024 * 1024)

/* ---- The service ---- */

static struct kv_call *held[HELD_MAX];
static size_t held_count;
static unsigned streams_begun, streams_closed, inserted, released;

static void fill(struct kv_call *call, size_t size)
{
   uint8_t *message = kv_call_message(call, size);
   if (message)
      memset(message, 'x', size);
}

static void release(void *owner)
{
   (void)owner;
   released++;
}

/* Replies with what it got, the second half of which is inserted from elsewhere. */
static void echo(void *service, struct kv_call *call, struct kv_slice request)
{
   static const uint8_t elsewhere[RECEIVE_MAX];
   const size_t half = request.size / 2;
   (void)service;
   fill(call, half);
   if (request.size > 0 &&
       kv_call_insert(call, half, kv_slice(elsewhere, request.size - half), release, NULL))
      inserted++;
   if (request.size % 7 == 6)
      kv_call_fail(call, KV_NOT_FOUND, " no \xc3\xa9 ");
   else
      kv_call_reply(call);
}

static void hold(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   (void)request;
   if (held_count == HELD_MAX)
      kv_call_fail(call, KV_RESOURCE_EXHAUSTED, "too many");
   else
      held[held_count++] = call;
}

static void answer_held(size_t index, bool fails)
{
   struct kv_call *call = held[index];
   held[index] = held[--held_count];
   if (fails) {
      kv_call_fail(call, KV_ABORTED, "");
   } else {
      fill(call, 100);
      kv_call_reply(call);
   }
}

static size_t *state_of(struct kv_call *call)
{
   size_t *state = *kv_call_state(call);
   if (!state) {
      state = *kv_call_state(call) = calloc(1, sizeof *state);
      REQUIRE(state);
      streams_begun++;
   }
   return state;
}

static void list_next(void *service, struct kv_call *call)
{
   (void)service;
   if ((*state_of(call))++ == REPLIES) {
      kv_call_finish(call);
   } else {
      fill(call, 20000 * *state_of(call));
      kv_call_send(call);
   }
}

static void list(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)request;
   list_next(service, call);
}

static void chat(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   (*state_of(call))++;
   if (request.size == 3) {
      kv_call_read_next(call);
   } else if (request.size == 5) {
      kv_call_fail(call, KV_INVALID_ARGUMENT, "five");
   } else {
      fill(call, request.size);
      kv_call_send(call);
   }
}

static void chat_sent(void *service, struct kv_call *call)
{
   (void)service;
   kv_call_read_next(call);
}

static void chat_half_closed(void *service, struct kv_call *call)
{
   (void)service;
   state_of(call);
   kv_call_finish(call);
}

static void closed(void *service, struct kv_call *call)
{
   (void)service;
   free(state_of(call));
   *kv_call_state(call) = NULL;
   streams_closed++;
}

static const struct kv_rpc_method methods[] = {
    {.path = "/f/echo", .request = echo},
    {.path = "/f/hold", .request = hold},
    {.path = "/f/slow", .slow = true, .request = echo},
    {.path = "/f/list",
     .kind = KV_RPC_SERVER_STREAM,
     .request = list,
     .sent = list_next,
     .closed = closed},
    {.path = "/f/chat",
     .kind = KV_RPC_BIDI,
     .request = chat,
     .sent = chat_sent,
     .half_closed = chat_half_closed,
     .closed = closed},
};
#define METHODS (sizeof methods / sizeof *methods)

/* ---- The worker, without its thread and socket ---- */

static struct kv_rpc *rpc;
static struct kv_http2_worker *worker;
static struct kv_http2_connection *connection; /* NULL: closed */
static size_t frame_left;                      /* of what is being sent */
static uint8_t head[9];
static size_t head_size;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
   const struct kv_rpc_options options = {.wire = "http2",
                                          .workers = 1,
                                          .receive_message_max = RECEIVE_MAX,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000};
   struct kv_status status;
   (void)argc;
   (void)argv;
   kv_log_set_level(KV_LOG_ERROR);
   rpc = kv_rpc_create(&options, methods, METHODS, &status);
   REQUIRE(rpc);
   worker = kv_http2_worker_of(rpc->workers[0]);
   worker->thread = pthread_self();
   return 0;
}

static void close_connection(void)
{
   if (connection)
      kv_http2_connection_close(connection);
   connection = NULL;
}

static void receive(const uint8_t *data, size_t size)
{
   if (connection && !connection->ended && !kv_http2_session_receive(connection, data, size))
      close_connection();
}

/* What is sent is frames. */
static void check_sent(const uint8_t *data, size_t size)
{
   while (size > 0) {
      if (frame_left == 0) {
         head[head_size++] = *data++;
         size--;
         if (head_size < sizeof head)
            continue;
         head_size = 0;
         frame_left = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
         REQUIRE(frame_left <= 16384 && head[3] <= 10);
      }
      const size_t now = frame_left < size ? frame_left : size;
      frame_left -= now;
      data += now;
      size -= now;
   }
}

static void flush(void)
{
   struct kv_http2_output *output = &worker->output;
   bool more = connection, good = true;
   if (!connection)
      return;
   if (connection->in_touched)
      TAILQ_REMOVE(&worker->touched, connection, touched);
   connection->in_touched = false;
   while (good && more) {
      kv_http2_output_clear(output);
      good = kv_http2_session_fill(connection);
      more = kv_http2_output_is_full(output);
      for (unsigned i = 0; i < output->part_count; i++)
         check_sent(output->parts[i].iov_base, output->parts[i].iov_len);
      kv_http2_session_written(connection);
   }
   if (!good || connection->ended || kv_http2_session_is_over(connection))
      close_connection();
}

static void release_done(void)
{
   while (worker->done) {
      struct kv_http2_call *call = worker->done;
      worker->done = call->next_done;
      kv_http2_call_release_if_done(call);
   }
}

static void end_turn(void)
{
   while (!TAILQ_EMPTY(&worker->waiting) &&
          kv_http2_request_try_again(TAILQ_FIRST(&worker->waiting)))
      ;
   kv_turn_answer(&worker->base);
   flush();
   kv_turn_end(&worker->base);
   flush();
   release_done();
}

/* ---- Steps ---- */

static uint8_t pending[1 << 17];
static size_t pending_size, piece_size;

static void deliver(void)
{
   for (size_t at = 0; at < pending_size && connection;) {
      size_t size = pending_size - at < piece_size ? pending_size - at : piece_size;
      uint8_t *copy = malloc(size); /* so that a read beyond it is found */
      REQUIRE(copy);
      memcpy(copy, pending + at, size);
      receive(copy, size);
      free(copy);
      at += size;
   }
   pending_size = 0;
}

static void put(const void *data, size_t size)
{
   if (pending_size + size > sizeof pending)
      deliver();
   REQUIRE(size <= sizeof pending);
   memcpy(pending + pending_size, data, size);
   pending_size += size;
}

static void put_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *body, size_t size)
{
   const uint8_t start[9] = {(uint8_t)(size >> 16),
                             (uint8_t)(size >> 8),
                             (uint8_t)size,
                             type,
                             flags,
                             (uint8_t)(stream >> 24),
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
   put(start, sizeof start);
   if (size > 0)
      put(body, size);
}

static size_t put_field(uint8_t *to, const char *name, const char *value)
{
   const uint8_t name_size = (uint8_t)strlen(name), value_size = (uint8_t)strlen(value);
   to[0] = 0;
   to[1] = name_size;
   memcpy(to + 2, name, name_size);
   to[2 + name_size] = value_size;
   memcpy(to + 3 + name_size, value, value_size);
   return (size_t)3 + name_size + value_size;
}

static uint32_t next_stream;

static void begin_call(struct fuzz_input *input)
{
   static const char *const extra[][2] = {
       {"grpc-encoding", "gzip"}, {"grpc-encoding", "deflate"},
       {"grpc-encoding", "br"},   {"grpc-timeout", "0m"},
       {"grpc-timeout", "1S"},    {"grpc-timeout", "x"},
       {"a-bin", "Zg"},           {"x-y", "z"},
       {"content-length", "9"},
   };
   const uint8_t choice = (uint8_t)fuzz_take(input, 1), with = (uint8_t)fuzz_take(input, 1);
   uint8_t block[512];
   size_t size = 0;
   size += put_field(block + size, ":method", choice & 0x40 ? "GET" : "POST");
   size += put_field(block + size, ":scheme", "http");
   size += put_field(block + size, ":authority", "x");
   size += put_field(block + size, ":path",
                     choice % 8 < METHODS ? methods[choice % 8].path : "/f/nothing");
   size += put_field(block + size, "te", "trailers");
   size +=
       put_field(block + size, "content-type", choice & 0x20 ? "text/plain" : "application/grpc");
   for (size_t i = 0; i < 2; i++) {
      const size_t index = i == 0 ? with % 16 : with / 16;
      if (index < sizeof extra / sizeof *extra)
         size += put_field(block + size, extra[index][0], extra[index][1]);
   }
   put_frame(NGHTTP2_HEADERS, (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (choice >> 7)), next_stream,
             block, size);
   next_stream += 2;
}

static uint32_t take_stream(struct fuzz_input *input)
{
   const uint32_t back = (uint32_t)fuzz_take(input, 1) % 16;
   return back == 15 ? 0 : next_stream > 2 * back + 2 ? next_stream - 2 * back - 2 : 1;
}

static void put_message(struct fuzz_input *input, bool large)
{
   static uint8_t message[16384];
   const uint8_t flags = (uint8_t)fuzz_take(input, 1);
   const uint32_t stream = take_stream(input);
   size_t size;
   if (large) {
      const uint32_t claimed = (uint32_t)fuzz_take(input, 3);
      const uint8_t prefix[5] = {0, 0, (uint8_t)(claimed >> 16), (uint8_t)(claimed >> 8),
                                 (uint8_t)claimed};
      memcpy(message, prefix, sizeof prefix);
      size = sizeof message;
   } else {
      const kvs_bytes body = fuzz_take_bytes(input, (size_t)fuzz_take(input, 1));
      const uint8_t prefix[5] = {flags >> 7, 0, 0, 0, (uint8_t)(body.size + (flags >> 6 & 1))};
      memcpy(message, prefix, sizeof prefix);
      if (body.size > 0)
         memcpy(message + sizeof prefix, body.data, body.size);
      size = sizeof prefix + body.size;
   }
   put_frame(NGHTTP2_DATA, flags & 1, stream, message, size);
}

static void put_any_frame(struct fuzz_input *input)
{
   const uint8_t type = (uint8_t)fuzz_take(input, 1), flags = (uint8_t)fuzz_take(input, 1);
   const uint32_t stream = take_stream(input);
   const kvs_bytes body = fuzz_take_bytes(input, (size_t)fuzz_take(input, 1));
   put_frame(type, flags, stream, body.data, body.size);
}

static void put_window_update(struct fuzz_input *input)
{
   const uint32_t stream = take_stream(input);
   const uint8_t body[4] = {0, (uint8_t)fuzz_take(input, 1), (uint8_t)fuzz_take(input, 1), 1};
   put_frame(NGHTTP2_WINDOW_UPDATE, 0, stream, body, sizeof body);
}

static void step(struct fuzz_input *input)
{
   kvs_bytes bytes;
   switch (fuzz_take(input, 1) % 12) {
   case 0:
      bytes = fuzz_take_bytes(input, (size_t)fuzz_take(input, 1));
      put(bytes.data ? bytes.data : "", bytes.size);
      break;
   case 1:
      begin_call(input);
      break;
   case 2:
      put_message(input, false);
      break;
   case 3:
      put_message(input, true);
      break;
   case 4:
      put_any_frame(input);
      break;
   case 5:
      put_window_update(input);
      break;
   case 6:
      deliver();
      end_turn();
      break;
   case 7:
      deliver();
      if (held_count > 0)
         answer_held((size_t)fuzz_take(input, 1) % held_count, fuzz_take(input, 1) % 2);
      break;
   case 8:
      worker->now_ms += fuzz_take(input, 2) * 4;
      if (connection)
         kv_http2_connection_look(connection);
      connection = LIST_FIRST(&worker->connections); /* it may be closed now */
      break;
   case 9:
      piece_size = 1 + (size_t)fuzz_take(input, 1);
      break;
   case 10:
      deliver();
      if (connection)
         kv_http2_connection_drain(connection);
      break;
   default:
      deliver();
      flush();
   }
}

static void open_connection(void)
{
   static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
   worker->now_ms = 1000000;
   connection = kv_http2_connection_create(worker, -1, 1);
   REQUIRE(connection);
   kv_http2_connection_join(connection, connection->worker);
   REQUIRE(connection->session);
   next_stream = 1;
   frame_left = head_size = pending_size = 0;
   piece_size = sizeof pending;
   put(preface, sizeof preface - 1);
   put_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void check_end(void)
{
   close_connection();
   while (held_count > 0)
      answer_held(0, false);
   while (!TAILQ_EMPTY(&worker->base.turn.slow) || worker->done)
      end_turn();
   REQUIRE(TAILQ_EMPTY(&worker->waiting) && TAILQ_EMPTY(&worker->touched));
   REQUIRE(LIST_EMPTY(&worker->connections) && !worker->written);
   REQUIRE(atomic_load(&worker->base.calls) == 0 && LIST_EMPTY(&worker->base.open.calls));
   REQUIRE(streams_begun == streams_closed && inserted == released);
   REQUIRE(kv_account_held(rpc->account) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct fuzz_input input = {data, size};
   open_connection();
   for (unsigned i = 0; input.size > 0 && i < STEPS_MAX; i++)
      step(&input);
   deliver();
   end_turn();
   check_end();
   return 0;
}
