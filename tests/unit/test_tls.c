/* Certificates and keys from files: what is taken, what is refused with which words, and what
 * becomes of files that change while they are in use. */
#include "core/net/tls.h"
#include "tests/support/tls_client.h"

#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
   struct tls_world *world = malloc(sizeof *world);
   tls_world_create(world);
   *state = world;
   return 0;
}

static int tear_down(void **state)
{
   tls_world_destroy(*state);
   free(*state);
   return 0;
}

static void assert_taken(const struct tls_world *world)
{
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   if (!tls)
      fail_msg("%s", status.text);
   kv_tls_destroy(tls);
}

static void assert_refused(const struct tls_world *world, const char *text)
{
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   assert_null(tls);
   if (!strstr(status.text, text))
      fail_msg("\"%s\" is not in: %s", text, status.text);
}

static void put_pair(const struct tls_world *world, const struct tls_pair *pair)
{
   tls_write_certificates(&world->folder, "server.pem", pair->certificate, NULL);
   tls_write_key(&world->folder, "server.key", pair, NULL);
}

static void trust(struct tls_world *world)
{
   tls_write_certificates(&world->folder, "clients.pem", world->authority.certificate, NULL);
   world->options.client_ca = world->client_ca;
}

/* ---- What is taken and what is not ---- */

static void test_keys_of_each_kind_are_taken(void **state)
{
   static const enum tls_key_kind kinds[] = {TLS_EC, TLS_RSA, TLS_ED25519};
   struct tls_world *world = *state;
   for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
      struct tls_pair pair = tls_sign(&world->authority, kinds[i], "server", NULL, NULL);
      put_pair(world, &pair);
      assert_taken(world);
      tls_pair_free(&pair);
   }
}

static void test_weak_key_is_refused(void **state)
{
   struct tls_world *world = *state;
   struct tls_pair pair = tls_sign(&world->authority, TLS_WEAK_RSA, "server", NULL, NULL);
   put_pair(world, &pair);
   assert_refused(world, "ee key too small");
   tls_pair_free(&pair);
}

static void test_key_of_another_certificate_is_refused_whatever_its_kind(void **state)
{
   static const enum tls_key_kind kinds[] = {TLS_EC, TLS_RSA, TLS_ED25519};
   struct tls_world *world = *state;
   for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
      struct tls_pair pair = tls_sign(&world->authority, kinds[i], "other", NULL, NULL);
      tls_write_key(&world->folder, "server.key", &pair, NULL);
      assert_refused(world, "is not the key of the certificate in");
      tls_pair_free(&pair);
   }
}

static void test_key_with_a_passphrase_is_refused_without_asking(void **state)
{
   struct tls_world *world = *state;
   tls_write_key(&world->folder, "server.key", &world->server, "secret");
   assert_refused(world, "is encrypted");
}

static void test_certificates_with_a_passphrase_are_refused_without_asking(void **state)
{
   static const char encrypted[] = "-----BEGIN CERTIFICATE-----\n"
                                   "Proc-Type: 4,ENCRYPTED\n"
                                   "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
                                   "AAAAAAAAAAAAAAAAAAAAAA==\n"
                                   "-----END CERTIFICATE-----\n";
   struct tls_world *world = *state;
   temporary_write(&world->folder, "clients.pem", encrypted, sizeof encrypted - 1);
   world->options.client_ca = world->client_ca;
   assert_refused(world, "tls-client-ca: ");
   temporary_write(&world->folder, "server.pem", encrypted, sizeof encrypted - 1);
   assert_refused(world, "tls-cert: ");
}

static void test_key_that_others_can_reach_is_refused_and_its_group_may_read(void **state)
{
   static const mode_t refused[] = {0604, 0602, 0601, 0660, 0620, 0777};
   struct tls_world *world = *state;
   for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
      assert_int_equal(chmod(world->key, refused[i]), 0);
      assert_refused(world, "chmod 600");
   }
   assert_int_equal(chmod(world->key, 0640), 0);
   assert_taken(world);
}

static void test_what_is_no_file_is_refused_without_waiting_for_it(void **state)
{
   struct tls_world *world = *state;
   assert_int_equal(unlink(world->key), 0);
   assert_int_equal(mkfifo(world->key, 0600), 0);
   assert_refused(world, "is not a file");
   assert_int_equal(unlink(world->key), 0);
   assert_refused(world, "No such file");
   assert_int_equal(unlink(world->certificate), 0);
   assert_int_equal(mkdir(world->certificate, 0700), 0);
   assert_refused(world, "is not a file");
}

static void test_client_ca_without_a_certificate_is_refused(void **state)
{
   struct tls_world *world = *state;
   trust(world);
   assert_taken(world);
   temporary_write(&world->folder, "clients.pem", "nothing", 7);
   assert_refused(world, "tls-client-ca: ");
   temporary_write(&world->folder, "clients.pem", "", 0);
   tls_append_revocations(&world->folder, "clients.pem", &world->authority, NULL);
   assert_refused(world, "tls-client-ca: ");
}

/* A file that is being written may end anywhere. None of its beginnings brings the server down, and
 * none is taken that ends within a key or a certificate. */
static void test_pair_that_ends_anywhere_is_refused_or_whole(void **state)
{
   struct tls_world *world = *state;
   struct kv_status status;
   const char *names[] = {"server.pem", "server.key"};
   for (size_t i = 0; i < 2; i++) {
      size_t size;
      char *whole = temporary_read(&world->folder, names[i], &size);
      for (size_t end = 0; end < size; end += end + 40 < size ? 5 : 1) {
         temporary_write(&world->folder, names[i], whole, end);
         struct kv_tls *tls = kv_tls_create(&world->options, &status);
         if (!tls)
            continue;
         assert_true(end + 1 >= size); /* all but the last line's end is there */
         kv_tls_destroy(tls);
      }
      temporary_write(&world->folder, names[i], whole, size);
      free(whole);
   }
   assert_taken(world);
}

/* ---- Files that change ---- */

static struct kv_tls_statistics statistics_of(struct kv_tls *tls)
{
   struct kv_tls_statistics statistics;
   kv_tls_statistics(tls, &statistics);
   return statistics;
}

static bool shows(const struct tls_world *world, struct kv_tls *tls, const struct tls_pair *pair)
{
   struct tls_client client;
   struct tls_server server;
   tls_client_create(&client, world, NULL);
   assert_int_equal(tls_shake(&client, &server, tls), KV_TLS_OPEN);
   bool same = X509_cmp(SSL_get0_peer_certificate(client.ssl), pair->certificate) == 0;
   tls_server_end(&server);
   tls_client_destroy(&client);
   return same;
}

static void test_look_reads_files_that_have_changed_and_no_others(void **state)
{
   struct tls_world *world = *state;
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   struct tls_pair renewed = tls_sign(&world->authority, TLS_RSA, "renewed", NULL, NULL);
   kv_tls_look(tls);
   assert_int_equal(statistics_of(tls).reloads, 0);
   put_pair(world, &renewed);
   kv_tls_look(tls);
   assert_int_equal(statistics_of(tls).reloads, 1);
   assert_true(shows(world, tls, &renewed));
   kv_tls_look(tls);
   assert_int_equal(statistics_of(tls).reloads, 1);
   tls_pair_free(&renewed);
   kv_tls_destroy(tls);
}

/* Each of these was once enough to end a server. */
static void test_bad_new_files_leave_the_old_ones_in_use(void **state)
{
   static const enum tls_key_kind kinds[] = {TLS_EC, TLS_RSA, TLS_ED25519};
   struct tls_world *world = *state;
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
      struct tls_pair other = tls_sign(&world->authority, kinds[i], "other", NULL, NULL);
      tls_write_key(&world->folder, "server.key", &other, NULL);
      kv_tls_reload(tls);
      tls_write_key(&world->folder, "server.key", &world->server, NULL);
      tls_write_certificates(&world->folder, "server.pem", other.certificate, NULL);
      kv_tls_reload(tls);
      tls_write_certificates(&world->folder, "server.pem", world->server.certificate, NULL);
      tls_pair_free(&other);
   }
   assert_int_equal(unlink(world->certificate), 0);
   kv_tls_look(tls);
   assert_int_equal(statistics_of(tls).reloads, 0);
   assert_int_equal(statistics_of(tls).failed_reloads, 7);
   assert_true(shows(world, tls, &world->server));
   tls_write_certificates(&world->folder, "server.pem", world->server.certificate, NULL);
   kv_tls_look(tls);
   assert_int_equal(statistics_of(tls).reloads, 1);
   kv_tls_destroy(tls);
}

static void test_session_keeps_the_files_that_it_began_with(void **state)
{
   struct tls_world *world = *state;
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   struct tls_pair renewed = tls_sign(&world->authority, TLS_EC, "renewed", NULL, NULL);
   struct tls_client client;
   struct tls_server server;
   tls_client_create(&client, world, NULL);
   tls_client_begin(&client);
   tls_server_begin(&server, tls);
   put_pair(world, &renewed);
   kv_tls_reload(tls);
   tls_carry(&client, &server, 100);
   assert_int_equal(kv_tls_session_state(server.session), KV_TLS_OPEN);
   assert_int_equal(X509_cmp(SSL_get0_peer_certificate(client.ssl), world->server.certificate), 0);
   assert_true(shows(world, tls, &renewed));
   tls_server_end(&server);
   tls_client_destroy(&client);
   tls_pair_free(&renewed);
   kv_tls_destroy(tls);
}

static void test_end_of_the_certificate_is_told(void **state)
{
   struct tls_world *world = *state;
   struct kv_status status;
   struct kv_tls *tls = kv_tls_create(&world->options, &status);
   struct tm end;
   assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(world->server.certificate), &end), 1);
   assert_int_equal(statistics_of(tls).not_after_s, timegm(&end));
   kv_tls_destroy(tls);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(test_keys_of_each_kind_are_taken),
       TEST(test_weak_key_is_refused),
       TEST(test_key_of_another_certificate_is_refused_whatever_its_kind),
       TEST(test_key_with_a_passphrase_is_refused_without_asking),
       TEST(test_certificates_with_a_passphrase_are_refused_without_asking),
       TEST(test_key_that_others_can_reach_is_refused_and_its_group_may_read),
       TEST(test_what_is_no_file_is_refused_without_waiting_for_it),
       TEST(test_client_ca_without_a_certificate_is_refused),
       TEST(test_pair_that_ends_anywhere_is_refused_or_whole),
       TEST(test_look_reads_files_that_have_changed_and_no_others),
       TEST(test_bad_new_files_leave_the_old_ones_in_use),
       TEST(test_session_keeps_the_files_that_it_began_with),
       TEST(test_end_of_the_certificate_is_told),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
