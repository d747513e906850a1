/* TLS as a filter: records cut anywhere, and clients that say too much. */
#include "tests/support/tls_pairing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Records ---- */

static void test_records_may_be_cut_at_every_byte(void **state)
{
   static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
   struct tls_pairing *all = *state;
   for (size_t i = 0; i < 2; i++) {
      SSL_CTX_set_max_proto_version(all->client.context, versions[i]);
      for (size_t piece = 1; piece < 300; piece++) {
         tls_client_begin(&all->client);
         tls_server_begin(&all->server, all->tls);
         tls_carry(&all->client, &all->server, piece);
         assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_OPEN);
         tls_assert_echoes(all, piece);
         tls_server_end(&all->server);
      }
   }
}

/* Whatever byte of what a client says is changed, nothing of it is taken for data. */
static void test_record_with_any_byte_changed_breaks_the_session(void **state)
{
   struct tls_pairing *all = *state;
   size_t size = 1;
   for (size_t at = 0; at < size; at++) {
      uint8_t record[100];
      size_t written, got;
      tls_assert_shakes(all);
      assert_int_equal(SSL_write_ex(all->client.ssl, "a question", 10, &written), 1);
      size = (size_t)BIO_read(all->client.says, record, sizeof record);
      record[at] ^= 1;
      kv_tls_session_arrived(all->server.session, kv_slice(record, size));
      got = kv_tls_session_read(all->server.session, all->server.got, sizeof all->server.got,
                                tls_server_sink(&all->server));
      assert_int_equal(got, 0);
      if (at != 3) /* the length's high byte: then the record has not arrived whole */
         assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_BROKEN);
      tls_server_end(&all->server);
   }
   assert_true(size > 10);
}

static void test_output_in_the_smallest_records_fits_where_the_engine_puts_it(void **state)
{
   enum { OUTPUT = 128 * 1024 + 16 * 1024 + 9, SPACE = 160 * 1024 };
   static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
   struct tls_pairing *all = *state;
   uint8_t *output = calloc(1, OUTPUT), *told = malloc(OUTPUT);
   SSL_CTX_set_tlsext_max_fragment_length(all->client.context, TLSEXT_max_fragment_length_512);
   for (size_t i = 0; i < 2; i++) {
      SSL_CTX_set_max_proto_version(all->client.context, versions[i]);
      tls_assert_shakes(all);
      all->server.most = SPACE;
      for (size_t at = 0; at < OUTPUT; at += KV_TLS_RECORD_SIZE) {
         size_t left = OUTPUT - at;
         assert_true(kv_tls_session_write(all->server.session, output + at,
                                          left < KV_TLS_RECORD_SIZE ? left : KV_TLS_RECORD_SIZE,
                                          tls_server_sink(&all->server)));
      }
      tls_carry(&all->client, &all->server, 16 * 1024);
      assert_int_equal(tls_client_read(&all->client, told, OUTPUT), OUTPUT);
      tls_server_end(&all->server);
   }
   free(output);
   free(told);
}

static void test_session_that_has_no_space_to_write_is_broken(void **state)
{
   struct tls_pairing *all = *state;
   tls_assert_shakes(all);
   all->server.most = 5;
   assert_false(
       kv_tls_session_write(all->server.session, "an answer", 9, tls_server_sink(&all->server)));
   assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_BROKEN);
   tls_server_end(&all->server);
}

static void test_each_side_can_say_that_nothing_more_follows(void **state)
{
   struct tls_pairing *all = *state;
   char told[10];
   tls_assert_shakes(all);
   kv_tls_session_end(all->server.session, tls_server_sink(&all->server));
   kv_tls_session_end(all->server.session, tls_server_sink(&all->server));
   tls_carry(&all->client, &all->server, 100);
   assert_int_equal(tls_client_read(&all->client, told, sizeof told), 0);
   assert_int_equal(SSL_get_shutdown(all->client.ssl), SSL_RECEIVED_SHUTDOWN);
   assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_OPEN);
   SSL_shutdown(all->client.ssl);
   tls_carry(&all->client, &all->server, 100);
   assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_CLOSED);
   tls_server_end(&all->server);
}

static void say(struct tls_pairing *all, const void *data, size_t size)
{
   size_t written;
   assert_int_equal(SSL_write_ex(all->client.ssl, data, size, &written), 1);
   tls_carry(&all->client, &all->server, 16 * 1024);
}

/* ---- Clients that say too much ---- */

static void test_flood_of_new_keys_ends_the_session(void **state)
{
   struct tls_pairing *all = *state;
   unsigned taken = 0;
   tls_assert_shakes(all);
   while (kv_tls_session_state(all->server.session) == KV_TLS_OPEN && taken < 1000) {
      assert_int_equal(SSL_key_update(all->client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
      assert_int_equal(SSL_do_handshake(all->client.ssl), 1);
      tls_carry(&all->client, &all->server, 1000);
      taken++;
   }
   assert_in_range(taken, 10, 100);
   assert_string_equal(kv_tls_session_error(all->server.session),
                       "it sends too many records that are no data");
   tls_server_end(&all->server);
}

static void change_keys(struct tls_pairing *all, unsigned times)
{
   for (unsigned i = 0; i < times; i++) {
      assert_int_equal(SSL_key_update(all->client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
      assert_int_equal(SSL_do_handshake(all->client.ssl), 1);
   }
}

/* In one read, as it comes from a client that hurries: the server does not do all of it first. */
static void assert_flood_is_not_worked_off(struct tls_pairing *all)
{
   uint8_t flood[32 * 1024];
   int size = BIO_read(all->client.says, flood, sizeof flood);
   kv_tls_session_arrived(all->server.session, kv_slice(flood, (size_t)size));
   assert_int_equal(kv_tls_session_read(all->server.session, all->server.got,
                                        sizeof all->server.got, tls_server_sink(&all->server)),
                    0);
   assert_int_equal(kv_tls_session_state(all->server.session), KV_TLS_BROKEN);
   assert_true(BIO_ctrl_pending(all->server.says) < 2000);
   tls_server_end(&all->server);
}

static void test_flood_that_arrives_at_once_is_not_worked_off(void **state)
{
   struct tls_pairing *all = *state;
   tls_assert_shakes(all);
   change_keys(all, 500);
   assert_flood_is_not_worked_off(all);
}

static void test_flood_that_arrives_with_the_end_of_the_handshake_is_not_worked_off(void **state)
{
   struct tls_pairing *all = *state;
   uint8_t data[16 * 1024];
   tls_client_begin(&all->client);
   tls_server_begin(&all->server, all->tls);
   assert_int_equal(SSL_do_handshake(all->client.ssl), -1);
   int size = BIO_read(all->client.says, data, sizeof data);
   kv_tls_session_arrived(all->server.session, kv_slice(data, (size_t)size));
   assert_int_equal(kv_tls_session_read(all->server.session, all->server.got,
                                        sizeof all->server.got, tls_server_sink(&all->server)),
                    0);
   size = BIO_read(all->server.says, data, sizeof data);
   assert_int_equal(BIO_write(all->client.told, data, size), size);
   assert_int_equal(SSL_do_handshake(all->client.ssl), 1);
   change_keys(all, 500);
   assert_flood_is_not_worked_off(all);
}

static void test_new_keys_now_and_then_are_taken_for_ever(void **state)
{
   struct tls_pairing *all = *state;
   uint8_t *data = calloc(1, 64 * 1024);
   tls_assert_shakes(all);
   for (unsigned i = 0; i < 100; i++) {
      for (unsigned part = 0; part < 8; part++) {
         all->server.got_size = 0;
         say(all, data, 8 * 1024);
         assert_int_equal(all->server.got_size, 8 * 1024);
      }
      assert_int_equal(SSL_key_update(all->client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
      assert_int_equal(SSL_do_handshake(all->client.ssl), 1);
      tls_assert_echoes(all, 1000);
   }
   tls_server_end(&all->server);
   free(data);
}

static void test_handshake_that_is_too_large_ends(void **state)
{
   struct tls_pairing *all = *state;
   /* A hello of 128 KiB, in whole records. */
   static const uint8_t begin[] = {22, 3, 1, 64, 0, 1, 1, 255, 252, 3, 3};
   uint8_t record[5 + 16 * 1024] = {0};
   size_t size = 0;
   tls_server_begin(&all->server, all->tls);
   memcpy(record, begin, sizeof begin);
   while (size < 128 * 1024 && kv_tls_session_state(all->server.session) == KV_TLS_SHAKING) {
      kv_tls_session_arrived(all->server.session, kv_slice(record, sizeof record));
      kv_tls_session_read(all->server.session, all->server.got, sizeof all->server.got,
                          tls_server_sink(&all->server));
      size += sizeof record;
   }
   assert_true(size <= 64 * 1024);
   assert_string_equal(kv_tls_session_error(all->server.session), "its handshake is too large");
   tls_server_end(&all->server);
}

static void test_ends_of_handshakes_are_counted(void **state)
{
   struct tls_pairing *all = *state;
   struct kv_tls_statistics statistics;
   tls_assert_shakes(all);
   tls_server_end(&all->server);
   tls_server_begin(&all->server, all->tls);
   tls_server_end(&all->server); /* who says nothing, as a health check, has not failed */
   tls_server_begin(&all->server, all->tls);
   kv_tls_session_arrived(all->server.session, kv_slice("\26\3", 2));
   kv_tls_session_read(all->server.session, all->server.got, 10, tls_server_sink(&all->server));
   tls_server_end(&all->server);
   kv_tls_statistics(all->tls, &statistics);
   assert_int_equal(statistics.handshakes, 1);
   assert_int_equal(statistics.failed_handshakes, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_set_up, tls_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(test_records_may_be_cut_at_every_byte),
       TEST(test_record_with_any_byte_changed_breaks_the_session),
       TEST(test_output_in_the_smallest_records_fits_where_the_engine_puts_it),
       TEST(test_session_that_has_no_space_to_write_is_broken),
       TEST(test_each_side_can_say_that_nothing_more_follows),
       TEST(test_flood_of_new_keys_ends_the_session),
       TEST(test_flood_that_arrives_at_once_is_not_worked_off),
       TEST(test_flood_that_arrives_with_the_end_of_the_handshake_is_not_worked_off),
       TEST(test_new_keys_now_and_then_are_taken_for_ever),
       TEST(test_handshake_that_is_too_large_ends),
       TEST(test_ends_of_handshakes_are_counted),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
