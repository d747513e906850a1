#include "tests/support/tls_client.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void tls_client_create(struct tls_client *client, const struct tls_world *world,
                       const struct tls_pair *pair)
{
   memset(client, 0, sizeof *client);
   client->context = SSL_CTX_new(TLS_client_method());
   assert_non_null(client->context);
   assert_int_equal(SSL_CTX_set_alpn_protos(client->context, (const unsigned char *)"\2h2", 3), 0);
   assert_int_equal(
       X509_STORE_add_cert(SSL_CTX_get_cert_store(client->context), world->authority.certificate),
       1);
   SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
   if (pair) {
      assert_int_equal(SSL_CTX_use_certificate(client->context, pair->certificate), 1);
      assert_int_equal(SSL_CTX_use_PrivateKey(client->context, pair->key), 1);
   }
}

void tls_client_begin(struct tls_client *client)
{
   if (client->ssl)
      SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN); /* or its session could not be resumed */
   SSL_free(client->ssl);
   client->ssl = SSL_new(client->context);
   client->told = BIO_new(BIO_s_mem());
   client->says = BIO_new(BIO_s_mem());
   assert_non_null(client->ssl);
   BIO_set_mem_eof_return(client->told, -1);
   SSL_set_bio(client->ssl, client->told, client->says);
   SSL_set_connect_state(client->ssl);
}

void tls_client_destroy(struct tls_client *client)
{
   SSL_free(client->ssl);
   SSL_CTX_free(client->context);
   ERR_clear_error();
}

/* ---- The server's side ---- */

static bool add(void *context, const void *data, size_t size)
{
   struct tls_server *server = context;
   if (BIO_ctrl_pending(server->says) + size > server->most)
      return false;
   assert_int_equal(BIO_write(server->says, data, (int)size), size);
   return true;
}

struct kv_tls_sink tls_server_sink(struct tls_server *server)
{
   return (struct kv_tls_sink){add, server};
}

void tls_server_begin(struct tls_server *server, struct kv_tls *tls)
{
   server->session = kv_tls_session_create(tls);
   server->says = BIO_new(BIO_s_mem());
   server->most = SIZE_MAX / 2;
   server->got_size = 0;
   assert_non_null(server->session);
}

void tls_server_end(struct tls_server *server)
{
   kv_tls_session_destroy(server->session);
   BIO_free(server->says);
}

static void receive(struct tls_server *server, const void *data, size_t size)
{
   size_t got;
   if (kv_tls_session_state(server->session) > KV_TLS_OPEN)
      return;
   kv_tls_session_arrived(server->session, kv_slice(data, size));
   do {
      assert_true(server->got_size < sizeof server->got);
      got = kv_tls_session_read(server->session, server->got + server->got_size,
                                sizeof server->got - server->got_size, tls_server_sink(server));
      server->got_size += got;
   } while (got > 0);
}

/* ---- Both ---- */

void tls_carry(struct tls_client *client, struct tls_server *server, size_t piece)
{
   uint8_t data[16 * 1024];
   bool moved = true;
   assert_true(piece <= sizeof data);
   while (moved) {
      int size = BIO_read(client->says, data, (int)piece);
      if (size > 0)
         receive(server, data, (size_t)size);
      moved = size > 0;
      size = BIO_read(server->says, data, (int)piece);
      if (size > 0)
         assert_int_equal(BIO_write(client->told, data, size), size);
      moved = moved || size > 0;
      if (!SSL_is_init_finished(client->ssl)) {
         ERR_clear_error();
         moved = SSL_do_handshake(client->ssl) == 1 || BIO_pending(client->says) > 0 || moved;
      }
   }
}

enum kv_tls_state tls_shake(struct tls_client *client, struct tls_server *server,
                            struct kv_tls *tls)
{
   tls_client_begin(client);
   tls_server_begin(server, tls);
   tls_carry(client, server, 1024);
   return kv_tls_session_state(server->session);
}

size_t tls_client_read(struct tls_client *client, void *data, size_t size)
{
   size_t filled = 0, got;
   ERR_clear_error();
   while (filled < size &&
          SSL_read_ex(client->ssl, (uint8_t *)data + filled, size - filled, &got) == 1)
      filled += got;
   return filled;
}
