/*
 * What the store keeps, what it frees, and what it does when there is no memory. Linked with --wrap
 * for the allocation functions, so that the tests can count the blocks in use and let allocations
 * fail.
 */
#include "tests/support/store_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Allocation ---- */

static long blocks_in_use;
static long allocations_left = -1; /* before all fail; negative: none fails */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *block);

static bool may_allocate(void)
{
   if (allocations_left > 0)
      allocations_left--;
   else if (allocations_left == 0)
      return false;
   return true;
}

static void *counted(void *block)
{
   blocks_in_use += block != NULL;
   return block;
}

void *__wrap_malloc(size_t size)
{
   return may_allocate() ? counted(__real_malloc(size)) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
   return may_allocate() ? counted(__real_calloc(count, size)) : NULL;
}

void *__wrap_realloc(void *block, size_t size)
{
   return may_allocate() ? __real_realloc(block, size) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
   return may_allocate() ? counted(__real_aligned_alloc(alignment, size)) : NULL;
}

void __wrap_free(void *block)
{
   blocks_in_use -= block != NULL;
   __real_free(block);
}

/* Every test gets a store, and must leave nothing behind. */
static int create_store(void **state)
{
   blocks_in_use = 0;
   *state = kv_store_create();
   return *state ? 0 : -1;
}

static int destroy_store(void **state)
{
   kv_store_destroy(*state);
   return blocks_in_use == 0 ? 0 : -1;
}

/* What an empty store that has just been committed to uses: what the last transaction retired has
 * been freed. */
static void assert_nothing_kept(struct kv_store *store)
{
   store_commit(kv_store_begin(store));
   assert_int_equal(blocks_in_use, 2); /* the store and its version */
}

/* ---- What is freed ---- */

static void a_tree_emptied_in_any_order_keeps_nothing(void **state)
{
   enum { COUNT = 20000 };
   static const unsigned steps[] = {1, COUNT - 1, 7919}; /* ascending, descending, scattered */
   for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
      store_fill(*state, COUNT);
      struct kv_transaction *transaction = kv_store_begin(*state);
      for (unsigned j = 1; j <= COUNT; j++) {
         unsigned number = (unsigned)((uint64_t)j * steps[i] % COUNT * 2);
         store_delete_numbered(transaction, number);
         if (j % 1000 == 0) {
            struct store_shape shape = store_check_tree(transaction->version);
            assert_true(shape.leaves <= 1 + shape.slots / 20);
            store_commit(transaction);
            transaction = kv_store_begin(*state);
         }
      }
      assert_int_equal(kv_transaction_count(transaction), 0);
      assert_int_equal(kv_transaction_bytes(transaction), 0);
      store_commit(transaction);
      assert_nothing_kept(*state);
   }
}

static void an_aborted_transaction_frees_what_it_made(void **state)
{
   char text[16];
   store_fill(*state, 5000);
   store_commit(kv_store_begin(*state));
   long before = blocks_in_use;
   struct kv_transaction *transaction = kv_store_begin(*state);
   for (unsigned i = 0; i < 7000; i += 7) {
      store_delete_numbered(transaction, i & ~1u);
      /* Twice, each a change of its own. */
      for (uint64_t change = 0; change < 2; change++)
         assert_true(kv_transaction_set(transaction, store_numbered(text, i + 1),
                                        kv_slice("new", 3), 0, transaction->birth + i + change));
   }
   kv_transaction_abort(transaction);
   assert_int_equal(blocks_in_use, before);
}

static void what_an_unpinned_version_used_is_freed_by_the_next_commit(void **state)
{
   struct kv_reader *reader = kv_reader_create(*state);
   struct kv_reader *idle = kv_reader_create(*state);
   store_fill(*state, 1000);
   const struct kv_version *pinned = kv_reader_pin(reader);
   for (unsigned i = 0; i < 1000; i++) {
      struct kv_transaction *transaction = kv_store_begin(*state);
      store_delete_numbered(transaction, 2 * i);
      store_commit(transaction);
   }
   assert_int_equal(store_check_tree(pinned).slots, 1000);
   kv_reader_unpin(reader);
   kv_reader_destroy(idle);
   kv_reader_destroy(reader);
   assert_nothing_kept(*state);
}

static void a_held_view_costs_only_what_it_alone_needs(void **state)
{
   enum { COUNT = 1000 };
   uint64_t random_state = 42;
   store_fill(*state, COUNT);
   store_commit(kv_store_begin(*state));
   long alone = blocks_in_use;
   struct kv_store_view *view = kv_store_view_create(*state);
   for (unsigned i = 0; i < 20 * COUNT; i++) {
      char text[16];
      struct kv_transaction *transaction = kv_store_begin(*state);
      struct kv_slice key = store_numbered(text, store_random_below(&random_state, COUNT) * 2);
      assert_true(store_set(transaction, key, kv_slice(text, i % 16)));
      store_commit(transaction);
      /* At most twice the data, the view itself, and what the last transaction retired. */
      assert_true(blocks_in_use <= 2 * alone + 2 * COUNT / 50 + 16);
   }
   store_check_tree(kv_store_view_version(view));
   kv_store_view_destroy(view);
   store_commit(kv_store_begin(*state));
   assert_int_equal(blocks_in_use, alone);
}

static void a_kept_entry_outlives_its_key_its_versions_and_the_store(void **state)
{
   static const char large[KV_ENTRY_KEEP_MIN] = "large";
   const struct kv_slice key = kv_slice_of("key"), text = kv_slice(large, sizeof large);
   struct kv_store *other = kv_store_create();
   struct kv_transaction *transaction = kv_store_begin(other);
   assert_true(store_set(transaction, key, text));
   store_commit(transaction);
   struct kv_reader *reader = kv_reader_create(other);
   const struct kv_entry *entry = kv_version_find(kv_reader_pin(reader), key);
   assert_non_null(entry);
   kv_entry_keep(entry);
   kv_entry_keep(entry);
   kv_reader_unpin(reader);
   kv_reader_destroy(reader);

   long kept = blocks_in_use;
   transaction = kv_store_begin(other);
   assert_true(store_set(transaction, key, kv_slice_of("small")));
   store_commit(transaction);
   store_commit(kv_store_begin(other));
   assert_true(blocks_in_use >= kept);
   kv_store_destroy(other);
   kv_entry_release(entry);
   assert_true(store_same(kv_entry_key(entry), key));
   assert_true(store_same(kv_entry_value(entry), text));
   kv_entry_release(entry);
   assert_nothing_kept(*state);
}

static void values_that_nobody_keeps_are_freed_whatever_their_size(void **state)
{
   static const char large[KV_ENTRY_KEEP_MIN + 1] = "large";
   for (size_t size = KV_ENTRY_KEEP_MIN - 1; size <= sizeof large; size++) {
      for (unsigned i = 0; i < 3; i++) {
         struct kv_transaction *transaction = kv_store_begin(*state);
         assert_true(store_set(transaction, kv_slice_of("k"), kv_slice(large, size)));
         /* Replaced within its transaction, then aborted, committed, or deleted. */
         assert_true(store_set(transaction, kv_slice_of("k"), kv_slice(large, size)));
         bool existed;
         if (i == 2)
            assert_true(kv_transaction_delete(transaction, kv_slice_of("k"), &existed));
         if (i == 0)
            kv_transaction_abort(transaction);
         else
            store_commit(transaction);
      }
      assert_nothing_kept(*state);
   }
}

/* Version n of this test sets every (n + 1)th key to n, all others stay as they were. */
static unsigned expected_number(unsigned key, uint64_t version)
{
   unsigned number = (unsigned)version;
   while (key % (number + 1) != 0)
      number--;
   return number;
}

static void an_entry_created_ahead_is_freed_whether_it_is_put_or_released(void **state)
{
   store_fill(*state, 100);
   store_commit(kv_store_begin(*state));
   long before = blocks_in_use;
   char text[16];
   struct kv_entry *put = kv_entry_create(store_numbered(text, 8), kv_slice("ahead", 5), 0);
   struct kv_entry *undone = kv_entry_create(store_numbered(text, 9), kv_slice("undone", 6), 0);
   struct kv_entry *unused = kv_entry_create(store_numbered(text, 10), kv_slice("no", 2), 0);
   kv_entry_release(unused);
   kv_entry_release(NULL);

   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(kv_transaction_put(transaction, undone, 3));
   kv_transaction_abort(transaction);
   transaction = kv_store_begin(*state);
   assert_true(kv_transaction_put(transaction, put, 3));
   assert_true(store_holds(transaction->version, store_numbered(text, 8), kv_slice("ahead", 5)));
   assert_null(kv_version_find(transaction->version, store_numbered(text, 9)));
   store_commit(transaction);
   store_commit(kv_store_begin(*state));
   assert_int_equal(blocks_in_use, before);
}

static void what_was_published_keeps_what_it_replaced_until_it_is_reclaimed(void **state)
{
   store_fill(*state, 100);
   store_commit(kv_store_begin(*state));
   long before = blocks_in_use;
   for (uint64_t sequence = 3; sequence <= 5; sequence++) {
      char text[16];
      struct kv_transaction *transaction = kv_store_begin(*state);
      assert_true(store_set(transaction, store_numbered(text, 8), kv_slice("new", 3)));
      kv_transaction_publish(transaction, sequence);
   }
   assert_true(blocks_in_use > before);
   kv_store_reclaim(*state);
   store_commit(kv_store_begin(*state));
   assert_int_equal(blocks_in_use, before);
}

static void views_may_end_in_any_order(void **state)
{
   enum { VERSIONS = 6, VIEWS = 2 * VERSIONS, KEYS = 300 };
   uint64_t random_state = 42;
   char text[16], expected[16];
   for (unsigned round = 0; round < 100; round++) {
      struct kv_store_view *views[VIEWS];
      uint64_t first = 0;
      for (unsigned i = 0; i < VERSIONS; i++) {
         struct kv_transaction *transaction = kv_store_begin(*state);
         for (unsigned j = 0; j < KEYS; j += i + 1)
            assert_true(
                store_set(transaction, store_numbered(text, j), store_numbered(expected, i)));
         first = transaction->birth - 1 - i;
         store_commit(transaction);
         views[2 * i] = kv_store_view_create(*state);
         views[2 * i + 1] = kv_store_view_create(*state);
      }
      for (unsigned left = VIEWS; left > 0; left--) {
         unsigned chosen = store_random_below(&random_state, left);
         kv_store_view_destroy(views[chosen]);
         views[chosen] = views[left - 1];
         for (unsigned i = 0; i + 1 < left; i++) {
            const struct kv_version *version = kv_store_view_version(views[i]);
            unsigned j = store_random_below(&random_state, KEYS);
            unsigned number = expected_number(j, kv_version_sequence(version) - first);
            assert_true(
                store_holds(version, store_numbered(text, j), store_numbered(expected, number)));
            store_check_tree(version);
         }
      }
      struct kv_transaction *transaction = kv_store_begin(*state);
      bool existed;
      for (unsigned j = 0; j < KEYS; j++)
         assert_true(kv_transaction_delete(transaction, store_numbered(text, j), &existed));
      store_commit(transaction);
      assert_nothing_kept(*state);
   }
}

/* Sequences below, among and above those of the store that it is put into. */
static void data_that_replaced_other_data_is_freed_with_its_last_view(void **state)
{
   enum { COUNT = 500 };
   for (uint64_t first = 1; first <= 1000000; first *= 1000) {
      char text[16];
      bool existed;
      struct kv_store *other = kv_store_create();
      struct kv_transaction *transaction = kv_store_begin(other);
      for (unsigned i = 0; i < COUNT; i++)
         assert_true(kv_transaction_set(transaction, store_numbered(text, i), kv_slice(NULL, 0), 0,
                                        first + i));
      kv_transaction_commit(transaction, first + COUNT);
      store_fill(*state, COUNT);
      struct kv_store_view *before = kv_store_view_create(*state);
      transaction = kv_store_begin_replacement(*state, other);
      kv_transaction_commit(transaction, 2 * first + 10 * COUNT);
      kv_store_destroy(other);
      struct kv_store_view *after = kv_store_view_create(*state);
      transaction = kv_store_begin(*state);
      for (unsigned i = 0; i < COUNT; i++)
         assert_true(kv_transaction_delete(transaction, store_numbered(text, i), &existed));
      store_commit(transaction);
      kv_store_view_destroy(after);
      assert_int_equal(store_check_tree(kv_store_view_version(before)).slots, COUNT);
      kv_store_view_destroy(before);
      assert_nothing_kept(*state);
   }
}

/* ---- Without memory ---- */

/* Sets, replaces and deletes enough to split and merge; false when memory ran out. */
static bool change_much(struct kv_transaction *transaction)
{
   char text[16];
   bool existed;
   for (unsigned i = 0; i < 700; i++) {
      if (!store_set(transaction, store_numbered(text, i * 37 % 1000), kv_slice("new", 3)))
         return false;
   }
   for (unsigned i = 0; i < 900; i++) {
      if (!kv_transaction_delete(transaction, store_numbered(text, i), &existed))
         return false;
   }
   return true;
}

static void a_transaction_without_memory_can_be_aborted(void **state)
{
   enum { COUNT = 1000 };
   char text[16];
   store_fill(*state, COUNT / 2);
   store_commit(kv_store_begin(*state));
   long before = blocks_in_use;
   bool done = false;
   for (long allowed = 0; !done; allowed++) {
      allocations_left = allowed;
      struct kv_transaction *transaction = kv_store_begin(*state);
      done = transaction && change_much(transaction);
      allocations_left = -1;
      if (transaction) {
         store_check_tree(transaction->version);
         kv_transaction_abort(transaction);
      }
      assert_int_equal(blocks_in_use, before);
   }
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), COUNT / 2);
   for (unsigned i = 0; i < COUNT; i++) {
      const struct kv_entry *entry =
          kv_version_find(kv_store_view_version(view), store_numbered(text, i));
      assert_int_equal(entry != NULL, i % 2 == 0);
      assert_true(!entry || store_same(kv_entry_value(entry), store_numbered(text, i)));
   }
   store_check_tree(kv_store_view_version(view));
   kv_store_view_destroy(view);
}

static void a_store_reader_or_view_without_memory_is_null(void **state)
{
   long before = blocks_in_use;
   for (long allowed = 0; allowed < 2; allowed++) {
      allocations_left = allowed;
      assert_null(kv_store_create());
   }
   allocations_left = 0;
   assert_null(kv_reader_create(*state));
   assert_null(kv_store_view_create(*state));
   allocations_left = -1;
   assert_int_equal(blocks_in_use, before);
}

static void commit_and_the_end_of_a_view_need_no_memory(void **state)
{
   store_fill(*state, 3000);
   struct kv_store_view *older = kv_store_view_create(*state);
   store_fill(*state, 3000);
   struct kv_store_view *newer = kv_store_view_create(*state);
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(change_much(transaction));
   allocations_left = 0;
   store_commit(transaction);
   kv_store_view_destroy(newer);
   store_check_tree(kv_store_view_version(older));
   kv_store_view_destroy(older);
   allocations_left = -1;
}

/* At every allocation that a replacement makes. */
static void a_replacement_without_memory_changes_neither_store(void **state)
{
   struct kv_store *other = kv_store_create();
   store_fill(other, 100);
   store_fill(*state, 1000);
   long before = blocks_in_use;
   struct kv_transaction *transaction = NULL;
   for (long allocations = 0; !transaction; allocations++) {
      assert_int_equal(blocks_in_use, before);
      allocations_left = allocations;
      transaction = kv_store_begin_replacement(*state, other);
      allocations_left = -1;
   }
   store_commit(transaction);
   struct kv_store_view *view = kv_store_view_create(*state);
   assert_int_equal(store_check_tree(kv_store_view_version(view)).slots, 100);
   kv_store_view_destroy(view);
   kv_store_destroy(other);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, create_store, destroy_store)

int main(void)
{
   const struct CMUnitTest tests[] = {
       STORE_TEST(a_tree_emptied_in_any_order_keeps_nothing),
       STORE_TEST(an_aborted_transaction_frees_what_it_made),
       STORE_TEST(a_kept_entry_outlives_its_key_its_versions_and_the_store),
       STORE_TEST(values_that_nobody_keeps_are_freed_whatever_their_size),
       STORE_TEST(what_an_unpinned_version_used_is_freed_by_the_next_commit),
       STORE_TEST(a_held_view_costs_only_what_it_alone_needs),
       STORE_TEST(an_entry_created_ahead_is_freed_whether_it_is_put_or_released),
       STORE_TEST(what_was_published_keeps_what_it_replaced_until_it_is_reclaimed),
       STORE_TEST(views_may_end_in_any_order),
       STORE_TEST(data_that_replaced_other_data_is_freed_with_its_last_view),
       STORE_TEST(a_transaction_without_memory_can_be_aborted),
       STORE_TEST(a_store_reader_or_view_without_memory_is_null),
       STORE_TEST(commit_and_the_end_of_a_view_need_no_memory),
       STORE_TEST(a_replacement_without_memory_changes_neither_store),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
