#include "tests/support/tls_pairing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct kv_tls *create(const struct tls_world *world)
{
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   if (!tls)
      fail_msg("%s", status.text);
   return tls;
}

int tls_set_up(void **state)
{
   struct tls_pairing *all = calloc(1, sizeof *all);
   tls_world_create(&all->world);
   all->tls = create(&all->world);
   tls_client_create(&all->client, &all->world, NULL);
   *state = all;
   return 0;
}

int tls_tear_down(void **state)
{
   struct tls_pairing *all = *state;
   tls_client_destroy(&all->client);
   kv_tls_destroy(all->tls);
   tls_world_destroy(&all->world);
   free(all);
   return 0;
}

void tls_ask_for_certificates(struct tls_pairing *all)
{
   tls_write_certificates(&all->world.folder, "clients.pem", all->world.authority.certificate,
                          NULL);
   all->world.options.client_ca = all->world.client_ca;
}

void tls_use_files(struct tls_pairing *all)
{
   kv_tls_destroy(all->tls);
   all->tls = create(&all->world);
}

void tls_be(struct tls_pairing *all, const struct tls_pair *pair)
{
   tls_client_destroy(&all->client);
   tls_client_create(&all->client, &all->world, pair);
}

void tls_assert_shakes(struct tls_pairing *all)
{
   assert_int_equal(tls_shake(&all->client, &all->server, all->tls), KV_TLS_OPEN);
}

void tls_assert_is_refused(struct tls_pairing *all, const char *reason)
{
   assert_int_equal(tls_shake(&all->client, &all->server, all->tls), KV_TLS_BROKEN);
   assert_string_equal(kv_tls_session_error(all->server.session), reason);
   tls_server_end(&all->server);
}

void tls_assert_echoes(struct tls_pairing *all, size_t piece)
{
   char told[100];
   size_t written;
   all->server.got_size = 0;
   assert_int_equal(SSL_write_ex(all->client.ssl, "a question", 10, &written), 1);
   tls_carry(&all->client, &all->server, piece);
   assert_int_equal(all->server.got_size, 10);
   assert_memory_equal(all->server.got, "a question", 10);
   assert_true(
       kv_tls_session_write(all->server.session, "an answer", 9, tls_server_sink(&all->server)));
   tls_carry(&all->client, &all->server, piece);
   assert_int_equal(tls_client_read(&all->client, told, sizeof told), 9);
   assert_memory_equal(told, "an answer", 9);
}
