#include "core/service/validate.h"

#include "core/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct sample {
   const char *bytes;
   size_t size;
   size_t bad_offset; /* only of bad ones */
};

#define SAMPLE(literal, bad_offset)                                                                \
   {                                                                                               \
      literal, sizeof(literal) - 1, bad_offset                                                     \
   }

static void text_of_every_length_of_sequence_passes(void **state)
{
   (void)state;
   static const struct sample good[] = {
       SAMPLE("", 0),
       SAMPLE("plain", 0),
       SAMPLE("\x01\x7f", 0),         /* all of ASCII but NUL */
       SAMPLE("\xc2\x80\xdf\xbf", 0), /* U+0080, U+07FF */
       SAMPLE("\xe0\xa0\x80", 0),     /* U+0800 */
       SAMPLE("\xed\x9f\xbf", 0),     /* U+D7FF, the last before the surrogates */
       SAMPLE("\xee\x80\x80", 0),     /* U+E000, the first after them */
       SAMPLE("\xef\xbf\xbf", 0),     /* U+FFFF */
       SAMPLE("\xf0\x90\x80\x80", 0), /* U+10000 */
       SAMPLE("\xf4\x8f\xbf\xbf", 0), /* U+10FFFF */
   };
   for (size_t i = 0; i < COUNT(good); i++)
      assert_int_equal(kv_validate_text(kv_slice(good[i].bytes, good[i].size)), good[i].size);
}

static void text_that_is_no_utf8_is_found_at_its_first_bad_byte(void **state)
{
   (void)state;
   static const struct sample bad[] = {
       SAMPLE("ab\0c", 2),                /* NUL */
       SAMPLE("\x80", 0),                 /* a continuation without a start */
       SAMPLE("a\xbf", 1),                /* the same */
       SAMPLE("\xc0\x80", 0),             /* overlong NUL */
       SAMPLE("\xc1\xbf", 0),             /* overlong U+007F */
       SAMPLE("x\xc3", 1),                /* cut off after 1 of 2 */
       SAMPLE("\xc3(", 0),                /* no continuation */
       SAMPLE("\xe0\x9f\xbf", 0),         /* overlong U+07FF */
       SAMPLE("\xed\xa0\x80", 0),         /* surrogate U+D800 */
       SAMPLE("\xed\xbf\xbf", 0),         /* surrogate U+DFFF */
       SAMPLE("ok\xe2\x82", 2),           /* cut off after 2 of 3 */
       SAMPLE("\xe2(\xa1", 0),            /* no continuation at 2 */
       SAMPLE("\xe2\x82(", 0),            /* no continuation at 3 */
       SAMPLE("\xf0\x8f\xbf\xbf", 0),     /* overlong U+FFFF */
       SAMPLE("\xf4\x90\x80\x80", 0),     /* above U+10FFFF */
       SAMPLE("\xf5\x80\x80\x80", 0),     /* no such start */
       SAMPLE("abc\xf0\x9f\x98", 3),      /* cut off after 3 of 4 */
       SAMPLE("\xf0\x9f\x98(", 0),        /* no continuation at 4 */
       SAMPLE("\xff", 0),                 /* never in UTF-8 */
       SAMPLE("\xc3\xa4\xc3\xa4\xfe", 4), /* after good ones */
   };
   for (size_t i = 0; i < COUNT(bad); i++)
      assert_int_equal(kv_validate_text(kv_slice(bad[i].bytes, bad[i].size)), bad[i].bad_offset);
}

/* Refused, with all of `parts` in the text. */
static void assert_refused(enum kv_code code, const struct kv_status *status, const char *part,
                           const char *other_part)
{
   assert_int_equal(code, KV_INVALID_ARGUMENT);
   assert_non_null(strstr(status->text, part));
   assert_non_null(strstr(status->text, other_part));
}

static void a_key_has_1_to_65536_bytes(void **state)
{
   (void)state;
   struct kv_status status;
   char *long_key = malloc(KV_KEY_SIZE_MAX + 1);
   assert_non_null(long_key);
   memset(long_key, 'k', KV_KEY_SIZE_MAX + 1);

   assert_int_equal(kv_validate_key("key", kv_slice_of("k"), &status), KV_OK);
   assert_int_equal(kv_validate_key("key", kv_slice(long_key, KV_KEY_SIZE_MAX), &status), KV_OK);
   assert_refused(kv_validate_key("key", kv_slice(long_key, KV_KEY_SIZE_MAX + 1), &status), &status,
                  "key: 65537 bytes given", "at most 65536");
   assert_refused(kv_validate_key("key", kv_slice(NULL, 0), &status), &status, "key: is empty",
                  "1 to 65536");
   free(long_key);
}

static void a_refused_key_is_reported_with_its_field_byte_and_offset(void **state)
{
   (void)state;
   struct kv_status status;
   const char *field = "operations[3].set.key";
   assert_refused(kv_validate_key(field, kv_slice("ab\xff", 3), &status), &status, field,
                  "0xff at offset 2");
   assert_refused(kv_validate_key(field, kv_slice("a\0b", 3), &status), &status, "0x00 at offset 1",
                  "without NUL");
}

static void a_prefix_may_be_empty_and_is_else_like_a_key(void **state)
{
   (void)state;
   struct kv_status status;
   assert_int_equal(kv_validate_prefix("prefix", kv_slice(NULL, 0), &status), KV_OK);
   assert_int_equal(kv_validate_prefix("prefix", kv_slice_of("user:"), &status), KV_OK);
   assert_refused(kv_validate_prefix("prefix", kv_slice("\xc3", 1), &status), &status,
                  "prefix:", "0xc3 at offset 0");
}

static void a_value_is_any_bytes_up_to_the_limit(void **state)
{
   (void)state;
   struct kv_status status;
   assert_int_equal(kv_validate_value("value", kv_slice("\0\xff\xfe", 3), 3, &status), KV_OK);
   assert_int_equal(kv_validate_value("value", kv_slice(NULL, 0), 0, &status), KV_OK);
   assert_refused(kv_validate_value("value", kv_slice("four", 4), 3, &status), &status,
                  "value: 4 bytes given", "at most 3");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(text_of_every_length_of_sequence_passes),
       cmocka_unit_test(text_that_is_no_utf8_is_found_at_its_first_bad_byte),
       cmocka_unit_test(a_key_has_1_to_65536_bytes),
       cmocka_unit_test(a_refused_key_is_reported_with_its_field_byte_and_offset),
       cmocka_unit_test(a_prefix_may_be_empty_and_is_else_like_a_key),
       cmocka_unit_test(a_value_is_any_bytes_up_to_the_limit),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
