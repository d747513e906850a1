#include "core/service/keyvalue/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static ProtobufCBinaryData bytes(const char *text)
{
   return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static Kvstore__V1__KeyRange range_of(const char *prefix, const char *start, const char *end,
                                      const char *key)
{
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   range.prefix = bytes(prefix);
   range.start = bytes(start);
   range.end = bytes(end);
   range.key = bytes(key);
   return range;
}

static bool is_in(struct kv_key_range range, struct kv_slice key)
{
   return kv_slice_compare(key, range.start) >= 0 &&
          (range.end.size == 0 || kv_slice_compare(key, range.end) < 0);
}

/* What the proto says of a range. */
static bool should_hold(const Kvstore__V1__KeyRange *range, struct kv_slice key)
{
   const struct kv_slice prefix = kv_slice(range->prefix.data, range->prefix.len),
                         start = kv_slice(range->start.data, range->start.len),
                         end = kv_slice(range->end.data, range->end.len),
                         only = kv_slice(range->key.data, range->key.len);
   if (only.size > 0)
      return kv_slice_compare(key, only) == 0;
   return kv_slice_begins_with(key, prefix) && kv_slice_compare(key, start) >= 0 &&
          (end.size == 0 || kv_slice_compare(key, end) < 0);
}

static const char *const words[] = {"",   "a",  "aa", "ab", "aba",  "b", "ba",
                                    "bb", "a~", "b~", "~",  "\x01", "c", "abb"};
#define WORDS (sizeof words / sizeof *words)

static void a_range_holds_the_keys_for_which_all_that_is_set_holds(void **state)
{
   (void)state;
   struct kv_arena arena;
   kv_arena_init(&arena);
   struct kv_status status;
   for (size_t i = 0; i < WORDS * WORDS * WORDS; i++) {
      const Kvstore__V1__KeyRange message =
          range_of(words[i % WORDS], words[i / WORDS % WORDS], words[i / WORDS / WORDS], "");
      struct kv_key_range range;
      bool is_empty =
          kv_range_resolve("range", &message, &arena, &range, &status) == KV_INVALID_ARGUMENT;
      for (size_t j = 1; j < WORDS; j++)
         assert_int_equal(!is_empty && is_in(range, kv_slice_of(words[j])),
                          should_hold(&message, kv_slice_of(words[j])));
      kv_arena_reset(&arena);
   }
}

static void a_single_key_is_a_range_of_its_own(void **state)
{
   (void)state;
   struct kv_arena arena;
   kv_arena_init(&arena);
   struct kv_status status;
   struct kv_key_range range;
   const Kvstore__V1__KeyRange message = range_of("", "", "", "ab");
   assert_int_equal(kv_range_resolve("range", &message, &arena, &range, &status), KV_OK);
   assert_true(is_in(range, kv_slice_of("ab")));
   assert_false(is_in(range, kv_slice_of("aba")));
   assert_false(is_in(range, kv_slice_of("aa")));
   const Kvstore__V1__KeyRange both = range_of("a", "", "", "ab");
   assert_int_equal(kv_range_resolve("range", &both, &arena, &range, &status), KV_INVALID_ARGUMENT);
   assert_string_equal(status.reason, "FIELD_INVALID");
   kv_arena_reset(&arena);
}

static void the_servers_own_keys_are_in_no_range(void **state)
{
   (void)state;
   struct kv_arena arena;
   kv_arena_init(&arena);
   struct kv_status status;
   struct kv_key_range range;
   const Kvstore__V1__KeyRange all = range_of("", "", "", "");
   const Kvstore__V1__KeyRange *const messages[] = {NULL, &all};
   for (size_t i = 0; i < 2; i++) {
      assert_int_equal(kv_range_resolve("range", messages[i], &arena, &range, &status), KV_OK);
      assert_false(is_in(range, kv_slice("\0r", 2)));
      assert_true(is_in(range, kv_slice_of("\x01")));
      assert_true(is_in(range, kv_slice_of("\xf4\x8f\xbf\xbf")));
   }
}

/* A grant is enough for a range exactly if it is for every key that could be in it. */
static void a_grant_must_cover_all_keys_of_a_range(void **state)
{
   (void)state;
   struct kv_arena arena;
   kv_arena_init(&arena);
   const struct {
      const char *grant, *prefix, *start, *end, *key;
      bool may;
   } cases[] = {
       {"ab", "ab", "", "", "", true},       {"ab", "abc", "", "", "", true},
       {"ab", "a", "", "", "", false},       {"ab", "", "", "", "", false},
       {"ab", "", "ab", "ac", "", true},     {"ab", "", "aba", "abz", "", true},
       {"ab", "", "ab", "ad", "", false},    {"ab", "", "ab", "aca", "", false},
       {"ab", "", "aa", "ac", "", false},    {"ab", "", "ab", "", "", false},
       {"ab", "", "", "ac", "", false},      {"ab", "a", "ab", "ac", "", true},
       {"ab", "ab", "a", "z", "", true},     {"ab", "", "", "", "ab", true},
       {"ab", "", "", "", "abc", true},      {"ab", "", "", "", "a", false},
       {"ab", "", "ab", "ab\x01", "", true}, {"*", "", "", "", "", true},
       {"ab", "", "abzz", "ac", "", true},   {"b", "", "ab", "b", "", false},
       {"a", "", "a~", "b", "", true},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      char line[64];
      struct kv_status status;
      snprintf(line, sizeof line, "u read:%s uid=1\n", cases[i].grant);
      struct kv_users *users = kv_users_parse(kv_slice_of(line), &status);
      assert_non_null(users);
      const Kvstore__V1__KeyRange message =
          range_of(cases[i].prefix, cases[i].start, cases[i].end, cases[i].key);
      const struct kv_user *user = kv_users_of_uid(users, 1);
      if (kv_range_may(user, KV_ROLE_READ, &message) != cases[i].may)
         fail_msg("case %zu", i);
      struct kv_key_range range;
      assert_int_equal(kv_range_resolve("range", &message, &arena, &range, &status), KV_OK);
      if (kv_key_range_may(user, KV_ROLE_READ, &range) != cases[i].may)
         fail_msg("case %zu, resolved", i);
      assert_false(kv_range_may(user, KV_ROLE_WRITE, &message));
      assert_int_equal(kv_range_may(user, KV_ROLE_READ, NULL), cases[i].grant[0] == '*');
      kv_users_destroy(users);
   }
   kv_arena_reset(&arena);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_range_holds_the_keys_for_which_all_that_is_set_holds),
       cmocka_unit_test(a_single_key_is_a_range_of_its_own),
       cmocka_unit_test(the_servers_own_keys_are_in_no_range),
       cmocka_unit_test(a_grant_must_cover_all_keys_of_a_range),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
