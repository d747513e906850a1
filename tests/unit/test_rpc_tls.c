/* A server with TLS: what its connections are charged, and handshakes while files change and while
 * it stops. */
#include "core/net/tls_session.h"
#include "core/rpc/server.h"
#include "tests/support/http2_client.h"
#include "tests/support/rpc_service.h"
#include "tests/support/tls_client.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Connections that the account has space for. */
#define SPACE 10
#define THREADS 4
#define CONNECTIONS 25 /* one after the other, of each thread */

struct tls_rpc {
   struct tls_world world;
   struct tls_client client; /* its context alone is used */
   struct kv_tls *tls;
   struct kv_rpc *rpc;
   int port;
   struct service service;
};

static int set_up(void **state)
{
   struct tls_rpc *all = calloc(1, sizeof *all);
   struct kv_status status;
   tls_world_create(&all->world);
   tls_client_create(&all->client, &all->world, NULL);
   all->tls = kv_tls_create(&all->world.options, &status);
   assert_non_null(all->tls);
   const struct kv_rpc_options options = {.wire = "http2",
                                          .workers = 2,
                                          .receive_message_max = LIMIT,
                                          .memory_max = 2 * SPACE * KV_TLS_SESSION_SIZE,
                                          .reader_timeout_ms = 30000,
                                          .tls = all->tls};
   all->rpc = kv_rpc_create(&options, NULL, 0, &status);
   assert_non_null(all->rpc);
   assert_int_equal(kv_rpc_listen(all->rpc, "127.0.0.1:0", &all->port, &status), KV_OK);
   assert_int_equal(kv_rpc_start(all->rpc, &status), KV_OK);
   *state = all;
   return 0;
}

static int tear_down(void **state)
{
   struct tls_rpc *all = *state;
   kv_rpc_stop(all->rpc, 0);
   assert_nothing_is_charged(all->rpc);
   kv_rpc_destroy(all->rpc);
   kv_tls_destroy(all->tls);
   tls_client_destroy(&all->client);
   tls_world_destroy(&all->world);
   free(all);
   return 0;
}

/* ---- Clients with a socket ---- */

/* Makes a connection, and is greeted; NULL where it is not. */
static SSL *greet(const struct tls_rpc *all)
{
   static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
   uint8_t head[9];
   size_t written, got;
   SSL *ssl = SSL_new(all->client.context);
   int fd = connect_raw(all->port);
   assert_int_equal(SSL_set_fd(ssl, fd), 1);
   ERR_clear_error();
   if (SSL_connect(ssl) == 1 && SSL_write_ex(ssl, preface, sizeof preface, &written) == 1 &&
       SSL_read_ex(ssl, head, sizeof head, &got) == 1 && got == sizeof head &&
       head[3] == HTTP2_SETTINGS)
      return ssl;
   SSL_free(ssl);
   close(fd);
   return NULL;
}

static void leave(SSL *ssl)
{
   int fd = SSL_get_fd(ssl);
   SSL_free(ssl);
   close(fd);
}

static struct kv_rpc_statistics statistics_of(struct kv_rpc *rpc)
{
   struct kv_rpc_statistics statistics;
   kv_rpc_read_statistics(rpc, &statistics);
   return statistics;
}

/* ---- Charges ---- */

static void test_open_connections_are_charged_and_have_half_of_the_account(void **state)
{
   struct tls_rpc *all = *state;
   SSL *peers[SPACE];
   for (size_t i = 0; i < SPACE; i++) {
      peers[i] = greet(all);
      assert_non_null(peers[i]);
      assert_in_range(statistics_of(all->rpc).memory_held, (i + 1) * KV_TLS_SESSION_SIZE,
                      (i + 2) * KV_TLS_SESSION_SIZE - 1);
   }
   assert_null(greet(all));
   while (statistics_of(all->rpc).refused_connections == 0) /* counted after it was closed */
      ;
   leave(peers[0]);
   while (!(peers[0] = greet(all))) /* until the server has seen that one is gone */
      ;
   for (size_t i = 0; i < SPACE; i++)
      leave(peers[i]);
}

static void test_handshakes_that_are_not_over_are_charged(void **state)
{
   struct tls_rpc *all = *state;
   int silent[SPACE];
   SSL *peer;
   for (size_t i = 0; i < SPACE; i++)
      silent[i] = connect_raw(all->port);
   assert_null(greet(all));
   for (size_t i = 0; i < SPACE; i++)
      close(silent[i]);
   while (!(peer = greet(all)))
      ;
   leave(peer);
}

/* ---- Threads ---- */

static void *greet_often(void *argument)
{
   const struct tls_rpc *all = argument;
   for (unsigned i = 0; i < CONNECTIONS; i++) {
      SSL *peer = greet(all);
      if (!peer)
         return NULL; /* the server stops, or too many others have not left yet */
      leave(peer);
   }
   return NULL;
}

static void test_files_are_reloaded_while_handshakes_run(void **state)
{
   struct tls_rpc *all = *state;
   pthread_t threads[THREADS];
   for (size_t i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, greet_often, all), 0);
   for (unsigned i = 0; i < 2 * CONNECTIONS; i++)
      kv_tls_reload(all->tls);
   for (size_t i = 0; i < THREADS; i++)
      pthread_join(threads[i], NULL);
   struct kv_tls_statistics statistics;
   kv_tls_statistics(all->tls, &statistics);
   assert_int_equal(statistics.reloads, 2 * CONNECTIONS);
   assert_true(statistics.handshakes > 0);
}

static void test_server_stops_while_handshakes_run(void **state)
{
   struct tls_rpc *all = *state;
   SSL *peer = greet(all);
   int silent = connect_raw(all->port);
   uint8_t rest[100];
   size_t got;
   assert_non_null(peer);
   kv_rpc_stop(all->rpc, 0);
   while (SSL_read_ex(peer, rest, sizeof rest, &got) == 1)
      ;
   assert_int_equal(SSL_get_shutdown(peer) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
   assert_true(recv(silent, rest, sizeof rest, 0) <= 0);
   leave(peer);
   close(silent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(test_open_connections_are_charged_and_have_half_of_the_account),
       TEST(test_handshakes_that_are_not_over_are_charged),
       TEST(test_files_are_reloaded_while_handshakes_run),
       TEST(test_server_stops_while_handshakes_run),
   };
   signal(SIGPIPE, SIG_IGN); /* servers close connections while clients greet them */
   return cmocka_run_group_tests(tests, NULL, NULL);
}
