/*
 * The store against a model, and its promises one by one. Linked with --wrap for the allocation
 * functions: the tests count the blocks in use and let chosen allocations fail.
 */
#include "core/store/reclaim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

/* ---- Helpers ---- */

static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
   random_state = random_state * 6364136223846793005u + 1442695040888963407u;
   return (uint32_t)((random_state >> 33) % bound);
}

static void set(struct kv_transaction *transaction, const char *key, const char *value)
{
   assert_true(kv_transaction_set(transaction, kv_bytes_of(key), kv_bytes_of(value)));
}

static bool delete_key(struct kv_transaction *transaction, const char *key)
{
   bool existed;
   assert_true(kv_transaction_delete(transaction, kv_bytes_of(key), &existed));
   return existed;
}

static bool same(struct kv_bytes a, struct kv_bytes b)
{
   return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void assert_value(const struct kv_version *version, const char *key, const char *expected)
{
   struct kv_bytes value;
   bool found = kv_version_get(version, kv_bytes_of(key), &value);
   assert_int_equal(found, expected != NULL);
   if (expected)
      assert_true(same(value, kv_bytes_of(expected)));
}

struct shape {
   uint64_t leaves, slots;
};

/* Checks the rules of node.h below `node`; all keys must lie in [low, high). */
static void check_node(const struct kv_node *node, const struct kv_entry *low,
                       const struct kv_entry *high, struct shape *shape)
{
   assert_true(node->count > 0 && node->count <= node->capacity);
   assert_true(node->capacity <= KV_NODE_FANOUT);
   const struct kv_entry *previous = low;
   for (uint32_t i = node->level > 0; i < node->count; i++) {
      const struct kv_slot *slot = &node->slots[i];
      assert_true(slot->head == kv_key_head(kv_entry_key(slot->key)));
      if (previous) {
         int order = kv_entry_compare(previous, kv_entry_key(slot->key));
         assert_true(order < 0 || (order == 0 && previous == low));
      }
      previous = slot->key;
   }
   if (previous && high && node->count > 0)
      assert_true(kv_entry_compare(previous, kv_entry_key(high)) < 0 || previous == low);
   if (node->level == 0) {
      shape->leaves++;
      shape->slots += node->count;
      return;
   }
   assert_null(node->slots[0].key);
   for (uint32_t i = 0; i < node->count; i++) {
      const struct kv_node *child = kv_node_children(node)[i];
      assert_int_equal(child->level + 1, node->level);
      check_node(child, i > 0 ? node->slots[i].key : low,
                 i + 1 < node->count ? node->slots[i + 1].key : high, shape);
   }
}

static struct shape check_tree(const struct kv_version *version)
{
   struct shape shape = {0};
   if (version->tree.root)
      check_node(version->tree.root, NULL, NULL, &shape);
   assert_int_equal(shape.slots, kv_version_count(version));
   return shape;
}

/* Every test gets a store, and must leave nothing behind. */
static int create_store(void **state)
{
   random_state = 42;
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
   kv_transaction_commit(kv_store_begin(store), 1);
   assert_int_equal(blocks_in_use, 2); /* the store and its version */
}

/* ---- One promise at a time ---- */

static void a_new_store_is_empty_at_sequence_0(void **state)
{
   struct kv_view *view = kv_view_create(*state);
   const struct kv_version *version = kv_view_version(view);
   assert_int_equal(kv_version_sequence(version), 0);
   assert_int_equal(kv_version_count(version), 0);
   assert_int_equal(kv_version_bytes(version), 0);
   assert_value(version, "key", NULL);
   struct kv_cursor cursor;
   struct kv_bytes key, value;
   kv_cursor_seek(&cursor, version, kv_bytes(NULL, 0));
   assert_false(kv_cursor_next(&cursor, &key, &value));
   assert_false(kv_cursor_next(&cursor, &key, &value));
   kv_view_destroy(view);
}

static void a_transaction_sees_its_own_changes_and_nobody_else_does(void **state)
{
   struct kv_reader *reader = kv_reader_create(*state);
   struct kv_transaction *transaction = kv_store_begin(*state);
   set(transaction, "a", "1");
   struct kv_bytes value;
   assert_true(kv_transaction_get(transaction, kv_bytes_of("a"), &value));
   assert_true(same(value, kv_bytes_of("1")));
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
   long before = blocks_in_use;
   transaction = kv_store_begin(*state);
   set(transaction, "kept", "after");
   set(transaction, "new", "x");
   assert_true(delete_key(transaction, "gone?"));
   kv_transaction_abort(transaction);
   assert_int_equal(blocks_in_use, before);

   struct kv_view *view = kv_view_create(*state);
   const struct kv_version *version = kv_view_version(view);
   assert_value(version, "kept", "before");
   assert_value(version, "gone?", "no");
   assert_value(version, "new", NULL);
   assert_int_equal(kv_version_count(version), 2);
   assert_int_equal(kv_version_sequence(version), 1);
   kv_view_destroy(view);
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
   struct kv_view *view = kv_view_create(*state);
   assert_int_equal(kv_version_count(kv_view_version(view)), 1);
   assert_int_equal(kv_version_bytes(kv_view_version(view)), 21);
   kv_view_destroy(view);
}

static void keys_come_in_the_order_of_unsigned_bytes(void **state)
{
   static const struct kv_bytes ordered[] = {
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
      struct kv_bytes key = ordered[i * 7 % COUNT];
      assert_true(kv_transaction_set(transaction, key, key));
   }
   kv_transaction_commit(transaction, 1);
   struct kv_view *view = kv_view_create(*state);
   struct kv_cursor cursor;
   struct kv_bytes key, value;
   kv_cursor_seek(&cursor, kv_view_version(view), kv_bytes(NULL, 0));
   for (size_t i = 0; i < COUNT; i++) {
      assert_true(kv_cursor_next(&cursor, &key, &value));
      assert_true(same(key, ordered[i]) && same(value, ordered[i]));
      assert_true(kv_version_get(kv_view_version(view), ordered[i], &value));
      assert_true(same(value, ordered[i]));
   }
   assert_false(kv_cursor_next(&cursor, &key, &value));
   kv_view_destroy(view);
}

static struct kv_bytes numbered(char text[static 16], unsigned number)
{
   return kv_bytes(text, (size_t)snprintf(text, 16, "key:%08u", number));
}

/* Sets the even numbers below 2 * count, in ascending order. */
static void fill(struct kv_store *store, unsigned count)
{
   char text[16];
   struct kv_transaction *transaction = kv_store_begin(store);
   for (unsigned i = 0; i < count; i++) {
      struct kv_bytes key = numbered(text, 2 * i);
      assert_true(kv_transaction_set(transaction, key, key));
   }
   kv_transaction_commit(transaction, 1);
}

static void a_cursor_begins_at_the_first_key_not_below_the_one_sought(void **state)
{
   enum { COUNT = 5000 };
   fill(*state, COUNT);
   struct kv_view *view = kv_view_create(*state);
   assert_int_equal(kv_version_count(kv_view_version(view)), COUNT);
   for (unsigned i = 0; i <= 2 * COUNT; i++) {
      char text[16], expected[16];
      struct kv_cursor cursor;
      struct kv_bytes key, value;
      kv_cursor_seek(&cursor, kv_view_version(view), numbered(text, i));
      for (unsigned next = (i + 1) & ~1u, last = next + 4; next < last; next += 2) {
         bool there = next < 2 * COUNT;
         assert_int_equal(kv_cursor_next(&cursor, &key, &value), there);
         assert_true(!there || same(key, numbered(expected, next)));
      }
   }
   kv_view_destroy(view);
}

static void leaves_filled_in_ascending_order_stay_full(void **state)
{
   fill(*state, 20000);
   struct kv_view *view = kv_view_create(*state);
   struct shape shape = check_tree(kv_view_version(view));
   assert_true(shape.slots >= shape.leaves * (KV_NODE_FANOUT - 2));
   kv_view_destroy(view);
}

static void delete_numbered(struct kv_transaction *transaction, unsigned number)
{
   char text[16];
   bool existed;
   assert_true(kv_transaction_delete(transaction, numbered(text, number), &existed));
   assert_true(existed);
}

static void a_tree_emptied_in_any_order_keeps_nothing(void **state)
{
   enum { COUNT = 20000 };
   static const unsigned steps[] = {1, COUNT - 1, 7919}; /* ascending, descending, scattered */
   for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
      fill(*state, COUNT);
      struct kv_transaction *transaction = kv_store_begin(*state);
      for (unsigned j = 1; j <= COUNT; j++) {
         unsigned number = (unsigned)((uint64_t)j * steps[i] % COUNT * 2);
         delete_numbered(transaction, number);
         if (j % 1000 == 0) {
            struct shape shape = check_tree(transaction->version);
            assert_true(shape.leaves <= 1 + shape.slots / 20);
            kv_transaction_commit(transaction, j);
            transaction = kv_store_begin(*state);
         }
      }
      assert_int_equal(kv_transaction_count(transaction), 0);
      assert_int_equal(kv_transaction_bytes(transaction), 0);
      kv_transaction_commit(transaction, COUNT);
      assert_nothing_kept(*state);
   }
}

static void a_leaf_that_shrinks_is_merged_with_either_neighbour(void **state)
{
   enum { COUNT = 100, MERGED = KV_NODE_FANOUT * 3 / 4 };
   fill(*state, COUNT);
   for (unsigned from_end = 0; from_end < 2; from_end++) {
      struct kv_transaction *transaction = kv_store_begin(*state);
      unsigned first = 0, last = COUNT - 1;
      while (last - first + 1 > MERGED) {
         assert_int_equal(check_tree(transaction->version).leaves, 2);
         /* Both leaves shrink to about the same size, then only the one in question. */
         if (last - first + 1 > MERGED + 10 ? first < 35 : !from_end)
            delete_numbered(transaction, 2 * first++);
         else
            delete_numbered(transaction, 2 * last--);
      }
      assert_int_equal(check_tree(transaction->version).leaves, 1);
      kv_transaction_abort(transaction);
   }
}

static void the_longest_key_and_the_empty_value_are_kept(void **state)
{
   static char longest[KV_KEY_SIZE_MAX];
   struct kv_bytes value, last = kv_bytes(longest, sizeof longest),
                          before = kv_bytes(longest, sizeof longest - 1);
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(kv_transaction_set(transaction, last, kv_bytes(NULL, 0)));
   assert_true(kv_transaction_set(transaction, before, kv_bytes("x", 1)));
   kv_transaction_commit(transaction, 1);
   struct kv_view *view = kv_view_create(*state);
   assert_true(kv_version_get(kv_view_version(view), last, &value));
   assert_int_equal(value.size, 0);
   assert_true(kv_version_get(kv_view_version(view), before, &value));
   assert_int_equal(value.size, 1);
   kv_view_destroy(view);
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
   assert_nothing_kept(*state);
}

static void a_held_view_costs_only_what_it_alone_needs(void **state)
{
   enum { COUNT = 1000 };
   fill(*state, COUNT);
   kv_transaction_commit(kv_store_begin(*state), 2);
   long alone = blocks_in_use;
   struct kv_view *view = kv_view_create(*state);
   for (unsigned i = 0; i < 20 * COUNT; i++) {
      char text[16];
      struct kv_transaction *transaction = kv_store_begin(*state);
      struct kv_bytes key = numbered(text, random_below(COUNT) * 2);
      assert_true(kv_transaction_set(transaction, key, kv_bytes(text, i % 16)));
      kv_transaction_commit(transaction, 3 + i);
      /* At most twice the data, the view itself, and what the last transaction retired. */
      assert_true(blocks_in_use <= 2 * alone + 2 * COUNT / 50 + 16);
   }
   check_tree(kv_view_version(view));
   kv_view_destroy(view);
   kv_transaction_commit(kv_store_begin(*state), 3);
   assert_int_equal(blocks_in_use, alone);
}

/* Version n of this test sets every (n + 1)th key to n, all others stay as they were. */
static unsigned expected_number(unsigned key, uint64_t version)
{
   unsigned number = (unsigned)version;
   while (key % (number + 1) != 0)
      number--;
   return number;
}

static void views_may_end_in_any_order(void **state)
{
   enum { VERSIONS = 6, VIEWS = 2 * VERSIONS, KEYS = 300 };
   char text[16], expected[16];
   struct kv_bytes value;
   for (unsigned round = 0; round < 100; round++) {
      struct kv_view *views[VIEWS];
      for (unsigned i = 0; i < VERSIONS; i++) {
         struct kv_transaction *transaction = kv_store_begin(*state);
         for (unsigned j = 0; j < KEYS; j += i + 1)
            assert_true(kv_transaction_set(transaction, numbered(text, j), numbered(expected, i)));
         kv_transaction_commit(transaction, i);
         views[2 * i] = kv_view_create(*state);
         views[2 * i + 1] = kv_view_create(*state);
      }
      for (unsigned left = VIEWS; left > 0; left--) {
         unsigned chosen = random_below(left);
         kv_view_destroy(views[chosen]);
         views[chosen] = views[left - 1];
         for (unsigned i = 0; i + 1 < left; i++) {
            const struct kv_version *version = kv_view_version(views[i]);
            unsigned j = random_below(KEYS);
            assert_true(kv_version_get(version, numbered(text, j), &value));
            unsigned number = expected_number(j, kv_version_sequence(version));
            assert_true(same(value, numbered(expected, number)));
            check_tree(version);
         }
      }
      struct kv_transaction *transaction = kv_store_begin(*state);
      bool existed;
      for (unsigned j = 0; j < KEYS; j++)
         assert_true(kv_transaction_delete(transaction, numbered(text, j), &existed));
      kv_transaction_commit(transaction, VERSIONS);
      assert_nothing_kept(*state);
   }
}

/* ---- Against a model ---- */

enum { MODEL_KEYS = 6000, MODEL_VIEWS = 8, MODEL_KEY_SIZE_MAX = 40 };

/* values[i] is what key i holds: 0 nothing, else the number that the value is made from. */
struct model {
   uint32_t values[MODEL_KEYS];
};

struct model_key {
   uint8_t bytes[MODEL_KEY_SIZE_MAX];
   size_t size;
};

struct model_test {
   struct model_key keys[MODEL_KEYS]; /* ascending, no two the same */
   struct model now, working;         /* committed; in the transaction under way */
   uint64_t sequence;
   struct kv_view *views[MODEL_VIEWS];
   struct model seen[MODEL_VIEWS]; /* what the views must show */
   uint64_t sequences[MODEL_VIEWS];
};

static int compare_model_keys(const void *a, const void *b)
{
   const struct model_key *left = a, *right = b;
   size_t shorter = left->size < right->size ? left->size : right->size;
   int order = memcmp(left->bytes, right->bytes, shorter);
   return order ? order : (left->size > right->size) - (left->size < right->size);
}

/* Few different bytes and common beginnings, so that many keys are alike in their heads or are
 * beginnings of others. */
static void make_keys(struct model_test *test)
{
   static const uint8_t alphabet[] = {0, 1, 'a', 'b', 0x7f, 0x80, 0xff};
   size_t count = 0;
   while (count < MODEL_KEYS) {
      for (; count < MODEL_KEYS; count++) {
         struct model_key *key = &test->keys[count];
         memset(key, 0, sizeof *key);
         size_t common = random_below(4) * 5;
         memset(key->bytes, 'k', common);
         key->size = common + 1 + random_below(12);
         for (size_t i = common; i < key->size; i++)
            key->bytes[i] = alphabet[random_below(sizeof alphabet)];
      }
      qsort(test->keys, MODEL_KEYS, sizeof test->keys[0], compare_model_keys);
      count = 1;
      for (size_t i = 1; i < MODEL_KEYS; i++) {
         if (compare_model_keys(&test->keys[i], &test->keys[count - 1]) != 0)
            test->keys[count++] = test->keys[i];
      }
   }
}

static struct kv_bytes model_key(const struct model_test *test, size_t index)
{
   return kv_bytes(test->keys[index].bytes, test->keys[index].size);
}

/* The value made from a number: its size varies with it. */
static struct kv_bytes model_value(uint32_t (*buffer)[50], uint32_t number)
{
   for (size_t i = 0; i < 50; i++)
      (*buffer)[i] = number;
   return kv_bytes(*buffer, 4 + number % 197);
}

static void check_version(const struct model_test *test, const struct kv_version *version,
                          const struct model *model, size_t from)
{
   uint32_t buffer[50];
   struct kv_cursor cursor;
   struct kv_bytes key, value;
   kv_cursor_seek(&cursor, version, from > 0 ? model_key(test, from) : kv_bytes(NULL, 0));
   for (size_t i = from; i < MODEL_KEYS; i++) {
      if (model->values[i] == 0)
         continue;
      assert_true(kv_cursor_next(&cursor, &key, &value));
      assert_true(same(key, model_key(test, i)));
      assert_true(same(value, model_value(&buffer, model->values[i])));
   }
   assert_false(kv_cursor_next(&cursor, &key, &value));
   for (unsigned tries = 0; tries < 20; tries++) {
      size_t i = random_below(MODEL_KEYS);
      assert_int_equal(kv_version_get(version, model_key(test, i), &value), model->values[i] != 0);
      assert_true(model->values[i] == 0 || same(value, model_value(&buffer, model->values[i])));
   }
}

static void check_counters(const struct model_test *test, const struct kv_version *version,
                           const struct model *model)
{
   uint64_t count = 0, bytes = 0;
   uint32_t buffer[50];
   for (size_t i = 0; i < MODEL_KEYS; i++) {
      if (model->values[i] == 0)
         continue;
      count++;
      bytes += test->keys[i].size + model_value(&buffer, model->values[i]).size;
   }
   assert_int_equal(kv_version_count(version), count);
   assert_int_equal(kv_version_bytes(version), bytes);
   check_tree(version);
}

/* One transaction of up to `changes` changes, of which `deletes` in 100 are deletes. */
static void change_both(struct model_test *test, struct kv_store *store, uint32_t changes,
                        uint32_t deletes)
{
   struct kv_transaction *transaction = kv_store_begin(store);
   test->working = test->now;
   for (uint32_t left = 1 + random_below(changes); left > 0; left--) {
      size_t i = random_below(MODEL_KEYS);
      struct kv_bytes value;
      uint32_t buffer[50], *held = &test->working.values[i];
      assert_int_equal(kv_transaction_get(transaction, model_key(test, i), &value), *held != 0);
      if (random_below(100) < deletes) {
         bool existed;
         assert_true(kv_transaction_delete(transaction, model_key(test, i), &existed));
         assert_int_equal(existed, *held != 0);
         *held = 0;
      } else {
         *held = 1 + random_below(UINT32_MAX - 1);
         assert_true(
             kv_transaction_set(transaction, model_key(test, i), model_value(&buffer, *held)));
      }
   }
   if (random_below(4) == 0) {
      kv_transaction_abort(transaction);
      return;
   }
   kv_transaction_commit(transaction, ++test->sequence);
   test->now = test->working;
}

static void change_views(struct model_test *test, struct kv_store *store)
{
   size_t chosen = random_below(MODEL_VIEWS);
   struct kv_view **view = &test->views[chosen];
   if (*view) {
      const struct kv_version *version = kv_view_version(*view);
      assert_int_equal(kv_version_sequence(version), test->sequences[chosen]);
      check_version(test, version, &test->seen[chosen], random_below(MODEL_KEYS));
      check_counters(test, version, &test->seen[chosen]);
      if (random_below(3) > 0)
         return;
      kv_view_destroy(*view);
      *view = NULL;
   } else {
      *view = kv_view_create(store);
      test->seen[chosen] = test->now;
      test->sequences[chosen] = test->sequence;
   }
}

static void all_versions_agree_with_a_model(void **state)
{
   struct model_test *test = calloc(1, sizeof *test);
   struct kv_reader *reader = kv_reader_create(*state);
   make_keys(test);
   for (unsigned step = 0; step < 3000; step++) {
      uint32_t deletes = step / 500 % 2 == 0 ? 20 : 85; /* the tree grows and shrinks by turns */
      change_both(test, *state, step % 10 == 0 ? 2000 : 10, deletes);
      if (step % 5 == 0)
         change_views(test, *state);
      if (step % 20 == 0) {
         const struct kv_version *version = kv_reader_pin(reader);
         check_version(test, version, &test->now, 0);
         check_counters(test, version, &test->now);
         kv_reader_unpin(reader);
      }
   }
   for (size_t i = 0; i < MODEL_VIEWS; i++) {
      if (!test->views[i])
         continue;
      check_version(test, kv_view_version(test->views[i]), &test->seen[i], 0);
      kv_view_destroy(test->views[i]);
   }
   kv_reader_destroy(reader);
   free(test);
}

/* ---- Without memory ---- */

/* Sets, replaces and deletes enough to split and merge; false when memory ran out. */
static bool change_much(struct kv_transaction *transaction)
{
   char text[16];
   bool existed;
   for (unsigned i = 0; i < 700; i++) {
      if (!kv_transaction_set(transaction, numbered(text, i * 37 % 1000), kv_bytes("new", 3)))
         return false;
   }
   for (unsigned i = 0; i < 900; i++) {
      if (!kv_transaction_delete(transaction, numbered(text, i), &existed))
         return false;
   }
   return true;
}

static void a_transaction_without_memory_can_be_aborted(void **state)
{
   enum { COUNT = 1000 };
   char text[16];
   fill(*state, COUNT / 2);
   kv_transaction_commit(kv_store_begin(*state), 2);
   long before = blocks_in_use;
   bool done = false;
   for (long allowed = 0; !done; allowed++) {
      allocations_left = allowed;
      struct kv_transaction *transaction = kv_store_begin(*state);
      done = transaction && change_much(transaction);
      allocations_left = -1;
      if (transaction) {
         check_tree(transaction->version);
         kv_transaction_abort(transaction);
      }
      assert_int_equal(blocks_in_use, before);
   }
   struct kv_view *view = kv_view_create(*state);
   assert_int_equal(kv_version_count(kv_view_version(view)), COUNT / 2);
   for (unsigned i = 0; i < COUNT; i++) {
      struct kv_bytes value;
      bool found = kv_version_get(kv_view_version(view), numbered(text, i), &value);
      assert_int_equal(found, i % 2 == 0);
      assert_true(!found || same(value, numbered(text, i)));
   }
   check_tree(kv_view_version(view));
   kv_view_destroy(view);
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
   assert_null(kv_view_create(*state));
   allocations_left = -1;
   assert_int_equal(blocks_in_use, before);
}

static void commit_and_the_end_of_a_view_need_no_memory(void **state)
{
   fill(*state, 3000);
   struct kv_view *older = kv_view_create(*state);
   fill(*state, 3000);
   struct kv_view *newer = kv_view_create(*state);
   struct kv_transaction *transaction = kv_store_begin(*state);
   assert_true(change_much(transaction));
   allocations_left = 0;
   kv_transaction_commit(transaction, 3);
   kv_view_destroy(newer);
   check_tree(kv_view_version(older));
   kv_view_destroy(older);
   allocations_left = -1;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, create_store, destroy_store)

int main(void)
{
   const struct CMUnitTest tests[] = {
       STORE_TEST(a_new_store_is_empty_at_sequence_0),
       STORE_TEST(a_transaction_sees_its_own_changes_and_nobody_else_does),
       STORE_TEST(an_aborted_transaction_leaves_no_trace),
       STORE_TEST(count_and_bytes_follow_sets_replaces_and_deletes),
       STORE_TEST(keys_come_in_the_order_of_unsigned_bytes),
       STORE_TEST(a_cursor_begins_at_the_first_key_not_below_the_one_sought),
       STORE_TEST(leaves_filled_in_ascending_order_stay_full),
       STORE_TEST(a_tree_emptied_in_any_order_keeps_nothing),
       STORE_TEST(a_leaf_that_shrinks_is_merged_with_either_neighbour),
       STORE_TEST(the_longest_key_and_the_empty_value_are_kept),
       STORE_TEST(a_pinned_version_stays_until_it_is_unpinned),
       STORE_TEST(a_held_view_costs_only_what_it_alone_needs),
       STORE_TEST(views_may_end_in_any_order),
       STORE_TEST(all_versions_agree_with_a_model),
       STORE_TEST(a_transaction_without_memory_can_be_aborted),
       STORE_TEST(a_store_reader_or_view_without_memory_is_null),
       STORE_TEST(commit_and_the_end_of_a_view_need_no_memory),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
