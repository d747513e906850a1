#include "core/support/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Any two releases must print the same for the same data. */
static void the_digest_of_known_entries_stays_what_it_is(void **state)
{
   (void)state;
   char text[KV_DIGEST_TEXT_SIZE];
   struct kv_digest *digest = kv_digest_create();
   assert_non_null(digest);
   kv_digest_text(digest, text);
   assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
   kv_digest_add(digest, kv_slice("a", 1), kv_slice("1", 1), 0);
   kv_digest_add(digest, kv_slice("b", 1), kv_slice(NULL, 0), 0);
   kv_digest_text(digest, text);
   assert_string_equal(text, "b0468f482a8dbf3a6802ab684f1809ec");
   kv_digest_destroy(digest);
}

static void time_of_expiry_is_part_of_the_digest(void **state)
{
   (void)state;
   char texts[2][KV_DIGEST_TEXT_SIZE];
   for (uint64_t expiry = 0; expiry < 2; expiry++) {
      struct kv_digest *digest = kv_digest_create();
      assert_non_null(digest);
      kv_digest_add(digest, kv_slice("a", 1), kv_slice("1", 1), expiry);
      kv_digest_text(digest, texts[expiry]);
      kv_digest_destroy(digest);
   }
   assert_string_not_equal(texts[0], texts[1]);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(the_digest_of_known_entries_stays_what_it_is),
       cmocka_unit_test(time_of_expiry_is_part_of_the_digest),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
