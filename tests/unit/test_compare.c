#include "core/control/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* A store that holds the words of "key=value key=value", at `sequence`. */
static struct kv_store *store_of(const char *words, uint64_t sequence)
{
   struct kv_store *store = kv_store_create();
   assert_non_null(store);
   struct kv_transaction *transaction = kv_store_begin(store);
   assert_non_null(transaction);
   while (*words) {
      size_t key = strcspn(words, "="), value = strcspn(words + key + 1, " ");
      assert_true(kv_transaction_set(transaction, kv_slice(words, key),
                                     kv_slice(words + key + 1, value), 0, sequence));
      words += key + 1 + value;
      words += *words == ' ';
   }
   kv_transaction_commit(transaction, sequence);
   return store;
}

static struct kv_comparison compare_at(const char *first, uint64_t first_sequence,
                                       const char *second, uint64_t second_sequence)
{
   struct kv_store *stores[] = {store_of(first, first_sequence), store_of(second, second_sequence)};
   struct kv_store_view *views[] = {kv_store_view_create(stores[0]),
                                    kv_store_view_create(stores[1])};
   struct kv_comparison comparison;
   assert_true(kv_compare(kv_store_view_version(views[0]), kv_store_view_version(views[1]), false,
                          &comparison));
   for (int i = 0; i < 2; i++) {
      kv_store_view_destroy(views[i]);
      kv_store_destroy(stores[i]);
   }
   return comparison;
}

static struct kv_comparison compare(const char *first, const char *second)
{
   return compare_at(first, 1, second, 1);
}

static void equal_data_has_equal_digests_in_whatever_order_it_came(void **state)
{
   (void)state;
   const char *const pairs[][2] = {{"", ""}, {"a=1", "a=1"}, {"a=1 b= c=3", "c=3 a=1 b="}};
   for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
      struct kv_comparison comparison = compare(pairs[i][0], pairs[i][1]);
      assert_int_equal(comparison.difference, KV_DIFFERENCE_NONE);
      assert_int_equal(comparison.differences, 0);
      assert_string_equal(comparison.first_digest, comparison.second_digest);
      assert_int_equal(strlen(comparison.first_digest), 32);
   }
}

static void the_lowest_key_that_differs_is_reported_and_all_are_counted(void **state)
{
   (void)state;
   const struct {
      const char *first, *second, *key;
      enum kv_difference difference;
      uint64_t differences;
   } cases[] = {
       {"a=1 b=2", "a=1", "b", KV_DIFFERENCE_MISSING, 1},
       {"b=2", "a=1 b=2", "a", KV_DIFFERENCE_EXTRA, 1},
       {"a=1 b=2 c=3", "a=1 b=3 d=4", "b", KV_DIFFERENCE_VALUE, 3},
       {"a=1", "a=", "a", KV_DIFFERENCE_VALUE, 1},
       {"a=1", "ab=1", "a", KV_DIFFERENCE_MISSING, 2},
       {"a=1 b=2 c=3", "", "a", KV_DIFFERENCE_MISSING, 3},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      struct kv_comparison comparison = compare(cases[i].first, cases[i].second);
      assert_int_equal(comparison.difference, cases[i].difference);
      assert_int_equal(comparison.differences, cases[i].differences);
      assert_int_equal(comparison.key_size, strlen(cases[i].key));
      assert_memory_equal(comparison.key, cases[i].key, comparison.key_size);
      assert_string_not_equal(comparison.first_digest, comparison.second_digest);
   }
}

static void another_time_of_expiry_is_another_value(void **state)
{
   (void)state;
   static const int64_t times[] = {0, 1000, 2000};
   struct kv_store *stores[3];
   struct kv_store_view *views[3];
   for (size_t i = 0; i < 3; i++) {
      stores[i] = kv_store_create();
      struct kv_transaction *transaction = kv_store_begin(stores[i]);
      assert_true(kv_transaction_set(transaction, kv_slice_of("a"), kv_slice_of("1"), times[i], 1));
      kv_transaction_commit(transaction, 1);
      views[i] = kv_store_view_create(stores[i]);
   }
   for (size_t i = 0; i < 3; i++) {
      for (size_t j = 0; j < 3; j++) {
         struct kv_comparison comparison;
         assert_true(kv_compare(kv_store_view_version(views[i]), kv_store_view_version(views[j]),
                                true, &comparison));
         assert_int_equal(comparison.difference, i == j ? KV_DIFFERENCE_NONE : KV_DIFFERENCE_VALUE);
         assert_int_equal(strcmp(comparison.first_digest, comparison.second_digest) == 0, i == j);
      }
   }
   for (size_t i = 0; i < 3; i++) {
      kv_store_view_destroy(views[i]);
      kv_store_destroy(stores[i]);
   }
}

static void versions_of_keys_are_compared_where_they_are_kept(void **state)
{
   (void)state;
   struct kv_store *stores[2];
   struct kv_store_view *views[2];
   for (uint64_t i = 0; i < 2; i++) {
      stores[i] = kv_store_create();
      struct kv_transaction *transaction = kv_store_begin(stores[i]);
      assert_true(kv_transaction_set(transaction, kv_slice_of("a"), kv_slice_of("1"), 0, 2));
      assert_true(kv_transaction_set(transaction, kv_slice_of("b"), kv_slice_of("1"), 0, 3 + i));
      kv_transaction_commit(transaction, 4);
      views[i] = kv_store_view_create(stores[i]);
   }
   for (int kept = 0; kept < 2; kept++) {
      struct kv_comparison comparison;
      assert_true(kv_compare(kv_store_view_version(views[0]), kv_store_view_version(views[1]), kept,
                             &comparison));
      assert_int_equal(comparison.difference, kept ? KV_DIFFERENCE_VERSION : KV_DIFFERENCE_NONE);
      assert_int_equal(comparison.differences, kept);
      assert_int_equal(comparison.key_size, kept);
      assert_string_equal(comparison.first_digest, comparison.second_digest);
   }
   for (size_t i = 0; i < 2; i++) {
      kv_store_view_destroy(views[i]);
      kv_store_destroy(stores[i]);
   }
}

static void bytes_that_move_between_key_and_value_change_the_digest(void **state)
{
   (void)state;
   struct kv_comparison comparison = compare("ab=c", "a=bc");
   assert_string_not_equal(comparison.first_digest, comparison.second_digest);
}

static void another_sequence_is_a_difference_without_a_key(void **state)
{
   (void)state;
   struct kv_comparison comparison = compare_at("a=1", 5, "a=1", 4);
   assert_int_equal(comparison.difference, KV_DIFFERENCE_SEQUENCE);
   assert_int_equal(comparison.differences, 0);
   assert_string_equal(comparison.first_digest, comparison.second_digest);
}

static void of_a_long_key_the_beginning_is_kept(void **state)
{
   (void)state;
   char words[KV_COMPARISON_KEY_SIZE + 100];
   memset(words, 'k', sizeof words);
   memcpy(words + sizeof words - 3, "=1", 3);
   struct kv_comparison comparison = compare(words, "");
   assert_int_equal(comparison.key_size, sizeof words - 3);
   assert_memory_equal(comparison.key, words, KV_COMPARISON_KEY_SIZE);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(equal_data_has_equal_digests_in_whatever_order_it_came),
       cmocka_unit_test(the_lowest_key_that_differs_is_reported_and_all_are_counted),
       cmocka_unit_test(another_time_of_expiry_is_another_value),
       cmocka_unit_test(versions_of_keys_are_compared_where_they_are_kept),
       cmocka_unit_test(bytes_that_move_between_key_and_value_change_the_digest),
       cmocka_unit_test(another_sequence_is_a_difference_without_a_key),
       cmocka_unit_test(of_a_long_key_the_beginning_is_kept),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
