/* TLS in a worker's loop, whose rounds and clock are the test's: how long a handshake may take, how
 * much waits for a client that does not read, and that another worker can go on with it. */
#include "core/rpc/http2/worker.h"
#include "core/rpc/server.h"
#include "tests/support/tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY_MAX ((size_t)64 << 20)
#define REPLY_SIZE ((size_t)1 << 20)
#define CALLS 20
#define WINDOW (1 << 30)
/* Until a client must have finished its handshake. */
#define HANDSHAKE_MS 20000
#define STEP_MS 2000

struct loop {
   struct tls_world world;
   struct tls_client client; /* its context alone is used */
   struct kv_tls *tls;
   struct kv_rpc *rpc;
   struct kv_http2_worker *worker;
   struct kv_http2_connection *connection;
   int peer; /* the client's end */
   SSL *ssl;
};

static void reply_large(void *service, struct kv_call *call, struct kv_slice request)
{
   (void)service;
   (void)request;
   uint8_t *message = kv_call_message(call, REPLY_SIZE);
   assert_non_null(message);
   memset(message, 'x', REPLY_SIZE);
   kv_call_reply(call);
}

/* Both ends of a connection that do not block. */
static void connect_both(int *client, int *server)
{
   struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
   socklen_t size = sizeof address;
   int listener = socket(AF_INET, SOCK_STREAM, 0);
   *client = socket(AF_INET, SOCK_STREAM, 0);
   assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
   assert_int_equal(listen(listener, 1), 0);
   assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
   assert_int_equal(connect(*client, (struct sockaddr *)&address, size), 0);
   *server = accept(listener, NULL, NULL);
   assert_true(*server >= 0);
   const int *ends[] = {client, server};
   for (size_t i = 0; i < 2; i++) {
      const int at_once = 1, buffer = 64 * 1024;
      assert_int_equal(setsockopt(*ends[i], IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once), 0);
      assert_int_equal(setsockopt(*ends[i], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer), 0);
      assert_int_equal(setsockopt(*ends[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer), 0);
      assert_int_equal(fcntl(*ends[i], F_SETFL, O_NONBLOCK), 0);
   }
   close(listener);
}

static int set_up(void **state)
{
   static const struct kv_rpc_method method = {.path = "/test/Large", .request = reply_large};
   struct loop *loop = calloc(1, sizeof *loop);
   struct kv_status status;
   int fd;
   tls_world_create(&loop->world);
   tls_client_create(&loop->client, &loop->world, NULL);
   loop->tls = kv_tls_create(&loop->world.options, &status);
   assert_non_null(loop->tls);
   const struct kv_rpc_options options = {.wire = "http2",
                                          .workers = 2,
                                          .receive_message_max = 1024,
                                          .memory_max = MEMORY_MAX,
                                          .reader_timeout_ms = 30000,
                                          .tls = loop->tls};
   loop->rpc = kv_rpc_create(&options, &method, 1, &status);
   assert_non_null(loop->rpc);
   loop->worker = kv_http2_worker_of(loop->rpc->workers[0]);
   for (size_t i = 0; i < 2; i++) {
      kv_http2_worker_of(loop->rpc->workers[i])->self = pthread_self();
      kv_http2_worker_of(loop->rpc->workers[i])->now_ms = 1000;
   }
   connect_both(&loop->peer, &fd);
   loop->connection = kv_http2_connection_create(loop->worker, fd, 1);
   assert_non_null(loop->connection);
   kv_http2_worker_give(loop->worker, loop->connection);
   kv_http2_worker_round(loop->worker);
   *state = loop;
   return 0;
}

static int tear_down(void **state)
{
   struct loop *loop = *state;
   SSL_free(loop->ssl);
   close(loop->peer);
   kv_rpc_stop(loop->rpc, 0);
   assert_int_equal(kv_account_held(loop->rpc->account), 0);
   kv_rpc_destroy(loop->rpc);
   kv_tls_destroy(loop->tls);
   tls_client_destroy(&loop->client);
   tls_world_destroy(&loop->world);
   free(loop);
   return 0;
}

/* As if the system had told of it. */
static void go_round(struct loop *loop)
{
   kv_http2_connection_readable(loop->connection);
   kv_http2_worker_round(loop->worker);
}

/* ---- Time ---- */

static bool is_open(const struct loop *loop)
{
   char byte;
   return recv(loop->peer, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* However slowly it goes on: a byte now and then does not make it any longer. */
static void test_handshake_ends_after_its_time(void **state)
{
   struct loop *loop = *state;
   static const uint8_t hello[5 + 200] = {22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3};
   size_t sent = 0;
   for (unsigned past = 0; past + STEP_MS < HANDSHAKE_MS; past += STEP_MS) {
      assert_int_equal(send(loop->peer, hello + sent++, 1, MSG_NOSIGNAL), 1);
      go_round(loop);
      assert_true(is_open(loop));
      loop->worker->now_ms += STEP_MS;
   }
   loop->worker->now_ms += 2 * STEP_MS;
   kv_http2_worker_round(loop->worker);
   assert_false(is_open(loop));
}

/* ---- A client that does not read ---- */

static void shake(struct loop *loop)
{
   loop->ssl = SSL_new(loop->client.context);
   assert_int_equal(SSL_set_fd(loop->ssl, loop->peer), 1);
   do {
      ERR_clear_error();
      go_round(loop);
   } while (SSL_connect(loop->ssl) != 1);
}

static nghttp2_session *create_session(void)
{
   static const nghttp2_settings_entry settings[] = {
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
   nghttp2_session_callbacks *callbacks;
   nghttp2_session *session;
   assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
   assert_int_equal(nghttp2_session_client_new(&session, callbacks, NULL), 0);
   nghttp2_session_callbacks_del(callbacks);
   nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 1);
   nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW);
   return session;
}

static ssize_t read_empty_message(nghttp2_session *session, int32_t stream, uint8_t *data,
                                  size_t size, uint32_t *flags, nghttp2_data_source *source,
                                  void *context)
{
   (void)session;
   (void)stream;
   (void)source;
   (void)context;
   assert_true(size >= 5);
   memset(data, 0, 5);
   *flags |= NGHTTP2_DATA_FLAG_EOF;
   return 5;
}

#define FIELD(name, value)                                                                         \
   {                                                                                               \
      (uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                  \
          NGHTTP2_NV_FLAG_NONE                                                                     \
   }

static void submit_call(nghttp2_session *session)
{
   static const nghttp2_nv fields[] = {FIELD(":method", "POST"),
                                       FIELD(":scheme", "https"),
                                       FIELD(":authority", "localhost"),
                                       FIELD(":path", "/test/Large"),
                                       FIELD("content-type", "application/grpc"),
                                       FIELD("te", "trailers")};
   const nghttp2_data_provider empty = {.read_callback = read_empty_message};
   assert_true(nghttp2_submit_request(session, NULL, fields, sizeof fields / sizeof fields[0],
                                      &empty, NULL) > 0);
}

static void say_all(const struct loop *loop, nghttp2_session *session)
{
   const uint8_t *data;
   ssize_t size;
   size_t written;
   while ((size = nghttp2_session_mem_send(session, &data)) > 0)
      assert_int_equal(SSL_write_ex(loop->ssl, data, (size_t)size, &written), 1);
   assert_int_equal(size, 0);
}

static void test_no_more_is_sealed_while_bytes_wait_for_a_client_that_does_not_read(void **state)
{
   struct loop *loop = *state;
   shake(loop);
   nghttp2_session *session = create_session();
   for (unsigned i = 0; i < CALLS; i++)
      submit_call(session);
   say_all(loop, session);
   while (!loop->connection->unsent)
      go_round(loop);
   for (unsigned i = 0; i < CALLS; i++) {
      go_round(loop);
      kv_http2_connection_touch(loop->connection);
   }
   assert_in_range(loop->connection->unsent_size, 1, 2 * KV_HTTP2_OUTPUT_SIZE);
   assert_true(kv_share_held(loop->connection->base.share) >= loop->connection->unsent_size);
   nghttp2_session_del(session);
}

/* ---- Moves ---- */

/* As a worker does that has too much to do. */
static void move(struct loop *loop)
{
   bool is_first = loop->worker == kv_http2_worker_of(loop->rpc->workers[0]);
   assert_true(kv_http2_connection_leave(loop->connection));
   loop->worker = kv_http2_worker_of(loop->rpc->workers[is_first ? 1 : 0]);
   kv_http2_worker_give(loop->worker, loop->connection);
   kv_http2_worker_round(loop->worker);
}

/* In the middle of a record too: the next byte comes to another worker. */
static void test_connection_moves_between_workers_at_any_time(void **state)
{
   struct loop *loop = *state;
   uint8_t data[4096];
   struct tls_client client;
   tls_client_create(&client, &loop->world, NULL);
   tls_client_begin(&client);
   while (SSL_connect(client.ssl) != 1) {
      int size = BIO_read(client.says, data, sizeof data);
      for (int i = 0; i < size; i++) {
         assert_int_equal(send(loop->peer, data + i, 1, MSG_NOSIGNAL), 1);
         go_round(loop);
         move(loop);
      }
      ssize_t got = recv(loop->peer, data, sizeof data, 0);
      if (got > 0)
         assert_int_equal(BIO_write(client.told, data, (int)got), got);
   }
   size_t written;
   assert_int_equal(SSL_write_ex(client.ssl, NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0", 33, &written),
                    1);
   while (!loop->connection->settled) {
      int size = BIO_read(client.says, data, 10);
      if (size > 0)
         assert_int_equal(send(loop->peer, data, (size_t)size, MSG_NOSIGNAL), size);
      go_round(loop);
      if (!loop->connection->settled)
         move(loop);
   }
   assert_int_equal(kv_tls_session_state(loop->connection->tls), KV_TLS_OPEN);
   tls_client_destroy(&client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(test_handshake_ends_after_its_time),
       TEST(test_no_more_is_sealed_while_bytes_wait_for_a_client_that_does_not_read),
       TEST(test_connection_moves_between_workers_at_any_time),
   };
   signal(SIGPIPE, SIG_IGN); /* the client's ends are closed while it still speaks */
   return cmocka_run_group_tests(tests, NULL, NULL);
}
