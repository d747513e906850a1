/* Resets of streams that were never opened are left out of what arrives. */
#include "core/rpc/http2/sieve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FRAME(size, type, stream) "\0\0" size type "\0\0\0\0" stream
#define OPENED(stream) FRAME("\3", "\1", stream) "abc"
#define RESET(stream) FRAME("\4", "\3", stream) "\0\0\0\10"
#define PING FRAME("\10", "\6", "\0") "\0\0\4\3\0\0\0\0"
#define BYTES(text) kv_slice(text, sizeof(text) - 1)

struct result {
   uint8_t data[256];
   size_t size;
   unsigned dropped;
};

static void receive(struct kv_http2_sieve *sieve, struct kv_slice arrived, struct result *result)
{
   while (arrived.size > 0) {
      bool dropped;
      const struct kv_slice piece = kv_http2_sieve_next(sieve, &arrived, &dropped);
      if (piece.size > 0)
         memcpy(result->data + result->size, piece.data, piece.size);
      result->size += piece.size;
      result->dropped += dropped;
   }
}

/* Whatever the pieces are in which it arrives. */
static void assert_sifted(struct kv_slice arrived, struct kv_slice expected, unsigned dropped)
{
   for (size_t first = 0; first <= arrived.size; first++) {
      for (size_t each = 1; each <= arrived.size; each += each < 30 ? 1 : arrived.size) {
         struct kv_http2_sieve sieve = {0};
         struct result result = {0};
         receive(&sieve, kv_slice(arrived.data, first), &result);
         for (size_t at = first; at < arrived.size; at += each)
            receive(&sieve,
                    kv_slice((const uint8_t *)arrived.data + at,
                             each < arrived.size - at ? each : arrived.size - at),
                    &result);
         assert_int_equal(result.size, expected.size);
         assert_memory_equal(result.data, expected.data, expected.size);
         assert_int_equal(result.dropped, dropped);
      }
   }
}

static void what_arrives_is_handed_on_as_it_is(void **state)
{
   (void)state;
   assert_sifted(BYTES(PREFACE PING OPENED("\1") PING), BYTES(PREFACE PING OPENED("\1") PING), 0);
}

static void a_reset_of_a_stream_that_was_never_opened_is_left_out(void **state)
{
   (void)state;
   assert_sifted(BYTES(PREFACE RESET("\1") PING), BYTES(PREFACE PING), 1);
   assert_sifted(BYTES(PREFACE RESET("\3") OPENED("\1") RESET("\5") RESET("\7") OPENED("\11")),
                 BYTES(PREFACE OPENED("\1") OPENED("\11")), 3);
}

static void a_reset_of_a_stream_that_is_open_or_was_is_handed_on(void **state)
{
   (void)state;
   assert_sifted(BYTES(PREFACE OPENED("\5") RESET("\5") RESET("\5") RESET("\3")),
                 BYTES(PREFACE OPENED("\5") RESET("\5") RESET("\5") RESET("\3")), 0);
}

static void a_reset_that_is_wrong_in_another_way_is_handed_on(void **state)
{
   (void)state;
   assert_sifted(BYTES(PREFACE RESET("\0") RESET("\2")), BYTES(PREFACE RESET("\0") RESET("\2")), 0);
   assert_sifted(BYTES(PREFACE FRAME("\3", "\3", "\1") "abc"),
                 BYTES(PREFACE FRAME("\3", "\3", "\1") "abc"), 0);
}

static void the_payload_of_a_frame_is_never_taken_for_a_frame(void **state)
{
   (void)state;
   assert_sifted(BYTES(PREFACE FRAME("\15", "\0", "\1") RESET("\1") FRAME("\0", "\0", "\1")),
                 BYTES(PREFACE FRAME("\15", "\0", "\1") RESET("\1") FRAME("\0", "\0", "\1")), 0);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(what_arrives_is_handed_on_as_it_is),
       cmocka_unit_test(a_reset_of_a_stream_that_was_never_opened_is_left_out),
       cmocka_unit_test(a_reset_of_a_stream_that_is_open_or_was_is_handed_on),
       cmocka_unit_test(a_reset_that_is_wrong_in_another_way_is_handed_on),
       cmocka_unit_test(the_payload_of_a_frame_is_never_taken_for_a_frame),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
