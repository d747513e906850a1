/* gRPC's header fields as text. */
#include "core/rpc/http2/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct kv_slice of(const char *text)
{
   return kv_slice_of(text);
}

/* ---- grpc-timeout ---- */

static void a_timeout_in_each_unit_is_read_in_milliseconds(void **state)
{
   static const struct {
      const char *text;
      int64_t ms;
   } cases[] = {
       {"1H", 3600000}, {"2M", 120000},  {"3S", 3000}, {"4m", 4},
       {"5000u", 5},    {"6000000n", 6}, {"0m", 0},    {"00000007S", 7000},
   };
   (void)state;
   for (size_t i = 0; i < COUNT(cases); i++) {
      int64_t ms = -1;
      assert_true(kv_fields_timeout(of(cases[i].text), &ms));
      assert_int_equal(ms, cases[i].ms);
   }
}

static void a_part_of_a_millisecond_is_a_whole_one(void **state)
{
   static const char *const texts[] = {"1n", "1u", "999999n", "1000u", "1000000n"};
   int64_t ms;
   (void)state;
   for (size_t i = 0; i < COUNT(texts); i++) {
      assert_true(kv_fields_timeout(of(texts[i]), &ms));
      assert_int_equal(ms, 1);
   }
   assert_true(kv_fields_timeout(of("1001u"), &ms));
   assert_int_equal(ms, 2);
}

static void the_longest_timeout_does_not_overflow(void **state)
{
   int64_t ms;
   (void)state;
   assert_true(kv_fields_timeout(of("99999999H"), &ms));
   assert_int_equal(ms, INT64_C(99999999) * 3600000);
}

static void a_malformed_timeout_is_refused(void **state)
{
   static const char *const texts[] = {"",    "S",   "5",   "5s",         "5h",  "-5S",  "+5S",
                                       "5.S", " 5S", "5S ", "123456789S", "5SS", "soon", "0x5S"};
   (void)state;
   for (size_t i = 0; i < COUNT(texts); i++) {
      int64_t ms = -1;
      assert_false(kv_fields_timeout(of(texts[i]), &ms));
      assert_int_equal(ms, -1);
   }
   int64_t ms;
   assert_false(kv_fields_timeout(kv_slice("5\0S", 3), &ms));
   assert_false(kv_fields_timeout(kv_slice(NULL, 0), &ms));
}

/* ---- Names and types ---- */

static void
grpc_with_a_message_type_or_parameters_is_grpc_and_what_only_begins_so_is_not(void **state)
{
   static const char *const good[] = {"application/grpc", "application/grpc+proto",
                                      "application/grpc;charset=utf-8", "Application/GRPC+json"};
   static const char *const bad[] = {"",
                                     "application/grp",
                                     "application/grpc-web",
                                     "application/grpcx",
                                     "application/json",
                                     " application/grpc",
                                     "text/plain"};
   (void)state;
   for (size_t i = 0; i < COUNT(good); i++)
      assert_true(kv_fields_is_grpc(of(good[i])));
   for (size_t i = 0; i < COUNT(bad); i++)
      assert_false(kv_fields_is_grpc(of(bad[i])));
   assert_false(kv_fields_is_grpc(kv_slice(NULL, 0)));
}

static void encodings_are_known_by_their_exact_names(void **state)
{
   static const char *const unknown[] = {"", "Gzip", "gzip2", "br", "snappy", "identity "};
   (void)state;
   assert_int_equal(kv_fields_encoding(of("identity")), KV_IDENTITY);
   assert_int_equal(kv_fields_encoding(of("gzip")), KV_GZIP);
   assert_int_equal(kv_fields_encoding(of("deflate")), KV_DEFLATE);
   for (size_t i = 0; i < COUNT(unknown); i++)
      assert_int_equal(kv_fields_encoding(of(unknown[i])), KV_ENCODING_UNKNOWN);
}

static void each_encoding_that_is_accepted_is_known(void **state)
{
   struct kv_slice list = of(KV_FIELDS_ACCEPTED_ENCODINGS), name;
   size_t count = 0;
   (void)state;
   while (kv_fields_next_value(&list, &name)) {
      assert_int_not_equal(kv_fields_encoding(name), KV_ENCODING_UNKNOWN);
      count++;
   }
   assert_int_equal(count, KV_ENCODING_UNKNOWN);
}

/* ---- grpc-message ---- */

/* Encodes into a block of exactly `to_size` bytes, so that a sanitizer sees one byte too many. */
static void assert_message(const char *text, size_t size, size_t to_size, const char *expected)
{
   char *to = malloc(to_size + 1);
   assert_non_null(to);
   to[to_size] = '#';
   size_t used = kv_fields_encode_message(text, size, to, to_size);
   assert_int_equal(to[to_size], '#');
   assert_int_equal(used, strlen(expected));
   assert_memory_equal(to, expected, used);
   free(to);
}

static void printable_text_goes_as_it_is_and_all_else_in_percent(void **state)
{
   static const struct {
      const char *text, *encoded;
   } cases[] = {
       {"", ""},
       {"no such key \"k\" ~", "no such key \"k\" ~"},
       {"100%", "100%25"},
       {"a\nb\tc\x7f", "a%0Ab%09c%7F"},
       {"caf\xc3\xa9", "caf%C3%A9"},
       {"\xf0\x9f\x90\x98", "%F0%9F%90%98"},
       {"\xff\xc3", "%FF%C3"}, /* no UTF-8 */
   };
   (void)state;
   for (size_t i = 0; i < COUNT(cases); i++)
      assert_message(cases[i].text, strlen(cases[i].text),
                     KV_FIELDS_MESSAGE_GROWTH * strlen(cases[i].text), cases[i].encoded);
   assert_message("a\0b", 3, 9, "a%00b");
}

static void spaces_at_the_ends_are_encoded_as_http_2_allows_none_there(void **state)
{
   (void)state;
   assert_message(" a b ", 5, 15, "%20a b%20");
   assert_message(" ", 1, 3, "%20");
   assert_message("  a", 3, 9, "%20 a");
}

static void a_message_that_does_not_fit_is_cut_between_two_characters(void **state)
{
   (void)state;
   assert_message("abc", 3, 2, "ab");
   assert_message("abc", 3, 0, "");
   assert_message("a%", 2, 3, "a");
   assert_message("a%", 2, 4, "a%25");
   for (size_t room = 1; room < 7; room++)
      assert_message("a\xc3\xa9", 3, room, "a");
   assert_message("a\xc3\xa9", 3, 7, "a%C3%A9");
   assert_message("\xff\xff", 2, 5, "%FF");
   assert_message("a b", 3, 2, "a"); /* a space would end it */
}

/* ---- base64 ---- */

static const struct {
   const char *bytes, *padded;
} base64[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/"},
};

static void assert_decoded(const char *text, size_t text_size, const char *bytes)
{
   uint8_t *to = malloc(kv_fields_decoded_size_max(text_size));
   assert_non_null(to);
   size_t size = 0;
   assert_true(kv_fields_decode_binary(kv_slice(text, text_size), to, &size));
   assert_int_equal(size, strlen(bytes));
   assert_memory_equal(to, bytes, size);
   free(to);
}

static void base64_is_taken_with_padding_and_without(void **state)
{
   (void)state;
   for (size_t i = 0; i < COUNT(base64); i++) {
      assert_decoded(base64[i].padded, strlen(base64[i].padded), base64[i].bytes);
      assert_decoded(base64[i].padded, strcspn(base64[i].padded, "="), base64[i].bytes);
   }
}

static void base64_is_written_without_padding(void **state)
{
   (void)state;
   for (size_t i = 0; i < COUNT(base64); i++) {
      const size_t size = strcspn(base64[i].padded, "=");
      assert_int_equal(kv_fields_encoded_size(strlen(base64[i].bytes)), size);
      char *to = malloc(size + 1);
      assert_non_null(to);
      assert_int_equal(kv_fields_encode_binary(of(base64[i].bytes), to), size);
      assert_memory_equal(to, base64[i].padded, size);
      free(to);
   }
}

static void every_byte_survives_base64_also_in_place(void **state)
{
   uint8_t bytes[256], text[400];
   (void)state;
   for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (uint8_t)i;
   for (size_t size = 0; size <= sizeof bytes; size++) {
      const size_t length = kv_fields_encode_binary(kv_slice(bytes, size), (char *)text);
      assert_int_equal(length, kv_fields_encoded_size(size));
      size_t decoded;
      assert_true(kv_fields_decode_binary(kv_slice(text, length), text, &decoded));
      assert_int_equal(decoded, size);
      assert_memory_equal(text, bytes, size);
   }
}

static void what_is_no_base64_is_refused(void **state)
{
   static const char *const texts[] = {"Z",    "Zm9vY", "Zg=",  "Z===", "====", "=",     "Zg==Zg==",
                                       "Zm9 ", "Zm-_",  "Zm9!", "Zm,v", "Zg=A", "Zm8==", "Zm9v="};
   (void)state;
   for (size_t i = 0; i < COUNT(texts); i++) {
      uint8_t to[16];
      size_t size;
      assert_false(kv_fields_decode_binary(of(texts[i]), to, &size));
   }
}

static void joined_values_are_cut_apart_at_the_commas(void **state)
{
   static const struct {
      const char *list, *values[4];
   } cases[] = {
       {"Zg==", {"Zg=="}}, {"a,b", {"a", "b"}},           {" a ,\tb c , d", {"a", "b c", "d"}},
       {"", {""}},         {"a,,b,", {"a", "", "b", ""}},
   };
   (void)state;
   for (size_t i = 0; i < COUNT(cases); i++) {
      struct kv_slice list = of(cases[i].list), value;
      for (size_t k = 0; k < COUNT(cases[i].values) && cases[i].values[k]; k++) {
         assert_true(kv_fields_next_value(&list, &value));
         assert_int_equal(kv_slice_compare(value, of(cases[i].values[k])), 0);
      }
      assert_false(kv_fields_next_value(&list, &value));
   }
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_timeout_in_each_unit_is_read_in_milliseconds),
       cmocka_unit_test(a_part_of_a_millisecond_is_a_whole_one),
       cmocka_unit_test(the_longest_timeout_does_not_overflow),
       cmocka_unit_test(a_malformed_timeout_is_refused),
       cmocka_unit_test(
           grpc_with_a_message_type_or_parameters_is_grpc_and_what_only_begins_so_is_not),
       cmocka_unit_test(encodings_are_known_by_their_exact_names),
       cmocka_unit_test(each_encoding_that_is_accepted_is_known),
       cmocka_unit_test(printable_text_goes_as_it_is_and_all_else_in_percent),
       cmocka_unit_test(spaces_at_the_ends_are_encoded_as_http_2_allows_none_there),
       cmocka_unit_test(a_message_that_does_not_fit_is_cut_between_two_characters),
       cmocka_unit_test(base64_is_taken_with_padding_and_without),
       cmocka_unit_test(base64_is_written_without_padding),
       cmocka_unit_test(every_byte_survives_base64_also_in_place),
       cmocka_unit_test(what_is_no_base64_is_refused),
       cmocka_unit_test(joined_values_are_cut_apart_at_the_commas),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
