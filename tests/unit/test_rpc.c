#include "core/rpc/rpc.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT ((size_t)1024 * 1024)
#define MEMORY_MAX ((size_t)256 << 20)
#define MANY_CALLS 200 /* more than there are accept slots for a method */
#define PATIENCE_S 60  /* then a test that waits for an event has failed */

/* ---- The service under test ---- */

/* What the handlers saw; each change is signalled. */
struct service {
   pthread_mutex_t lock;
   pthread_cond_t changed;
   unsigned requests, half_closed, closed, released;
   struct kv_call *held[MANY_CALLS]; /* calls that a test answers itself */
   size_t held_count;
   struct kv_call *unanswered[MANY_CALLS]; /* of one worker: until its turn ends */
   size_t unanswered_count;
   unsigned turns;         /* that have ended with such calls */
   unsigned echoed_before; /* requests before the last of them */
   bool open;              /* the gate */
   bool were_behind;       /* a slow handler ran before the end of a turn that was due */
};

static void note(struct service *service, unsigned *counter)
{
   pthread_mutex_lock(&service->lock);
   (*counter)++;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

static unsigned seen(struct service *service, const unsigned *counter)
{
   pthread_mutex_lock(&service->lock);
   unsigned value = *counter;
   pthread_mutex_unlock(&service->lock);
   return value;
}

static void await(struct service *service, const unsigned *counter, unsigned value)
{
   struct timespec deadline;
   clock_gettime(CLOCK_REALTIME, &deadline);
   deadline.tv_sec += PATIENCE_S;
   pthread_mutex_lock(&service->lock);
   while (*counter < value &&
          pthread_cond_timedwait(&service->changed, &service->lock, &deadline) == 0)
      ;
   unsigned reached = *counter;
   pthread_mutex_unlock(&service->lock);
   assert_int_equal(reached, value);
}

static void put(struct kv_call *call, struct kv_slice bytes)
{
   uint8_t *message = kv_call_message(call, bytes.size);
   if (bytes.size > 0)
      memcpy(message, bytes.data, bytes.size);
}

static void echo(void *service, struct kv_call *call, struct kv_slice request)
{
   note(service, &((struct service *)service)->requests);
   put(call, request);
   kv_call_reply(call);
}

/* A piece of a message that lies elsewhere. */
struct piece {
   struct service *service;
   char data[];
};

static void release_piece(void *owner)
{
   struct piece *piece = owner;
   struct service *service = piece->service;
   free(piece);
   note(service, &service->released);
}

static void insert(struct service *service, struct kv_call *call, size_t at, struct kv_slice bytes)
{
   struct piece *piece = malloc(sizeof *piece + bytes.size);
   piece->service = service;
   memcpy(piece->data, bytes.data, bytes.size);
   assert_true(kv_call_insert(call, at, kv_slice(piece->data, bytes.size), release_piece, piece));
}

/* The request five times, before, in and behind the room of four bytes; a message with a piece was
 * begun before and dropped. */
static void put_in_pieces(struct service *service, struct kv_call *call, struct kv_slice request)
{
   put(call, kv_slice_of("to be replaced"));
   insert(service, call, 2, request);
   put(call, kv_slice_of("<>[]"));
   insert(service, call, 0, request);
   insert(service, call, 1, request);
   insert(service, call, 3, request);
   insert(service, call, 3, request);
   insert(service, call, 4, request);
}

static void echo_in_pieces(void *service, struct kv_call *call, struct kv_slice request)
{
   put_in_pieces(service, call, request);
   kv_call_reply(call);
}

static void fail_politely(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   char *text = kv_arena_alloc(kv_call_arena(call), request.size + 32);
   snprintf(text, request.size + 32, "there is no \"%.*s\": caf\xc3\xa9", (int)request.size,
            (const char *)request.data);
   kv_call_fail(call, KV_NOT_FOUND, text);
}

static void hold(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   pthread_mutex_lock(&service->lock);
   service->held[service->held_count++] = call;
   pthread_mutex_unlock(&service->lock);
   note(service, &service->requests);
}

/* For the end of the turn. */
static void leave_unanswered(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   pthread_mutex_lock(&service->lock);
   service->unanswered[service->unanswered_count++] = call;
   pthread_mutex_unlock(&service->lock);
}

static void answer_at_turn_end(void *owner, unsigned worker)
{
   struct service *service = owner;
   pthread_mutex_lock(&service->lock);
   size_t count = service->unanswered_count;
   service->unanswered_count = 0;
   service->turns += count > 0;
   service->echoed_before = service->requests;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
   for (size_t i = 0; i < count; i++) {
      assert_int_equal(kv_call_worker(service->unanswered[i]), worker);
      kv_call_reply(service->unanswered[i]);
   }
}

/* Keeps its worker until the test opens the gate. */
static void wait_at_gate(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   note(service, &service->requests);
   pthread_mutex_lock(&service->lock);
   while (!service->open)
      pthread_cond_wait(&service->changed, &service->lock);
   service->open = false;
   pthread_mutex_unlock(&service->lock);
   put(call, request);
   kv_call_reply(call);
}

static void take_long(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   service->were_behind |= service->unanswered_count > 0;
   put(call, request);
   kv_call_reply(call);
}

/* Hands its worker back until the gate is open or its client has gone. */
static void look_at_gate(void *owner, struct kv_call *call)
{
   struct service *service = owner;
   if (kv_call_is_cancelled(call)) {
      note(service, &service->closed);
      kv_call_fail(call, KV_CANCELLED, "gone");
      return;
   }
   pthread_mutex_lock(&service->lock);
   bool open = service->open;
   pthread_mutex_unlock(&service->lock);
   if (open)
      kv_call_reply(call);
   else
      kv_call_yield(call, look_at_gate);
}

static void come_to_gate(void *owner, struct kv_call *call, struct kv_slice request)
{
   struct service *service = owner;
   (void)request;
   note(service, &service->requests);
   look_at_gate(owner, call);
}

/* Sends the numbers from 0 up to the one requested. */
struct count {
   uint32_t next, end;
};

static void count_on(void *service, struct kv_call *call)
{
   (void)service;
   struct count *count = *kv_call_state(call);
   if (count->next == count->end) {
      kv_call_finish(call);
      return;
   }
   put(call, kv_slice(&count->next, sizeof count->next));
   count->next++;
   kv_call_send(call);
}

static void count_from_zero(void *service, struct kv_call *call, struct kv_slice request)
{
   struct count *count = kv_arena_alloc(kv_call_arena(call), sizeof *count);
   *count = (struct count){0};
   memcpy(&count->end, request.data, sizeof count->end);
   *kv_call_state(call) = count;
   note(service, &((struct service *)service)->requests);
   count_on(service, call);
}

static void chat(void *service, struct kv_call *call, struct kv_slice request)
{
   note(service, &((struct service *)service)->requests);
   put(call, request);
   kv_call_send(call);
}

static void chat_sent(void *service, struct kv_call *call)
{
   (void)service;
   kv_call_read_next(call);
}

static void chat_in_pieces(void *service, struct kv_call *call, struct kv_slice request)
{
   put_in_pieces(service, call, request);
   kv_call_send(call);
}

static void chat_half_closed(void *service, struct kv_call *call)
{
   note(service, &((struct service *)service)->half_closed);
   kv_call_finish(call);
}

static void stream_closed(void *service, struct kv_call *call)
{
   (void)call;
   note(service, &((struct service *)service)->closed);
}

/* ---- A server and a client to it ---- */

struct world {
   struct service service;
   struct kv_rpc *rpc;
   int port;
   grpc_channel *channel;
   grpc_completion_queue *queue;
};

static struct kv_rpc *create_rpc(struct service *service)
{
   const struct kv_rpc_method methods[] = {
       {.path = "/test.Test/Echo", .service = service, .request = echo},
       {.path = "/test.Test/Pieces", .service = service, .request = echo_in_pieces},
       {.path = "/test.Test/Fail", .service = service, .request = fail_politely},
       {.path = "/test.Test/Hold", .service = service, .request = hold},
       {.path = "/test.Test/Leave", .service = service, .request = leave_unanswered},
       {.path = "/test.Test/Gate", .service = service, .request = wait_at_gate},
       {.path = "/test.Test/Slow", .slow = true, .service = service, .request = take_long},
       {.path = "/test.Test/Turns", .slow = true, .service = service, .request = come_to_gate},
       {.path = "/test.Test/SlowCount",
        .kind = KV_RPC_SERVER_STREAM,
        .slow = true,
        .service = service,
        .request = count_from_zero,
        .sent = count_on,
        .closed = stream_closed},
       {.path = "/test.Test/Count",
        .kind = KV_RPC_SERVER_STREAM,
        .service = service,
        .request = count_from_zero,
        .sent = count_on,
        .closed = stream_closed},
       {.path = "/test.Test/HoldStream",
        .kind = KV_RPC_SERVER_STREAM,
        .service = service,
        .request = hold,
        .closed = stream_closed},
       {.path = "/test.Test/Chat",
        .kind = KV_RPC_BIDI,
        .service = service,
        .request = chat,
        .sent = chat_sent,
        .half_closed = chat_half_closed,
        .closed = stream_closed},
       {.path = "/test.Test/ChatInPieces",
        .kind = KV_RPC_BIDI,
        .service = service,
        .request = chat_in_pieces,
        .sent = chat_sent,
        .half_closed = chat_half_closed,
        .closed = stream_closed},
   };
   struct kv_status status;
   const struct kv_rpc_options options = {.workers = 2,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000,
                                          .turn_end = answer_at_turn_end,
                                          .context = service};
   struct kv_rpc *rpc =
       kv_rpc_create(&options, methods, sizeof methods / sizeof methods[0], &status);
   assert_non_null(rpc);
   return rpc;
}

static grpc_channel *connect_to(const char *target)
{
   grpc_arg args[] = {
       {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, .value.integer = -1},
       {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
       {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
   };
   grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
   grpc_channel *channel = grpc_channel_create(
       target, credentials,
       &(grpc_channel_args){.num_args = sizeof args / sizeof args[0], .args = args});
   grpc_channel_credentials_release(credentials);
   return channel;
}

static int set_up(void **state)
{
   struct world *world = calloc(1, sizeof *world);
   struct kv_status status;
   char target[32];
   pthread_mutex_init(&world->service.lock, NULL);
   pthread_cond_init(&world->service.changed, NULL);
   world->rpc = create_rpc(&world->service);
   assert_int_equal(kv_rpc_listen(world->rpc, "127.0.0.1:0", &world->port, &status), KV_OK);
   assert_int_equal(kv_rpc_start(world->rpc, &status), KV_OK);
   world->queue = grpc_completion_queue_create_for_pluck(NULL);
   snprintf(target, sizeof target, "127.0.0.1:%d", world->port);
   world->channel = connect_to(target);
   *state = world;
   return 0;
}

static int tear_down(void **state)
{
   struct world *world = *state;
   kv_rpc_stop(world->rpc, 0);
   grpc_channel_destroy(world->channel);
   grpc_completion_queue_shutdown(world->queue);
   grpc_completion_queue_destroy(world->queue);
   kv_rpc_destroy(world->rpc);
   pthread_mutex_destroy(&world->service.lock);
   pthread_cond_destroy(&world->service.changed);
   free(world);
   return 0;
}

/* One call of the client: `begin`, any of `receive` and `send`, then `finish`. */
struct caller {
   grpc_completion_queue *queue;
   grpc_call *call;
   grpc_metadata_array initial, trailing;
   grpc_status_code code;
   grpc_slice text;
   grpc_byte_buffer *message;
};

static void pluck(struct caller *caller, void *tag)
{
   grpc_event event = grpc_completion_queue_pluck(
       caller->queue, tag,
       gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(PATIENCE_S, GPR_TIMESPAN)),
       NULL);
   assert_int_equal(event.type, GRPC_OP_COMPLETE);
}

static void start(struct caller *caller, const grpc_op *ops, size_t count, void *tag)
{
   assert_int_equal(grpc_call_start_batch(caller->call, ops, count, tag, NULL), GRPC_CALL_OK);
}

static void send_message(struct caller *caller, struct kv_slice message)
{
   grpc_slice slice = grpc_slice_from_copied_buffer(message.data, message.size);
   grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
   const grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = buffer};
   start(caller, &op, 1, buffer);
   pluck(caller, buffer);
   grpc_byte_buffer_destroy(buffer);
   grpc_slice_unref(slice);
}

static void half_close(struct caller *caller)
{
   const grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
   start(caller, &op, 1, caller->call);
   pluck(caller, caller->call);
}

/* Opens a call; its status is awaited from the start. */
static struct caller open_call(struct world *world, const char *path)
{
   return (struct caller){
       .queue = world->queue,
       .call = grpc_channel_create_call(world->channel, NULL, GRPC_PROPAGATE_DEFAULTS, world->queue,
                                        grpc_slice_from_static_string(path), NULL,
                                        gpr_inf_future(GPR_CLOCK_REALTIME), NULL)};
}

static void await_status_from_now(struct caller *caller)
{
   const grpc_op ops[] = {
       {.op = GRPC_OP_SEND_INITIAL_METADATA},
       {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
        .data.recv_status_on_client = {.trailing_metadata = &caller->trailing,
                                       .status = &caller->code,
                                       .status_details = &caller->text}},
   };
   const grpc_op metadata = {.op = GRPC_OP_RECV_INITIAL_METADATA,
                             .data.recv_initial_metadata.recv_initial_metadata = &caller->initial};
   start(caller, ops, 2, &caller->code);
   start(caller, &metadata, 1, &caller->initial);
}

static void begin(struct caller *caller, struct world *world, const char *path,
                  struct kv_slice request)
{
   *caller = open_call(world, path);
   await_status_from_now(caller);
   send_message(caller, request);
   half_close(caller);
}

/* The next message, or NULL at the end; released with the next one or by `finish`. */
static grpc_byte_buffer *receive(struct caller *caller)
{
   if (caller->message)
      grpc_byte_buffer_destroy(caller->message);
   caller->message = NULL;
   const grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
                       .data.recv_message.recv_message = &caller->message};
   start(caller, &op, 1, &caller->message);
   pluck(caller, &caller->message);
   return caller->message;
}

static void assert_receives(struct caller *caller, struct kv_slice expected)
{
   assert_non_null(receive(caller));
   grpc_byte_buffer_reader reader;
   assert_true(grpc_byte_buffer_reader_init(&reader, caller->message));
   grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
   grpc_byte_buffer_reader_destroy(&reader);
   assert_int_equal(GRPC_SLICE_LENGTH(all), expected.size);
   if (expected.size > 0)
      assert_memory_equal(GRPC_SLICE_START_PTR(all), expected.data, expected.size);
   grpc_slice_unref(all);
}

static void finish(struct caller *caller)
{
   pluck(caller, &caller->code);
   pluck(caller, &caller->initial);
   if (caller->message)
      grpc_byte_buffer_destroy(caller->message);
   grpc_metadata_array_destroy(&caller->initial);
   grpc_metadata_array_destroy(&caller->trailing);
   grpc_call_unref(caller->call);
}

static void assert_ends(struct caller *caller, enum kv_code code, const char *text)
{
   finish(caller);
   assert_int_equal((int)caller->code, (int)code);
   if (text) {
      char *given = grpc_slice_to_c_string(caller->text);
      assert_string_equal(given, text);
      gpr_free(given);
   }
   grpc_slice_unref(caller->text);
}

static void assert_echoes(struct world *world, struct kv_slice message)
{
   struct caller caller;
   begin(&caller, world, "/test.Test/Echo", message);
   assert_receives(&caller, message);
   assert_ends(&caller, KV_OK, "");
}

static struct kv_slice number(const uint32_t *value)
{
   return kv_slice(value, sizeof *value);
}

/* ---- A client that knows no manners: HTTP/2 by hand ---- */

static int connect_raw(int port)
{
   struct sockaddr_in address = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port)};
   int fd = socket(AF_INET, SOCK_STREAM, 0);
   assert_true(fd >= 0);
   assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
   return fd;
}

static void write_all(int fd, const void *data, size_t size)
{
   assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

static void write_frame(int fd, uint8_t type, uint8_t flags, uint8_t stream, struct kv_slice body)
{
   const uint8_t head[] = {
       0, (uint8_t)(body.size >> 8), (uint8_t)body.size, type, flags, 0, 0, 0, stream};
   write_all(fd, head, sizeof head);
   if (body.size > 0)
      write_all(fd, body.data, body.size);
}

static size_t put_header(char *to, const char *name, const char *value)
{
   size_t name_size = strlen(name), value_size = strlen(value);
   *to++ = 0; /* HPACK: a literal with a new name, not to be indexed */
   *to++ = (char)name_size;
   memcpy(to, name, name_size);
   to += name_size;
   *to++ = (char)value_size;
   memcpy(to, value, value_size);
   return name_size + value_size + 3;
}

/* Begins a call and announces a message of `announced` bytes, of which it sends what `sent` is. */
static void call_raw_within(int fd, uint8_t stream, const char *path, const char *timeout,
                            uint8_t announced, struct kv_slice sent)
{
   char headers[512], message[260] = {0, 0, 0, 0, (char)announced};
   size_t size = put_header(headers, ":method", "POST");
   size += put_header(headers + size, ":scheme", "http");
   size += put_header(headers + size, ":path", path);
   size += put_header(headers + size, ":authority", "test");
   size += put_header(headers + size, "content-type", "application/grpc");
   size += put_header(headers + size, "te", "trailers");
   if (timeout)
      size += put_header(headers + size, "grpc-timeout", timeout);
   memcpy(message + 5, sent.data, sent.size);
   write_frame(fd, 1, 4, stream, kv_slice(headers, size));          /* HEADERS, complete */
   write_frame(fd, 0, 0, stream, kv_slice(message, 5 + sent.size)); /* DATA */
}

static void call_raw(int fd, uint8_t stream, const char *path, uint8_t announced,
                     struct kv_slice sent)
{
   call_raw_within(fd, stream, path, NULL, announced, sent);
}

static int open_raw(int port)
{
   int fd = connect_raw(port);
   write_all(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
   write_frame(fd, 4, 0, 0, kv_slice(NULL, 0)); /* SETTINGS */
   return fd;
}

/* The first call of a connection. */
static int begin_raw(int port, const char *path, uint8_t announced, struct kv_slice sent)
{
   int fd = open_raw(port);
   call_raw(fd, 1, path, announced, sent);
   return fd;
}

/* Reads until the server has sent this; false when it has closed the connection. */
static bool reads_until(int fd, struct kv_slice wanted)
{
   char data[8192];
   size_t size = 0;
   ssize_t got = 0;
   while (!memmem(data, size, wanted.data, wanted.size)) {
      got = size < sizeof data ? read(fd, data + size, sizeof data - size) : 0;
      if (got <= 0)
         return false;
      size += (size_t)got;
   }
   return true;
}

/* Goes away with a reset, as a killed machine's connection would. */
static void vanish(int fd)
{
   const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
   assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
   close(fd);
}

/* ---- Unary calls ---- */

static void a_unary_call_gets_what_its_handler_made(void **state)
{
   assert_echoes(*state, kv_slice_of("hello"));
   assert_echoes(*state, kv_slice(NULL, 0));
}

static void a_message_that_comes_in_many_pieces_arrives_in_one(void **state)
{
   char *large = malloc(LIMIT);
   for (size_t i = 0; i < LIMIT; i++)
      large[i] = (char)(i * 31 >> 3);
   assert_echoes(*state, kv_slice(large, LIMIT));
   free(large);
}

enum { PIECES = 5, PIECES_DROPPED = 1 };

/* What put_in_pieces makes; freed by the caller. */
static struct kv_slice in_pieces(struct kv_slice request)
{
   static const char *const rooms[] = {"", "<", ">[", "", "]"};
   char *all = malloc(PIECES * (request.size + 2));
   size_t size = 0;
   for (size_t i = 0; i < PIECES; i++) {
      memcpy(all + size, rooms[i], strlen(rooms[i]));
      size += strlen(rooms[i]);
      memcpy(all + size, request.data, request.size);
      size += request.size;
   }
   return kv_slice(all, size);
}

static void pieces_come_in_their_places_and_are_released(void **state)
{
   struct world *world = *state;
   struct caller caller;
   static const char large[100000] = "large";
   const struct kv_slice requests[] = {kv_slice_of("a"), kv_slice(large, sizeof large)};
   unsigned released = 0;
   for (size_t i = 0; i < 2; i++) {
      struct kv_slice expected = in_pieces(requests[i]);
      begin(&caller, world, "/test.Test/Pieces", requests[i]);
      assert_receives(&caller, expected);
      assert_ends(&caller, KV_OK, "");
      await(&world->service, &world->service.released, released += PIECES + PIECES_DROPPED);

      caller = open_call(world, "/test.Test/ChatInPieces");
      await_status_from_now(&caller);
      for (int j = 0; j < 2; j++) {
         send_message(&caller, requests[i]);
         assert_receives(&caller, expected);
         await(&world->service, &world->service.released, released += PIECES + PIECES_DROPPED);
      }
      half_close(&caller);
      assert_ends(&caller, KV_OK, "");
      free((void *)expected.data);
   }
   assert_int_equal(seen(&world->service, &world->service.released), released);
}

static void a_failure_carries_its_code_and_text(void **state)
{
   struct caller caller;
   begin(&caller, *state, "/test.Test/Fail", kv_slice_of("tea"));
   assert_null(receive(&caller));
   assert_ends(&caller, KV_NOT_FOUND, "there is no \"tea\": caf\xc3\xa9");
}

static void an_unknown_method_is_answered_and_named(void **state)
{
   for (int i = 0; i < 20; i++) {
      struct caller caller;
      begin(&caller, *state, "/test.Test/Nonesuch", kv_slice_of("x"));
      assert_ends(&caller, KV_UNIMPLEMENTED,
                  "unknown method \"/test.Test/Nonesuch\"; this server may be older than "
                  "the client");
   }
}

static void a_call_without_a_message_is_refused(void **state)
{
   static const char *const paths[] = {"/test.Test/Echo", "/test.Test/Count"};
   struct world *world = *state;
   for (size_t i = 0; i < 2; i++) {
      struct caller caller = open_call(world, paths[i]);
      await_status_from_now(&caller);
      half_close(&caller);
      assert_ends(&caller, KV_INTERNAL, "the call has no request message");
   }
   assert_int_equal(seen(&world->service, &world->service.requests), 0);
   assert_int_equal(seen(&world->service, &world->service.closed), 0);
}

static void a_message_over_the_limit_is_refused_before_the_handler(void **state)
{
   struct world *world = *state;
   struct caller caller;
   void *large = calloc(1, LIMIT + 1);
   begin(&caller, world, "/test.Test/Echo", kv_slice(large, LIMIT + 1));
   assert_ends(&caller, KV_RESOURCE_EXHAUSTED, NULL);
   free(large);
   assert_int_equal(seen(&world->service, &world->service.requests), 0);
   assert_echoes(world, kv_slice_of("still here"));
}

static void a_reply_to_a_call_that_was_cancelled_is_dropped(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin(&caller, world, "/test.Test/Hold", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   grpc_call_cancel(caller.call, NULL);
   assert_ends(&caller, KV_CANCELLED, NULL);
   put(world->service.held[0], kv_slice_of("too late"));
   kv_call_reply(world->service.held[0]);
   assert_echoes(world, kv_slice_of("still here"));
}

static void calls_in_flight_are_not_bounded_by_the_accept_slots(void **state)
{
   struct world *world = *state;
   struct caller *callers = calloc(MANY_CALLS, sizeof *callers);
   for (size_t i = 0; i < MANY_CALLS; i++)
      begin(&callers[i], world, "/test.Test/Hold", kv_slice_of("x"));
   await(&world->service, &world->service.requests, MANY_CALLS);
   for (size_t i = 0; i < MANY_CALLS; i++)
      kv_call_reply(world->service.held[i]);
   for (size_t i = 0; i < MANY_CALLS; i++) {
      assert_receives(&callers[i], kv_slice(NULL, 0));
      assert_ends(&callers[i], KV_OK, "");
   }
   free(callers);
}

/* ---- Turns ---- */

static void open_gate(struct service *service)
{
   pthread_mutex_lock(&service->lock);
   service->open = true;
   pthread_cond_broadcast(&service->changed);
   pthread_mutex_unlock(&service->lock);
}

static void assert_answered(struct caller *caller)
{
   assert_receives(caller, kv_slice(NULL, 0));
   assert_ends(caller, KV_OK, "");
}

static void each_call_that_comes_alone_is_a_turn(void **state)
{
   struct world *world = *state;
   struct caller caller;
   for (unsigned i = 0; i < 40; i++) {
      begin(&caller, world, "/test.Test/Leave", kv_slice_of("x"));
      assert_answered(&caller);
   }
   assert_int_equal(seen(&world->service, &world->service.turns), 40);
}

/* Keeps a worker at the gate until so many calls have arrived behind it, all on one connection,
 * where two calls are in flight already. */
static int gather(struct world *world, const char *const *paths, uint8_t count)
{
   struct service *service = &world->service;
   int fd = begin_raw(world->port, "/test.Test/Hold", 1, kv_slice_of("x"));
   await(service, &service->requests, 1);
   call_raw(fd, 3, "/test.Test/Gate", 1, kv_slice_of("x"));
   await(service, &service->requests, 2);
   for (uint8_t i = 0; i < count; i++)
      call_raw(fd, (uint8_t)(5 + 2 * i), paths[i], 1, kv_slice_of("x"));
   open_gate(service);
   return fd;
}

static void a_turn_ends_once_for_all_that_have_arrived(void **state)
{
   static const char *const paths[] = {"/test.Test/Leave", "/test.Test/Echo", "/test.Test/Leave",
                                       "/test.Test/Leave", "/test.Test/Echo", "/test.Test/Leave"};
   struct world *world = *state;
   struct service *service = &world->service;
   int fd = gather(world, paths, 6);
   await(service, &service->turns, 1);
   assert_echoes(world, kv_slice_of("another connection"));
   kv_call_reply(service->held[0]);
   assert_true(reads_until(fd, kv_slice_of("grpc-status")));
   assert_int_equal(seen(service, &service->turns), 1);
   assert_int_equal(service->echoed_before, 2 + 2);
   close(fd);
}

static void a_turn_that_goes_on_and_on_is_cut(void **state)
{
   const char *paths[120] = {"/test.Test/Leave"};
   struct world *world = *state;
   struct service *service = &world->service;
   for (size_t i = 1; i < 120; i++)
      paths[i] = "/test.Test/Echo";
   int fd = gather(world, paths, 120);
   await(service, &service->turns, 1);
   await(service, &service->requests, 2 + 119);
   assert_in_range(service->echoed_before, 2, 2 + 118);
   kv_call_reply(service->held[0]);
   close(fd);
}

/* Whatever comes in one go while the worker is kept at the gate. */
static void the_end_of_a_turn_does_not_wait_for_slow_calls(void **state)
{
   static const char *const paths[] = {"/test.Test/Leave", "/test.Test/Slow", "/test.Test/Leave",
                                       "/test.Test/Slow"};
   struct world *world = *state;
   struct service *service = &world->service;
   for (unsigned round = 0; round < 50; round++) {
      struct caller gate, callers[4];
      unsigned before = seen(service, &service->requests);
      begin(&gate, world, "/test.Test/Gate", kv_slice(NULL, 0));
      await(service, &service->requests, before + 1);
      for (size_t i = 0; i < 4; i++)
         begin(&callers[i], world, paths[i], kv_slice(NULL, 0));
      open_gate(service);
      assert_answered(&gate);
      for (size_t i = 0; i < 4; i++)
         assert_answered(&callers[i]);
      assert_false(service->were_behind);
   }
}

/* ---- Slow calls ---- */

static void a_slow_call_that_hands_its_worker_back_lets_others_be_served(void **state)
{
   struct world *world = *state;
   struct caller slow;
   begin(&slow, world, "/test.Test/Turns", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   for (unsigned i = 0; i < 200; i++)
      assert_echoes(world, kv_slice_of("meanwhile"));
   open_gate(&world->service);
   assert_answered(&slow);
}

static void a_slow_call_hears_that_its_client_has_gone(void **state)
{
   struct world *world = *state;
   struct caller slow;
   begin(&slow, world, "/test.Test/Turns", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   grpc_call_cancel(slow.call, NULL);
   assert_ends(&slow, KV_CANCELLED, NULL);
   await(&world->service, &world->service.closed, 1);
   assert_echoes(world, kv_slice_of("still here"));
}

/* They wait behind another slow one; the echo shows that the server has heard of the cancelling. */
static void a_slow_call_whose_client_has_gone_before_its_turn_is_never_begun(void **state)
{
   struct world *world = *state;
   struct service *service = &world->service;
   const uint32_t three = 3;
   struct caller first, gone, gone_stream, last;
   begin(&first, world, "/test.Test/Turns", kv_slice_of("x"));
   await(service, &service->requests, 1);
   begin(&gone, world, "/test.Test/Turns", kv_slice_of("x"));
   begin(&gone_stream, world, "/test.Test/SlowCount", number(&three));
   begin(&last, world, "/test.Test/SlowCount", number(&three));
   assert_echoes(world, kv_slice_of("they have arrived"));
   grpc_call_cancel(gone.call, NULL);
   grpc_call_cancel(gone_stream.call, NULL);
   assert_ends(&gone, KV_CANCELLED, NULL);
   assert_ends(&gone_stream, KV_CANCELLED, NULL);
   assert_echoes(world, kv_slice_of("they have gone"));
   open_gate(service);
   assert_answered(&first);
   for (uint32_t i = 0; i < three; i++)
      assert_receives(&last, number(&i));
   assert_ends(&last, KV_OK, "");
   await(service, &service->closed, 1);
   assert_int_equal(seen(service, &service->requests), 1 + 2 + 1);
}

/* ---- Deadlines: of a client that does not look at them itself ---- */

static const char DEADLINE_EXCEEDED[] = "grpc-status\0014"; /* a literal of HPACK */

static void sleep_ms(long ms)
{
   const struct timespec time = {.tv_nsec = ms * 1000000};
   nanosleep(&time, NULL);
}

/* They wait behind a slow one; the echo shows that they have arrived. */
static void a_call_whose_deadline_has_passed_is_never_begun(void **state)
{
   static const char *const paths[] = {"/test.Test/Turns", "/test.Test/SlowCount"};
   struct world *world = *state;
   struct service *service = &world->service;
   for (unsigned i = 0; i < 2; i++) {
      int fd = begin_raw(world->port, "/test.Test/Turns", 1, kv_slice_of("x"));
      await(service, &service->requests, 3 * i + 1);
      call_raw_within(fd, 3, paths[i], "1m", 1, kv_slice_of("x"));
      call_raw(fd, 5, "/test.Test/Echo", 4, kv_slice_of("here"));
      assert_true(reads_until(fd, kv_slice_of("here")));
      sleep_ms(20);
      open_gate(service);
      assert_true(reads_until(fd, kv_slice(DEADLINE_EXCEEDED, sizeof DEADLINE_EXCEEDED - 1)));
      service->open = false;
      assert_echoes(world, kv_slice_of("still here"));
      assert_int_equal(seen(service, &service->requests), 3 * i + 3);
      close(fd);
   }
}

static void a_call_that_its_handler_leaves_waiting_is_ended_by_its_deadline(void **state)
{
   static const char *const paths[] = {"/test.Test/Hold", "/test.Test/HoldStream"};
   struct world *world = *state;
   for (unsigned i = 0; i < 2; i++) {
      int fd = open_raw(world->port);
      call_raw_within(fd, 1, paths[i], "300m", 1, kv_slice_of("x"));
      await(&world->service, &world->service.requests, i + 1);
      assert_true(reads_until(fd, kv_slice(DEADLINE_EXCEEDED, sizeof DEADLINE_EXCEEDED - 1)));
      close(fd);
   }
   await(&world->service, &world->service.closed, 1);
   kv_call_reply(world->service.held[0]);
   assert_echoes(world, kv_slice_of("still here"));
}

static void a_reply_that_is_there_after_the_deadline_is_not_sent(void **state)
{
   static const char *const paths[] = {"/test.Test/Hold", "/test.Test/HoldStream"};
   struct world *world = *state;
   for (unsigned i = 0; i < 2; i++) {
      int fd = open_raw(world->port);
      call_raw_within(fd, 1, paths[i], "500m", 1, kv_slice_of("x"));
      await(&world->service, &world->service.requests, i + 1);
      sleep_ms(520);
      put(world->service.held[i], kv_slice_of("too late"));
      if (i == 0)
         kv_call_reply(world->service.held[i]);
      else
         kv_call_send(world->service.held[i]);
      assert_true(reads_until(fd, kv_slice(DEADLINE_EXCEEDED, sizeof DEADLINE_EXCEEDED - 1)));
      close(fd);
   }
}

/* ---- Streams ---- */

static void a_stream_delivers_every_message_in_order(void **state)
{
   struct world *world = *state;
   struct caller caller;
   const uint32_t end = 2000;
   begin(&caller, world, "/test.Test/Count", number(&end));
   for (uint32_t i = 0; i < end; i++)
      assert_receives(&caller, number(&i));
   assert_null(receive(&caller));
   assert_ends(&caller, KV_OK, "");
   await(&world->service, &world->service.closed, 1);
}

static void a_stream_whose_client_cancels_is_closed_once(void **state)
{
   struct world *world = *state;
   struct caller caller;
   const uint32_t end = UINT32_MAX, first = 0;
   begin(&caller, world, "/test.Test/Count", number(&end));
   assert_receives(&caller, number(&first));
   grpc_call_cancel(caller.call, NULL);
   assert_ends(&caller, KV_CANCELLED, NULL);
   await(&world->service, &world->service.closed, 1);
   kv_rpc_stop(world->rpc, 0);
   assert_int_equal(world->service.closed, 1);
}

static void a_stream_whose_client_vanishes_is_closed_once(void **state)
{
   struct world *world = *state;
   const uint32_t end = UINT32_MAX;
   int fd = begin_raw(world->port, "/test.Test/Count", sizeof end, number(&end));
   await(&world->service, &world->service.requests, 1);
   vanish(fd);
   await(&world->service, &world->service.closed, 1);
   /* This one may be gone before its handler sees it. */
   vanish(begin_raw(world->port, "/test.Test/HoldStream", sizeof end, number(&end)));
   kv_rpc_stop(world->rpc, 0);
   assert_int_equal(world->service.closed, world->service.requests);
}

static void a_stream_may_fail_while_a_message_is_on_its_way(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin(&caller, world, "/test.Test/HoldStream", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   put(world->service.held[0], kv_slice_of("last words"));
   kv_call_send(world->service.held[0]);
   kv_call_fail(world->service.held[0], KV_ABORTED, "enough");
   assert_receives(&caller, kv_slice_of("last words"));
   assert_null(receive(&caller));
   assert_ends(&caller, KV_ABORTED, "enough");
   await(&world->service, &world->service.closed, 1);
}

static void both_sides_of_a_bidi_call_talk_in_turn(void **state)
{
   struct world *world = *state;
   struct caller caller = open_call(world, "/test.Test/Chat");
   await_status_from_now(&caller);
   for (uint32_t i = 0; i < 100; i++) {
      send_message(&caller, number(&i));
      assert_receives(&caller, number(&i));
   }
   assert_int_equal(seen(&world->service, &world->service.half_closed), 0);
   half_close(&caller);
   assert_null(receive(&caller));
   assert_ends(&caller, KV_OK, "");
   await(&world->service, &world->service.closed, 1);
   assert_int_equal(seen(&world->service, &world->service.half_closed), 1);
   assert_int_equal(seen(&world->service, &world->service.requests), 100);
}

static void a_bidi_call_without_any_message_is_half_closed_at_once(void **state)
{
   struct world *world = *state;
   struct caller caller = open_call(world, "/test.Test/Chat");
   await_status_from_now(&caller);
   half_close(&caller);
   assert_ends(&caller, KV_OK, "");
   await(&world->service, &world->service.closed, 1);
   assert_int_equal(seen(&world->service, &world->service.half_closed), 1);
}

static void a_bidi_call_whose_client_vanishes_is_closed(void **state)
{
   struct world *world = *state;
   int fd = begin_raw(world->port, "/test.Test/Chat", 5, kv_slice_of("hello"));
   await(&world->service, &world->service.requests, 1);
   vanish(fd);
   await(&world->service, &world->service.closed, 1);
}

/* ---- Bad clients ---- */

static void half_a_message_reaches_no_handler(void **state)
{
   struct world *world = *state;
   int fd = begin_raw(world->port, "/test.Test/Echo", 200, kv_slice_of("hello"));
   assert_echoes(world, kv_slice_of("a whole one"));
   vanish(fd);
   assert_echoes(world, kv_slice_of("another"));
   assert_int_equal(seen(&world->service, &world->service.requests), 2);
}

static void garbage_on_the_port_does_no_harm(void **state)
{
   struct world *world = *state;
   char garbage[4096];
   uint32_t seed = 1;
   for (int i = 0; i < 20; i++) {
      for (size_t j = 0; j < sizeof garbage; j++)
         garbage[j] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
      int fd = connect_raw(world->port);
      if (i % 2 == 1) { /* past the preface, so that frames are garbage */
         write_all(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
         write_frame(fd, 4, 0, 0, kv_slice(NULL, 0));
      }
      write_all(fd, garbage, sizeof garbage);
      close(fd);
   }
   int fd = connect_raw(world->port);
   write_all(fd, "GET / HTTP/1.1\r\nHost: test\r\n\r\n", 30);
   assert_echoes(world, kv_slice_of("still here"));
   close(fd);
}

/* ---- The end ---- */

static void *stop_patiently(void *rpc)
{
   kv_rpc_stop(rpc, PATIENCE_S * 1000);
   return NULL;
}

static void *stop_very_patiently(void *rpc)
{
   kv_rpc_stop(rpc, 10 * PATIENCE_S * 1000);
   return NULL;
}

/* Until nobody listens any more: then the server is being stopped. */
static void await_refusal(int port)
{
   struct sockaddr_in address = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port)};
   bool refused = false;
   while (!refused) {
      int fd = socket(AF_INET, SOCK_STREAM, 0);
      refused = connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
      close(fd);
   }
}

static void stopping_awaits_a_call_in_flight(void **state)
{
   struct world *world = *state;
   struct caller caller;
   pthread_t stopper;
   begin(&caller, world, "/test.Test/Hold", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, world->rpc), 0);
   await_refusal(world->port);
   put(world->service.held[0], kv_slice_of("in time"));
   kv_call_reply(world->service.held[0]);
   assert_receives(&caller, kv_slice_of("in time"));
   assert_ends(&caller, KV_OK, "");
   pthread_join(stopper, NULL);
}

/* As a client does that has not heard of the stop yet. */
static void calls_that_come_while_stopping_are_unavailable(void **state)
{
   static const char unavailable[] = "grpc-status\00214"; /* a literal of HPACK */
   struct world *world = *state;
   struct caller caller;
   pthread_t stopper;
   begin(&caller, world, "/test.Test/Hold", kv_slice_of("x"));
   int fd = begin_raw(world->port, "/test.Test/Echo", 5, kv_slice_of("hello"));
   await(&world->service, &world->service.requests, 2);
   assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, world->rpc), 0);
   await_refusal(world->port);
   call_raw(fd, 3, "/test.Test/Echo", 5, kv_slice_of("hello"));
   assert_true(reads_until(fd, kv_slice(unavailable, sizeof unavailable - 1)));
   call_raw(fd, 5, "/test.Test/Count", 4, kv_slice("\5\0\0\0", 4));
   assert_true(reads_until(fd, kv_slice_of("is stopping")));
   kv_call_reply(world->service.held[0]);
   assert_answered(&caller);
   pthread_join(stopper, NULL);
   assert_int_equal(seen(&world->service, &world->service.requests), 2);
   close(fd);
}

static void slow_calls_that_wait_for_their_turn_while_stopping_are_unavailable(void **state)
{
   struct world *world = *state;
   const uint32_t three = 3;
   struct caller first, unary, stream;
   pthread_t stopper;
   begin(&first, world, "/test.Test/Turns", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   begin(&unary, world, "/test.Test/Turns", kv_slice_of("x"));
   begin(&stream, world, "/test.Test/SlowCount", number(&three));
   assert_echoes(world, kv_slice_of("they have arrived"));
   assert_int_equal(pthread_create(&stopper, NULL, stop_patiently, world->rpc), 0);
   await_refusal(world->port);
   open_gate(&world->service);
   assert_answered(&first);
   assert_ends(&unary, KV_UNAVAILABLE, "the server is stopping; try again");
   assert_ends(&stream, KV_UNAVAILABLE, "the server is stopping; try again");
   pthread_join(stopper, NULL);
   assert_int_equal(seen(&world->service, &world->service.requests), 2);
}

static void stopping_cancels_a_stream_that_never_ends(void **state)
{
   struct world *world = *state;
   struct caller caller;
   begin(&caller, world, "/test.Test/HoldStream", kv_slice_of("x"));
   await(&world->service, &world->service.requests, 1);
   kv_rpc_stop(world->rpc, 10);
   assert_int_equal(world->service.closed, 1);
   finish(&caller);
   assert_int_not_equal(caller.code, GRPC_STATUS_OK);
   grpc_slice_unref(caller.text);
}

/* The client neither closes its connection nor has a call: the grace is not for it. */
static void stopping_waits_for_no_connection_without_calls(void **state)
{
   struct world *world = *state;
   const struct timespec soon = {.tv_sec = time(NULL) + PATIENCE_S};
   pthread_t stopper;
   int fd = connect_raw(world->port);
   write_all(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
   write_frame(fd, 4, 0, 0, kv_slice(NULL, 0));
   char greeting;
   assert_int_equal(read(fd, &greeting, 1), 1);
   assert_int_equal(pthread_create(&stopper, NULL, stop_very_patiently, world->rpc), 0);
   assert_int_equal(pthread_timedjoin_np(stopper, NULL, &soon), 0);
   close(fd);
}

static void a_server_that_was_never_started_can_be_destroyed(void **state)
{
   struct world *world = *state;
   struct kv_status status;
   struct kv_rpc *rpc = create_rpc(&world->service);
   assert_int_equal(kv_rpc_listen(rpc, "127.0.0.1:0", NULL, &status), KV_OK);
   kv_rpc_destroy(rpc);
}

static void a_method_that_is_there_twice_is_refused(void **state)
{
   (void)state;
   const struct kv_rpc_method methods[] = {{.path = "/a.B/C", .request = echo},
                                           {.path = "/a.B/C", .request = echo}};
   const struct kv_rpc_options options = {.workers = 1,
                                          .receive_message_max = LIMIT,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000};
   struct kv_status status;
   assert_null(kv_rpc_create(&options, methods, 2, &status));
   assert_int_equal(status.code, KV_ALREADY_EXISTS);
   assert_non_null(strstr(status.text, "/a.B/C"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       CASE(a_unary_call_gets_what_its_handler_made),
       CASE(a_message_that_comes_in_many_pieces_arrives_in_one),
       CASE(pieces_come_in_their_places_and_are_released),
       CASE(a_failure_carries_its_code_and_text),
       CASE(an_unknown_method_is_answered_and_named),
       CASE(a_call_without_a_message_is_refused),
       CASE(a_message_over_the_limit_is_refused_before_the_handler),
       CASE(a_reply_to_a_call_that_was_cancelled_is_dropped),
       CASE(calls_in_flight_are_not_bounded_by_the_accept_slots),
       CASE(each_call_that_comes_alone_is_a_turn),
       CASE(a_turn_ends_once_for_all_that_have_arrived),
       CASE(a_turn_that_goes_on_and_on_is_cut),
       CASE(the_end_of_a_turn_does_not_wait_for_slow_calls),
       CASE(a_slow_call_that_hands_its_worker_back_lets_others_be_served),
       CASE(a_slow_call_hears_that_its_client_has_gone),
       CASE(a_slow_call_whose_client_has_gone_before_its_turn_is_never_begun),
       CASE(a_call_whose_deadline_has_passed_is_never_begun),
       CASE(a_call_that_its_handler_leaves_waiting_is_ended_by_its_deadline),
       CASE(a_reply_that_is_there_after_the_deadline_is_not_sent),
       CASE(a_stream_delivers_every_message_in_order),
       CASE(a_stream_whose_client_cancels_is_closed_once),
       CASE(a_stream_whose_client_vanishes_is_closed_once),
       CASE(a_stream_may_fail_while_a_message_is_on_its_way),
       CASE(both_sides_of_a_bidi_call_talk_in_turn),
       CASE(a_bidi_call_without_any_message_is_half_closed_at_once),
       CASE(a_bidi_call_whose_client_vanishes_is_closed),
       CASE(half_a_message_reaches_no_handler),
       CASE(garbage_on_the_port_does_no_harm),
       CASE(stopping_awaits_a_call_in_flight),
       CASE(calls_that_come_while_stopping_are_unavailable),
       CASE(slow_calls_that_wait_for_their_turn_while_stopping_are_unavailable),
       CASE(stopping_cancels_a_stream_that_never_ends),
       CASE(stopping_waits_for_no_connection_without_calls),
       CASE(a_server_that_was_never_started_can_be_destroyed),
       CASE(a_method_that_is_there_twice_is_refused),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
