/* Random transactions, views held over many versions, and cursors, against sorted arrays. */
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

enum { MODEL_KEYS = 6000, MODEL_VIEWS = 8, MODEL_KEY_SIZE_MAX = 40, TIMES = 1000000 };

struct held {
   uint32_t value; /* 0: nothing, else the number that the value is made from */
   int64_t expires_at;
   uint64_t version;
};

struct model {
   struct held held[MODEL_KEYS]; /* by the number of the key */
};

struct model_key {
   uint8_t bytes[MODEL_KEY_SIZE_MAX];
   size_t size;
};

struct model_test {
   struct model_key keys[MODEL_KEYS]; /* ascending, no two the same */
   struct model now, working;         /* committed; in the transaction in progress */
   uint64_t sequence;
   struct kv_store_view *views[MODEL_VIEWS];
   struct model seen[MODEL_VIEWS]; /* what the views must show */
   uint64_t sequences[MODEL_VIEWS];
   uint64_t random_state;
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
         size_t common = store_random_below(&test->random_state, 4) * 5;
         memset(key->bytes, 'k', common);
         key->size = common + 1 + store_random_below(&test->random_state, 12);
         for (size_t i = common; i < key->size; i++)
            key->bytes[i] = alphabet[store_random_below(&test->random_state, sizeof alphabet)];
      }
      qsort(test->keys, MODEL_KEYS, sizeof test->keys[0], compare_model_keys);
      count = 1;
      for (size_t i = 1; i < MODEL_KEYS; i++) {
         if (compare_model_keys(&test->keys[i], &test->keys[count - 1]) != 0)
            test->keys[count++] = test->keys[i];
      }
   }
}

static struct kv_slice model_key(const struct model_test *test, size_t index)
{
   return kv_slice(test->keys[index].bytes, test->keys[index].size);
}

/* The value made from a number: its size varies with it. */
static struct kv_slice model_value(uint32_t (*buffer)[50], uint32_t number)
{
   for (size_t i = 0; i < 50; i++)
      (*buffer)[i] = number;
   return kv_slice(*buffer, 4 + number % 197);
}

static void check_entry(const struct model_test *test, const struct kv_entry *entry,
                        const struct model *model, size_t index)
{
   uint32_t buffer[50];
   const struct held *held = &model->held[index];
   assert_int_equal(entry != NULL, held->value != 0);
   if (!entry)
      return;
   assert_true(store_same(kv_entry_key(entry), model_key(test, index)));
   assert_true(store_same(kv_entry_value(entry), model_value(&buffer, held->value)));
   assert_true(kv_entry_expires_at(entry) == held->expires_at);
   assert_int_equal(kv_entry_version(entry), held->version);
}

/* Both ways from the key `from`: to the end and back, then on to the beginning and back. */
static void check_cursor(struct model_test *test, const struct kv_version *version,
                         const struct model *model, size_t from)
{
   struct kv_cursor cursor;
   kv_cursor_seek(&cursor, version, from > 0 ? model_key(test, from) : kv_slice(NULL, 0));
   for (size_t i = from; i < MODEL_KEYS; i++)
      if (model->held[i].value != 0)
         check_entry(test, kv_cursor_next(&cursor), model, i);
   assert_null(kv_cursor_next(&cursor));
   for (size_t i = MODEL_KEYS; i-- > from;)
      if (model->held[i].value != 0)
         check_entry(test, kv_cursor_previous(&cursor), model, i);
   if (store_random_below(&test->random_state, 2) == 0)
      kv_cursor_seek_before(&cursor, version, model_key(test, from));
   for (size_t i = from; i-- > 0;)
      if (model->held[i].value != 0)
         check_entry(test, kv_cursor_previous(&cursor), model, i);
   assert_null(kv_cursor_previous(&cursor));
   for (size_t i = 0; i < from; i++)
      if (model->held[i].value != 0)
         check_entry(test, kv_cursor_next(&cursor), model, i);
   kv_cursor_seek_before(&cursor, version, kv_slice(NULL, 0));
   assert_null(kv_cursor_next(&cursor));
}

static void check_version(struct model_test *test, const struct kv_version *version,
                          const struct model *model, size_t from)
{
   check_cursor(test, version, model, from);
   for (unsigned tries = 0; tries < 20; tries++) {
      size_t i = store_random_below(&test->random_state, MODEL_KEYS);
      check_entry(test, kv_version_find(version, model_key(test, i)), model, i);
   }
}

static void check_counters(const struct model_test *test, const struct kv_version *version,
                           const struct model *model)
{
   uint64_t count = 0, bytes = 0;
   uint32_t buffer[50];
   for (size_t i = 0; i < MODEL_KEYS; i++) {
      if (model->held[i].value == 0)
         continue;
      count++;
      bytes += test->keys[i].size + model_value(&buffer, model->held[i].value).size;
   }
   assert_int_equal(kv_version_count(version), count);
   assert_int_equal(kv_version_bytes(version), bytes);
   store_check_tree(version);
}

static void delete_both(struct model_test *test, struct kv_transaction *transaction, size_t index)
{
   bool existed;
   struct held *held = &test->working.held[index];
   assert_true(kv_transaction_delete(transaction, model_key(test, index), &existed));
   assert_int_equal(existed, held->value != 0);
   *held = (struct held){0};
}

static void set_both(struct model_test *test, struct kv_transaction *transaction, size_t index,
                     uint64_t sequence)
{
   uint32_t buffer[50];
   struct held *held = &test->working.held[index];
   held->value = 1 + store_random_below(&test->random_state, UINT32_MAX - 1);
   held->expires_at = store_random_below(&test->random_state, 3) == 0
                          ? 1 + store_random_below(&test->random_state, TIMES)
                          : 0;
   held->version = sequence;
   assert_true(kv_transaction_set(transaction, model_key(test, index),
                                  model_value(&buffer, held->value), held->expires_at, sequence));
}

/* In as many searches as it takes. */
static const struct kv_entry *find_expired(struct kv_transaction *transaction, int64_t now_ms)
{
   const struct kv_entry *found;
   size_t looks;
   do {
      looks = 10;
      found = kv_transaction_find_expired(transaction, now_ms, &looks);
   } while (!found && looks == 0);
   return found;
}

/* Deletes up to `limit` of the keys whose time has come, in order. */
static void expire_both(struct model_test *test, struct kv_transaction *transaction, int64_t now_ms,
                        uint32_t limit)
{
   int64_t first = INT64_MAX;
   for (size_t i = 0; i < MODEL_KEYS; i++) {
      const struct held *held = &test->working.held[i];
      if (held->expires_at > 0 && held->expires_at <= now_ms && limit > 0) {
         check_entry(test, find_expired(transaction, now_ms), &test->working, i);
         delete_both(test, transaction, i);
         limit--;
      }
      if (held->expires_at > 0 && held->expires_at < first)
         first = held->expires_at;
   }
   assert_true(kv_transaction_expires_first(transaction) <= first);
   if (first <= now_ms)
      return;
   assert_null(find_expired(transaction, now_ms));
   assert_true(kv_transaction_expires_first(transaction) > now_ms);
   assert_true(kv_transaction_expires_first(transaction) <= first);
}

/* One transaction of up to `changes` changes, of which `deletes` in 100 are deletes. */
static void change_both(struct model_test *test, struct kv_store *store, uint32_t changes,
                        uint32_t deletes)
{
   struct kv_transaction *transaction = kv_store_begin(store);
   uint64_t sequence = test->sequence;
   test->working = test->now;
   for (uint32_t left = 1 + store_random_below(&test->random_state, changes); left > 0; left--) {
      size_t i = store_random_below(&test->random_state, MODEL_KEYS);
      sequence += 1 + store_random_below(&test->random_state, 3);
      check_entry(test, kv_transaction_find(transaction, model_key(test, i)), &test->working, i);
      if (store_random_below(&test->random_state, 100) < deletes)
         delete_both(test, transaction, i);
      else
         set_both(test, transaction, i, sequence);
   }
   if (store_random_below(&test->random_state, 3) == 0)
      expire_both(test, transaction, store_random_below(&test->random_state, TIMES / 2),
                  store_random_below(&test->random_state, 200));
   if (store_random_below(&test->random_state, 4) == 0) {
      kv_transaction_abort(transaction);
      return;
   }
   test->sequence = sequence + store_random_below(&test->random_state, 2);
   kv_transaction_commit(transaction, test->sequence);
   test->now = test->working;
}

static void change_views(struct model_test *test, struct kv_store *store)
{
   size_t chosen = store_random_below(&test->random_state, MODEL_VIEWS);
   struct kv_store_view **view = &test->views[chosen];
   if (*view) {
      const struct kv_version *version = kv_store_view_version(*view);
      assert_int_equal(kv_version_sequence(version), test->sequences[chosen]);
      check_version(test, version, &test->seen[chosen],
                    store_random_below(&test->random_state, MODEL_KEYS));
      check_counters(test, version, &test->seen[chosen]);
      if (store_random_below(&test->random_state, 3) > 0)
         return;
      kv_store_view_destroy(*view);
      *view = NULL;
   } else {
      *view = kv_store_view_create(store);
      test->seen[chosen] = test->now;
      test->sequences[chosen] = test->sequence;
   }
}

static void all_versions_agree_with_a_model(void **state)
{
   struct model_test *test = calloc(1, sizeof *test);
   struct kv_reader *reader = kv_reader_create(*state);
   test->random_state = 42;
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
      check_version(test, kv_store_view_version(test->views[i]), &test->seen[i], 0);
      kv_store_view_destroy(test->views[i]);
   }
   kv_reader_destroy(reader);
   free(test);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, create_store, destroy_store)

int main(void)
{
   const struct CMUnitTest tests[] = {
       STORE_TEST(all_versions_agree_with_a_model),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
