/* Page tokens, made and read without a server. */
#include "core/service/keyvalue/page_token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define DIGEST UINT64_C(0x0123456789abcdef)

static int set_up(void **state)
{
   static struct kv_arena arena;
   kv_arena_init(&arena);
   *state = &arena;
   return 0;
}

static int tear_down(void **state)
{
   kv_arena_reset(*state);
   return 0;
}

static const struct kv_key_range range_of_b = {{"b", 1}, {"c", 1}};

static enum kv_code apply(struct kv_arena *arena, struct kv_slice token, bool descending,
                          struct kv_key_range *range)
{
   struct kv_status status;
   *range = range_of_b;
   enum kv_code code = kv_page_token_apply(token, DIGEST, descending, arena, range, &status);
   if (code != KV_OK)
      assert_string_equal(status.reason, "PAGE_TOKEN_INVALID");
   return code;
}

static void assert_is(struct kv_slice slice, const char *bytes, size_t size)
{
   assert_int_equal(slice.size, size);
   assert_memory_equal(slice.data, bytes, size);
}

static void a_page_begins_behind_the_last_key_of_the_one_before(void **state)
{
   struct kv_key_range range;
   const struct kv_slice token = kv_page_token_write(DIGEST, kv_slice("bc", 2), *state);
   assert_int_equal(apply(*state, token, false, &range), KV_OK);
   assert_is(range.start, "bc\0", 3);
   assert_is(range.end, "c", 1);
   assert_int_equal(apply(*state, token, true, &range), KV_OK);
   assert_is(range.start, "b", 1);
   assert_is(range.end, "bc", 2);
}

static void a_token_is_text_of_the_longest_key(void **state)
{
   static char key[KV_KEY_SIZE_MAX];
   struct kv_key_range range;
   memset(key, 'b', sizeof key);
   const struct kv_slice token = kv_page_token_write(DIGEST, kv_slice(key, sizeof key), *state);
   for (size_t i = 0; i < token.size; i++)
      assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
                             ((const char *)token.data)[i]));
   assert_int_equal(apply(*state, token, false, &range), KV_OK);
   assert_int_equal(range.start.size, sizeof key + 1);
}

static void a_token_of_a_key_outside_the_range_is_refused(void **state)
{
   static const struct kv_slice keys[] = {{"a", 1}, {"c", 1}, {"\0r", 2}, {"b\0", 2}, {"b\xff", 2}};
   struct kv_key_range range;
   for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
      const struct kv_slice token = kv_page_token_write(DIGEST, keys[i], *state);
      assert_int_equal(apply(*state, token, false, &range), KV_INVALID_ARGUMENT);
      assert_int_equal(apply(*state, token, true, &range), KV_INVALID_ARGUMENT);
   }
}

static void what_is_no_token_is_refused(void **state)
{
   struct kv_key_range range;
   const struct kv_slice token = kv_page_token_write(DIGEST, kv_slice("bcdefg", 6), *state);
   assert_int_equal(apply(*state, kv_slice_of("b"), false, &range), KV_INVALID_ARGUMENT);
   assert_int_equal(apply(*state, kv_slice("AQ==", 4), false, &range), KV_INVALID_ARGUMENT);
   for (size_t size = 1; size <= 13; size++) /* short of a key */
      assert_int_equal(apply(*state, kv_slice(token.data, size), false, &range),
                       KV_INVALID_ARGUMENT);
   const struct kv_slice other = kv_page_token_write(DIGEST + 1, kv_slice("b", 1), *state);
   assert_int_equal(apply(*state, other, false, &range), KV_INVALID_ARGUMENT);
}

static void requests_that_differ_in_more_than_their_place_have_different_digests(void **state)
{
   (void)state;
   Kvstore__V1__ScanRequest request = KVSTORE__V1__SCAN_REQUEST__INIT;
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   const uint64_t all = kv_page_digest(&request);
   request.limit = 7;
   request.page_token = (ProtobufCBinaryData){1, (uint8_t *)"x"};
   assert_int_equal(kv_page_digest(&request), all);
   request.range = &range;
   ProtobufCBinaryData *const fields[] = {&range.prefix, &range.start, &range.end, &range.key};
   uint64_t seen[4];
   for (size_t i = 0; i < 4; i++) {
      *fields[i] = (ProtobufCBinaryData){1, (uint8_t *)"x"};
      seen[i] = kv_page_digest(&request);
      *fields[i] = (ProtobufCBinaryData){0};
      for (size_t j = 0; j < i; j++)
         assert_int_not_equal(seen[i], seen[j]);
   }
   request.descending = true;
   assert_int_not_equal(kv_page_digest(&request), all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_page_begins_behind_the_last_key_of_the_one_before),
       TEST(a_token_is_text_of_the_longest_key),
       TEST(a_token_of_a_key_outside_the_range_is_refused),
       TEST(what_is_no_token_is_refused),
       TEST(requests_that_differ_in_more_than_their_place_have_different_digests),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
