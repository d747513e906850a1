/* The version and the time of expiry of an entry, and finding those whose time has come. */
#include "tests/support/store_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int create_store(void **state)
{
   *state = kv_store_create();
   return *state ? 0 : -1;
}

static int destroy_store(void **state)
{
   kv_store_destroy(*state);
   return 0;
}

static void set(struct kv_transaction *transaction, unsigned number, int64_t expires_at)
{
   char text[16];
   const struct kv_slice key = store_numbered(text, number);
   assert_true(kv_transaction_set(transaction, key, key, expires_at, transaction->birth - 1));
}

/* Sets the numbers below `count`, of which every third expires, at its own number. */
static void fill(struct kv_store *store, unsigned count)
{
   struct kv_transaction *transaction = kv_store_begin(store);
   for (unsigned i = 0; i < count; i++)
      set(transaction, i, i % 3 == 0 ? (int64_t)i : 0);
   store_commit(transaction);
}

static void assert_due(struct kv_transaction *transaction, int64_t now_ms, unsigned number)
{
   char text[16];
   size_t looks = SIZE_MAX;
   const struct kv_entry *entry = kv_transaction_find_expired(transaction, now_ms, &looks);
   assert_non_null(entry);
   assert_true(store_same(kv_entry_key(entry), store_numbered(text, number)));
}

static void assert_nothing_due(struct kv_transaction *transaction, int64_t now_ms)
{
   size_t looks = SIZE_MAX;
   assert_null(kv_transaction_find_expired(transaction, now_ms, &looks));
   assert_true(kv_transaction_expires_first(transaction) > now_ms);
}

/* ---- What an entry holds ---- */

static void an_entry_has_the_version_and_the_expiry_that_it_was_put_with(void **state)
{
   static const int64_t times[] = {0, 1, 255, 1735689600000, KV_EXPIRES_AT_MAX};
   static const size_t sizes[] = {0, 1, 100, KV_ENTRY_KEEP_MIN};
   static char large[KV_ENTRY_KEEP_MIN];
   memset(large, 0xff, sizeof large);
   uint64_t sequence = 41;
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
      for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
         const struct kv_slice key = kv_slice_of("key"), value = kv_slice(large, sizes[j]);
         assert_true(kv_transaction_set(transaction, key, value, times[i], ++sequence));
         const struct kv_entry *entry = kv_transaction_find(transaction, key);
         assert_true(store_same(kv_entry_key(entry), key));
         assert_true(store_same(kv_entry_value(entry), value));
         assert_true(kv_entry_expires_at(entry) == times[i]);
         assert_int_equal(kv_entry_version(entry), sequence);
         assert_int_equal(kv_transaction_bytes(transaction), key.size + value.size);
      }
   }
   kv_transaction_commit(transaction, KV_SEQUENCE_MAX);
   struct kv_store_view *view = kv_store_view_create(*state);
   const struct kv_entry *entry = kv_version_find(kv_store_view_version(view), kv_slice_of("key"));
   assert_int_equal(kv_entry_version(entry), sequence);
   assert_int_equal(kv_version_sequence(kv_store_view_version(view)), KV_SEQUENCE_MAX);
   kv_store_view_destroy(view);
}

static void an_entry_is_live_until_its_time_comes(void **state)
{
   (void)state;
   struct kv_entry *never = kv_entry_create(kv_slice_of("k"), kv_slice_of("v"), 0);
   struct kv_entry *later = kv_entry_create(kv_slice_of("k"), kv_slice_of("v"), 1000);
   assert_false(kv_entry_is_live(NULL, 0));
   assert_true(kv_entry_is_live(never, INT64_MAX));
   assert_true(kv_entry_is_live(later, 999));
   assert_false(kv_entry_is_live(later, 1000));
   assert_false(kv_entry_is_live(later, 1001));
   kv_entry_release(never);
   kv_entry_release(later);
}

/* ---- Finding what is due ---- */

static void what_is_due_is_found_in_the_order_of_keys(void **state)
{
   enum { COUNT = 3000 };
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(kv_transaction_expires_first(transaction) == INT64_MAX);
   assert_nothing_due(transaction, INT64_MAX - 1);
   /* The higher the key, the sooner. */
   for (unsigned i = 0; i < COUNT; i++)
      set(transaction, i, i % 7 == 0 ? (int64_t)(2 * COUNT - i) : 0);
   for (int64_t now = COUNT; now <= 2 * COUNT; now += 500) {
      for (unsigned i = 0; i < COUNT; i += 7) {
         if (2 * COUNT - i > now || 2 * COUNT - i + 500 <= now)
            continue;
         assert_true(kv_transaction_expires_first(transaction) <= now);
         assert_due(transaction, now, i);
         store_delete_numbered(transaction, i);
      }
      assert_nothing_due(transaction, now);
      store_check_tree(transaction->version);
   }
   assert_true(kv_transaction_expires_first(transaction) == INT64_MAX);
   kv_transaction_abort(transaction);
}

static void a_later_time_and_none_take_the_place_of_an_earlier_one(void **state)
{
   fill(*state, 1000);
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (unsigned i = 0; i < 1000; i++)
      set(transaction, i, i == 500 ? 9000 : 0);
   assert_nothing_due(transaction, 8999);
   assert_true(kv_transaction_expires_first(transaction) == 9000);
   assert_due(transaction, 9000, 500);
   set(transaction, 700, 8000);
   assert_true(kv_transaction_expires_first(transaction) <= 8000);
   assert_due(transaction, 8000, 700);
   kv_transaction_abort(transaction);
}

/* Looking at all at once would keep every writer waiting. */
static void a_search_ends_after_so_many_looks_and_the_next_one_goes_on(void **state)
{
   enum { COUNT = 10000, LOOKS = 500, DUE = 9500, FEW = 100 /* that a leaf has, at most */ };
   fill(*state, COUNT);
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (unsigned i = 0; i < COUNT; i++)
      set(transaction, i, i == DUE ? COUNT : COUNT + 1);
   const struct kv_entry *found = NULL;
   unsigned searches = 0;
   while (!found) {
      size_t looks = LOOKS;
      assert_true(kv_transaction_expires_first(transaction) <= COUNT);
      found = kv_transaction_find_expired(transaction, COUNT, &looks);
      assert_true(found || looks == 0);
      searches++;
   }
   char text[16];
   assert_true(store_same(kv_entry_key(found), store_numbered(text, DUE)));
   assert_in_range(searches, DUE / (LOOKS + FEW), COUNT / LOOKS);
   store_delete_numbered(transaction, DUE);
   assert_nothing_due(transaction, COUNT);
   assert_true(kv_transaction_expires_first(transaction) == COUNT + 1);
   kv_transaction_abort(transaction);
}

static void keys_appended_in_order_expire_at_their_own_times(void **state)
{
   enum { COUNT = 2000 };
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (unsigned i = 0; i < COUNT; i++)
      set(transaction, i, i % 2 == 0 ? (int64_t)(COUNT - i) : (int64_t)(COUNT + i));
   store_check_tree(transaction->version);
   assert_true(kv_transaction_expires_first(transaction) <= 2);
   assert_due(transaction, 2, COUNT - 2);
   kv_transaction_abort(transaction);
}

static void an_aborted_transaction_changes_no_time(void **state)
{
   fill(*state, 1000);
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_due(transaction, 3, 3);
   for (unsigned i = 0; i < 1000; i++)
      set(transaction, i, 1);
   for (unsigned i = 0; i < 999; i++)
      store_delete_numbered(transaction, i);
   assert_due(transaction, 1, 999);
   store_delete_numbered(transaction, 999);
   assert_nothing_due(transaction, INT64_MAX - 1);
   kv_transaction_abort(transaction);

   transaction = kv_store_begin(*state);
   assert_nothing_due(transaction, 2);
   assert_true(kv_transaction_expires_first(transaction) == 3);
   assert_due(transaction, 3, 3);
   kv_transaction_abort(transaction);
}

/* What finding nothing has learned about nodes that versions share holds for each of them. */
static void a_bound_made_exact_in_a_shared_node_hides_nothing(void **state)
{
   fill(*state, 3000);
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (unsigned i = 0; i < 1500; i += 3)
      store_delete_numbered(transaction, i);
   assert_due(transaction, 1500, 1500);
   assert_nothing_due(transaction, 1499);
   kv_transaction_abort(transaction);
   transaction = kv_store_begin(*state);
   assert_due(transaction, 1499, 3);
   kv_transaction_abort(transaction);
}

static void nodes_that_merge_and_split_lose_no_time(void **state)
{
   enum { COUNT = 6000 };
   uint64_t random_state = 42;
   fill(*state, COUNT);
   for (unsigned round = 0; round < 30; round++) {
      struct kv_transaction *transaction = kv_store_begin(*state);
      unsigned from = store_random_below(&random_state, COUNT), to = from + COUNT / 8;
      for (unsigned i = from; i < to && i < COUNT; i++) {
         char text[16];
         bool existed;
         assert_true(kv_transaction_delete(transaction, store_numbered(text, i), &existed));
      }
      store_check_tree(transaction->version);
      for (unsigned i = from; i < to && i < COUNT; i += 1 + round % 3)
         set(transaction, i, i % 3 == 0 ? (int64_t)i : 0);
      store_check_tree(transaction->version);
      assert_nothing_due(transaction, 0);
      store_check_tree(transaction->version);
      store_commit(transaction);
   }
}

static void ten_thousand_keys_that_expire_at_once_leave_a_view_as_it_is(void **state)
{
   enum { COUNT = 10000, AT_ONCE = 100 };
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (unsigned i = 0; i < COUNT; i++)
      set(transaction, i, 5000);
   set(transaction, COUNT, 0);
   store_commit(transaction);
   struct kv_store_view *before = kv_store_view_create(*state), *halfway = NULL;
   for (unsigned i = 0; i < COUNT;) {
      transaction = kv_store_begin(*state);
      for (unsigned end = i + AT_ONCE; i < end; i++) {
         assert_due(transaction, 5000, i);
         store_delete_numbered(transaction, i);
      }
      store_commit(transaction);
      if (i == COUNT / 2)
         halfway = kv_store_view_create(*state);
   }
   transaction = kv_store_begin(*state);
   assert_nothing_due(transaction, INT64_MAX - 1);
   assert_int_equal(kv_transaction_count(transaction), 1);
   kv_transaction_abort(transaction);
   const struct kv_version *versions[] = {kv_store_view_version(before),
                                          kv_store_view_version(halfway)};
   for (unsigned i = 0; i < COUNT; i++) {
      char text[16];
      const struct kv_slice key = store_numbered(text, i);
      assert_true(store_holds(versions[0], key, key));
      assert_int_equal(store_holds(versions[1], key, key), i >= COUNT / 2);
   }
   store_check_tree(versions[0]);
   store_check_tree(versions[1]);
   kv_store_view_destroy(before);
   kv_store_view_destroy(halfway);
}

/* ---- Replacing all data ---- */

static struct kv_store *numbered_store(unsigned count, uint64_t first_sequence)
{
   char text[16];
   struct kv_store *store = kv_store_create();
   struct kv_transaction *transaction = kv_store_begin(store);
   assert_true(
       kv_transaction_set(transaction, kv_slice("\0r", 2), kv_slice(NULL, 0), 0, first_sequence));
   for (unsigned i = 0; i < count; i++)
      assert_true(kv_transaction_set(transaction, store_numbered(text, i), kv_slice(NULL, 0),
                                     i % 2 == 0 ? (int64_t)i + 1 : 0, first_sequence + i));
   kv_transaction_commit(transaction, first_sequence + count);
   return store;
}

static void check_numbered(const struct kv_version *version, unsigned count,
                           uint64_t first_sequence)
{
   char text[16];
   assert_int_equal(store_check_tree(version).slots, count + 1);
   assert_int_equal(kv_version_hidden_count(version), 1);
   for (unsigned i = 0; i < count; i++) {
      const struct kv_entry *entry = kv_version_find(version, store_numbered(text, i));
      assert_non_null(entry);
      assert_int_equal(kv_entry_version(entry), first_sequence + i);
   }
}

/* The other store's sequences lie below, among and above those of the views that are held. */
static void data_that_replaces_other_data_keeps_its_versions_and_expires(void **state)
{
   enum { COUNT = 2000 };
   static const uint64_t firsts[] = {1, 1000, 100000};
   for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
      struct kv_store *other = numbered_store(COUNT, firsts[i]);
      fill(*state, 900);
      struct kv_store_view *before = kv_store_view_create(*state);
      const uint64_t count = kv_version_count(kv_store_view_version(before));
      struct kv_transaction *transaction = kv_store_begin_replacement(*state, other);
      assert_non_null(transaction);
      kv_store_destroy(other);
      kv_transaction_commit(transaction, 200000 + 10 * i);
      struct kv_store_view *after = kv_store_view_create(*state);
      for (unsigned round = 0; round < 2; round++) {
         transaction = kv_store_begin(*state);
         assert_due(transaction, COUNT, 0);
         for (unsigned j = 0; j < COUNT; j++)
            if (round == 0)
               set(transaction, j, 1);
            else
               store_delete_numbered(transaction, j);
         store_commit(transaction);
         assert_int_equal(store_check_tree(kv_store_view_version(before)).slots, count);
         check_numbered(kv_store_view_version(after), COUNT, firsts[i]);
      }
      kv_store_view_destroy(before);
      check_numbered(kv_store_view_version(after), COUNT, firsts[i]);
      kv_store_view_destroy(after);
   }
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, create_store, destroy_store)

int main(void)
{
   const struct CMUnitTest tests[] = {
       STORE_TEST(an_entry_has_the_version_and_the_expiry_that_it_was_put_with),
       cmocka_unit_test(an_entry_is_live_until_its_time_comes),
       STORE_TEST(what_is_due_is_found_in_the_order_of_keys),
       STORE_TEST(a_later_time_and_none_take_the_place_of_an_earlier_one),
       STORE_TEST(a_search_ends_after_so_many_looks_and_the_next_one_goes_on),
       STORE_TEST(keys_appended_in_order_expire_at_their_own_times),
       STORE_TEST(an_aborted_transaction_changes_no_time),
       STORE_TEST(a_bound_made_exact_in_a_shared_node_hides_nothing),
       STORE_TEST(nodes_that_merge_and_split_lose_no_time),
       STORE_TEST(ten_thousand_keys_that_expire_at_once_leave_a_view_as_it_is),
       STORE_TEST(data_that_replaces_other_data_keeps_its_versions_and_expires),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
