/* Sets of key ranges, and the index that finds those with a key. */
#include "core/watch/ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct kv_key_range range(const char *start, const char *end)
{
   return (struct kv_key_range){kv_slice_of(start), kv_slice_of(end)};
}

static struct kv_range_set *set_of(const struct kv_key_range *ranges, size_t count)
{
   struct kv_range_set *set = kv_range_set_create(ranges, count, NULL);
   assert_non_null(set);
   return set;
}

static bool has(const struct kv_range_set *set, const char *key)
{
   return kv_range_set_has(set, kv_slice_of(key));
}

static void a_set_has_the_keys_of_its_ranges(void **state)
{
   (void)state;
   const struct kv_key_range ranges[] = {range("m", "p"), range("b", "d"), range("x", "")};
   struct kv_range_set *set = set_of(ranges, COUNT(ranges));
   static const char *const in[] = {"b", "c", "czz", "m", "ozz", "x", "\xff"};
   static const char *const out[] = {"a", "d", "lzz", "p", "wzz"};
   for (size_t i = 0; i < COUNT(in); i++)
      assert_true(has(set, in[i]));
   for (size_t i = 0; i < COUNT(out); i++)
      assert_false(has(set, out[i]));
   kv_range_set_destroy(set);
}

static void assert_range(const struct kv_range_set *set, size_t index, const char *start,
                         const char *end)
{
   const struct kv_key_range found = kv_range_set_at(set, index);
   assert_int_equal(kv_slice_compare(found.start, kv_slice_of(start)), 0);
   assert_int_equal(kv_slice_compare(found.end, kv_slice_of(end)), 0);
}

static void ranges_that_overlap_are_one(void **state)
{
   (void)state;
   const struct kv_key_range ranges[] = {range("c", "e"), range("a", "c"), range("b", "d"),
                                         range("x", "y"), range("g", "g"), range("h", "")};
   struct kv_range_set *set = set_of(ranges, COUNT(ranges));
   assert_int_equal(kv_range_set_count(set), 2);
   assert_range(set, 0, "a", "e");
   assert_range(set, 1, "h", "");
   kv_range_set_destroy(set);
}

static void count_only(void *context, void *owner)
{
   (void)owner;
   ++*(unsigned *)context;
}

static void ranges_that_touch_stay_apart_and_their_set_is_found_once(void **state)
{
   (void)state;
   const struct kv_key_range ranges[] = {range("k2", "k3"), range("k1", "k2"), range("k1", "k2"),
                                         range("k2", "k2"), range("k3", "")};
   struct kv_range_set *set = set_of(ranges, COUNT(ranges));
   assert_int_equal(kv_range_set_count(set), 3);
   assert_range(set, 0, "k1", "k2");
   assert_range(set, 1, "k2", "k3");
   assert_range(set, 2, "k3", "");
   struct kv_range_index index;
   kv_range_index_init(&index);
   kv_range_index_add(&index, set);
   static const char *const in[] = {"k1", "k1z", "k2", "k2z", "k3", "z"};
   for (size_t i = 0; i < COUNT(in); i++) {
      unsigned count = 0;
      assert_true(has(set, in[i]));
      kv_range_index_find(&index, kv_slice_of(in[i]), count_only, &count);
      assert_int_equal(count, 1);
   }
   assert_false(has(set, "k0"));
   kv_range_index_remove(&index, set);
   kv_range_set_destroy(set);
}

static void no_set_has_a_key_of_the_servers_own(void **state)
{
   (void)state;
   const struct kv_key_range all = range("", "");
   struct kv_range_set *set = set_of(&all, 1);
   assert_false(kv_range_set_has(set, kv_slice("\0r", 2)));
   assert_true(has(set, "\1"));
   assert_true(kv_slice_compare(kv_range_set_at(set, 0).start, kv_slice_of("\1")) == 0);
   kv_range_set_destroy(set);
}

static void a_set_has_its_own_bytes(void **state)
{
   (void)state;
   char start[] = "k1", end[] = "k2";
   const struct kv_key_range given = range(start, end);
   struct kv_range_set *set = set_of(&given, 1);
   start[0] = end[0] = 'z';
   assert_true(has(set, "k1"));
   assert_true(kv_range_set_size(set) > 4);
   kv_range_set_destroy(set);
}

/* ---- Against a model ---- */

enum { SETS = 300, RANGES = 5, ROUNDS = 4000, KEYS = 64 };

struct model {
   struct kv_range_set *set; /* NULL: not in the index */
   struct kv_key_range ranges[RANGES];
   size_t count;
   unsigned found;
};

/* Of few letters, so that many are equal or prefixes of one another. */
static struct kv_slice random_key(void)
{
   static char texts[16][8];
   static unsigned next;
   char *text = texts[next++ % 16];
   const size_t size = 1 + (size_t)rand() % 4;
   for (size_t i = 0; i < size; i++)
      text[i] = (char)('a' + rand() % 3);
   return kv_slice(text, size);
}

static void count_found(void *context, void *owner)
{
   (void)context;
   ((struct model *)owner)->found++;
}

static bool model_has(const struct model *model, struct kv_slice key)
{
   for (size_t i = 0; i < model->count; i++)
      if (kv_slice_compare(model->ranges[i].start, key) <= 0 &&
          (model->ranges[i].end.size == 0 || kv_slice_compare(key, model->ranges[i].end) < 0))
         return true;
   return false;
}

static void put_in(struct kv_range_index *index, struct model *model)
{
   struct kv_key_range given[RANGES];
   model->count = 1 + (size_t)rand() % RANGES;
   for (size_t i = 0; i < model->count; i++) {
      given[i].start = random_key();
      given[i].end = rand() % 8 ? random_key() : kv_slice(NULL, 0);
   }
   model->set = kv_range_set_create(given, model->count, model);
   /* The model keeps the ranges as they were given; the set's own bytes stay. */
   for (size_t i = 0; i < model->count; i++) {
      model->ranges[i].start =
          kv_slice(strndup(given[i].start.data, given[i].start.size), given[i].start.size);
      model->ranges[i].end =
          kv_slice(given[i].end.size ? strndup(given[i].end.data, given[i].end.size) : NULL,
                   given[i].end.size);
   }
   kv_range_index_add(index, model->set);
}

static void take_out(struct kv_range_index *index, struct model *model)
{
   kv_range_index_remove(index, model->set);
   kv_range_set_destroy(model->set);
   for (size_t i = 0; i < model->count; i++) {
      free((void *)model->ranges[i].start.data);
      free((void *)model->ranges[i].end.data);
   }
   model->set = NULL;
}

static void check_key(const struct kv_range_index *index, struct model *models, struct kv_slice key)
{
   for (size_t i = 0; i < SETS; i++)
      models[i].found = 0;
   kv_range_index_find(index, key, count_found, NULL);
   for (size_t i = 0; i < SETS; i++) {
      const bool wanted = models[i].set && model_has(&models[i], key);
      assert_int_equal(models[i].found, wanted);
      if (models[i].set)
         assert_int_equal(kv_range_set_has(models[i].set, key), wanted);
   }
}

static void the_index_finds_each_set_with_a_key_once_and_no_other(void **state)
{
   static struct model models[SETS];
   struct kv_range_index index;
   (void)state;
   srand(7);
   kv_range_index_init(&index);
   for (int round = 0; round < ROUNDS; round++) {
      struct model *model = &models[rand() % SETS];
      if (model->set)
         take_out(&index, model);
      else
         put_in(&index, model);
      if (round % (ROUNDS / KEYS) == 0)
         check_key(&index, models, random_key());
   }
   for (size_t i = 0; i < SETS; i++)
      if (models[i].set)
         take_out(&index, &models[i]);
   assert_null(index.root);
}

static void each_set_of_the_index_is_told(void **state)
{
   (void)state;
   struct kv_range_index index;
   const struct kv_key_range all = range("", ""), one = range("a", "b");
   struct kv_range_set *sets[] = {set_of(&all, 1), set_of(&one, 1), set_of(&one, 1)};
   unsigned count = 0;
   kv_range_index_init(&index);
   for (size_t i = 0; i < COUNT(sets); i++)
      kv_range_index_add(&index, sets[i]);
   kv_range_index_each(&index, count_only, &count);
   assert_int_equal(count, 3);
   for (size_t i = 0; i < COUNT(sets); i++) {
      kv_range_index_remove(&index, sets[i]);
      kv_range_set_destroy(sets[i]);
   }
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_set_has_the_keys_of_its_ranges),
       cmocka_unit_test(ranges_that_overlap_are_one),
       cmocka_unit_test(ranges_that_touch_stay_apart_and_their_set_is_found_once),
       cmocka_unit_test(no_set_has_a_key_of_the_servers_own),
       cmocka_unit_test(a_set_has_its_own_bytes),
       cmocka_unit_test(the_index_finds_each_set_with_a_key_once_and_no_other),
       cmocka_unit_test(each_set_of_the_index_is_told),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
