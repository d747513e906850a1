/* What the store promises, one promise at a time. */
#include "tests/support/store_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void set(struct kv_transaction *transaction, const char *key, const char *value)
{
   assert_true(store_set(transaction, kv_slice_of(key), kv_slice_of(value)));
}

static bool delete_key(struct kv_transaction *transaction, const char *key)
{
   bool existed;
   assert_true(kv_transaction_delete(transaction, kv_slice_of(key), &existed));
   return existed;
}

static void assert_value(const struct kv_version *version, const char *key, const char *expected)
{
   const struct kv_entry *entry = kv_version_find(version, kv_slice_of(key));
   assert_int_equal(entry != NULL, expected != NULL);
   if (expected)
      assert_true(store_same(kv_entry_value(entry), kv_slice_of(expected)));
}

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

static void a_new_store_is_empty_at_sequence_0(void **state)
{
   struct kv_store_view *view = kv_store_view_create(*state);
   const struct kv_version *version = kv_store_view_version(view);
   assert_int_equal(kv_version_sequence(version), 0);
   assert_int_equal(kv_version_count(version), 0);
   assert_int_equal(kv_version_bytes(version), 0);
   assert_value(version, "key", NULL);
   struct kv_cursor cursor;
   kv_cursor_seek(&cursor, version, kv_slice(NULL, 0));
   assert_null(kv_cursor_next(&cursor));
   assert_null(kv_cursor_next(&cursor));
   assert_null(kv_cursor_previous(&cursor));
   kv_cursor_seek_before(&cursor, version, kv_slice(NULL, 0));
   assert_null(kv_cursor_previous(&cursor));
   kv_store_view_destroy(view);
}

static void a_transaction_sees_its_own_changes_and_nobody_else_does(void **state)
{
   struct kv_reader *reader = kv_reader_create(*state);
   struct kv_transaction *transaction = kv_store_begin(*state);
   set(transaction, "a", "1");
   const struct kv_entry *entry = kv_transaction_find(transaction, kv_slice_of("a"));
   assert_non_null(entry);
   assert_true(store_same(kv_entry_value(entry), kv_slice_of("1")));
   assert_value(kv_reader_pin(reader), "a", NULL);
   kv_reader_unpin(reader);
   kv_transaction_commit(transaction, 7);
   const struct kv_version *version = kv_reader_pin(reader);
   assert_value(version, "a", "1");
   assert_int_equal(kv_version_sequence(version), 7);
   kv_reader_unpin(reader);
   kv_reader_destroy(reader);
}

static void an_aborted_transaction_leaves_no_trace(void **state)
{
   struct kv_transaction *transaction = kv_store_begin(*state);
   set(transaction, "kept", "before");
   set(transaction, "gone?", "no");
   kv_transaction_commit(transaction, 1);
   transaction = kv_store_begin(*state);
   set(transaction, "kept", "after");
   set(transaction, "new", "x");
   assert_true(delete_key(transaction, "gone?"));
   kv_transaction_abort(transaction);

   struct kv_store_view *view = kv_store_view_create(*state);
   const struct kv_version *version = kv_store_view_version(view);
   assert_value(version, "kept", "before");
   assert_value(version, "gone?", "no");
   assert_value(version, "new", NULL);
   assert_int_equal(kv_version_count(version), 2);
   assert_int_equal(kv_version_sequence(version), 1);
   kv_store_view_destroy(view);
}

static void an_unchanged_transaction_may_be_published_at_the_current_sequence(void **state)
{
   kv_transaction_commit(kv_store_begin(*state), 0);
   struct kv_store_view *before = kv_store_view_create(*state);
   assert_int_equal(kv_version_sequence(kv_store_view_version(before)), 0);
   kv_store_view_destroy(before);
   struct kv_transaction *transaction = kv_store_begin(*state);
   set(transaction, "a", "1");
   kv_transaction_commit(transaction, 5);
   kv_transaction_commit(kv_store_begin(*state), 5);
   kv_transaction_commit(kv_store_begin(*state), 9);
   struct kv_store_view *after = kv_store_view_create(*state);
   assert_int_equal(kv_version_sequence(kv_store_view_version(after)), 9);
   assert_value(kv_store_view_version(after), "a", "1");
   kv_store_view_destroy(after);
}

static void keys_that_begin_with_nul_are_counted_as_hidden(void **state)
{
   const struct kv_slice hidden = kv_slice("\0r", 2), other = kv_slice("\0", 1);
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(store_set(transaction, hidden, kv_slice_of("1")));
   assert_true(store_set(transaction, hidden, kv_slice_of("2")));
   assert_true(store_set(transaction, other, kv_slice_of("3")));
   set(transaction, "a", "4");
   assert_int_equal(kv_transaction_hidden_count(transaction), 2);
   bool existed;
   assert_true(kv_transaction_delete(transaction, other, &existed));
   assert_true(delete_key(transaction, "a"));
   assert_int_equal(kv_transaction_hidden_count(transaction), 1);
   kv_transaction_abort(transaction);
   transaction = kv_store_begin(*state);
   assert_int_equal(kv_transaction_hidden_count(transaction), 0);
   assert_true(store_set(transaction, hidden, kv_slice_of("1")));
   set(transaction, "a", "4");
   store_commit(transaction);
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_int_equal(kv_version_hidden_count(kv_store_view_version(view)), 1);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), 2);
   kv_store_view_destroy(view);
}

static void count_and_bytes_follow_sets_replaces_and_deletes(void **state)
{
   struct kv_transaction *transaction = kv_store_begin(*state);
   set(transaction, "key", "value");
   set(transaction, "other", "");
   assert_int_equal(kv_transaction_count(transaction), 2);
   assert_int_equal(kv_transaction_bytes(transaction), 13);
   set(transaction, "key", "v");
   assert_int_equal(kv_transaction_count(transaction), 2);
   assert_int_equal(kv_transaction_bytes(transaction), 9);
   kv_transaction_commit(transaction, 1);
   transaction = kv_store_begin(*state);
   set(transaction, "key", "longer than before");
   assert_int_equal(kv_transaction_bytes(transaction), 26);
   assert_false(delete_key(transaction, "missing"));
   assert_true(delete_key(transaction, "other"));
   assert_false(delete_key(transaction, "other"));
   assert_int_equal(kv_transaction_count(transaction), 1);
   assert_int_equal(kv_transaction_bytes(transaction), 21);
   kv_transaction_commit(transaction, 2);
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), 1);
   assert_int_equal(kv_version_bytes(kv_store_view_version(view)), 21);
   kv_store_view_destroy(view);
}

static void keys_come_in_the_order_of_unsigned_bytes(void **state)
{
   static const struct kv_slice ordered[] = {
       {"\0", 1},
       {"\0\0", 2},
       {"\0\1", 2},
       {"a", 1},
       {"a\0", 2},
       {"a\0\0\0\0\0\0\0", 8},
       {"a\0\0\0\0\0\0\0\0", 9},
       {"a\0\0\0\0\0\0\0b", 9},
       {"ab", 2},
       {"abcdefgh", 8},
       {"abcdefgh\0", 9},
       {"abcdefgha", 9},
       {"abcdefghab", 10},
       {"abcdefghb", 9},
       {"abcdefgi", 8},
       {"\x7f", 1},
       {"\x80", 1},
       {"\xff", 1},
       {"\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9},
   };
   enum { COUNT = sizeof ordered / sizeof ordered[0] };
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (size_t i = 0; i < COUNT; i++) { /* 7 and the count have no common divisor */
      struct kv_slice key = ordered[i * 7 % COUNT];
      assert_true(store_set(transaction, key, key));
   }
   kv_transaction_commit(transaction, 1);
   struct kv_store_view *view = kv_store_view_create(*state);
   struct kv_cursor cursor;
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   for (size_t i = 0; i < COUNT; i++) {
      const struct kv_entry *entry = kv_cursor_next(&cursor);
      assert_non_null(entry);
      assert_true(store_same(kv_entry_key(entry), ordered[i]));
      assert_true(store_same(kv_entry_value(entry), ordered[i]));
      assert_ptr_equal(kv_version_find(kv_store_view_version(view), ordered[i]), entry);
   }
   assert_null(kv_cursor_next(&cursor));
   kv_store_view_destroy(view);
}

static void a_cursor_begins_at_the_first_key_not_below_the_one_sought(void **state)
{
   enum { COUNT = 5000 };
   store_fill(*state, COUNT);
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), COUNT);
   for (unsigned i = 0; i <= 2 * COUNT; i++) {
      char text[16], expected[16];
      struct kv_cursor cursor;
      kv_cursor_seek(&cursor, kv_store_view_version(view), store_numbered(text, i));
      for (unsigned next = (i + 1) & ~1u, last = next + 4; next < last; next += 2) {
         bool there = next < 2 * COUNT;
         const struct kv_entry *entry = kv_cursor_next(&cursor);
         assert_int_equal(entry != NULL, there);
         assert_true(!there || store_same(kv_entry_key(entry), store_numbered(expected, next)));
      }
   }
   kv_store_view_destroy(view);
}

static void assert_key(const struct kv_entry *entry, const unsigned *number)
{
   char text[16];
   assert_int_equal(entry != NULL, number != NULL);
   if (entry)
      assert_true(store_same(kv_entry_key(entry), store_numbered(text, *number)));
}

static void a_cursor_goes_back_from_the_last_key_below_the_one_sought(void **state)
{
   enum { COUNT = 5000 };
   store_fill(*state, COUNT);
   struct kv_store_view *view = kv_store_view_create(*state);
   for (unsigned i = 0; i <= 2 * COUNT; i++) {
      char text[16];
      struct kv_cursor cursor;
      kv_cursor_seek_before(&cursor, kv_store_view_version(view), store_numbered(text, i));
      unsigned above = (i + 1) & ~1u;
      for (unsigned steps = 1; steps <= 2; steps++) {
         unsigned number = above - 2 * steps;
         assert_key(kv_cursor_previous(&cursor), above >= 2 * steps ? &number : NULL);
      }
   }
   kv_store_view_destroy(view);
}

static void a_cursor_turns_around_anywhere_and_stays_at_the_ends(void **state)
{
   enum { COUNT = 1000 };
   unsigned last = 2 * (COUNT - 1);
   store_fill(*state, COUNT);
   struct kv_store_view *view = kv_store_view_create(*state);
   struct kv_cursor cursor;
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   assert_key(kv_cursor_previous(&cursor), NULL);
   for (unsigned i = 0; i <= last; i += 2) {
      assert_key(kv_cursor_next(&cursor), &i);
      assert_key(kv_cursor_previous(&cursor), &i);
      assert_key(kv_cursor_next(&cursor), &i);
   }
   assert_key(kv_cursor_next(&cursor), NULL);
   assert_key(kv_cursor_next(&cursor), NULL);
   assert_key(kv_cursor_previous(&cursor), &last);
   kv_cursor_seek_before(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   assert_key(kv_cursor_next(&cursor), NULL);
   assert_key(kv_cursor_previous(&cursor), &last);
   kv_store_view_destroy(view);
}

static void leaves_filled_in_ascending_order_stay_full(void **state)
{
   store_fill(*state, 20000);
   struct kv_store_view *view = kv_store_view_create(*state);
   struct store_shape shape = store_check_tree(kv_store_view_version(view));
   assert_true(shape.slots >= shape.leaves * (KV_NODE_FANOUT - 2));
   kv_store_view_destroy(view);
}

static void a_leaf_that_shrinks_is_merged_with_either_neighbour(void **state)
{
   enum { COUNT = 100, MERGED = KV_NODE_FANOUT * 3 / 4 };
   store_fill(*state, COUNT);
   for (unsigned from_end = 0; from_end < 2; from_end++) {
      struct kv_transaction *transaction = kv_store_begin(*state);
      unsigned first = 0, last = COUNT - 1;
      while (last - first + 1 > MERGED) {
         assert_int_equal(store_check_tree(transaction->version).leaves, 2);
         /* Both leaves shrink to about the same size, then only the one in question. */
         if (last - first + 1 > MERGED + 10 ? first < 35 : !from_end)
            store_delete_numbered(transaction, 2 * first++);
         else
            store_delete_numbered(transaction, 2 * last--);
      }
      assert_int_equal(store_check_tree(transaction->version).leaves, 1);
      kv_transaction_abort(transaction);
   }
}

static void the_longest_key_and_the_empty_value_are_kept(void **state)
{
   static char longest[KV_KEY_SIZE_MAX];
   struct kv_slice last = kv_slice(longest, sizeof longest),
                   before = kv_slice(longest, sizeof longest - 1);
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(store_set(transaction, last, kv_slice(NULL, 0)));
   assert_true(store_set(transaction, before, kv_slice("x", 1)));
   kv_transaction_commit(transaction, 1);
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_true(store_holds(kv_store_view_version(view), last, kv_slice(NULL, 0)));
   assert_true(store_holds(kv_store_view_version(view), before, kv_slice("x", 1)));
   kv_store_view_destroy(view);
}

static void a_pinned_version_stays_until_it_is_unpinned(void **state)
{
   struct kv_reader *reader = kv_reader_create(*state);
   struct kv_reader *idle = kv_reader_create(*state);
   struct kv_transaction *transaction = kv_store_begin(*state);
   set(transaction, "a", "0");
   kv_transaction_commit(transaction, 1);
   const struct kv_version *pinned = kv_reader_pin(reader);
   for (unsigned i = 0; i < 100; i++) {
      transaction = kv_store_begin(*state);
      delete_key(transaction, "a");
      kv_transaction_commit(transaction, 2 + i);
   }
   assert_value(pinned, "a", "0");
   assert_int_equal(kv_version_sequence(pinned), 1);
   kv_reader_unpin(reader);
   kv_reader_destroy(idle);
   kv_reader_destroy(reader);
}

/* Keys that are there, that are not, and before and after all others; also where nothing is. */
static void prefetching_reads_only_what_is_there(void **state)
{
   char texts[KV_PREFETCH_KEYS_MAX][16];
   struct kv_slice keys[KV_PREFETCH_KEYS_MAX];
   for (unsigned i = 0; i < KV_PREFETCH_KEYS_MAX; i++)
      keys[i] = store_numbered(texts[i], i * 601);
   keys[0] = kv_slice_of("!");
   keys[1] = kv_slice_of("~");
   for (unsigned count = 0; count < 3; count++) {
      struct kv_store_view *view = kv_store_view_create(*state);
      const struct kv_version *version = kv_store_view_version(view);
      kv_version_prefetch(version, keys, KV_PREFETCH_KEYS_MAX);
      kv_version_prefetch(version, keys, 1);
      kv_version_prefetch(version, keys, 0);
      assert_int_equal(store_check_tree(version).slots, kv_version_count(version));
      kv_store_view_destroy(view);
      store_fill(*state, count == 0 ? 1 : 10000);
   }
}

/* ---- Replacing all of it ---- */

static struct kv_store *filled(const char *key, const char *value)
{
   struct kv_store *other = kv_store_create();
   assert_non_null(other);
   struct kv_transaction *transaction = kv_store_begin(other);
   set(transaction, key, value);
   kv_transaction_commit(transaction, 3);
   return other;
}

static void the_data_of_another_store_takes_the_place_of_all_there_is(void **state)
{
   struct kv_store *other = filled("new", "data");
   store_fill(*state, 5000);
   struct kv_reader *reader = kv_reader_create(*state);
   struct kv_store_view *before = kv_store_view_create(*state);
   struct kv_transaction *transaction = kv_store_begin_replacement(*state, other);
   assert_non_null(transaction);
   assert_value(kv_reader_pin(reader), "new", NULL);
   kv_reader_unpin(reader);
   kv_transaction_commit(transaction, 77);

   const struct kv_version *version = kv_reader_pin(reader);
   assert_int_equal(kv_version_sequence(version), 77);
   assert_int_equal(kv_version_count(version), 1);
   assert_int_equal(kv_version_bytes(version), strlen("newdata"));
   assert_value(version, "new", "data");
   kv_reader_unpin(reader);
   assert_int_equal(kv_version_count(kv_store_view_version(before)), 5000);
   assert_int_equal(store_check_tree(kv_store_view_version(before)).slots, 5000);
   kv_store_destroy(other); /* which has nothing any more */

   /* What was taken changes as anything else, while a view of before is held. */
   struct kv_store_view *taken = kv_store_view_create(*state);
   store_fill(*state, 3000);
   transaction = kv_store_begin(*state);
   assert_true(delete_key(transaction, "new"));
   kv_transaction_commit(transaction, 79);
   assert_value(kv_store_view_version(taken), "new", "data");
   assert_int_equal(store_check_tree(kv_store_view_version(before)).slots, 5000);
   kv_store_view_destroy(before);
   assert_value(kv_store_view_version(taken), "new", "data");
   kv_store_view_destroy(taken);
   kv_reader_destroy(reader);
}

static void a_replacement_that_is_aborted_leaves_the_data(void **state)
{
   struct kv_store *other = filled("new", "data");
   store_fill(*state, 5000);
   kv_transaction_abort(kv_store_begin_replacement(*state, other));
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_int_equal(store_check_tree(kv_store_view_version(view)).slots, 5000);
   kv_store_view_destroy(view);
   view = kv_store_view_create(other);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), 0);
   kv_store_view_destroy(view);
   kv_store_destroy(other);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, create_store, destroy_store)

int main(void)
{
   const struct CMUnitTest tests[] = {
       STORE_TEST(a_new_store_is_empty_at_sequence_0),
       STORE_TEST(a_transaction_sees_its_own_changes_and_nobody_else_does),
       STORE_TEST(an_aborted_transaction_leaves_no_trace),
       STORE_TEST(an_unchanged_transaction_may_be_published_at_the_current_sequence),
       STORE_TEST(keys_that_begin_with_nul_are_counted_as_hidden),
       STORE_TEST(count_and_bytes_follow_sets_replaces_and_deletes),
       STORE_TEST(keys_come_in_the_order_of_unsigned_bytes),
       STORE_TEST(a_cursor_begins_at_the_first_key_not_below_the_one_sought),
       STORE_TEST(a_cursor_goes_back_from_the_last_key_below_the_one_sought),
       STORE_TEST(a_cursor_turns_around_anywhere_and_stays_at_the_ends),
       STORE_TEST(leaves_filled_in_ascending_order_stay_full),
       STORE_TEST(a_leaf_that_shrinks_is_merged_with_either_neighbour),
       STORE_TEST(the_longest_key_and_the_empty_value_are_kept),
       STORE_TEST(prefetching_reads_only_what_is_there),
       STORE_TEST(a_pinned_version_stays_until_it_is_unpinned),
       STORE_TEST(the_data_of_another_store_takes_the_place_of_all_there_is),
       STORE_TEST(a_replacement_that_is_aborted_leaves_the_data),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
