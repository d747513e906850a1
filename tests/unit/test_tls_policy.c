/* TLS as a filter: what a handshake may agree on, and whose certificates let them in. */
#include "tests/support/tls_pairing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- The policy ---- */

static void test_only_groups_that_cost_little_are_taken(void **state)
{
   static const struct {
      const char *group;
      enum kv_tls_state state;
   } cases[] = {{"X25519", KV_TLS_OPEN},      {"P-256", KV_TLS_OPEN},
                {"P-384", KV_TLS_OPEN},       {"ffdhe2048", KV_TLS_BROKEN},
                {"ffdhe8192", KV_TLS_BROKEN}, {"P-521", KV_TLS_BROKEN}};
   struct tls_pairing *all = *state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      assert_int_equal(SSL_CTX_set1_groups_list(all->client.context, cases[i].group), 1);
      assert_int_equal(tls_shake(&all->client, &all->server, all->tls), cases[i].state);
      tls_server_end(&all->server);
   }
}

static void test_ciphers_without_authentication_or_secrecy_are_refused(void **state)
{
   static const char *const refused[] = {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA",
                                         "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"};
   struct tls_pairing *all = *state;
   SSL_CTX_set_max_proto_version(all->client.context, TLS1_2_VERSION);
   for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
      assert_int_equal(SSL_CTX_set_cipher_list(all->client.context, refused[i]), 1);
      tls_assert_is_refused(all, "no shared cipher");
   }
   assert_int_equal(SSL_CTX_set_cipher_list(all->client.context, "ECDHE-ECDSA-CHACHA20-POLY1305"),
                    1);
   tls_assert_shakes(all);
   tls_server_end(&all->server);
}

static void test_other_protocols_and_none_are_refused(void **state)
{
   struct tls_pairing *all = *state;
   SSL_CTX_set_alpn_protos(all->client.context, (const unsigned char *)"\10http/1.1", 9);
   tls_assert_is_refused(all, "it does not offer HTTP/2 (ALPN \"h2\")");
   SSL_CTX_set_alpn_protos(all->client.context, NULL, 0);
   tls_assert_is_refused(all, "it does not offer HTTP/2 (ALPN \"h2\")");
   SSL_CTX_set_alpn_protos(all->client.context, (const unsigned char *)"\10http/1.1\2h2", 12);
   tls_assert_shakes(all);
   tls_server_end(&all->server);
}

/* Begins again with what the connection before has left; whether that was taken. */
static bool resumes(struct tls_pairing *all)
{
   SSL_SESSION *session = SSL_get1_session(all->client.ssl);
   tls_server_end(&all->server);
   tls_client_begin(&all->client);
   assert_int_equal(SSL_set_session(all->client.ssl, session), 1);
   tls_server_begin(&all->server, all->tls);
   tls_carry(&all->client, &all->server, 1000);
   assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_OPEN);
   tls_assert_echoes(all, 1000);
   SSL_SESSION_free(session);
   return SSL_session_reused(all->client.ssl) == 1;
}

static void test_sessions_resume_in_1_3_until_the_next_reload(void **state)
{
   struct tls_pairing *all = *state;
   tls_assert_shakes(all);
   tls_assert_echoes(all, 1000); /* reads the ticket */
   assert_int_equal(SSL_SESSION_get_max_early_data(SSL_get0_session(all->client.ssl)), 0);
   assert_true(resumes(all));
   kv_tls_reload(all->tls);
   assert_false(resumes(all));
   tls_server_end(&all->server);
}

static void test_sessions_of_1_2_are_not_resumed(void **state)
{
   struct tls_pairing *all = *state;
   SSL_CTX_set_max_proto_version(all->client.context, TLS1_2_VERSION);
   tls_assert_shakes(all);
   tls_assert_echoes(all, 1000);
   assert_false(resumes(all));
   tls_server_end(&all->server);
}

/* ---- Clients' certificates ---- */

static void test_session_with_a_client_certificate_is_never_resumed(void **state)
{
   struct tls_pairing *all = *state;
   struct tls_pair known = tls_sign(&all->world.authority, TLS_EC, "known", NULL, NULL);
   tls_ask_for_certificates(all);
   tls_use_files(all);
   tls_be(all, &known);
   tls_assert_shakes(all);
   tls_assert_echoes(all, 1000);
   assert_false(resumes(all));
   tls_server_end(&all->server);
   tls_pair_free(&known);
}

static void test_ticket_from_before_certificates_were_asked_for_lets_nobody_in(void **state)
{
   struct tls_pairing *all = *state;
   tls_assert_shakes(all);
   tls_assert_echoes(all, 1000);
   SSL_SESSION *session = SSL_get1_session(all->client.ssl);
   tls_server_end(&all->server);
   tls_ask_for_certificates(all);
   tls_use_files(all);
   tls_client_begin(&all->client);
   SSL_set_session(all->client.ssl, session);
   tls_server_begin(&all->server, all->tls);
   tls_carry(&all->client, &all->server, 1000);
   assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_BROKEN);
   tls_server_end(&all->server);
   SSL_SESSION_free(session);
}

static void assert_is_named(struct tls_pairing *all, const char *names, const char *expected)
{
   struct tls_pair pair = tls_sign(&all->world.authority, TLS_EC, "common", names, NULL);
   tls_be(all, &pair);
   tls_assert_shakes(all);
   assert_int_equal(
       kv_slice_compare(kv_tls_session_client(all->server.session), kv_slice_of(expected)), 0);
   tls_server_end(&all->server);
   tls_pair_free(&pair);
}

static void test_client_is_named_by_uri_then_dns_then_common_name(void **state)
{
   struct tls_pairing *all = *state;
   tls_ask_for_certificates(all);
   tls_use_files(all);
   assert_is_named(all, NULL, "common");
   assert_is_named(all, "DNS:one.example,DNS:two.example", "one.example");
   assert_is_named(all, "DNS:one.example,URI:spiffe://a/b", "spiffe://a/b");
   assert_is_named(all, "email:a@b.example", "common");
}

static void test_certificates_of_strangers_and_for_other_purposes_are_refused(void **state)
{
   struct tls_pairing *all = *state;
   struct tls_pair stranger = tls_authority("authority"), /* of the same name */
       guest = tls_sign(&stranger, TLS_EC, "guest", NULL, NULL),
                   other = tls_sign(&all->world.authority, TLS_EC, "other", NULL, "serverAuth"),
                   good = tls_sign(&all->world.authority, TLS_EC, "good", NULL, "clientAuth");
   tls_ask_for_certificates(all);
   tls_use_files(all);
   tls_be(all, NULL);
   tls_assert_is_refused(all, "it showed no certificate, which tls-client-auth requires");
   tls_be(all, &guest);
   tls_assert_is_refused(all, "its certificate is refused: certificate signature failure");
   tls_be(all, &other);
   tls_assert_is_refused(all, "its certificate is refused: unsuitable certificate purpose");
   tls_be(all, &good);
   tls_assert_shakes(all);
   tls_server_end(&all->server);
   tls_pair_free(&stranger);
   tls_pair_free(&guest);
   tls_pair_free(&other);
   tls_pair_free(&good);
}

static void test_authority_below_another_is_enough_and_lets_no_sibling_in(void **state)
{
   struct tls_pairing *all = *state;
   /* The sibling's client sends the whole chain that it knows. */
   struct tls_pair below = tls_sub_authority(&all->world.authority, "below"),
                   inside = tls_sign(&below, TLS_EC, "inside", NULL, NULL),
                   sibling = tls_sign(&all->world.authority, TLS_EC, "sibling", NULL, NULL);
   tls_write_certificates(&all->world.folder, "clients.pem", below.certificate, NULL);
   all->world.options.client_ca = all->world.client_ca;
   tls_use_files(all);
   tls_be(all, &inside);
   tls_assert_shakes(all);
   tls_server_end(&all->server);
   tls_be(all, &sibling);
   tls_assert_is_refused(
       all, "its certificate is refused: self-signed certificate in certificate chain");
   tls_pair_free(&below);
   tls_pair_free(&inside);
   tls_pair_free(&sibling);
}

static void test_revoked_certificate_is_refused(void **state)
{
   struct tls_pairing *all = *state;
   struct tls_pair good = tls_sign(&all->world.authority, TLS_EC, "good", NULL, NULL),
                   lost = tls_sign(&all->world.authority, TLS_EC, "lost", NULL, NULL);
   tls_ask_for_certificates(all);
   tls_append_revocations(&all->world.folder, "clients.pem", &all->world.authority,
                          lost.certificate, NULL);
   tls_use_files(all);
   tls_be(all, &good);
   tls_assert_shakes(all);
   tls_server_end(&all->server);
   tls_be(all, &lost);
   tls_assert_is_refused(all, "its certificate is refused: certificate revoked");
   tls_pair_free(&good);
   tls_pair_free(&lost);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_set_up, tls_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(test_only_groups_that_cost_little_are_taken),
       TEST(test_ciphers_without_authentication_or_secrecy_are_refused),
       TEST(test_other_protocols_and_none_are_refused),
       TEST(test_sessions_resume_in_1_3_until_the_next_reload),
       TEST(test_sessions_of_1_2_are_not_resumed),
       TEST(test_session_with_a_client_certificate_is_never_resumed),
       TEST(test_ticket_from_before_certificates_were_asked_for_lets_nobody_in),
       TEST(test_client_is_named_by_uri_then_dns_then_common_name),
       TEST(test_certificates_of_strangers_and_for_other_purposes_are_refused),
       TEST(test_authority_below_another_is_enough_and_lets_no_sibling_in),
       TEST(test_revoked_certificate_is_refused),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
