/* The latest changes: what they take in memory, and what gives way when that is much. */
#include "tests/support/history_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LARGE (KV_ENTRY_KEEP_MIN + 5)

static void a_large_value_is_kept_with_its_entry_and_counts(void **state)
{
   struct kv_history *history = *state;
   char *value = malloc(LARGE);
   memset(value, 'x', LARGE);
   struct kv_entry *entry = kv_entry_create(kv_slice_of("k"), kv_slice(value, LARGE), 0);
   kvs_record record = history_set_record(1, "k", value, LARGE);
   const struct kv_history_previous previous = {true, kv_slice(value, LARGE), NULL, 1, 0};
   const struct kv_history_previous kept = {true, kv_slice(value, LARGE), entry, 1, 0};
   const size_t before = kv_history_bytes(history);
   kv_history_add(history, &record, entry, NULL);
   record.sequence = 2;
   kv_history_add(history, &record, NULL, &previous);
   record.sequence = 3;
   kv_history_add(history, &record, NULL, &kept);
   kv_history_publish(history);
   kv_entry_release(entry);
   free(value);
   assert_true(kv_history_bytes(history) >= before + 5 * LARGE);
   struct kv_history_cursor cursor = history_open_at(history, 1);
   struct kv_change change;
   assert_true(kv_history_next(&cursor, &change));
   assert_ptr_equal(change.value.entry, entry);
   assert_int_equal(change.value.bytes.size, LARGE);
   assert_true(kv_history_next(&cursor, &change));
   assert_non_null(change.value.entry);
   assert_non_null(change.previous.entry);
   assert_int_equal(((const char *)change.previous.bytes.data)[LARGE - 1], 'x');
   assert_true(kv_history_next(&cursor, &change));
   assert_ptr_equal(change.previous.entry, entry);
   kv_history_close(&cursor);
   history_fill(history, 4, 3000); /* they give way like all others */
   assert_true(kv_history_lowest(history) > 3);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
}

static void a_change_larger_than_all_is_held_alone(void **state)
{
   struct kv_history *history = *state;
   const size_t size = 2 * KV_HISTORY_SIZE_MIN;
   char *value = calloc(1, size);
   history_fill(history, 1, 100);
   const kvs_record record = history_set_record(101, "k", value, size);
   kv_history_add(history, &record, NULL, NULL);
   kv_history_publish(history);
   free(value);
   assert_in_range(kv_history_lowest(history), 2, 101);
   struct kv_history_cursor cursor = history_open_at(history, 101);
   struct kv_change change;
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.value.bytes.size, size);
   kv_history_close(&cursor);
   history_add_set(history, 102, "k", "v");
   history_fill(history, 103, 300);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
}

static void a_batch_is_held_as_a_whole_until_the_next_one(void **state)
{
   struct kv_history *history = *state;
   struct kv_history_cursor cursor;
   history_fill(history, 1, 100);
   history_fill_batch(history, 101, 4100); /* four times of what may be held */
   assert_in_range(kv_history_lowest(history), 1, 101);
   kv_history_publish(history);
   cursor = history_open_at(history, 101);
   assert_int_equal(history_count_to_the_end(&cursor), 4000);
   kv_history_close(&cursor);
   assert_true(kv_history_bytes(history) > 4 * KV_HISTORY_SIZE_MIN - KV_HISTORY_SIZE_MIN / 4);
   history_add_set(history, 4101, "k", "v");
   kv_history_publish(history);
   assert_true(kv_history_lowest(history) > 4100 - KV_HISTORY_SIZE_MIN / 1000);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
}

static void a_batch_of_any_size_is_held_as_a_whole(void **state)
{
   struct kv_history *history = *state;
   const uint64_t count = 48 * KV_HISTORY_SIZE_MIN / KV_ENTRY_KEEP_MIN;
   char *value = malloc(KV_ENTRY_KEEP_MIN);
   memset(value, 'v', KV_ENTRY_KEEP_MIN);
   history_fill(history, 1, 2000);
   for (uint64_t i = 1; i <= count; i++) { /* none of them is kept: each takes its space */
      const kvs_record record = history_set_record(2000 + i, "k", value, KV_ENTRY_KEEP_MIN - 1);
      kv_history_add(history, &record, NULL, NULL);
   }
   kv_history_publish(history);
   struct kv_history_cursor cursor = history_open_at(history, 2001);
   assert_int_equal(history_count_to_the_end(&cursor), count);
   kv_history_close(&cursor);
   history_fill(history, 2001 + count, 2001 + count); /* not in what is left of a large segment */
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
   free(value);
}

static void large_values_leave_little_space_unused(void **state)
{
   (void)state;
   const size_t limit = 64 * KV_HISTORY_SIZE_MIN, size = 1024 * 1024;
   struct kv_history *history = kv_history_create(limit, HISTORY_READERS);
   struct kv_entry *entry;
   char *value = calloc(1, size);
   for (uint64_t sequence = 1; sequence <= 200; sequence++) {
      const kvs_record record = history_set_record(sequence, "k", value, size);
      entry = kv_entry_create(kv_slice_of("k"), kv_slice(value, size), 0);
      kv_history_add(history, &record, entry, NULL);
      kv_history_publish(history);
      kv_entry_release(entry);
      assert_true(kv_history_bytes(history) <= limit);
   }
   assert_true(200 - kv_history_lowest(history) + 1 >= limit / size * 3 / 4);
   kv_history_destroy(history);
   free(value);
}

static void a_place_behind_a_large_value_neither_lags_by_it_nor_is_dropped_with_it(void **state)
{
   struct kv_history *history = *state;
   const size_t size = KV_HISTORY_SIZE_MIN;
   char *value = calloc(1, size);
   const kvs_record record = history_set_record(1, "k", value, size);
   kv_history_add(history, &record, NULL, NULL);
   kv_history_publish(history);
   struct kv_history_cursor cursor = history_open_at(history, 1);
   assert_true(kv_history_lag(&cursor).least >= size);
   assert_int_equal(history_count_to_the_end(&cursor), 1);
   history_add_set(history, 2, "k", "v");
   kv_history_publish(history);
   assert_true(kv_history_lag(&cursor).most < 1000);
   assert_true(kv_history_go_on(&cursor));
   const uint64_t position = kv_history_position(&cursor);
   kv_history_close(&cursor);
   history_add_set(history, 3, "k", "v");
   kv_history_publish(history);
   assert_int_equal(kv_history_lowest(history), 2); /* and so it is held when that is dropped */
   assert_true(kv_history_open(history, 0, position, &cursor));
   assert_int_equal(history_count_to_the_end(&cursor), 2);
   kv_history_close(&cursor);
   free(value);
}

/* ---- Readers that are behind ---- */

struct reader {
   struct kv_history *history;
   uint64_t added, read; /* sequences */
   uint64_t position;
   size_t least_lag;
   struct kv_history_lag lag; /* before the last change that was read */
};

static struct reader begin_reading(struct kv_history *history)
{
   return (struct reader){
       .history = history, .position = kv_history_end(history), .least_lag = SIZE_MAX};
}

static void add_large(struct reader *reader)
{
   static const char value[LARGE];
   const kvs_record record = history_set_record(++reader->added, "k", value, LARGE);
   kv_history_add(reader->history, &record, NULL, NULL);
   kv_history_publish(reader->history);
}

/* Reads one change, whose place must be held; returns whether the reader falls back. */
static bool read_one(struct reader *reader)
{
   struct kv_history_cursor cursor;
   struct kv_change change;
   assert_true(kv_history_open(reader->history, 0, reader->position, &cursor));
   reader->lag = kv_history_lag(&cursor);
   const bool falls_back = kv_history_falls_back(&cursor, &reader->least_lag);
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.sequence, ++reader->read);
   reader->position = kv_history_position(&cursor);
   kv_history_close(&cursor);
   return falls_back;
}

static void a_reader_who_is_always_as_far_behind_large_values_does_not_fall_back(void **state)
{
   enum { BEHIND = 5 };
   struct reader reader = begin_reading(*state);
   unsigned exact = 0;
   while (reader.added < 1000) {
      add_large(&reader);
      if (reader.added <= BEHIND)
         continue;
      assert_false(read_one(&reader));
      assert_true(reader.lag.least <= (BEHIND + 1) * (LARGE + KV_CHANGE_HEAD_MAX + 1));
      assert_true(reader.lag.most >= BEHIND * LARGE);
      exact += reader.lag.least == reader.lag.most;
   }
   assert_true(exact > 50);
}

static void a_reader_who_catches_up_does_not_fall_back(void **state)
{
   (void)state;
   struct kv_history *history = kv_history_create(16 * KV_HISTORY_SIZE_MIN, HISTORY_READERS);
   struct reader reader = begin_reading(history);
   while (reader.added * LARGE < 12 * KV_HISTORY_SIZE_MIN)
      add_large(&reader);
   while (reader.read < reader.added) {
      if (reader.read % 4 == 0)
         add_large(&reader);
      assert_false(read_one(&reader));
   }
   kv_history_destroy(history);
}

static void a_reader_who_falls_back_is_known_while_its_place_is_held(void **state)
{
   (void)state;
   for (int added_for_one = 2; added_for_one <= 4; added_for_one++) {
      struct kv_history *history = kv_history_create(16 * KV_HISTORY_SIZE_MIN, HISTORY_READERS);
      struct reader reader = begin_reading(history);
      do {
         for (int i = 0; i < added_for_one; i++)
            add_large(&reader);
      } while (!read_one(&reader));
      assert_true(reader.lag.least > reader.lag.limit / 2);
      kv_history_destroy(history);
   }
}

/* ---- Previous values ---- */

/* Adds a deletion of a value of that size. */
static void add_deletion(struct kv_history *history, uint64_t sequence, const void *value,
                         size_t size)
{
   const kvs_record record = {.sequence = sequence, .kind = KVS_DELETE, .key = {"k", 1}};
   const struct kv_history_previous previous = {true, kv_slice(value, size), NULL, 1, 0};
   kv_history_add(history, &record, NULL, &previous);
}

/* Reads `count` changes; returns how many of them have their previous value, of that size, and
 * whether the last one does. */
static unsigned count_previous(struct kv_history_cursor *cursor, unsigned count, size_t size,
                               bool *has_last)
{
   struct kv_change change;
   unsigned found = 0;
   for (unsigned i = 0; i < count; i++) {
      assert_true(kv_history_next(cursor, &change));
      *has_last = change.knows_previous;
      assert_int_equal(change.existed, change.knows_previous);
      if (!change.knows_previous)
         continue;
      assert_int_equal(change.previous.bytes.size, size);
      assert_int_equal(((const char *)change.previous.bytes.data)[size - 1], 'p');
      found++;
   }
   return found;
}

static const size_t previous_sizes[] = {1000, 5000, LARGE};
#define PREVIOUS_SHARE (KV_HISTORY_SIZE_MIN / 4)

static char *make_previous(void)
{
   char *value = malloc(LARGE);
   memset(value, 'p', LARGE);
   return value;
}

static void in_a_batch_previous_values_take_a_quarter_of_the_limit(void **state)
{
   struct kv_history *history = *state;
   char *value = make_previous();
   uint64_t sequence = 0;
   for (size_t i = 0; i < sizeof previous_sizes / sizeof *previous_sizes; i++) {
      const size_t size = previous_sizes[i];
      const unsigned count = (unsigned)(2 * KV_HISTORY_SIZE_MIN / size);
      for (unsigned j = 1; j <= count; j++)
         add_deletion(history, sequence + j, value, size);
      kv_history_publish(history);
      struct kv_history_cursor cursor = history_open_at(history, sequence + 1);
      bool has_last;
      const unsigned found = count_previous(&cursor, count, size, &has_last);
      assert_int_equal(found, PREVIOUS_SHARE / size);
      kv_history_close(&cursor);
      sequence += count;
   }
   free(value);
}

/* What many batches have deleted gives way, but not the deletions, and not what is new. */
static void old_previous_values_give_way_before_their_changes(void **state)
{
   struct kv_history *history = *state;
   const size_t size = 5000;
   const unsigned count = (unsigned)(4 * KV_HISTORY_SIZE_MIN / size);
   char *value = make_previous();
   struct kv_history_cursor pinned;
   bool has_last;
   history_add_set(history, 1, "k", "v");
   for (unsigned i = 1; i <= count; i++) {
      add_deletion(history, 1 + i, value, size);
      kv_history_publish(history);
      if (i == 10)
         pinned = history_open_at(history, 2);
   }
   assert_int_equal(kv_history_lowest(history), 1);
   assert_true(kv_history_is_held(&pinned));
   assert_int_equal(count_previous(&pinned, 10, size, &has_last), 10); /* pinned before */
   kv_history_close(&pinned);

   add_deletion(history, 2 + count, value, size);
   kv_history_publish(history);
   struct kv_history_cursor cursor = history_open_at(history, 2);
   const unsigned found = count_previous(&cursor, count + 1, size, &has_last);
   assert_true(has_last);
   assert_in_range(found, 1, 2 * KV_HISTORY_SIZE_MIN / size); /* a segment at a time */
   kv_history_close(&cursor);
   history_fill(history, 3 + count, 3002 + count);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
   free(value);
}

static void a_walk_that_goes_on_keeps_what_it_has_not_seen(void **state)
{
   struct kv_history *history = *state;
   struct kv_history_cursor cursor;
   history_fill(history, 1, 100);
   cursor = history_open_at(history, 1);
   assert_true(kv_history_go_on(&cursor));
   for (uint64_t from = 101; from < 5000; from += 100) {
      history_fill(history, from, from + 99);
      if (from == 101)
         assert_true(kv_history_is_held(&cursor));
   }
   assert_false(kv_history_is_held(&cursor));
   assert_true(kv_history_bytes(history) > 4 * KV_HISTORY_SIZE_MIN); /* with what is pinned */
   assert_true(kv_history_go_on(&cursor));
   assert_int_equal(history_count_to_the_end(&cursor), 5000);
   assert_false(kv_history_go_on(&cursor));
   history_fill(history, 5001, 5100);
   assert_true(kv_history_go_on(&cursor));
   history_fill(history, 5101, 5200);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN + HISTORY_FILL_BATCH * 1100);
   assert_int_equal(history_count_to_the_end(&cursor), 100);
   kv_history_close(&cursor);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(a_large_value_is_kept_with_its_entry_and_counts,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(a_change_larger_than_all_is_held_alone, history_set_up,
                                       history_tear_down),
       cmocka_unit_test_setup_teardown(a_batch_is_held_as_a_whole_until_the_next_one,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(a_batch_of_any_size_is_held_as_a_whole, history_set_up,
                                       history_tear_down),
       cmocka_unit_test(large_values_leave_little_space_unused),
       cmocka_unit_test_setup_teardown(
           a_place_behind_a_large_value_neither_lags_by_it_nor_is_dropped_with_it, history_set_up,
           history_tear_down),
       cmocka_unit_test_setup_teardown(
           a_reader_who_is_always_as_far_behind_large_values_does_not_fall_back, history_set_up,
           history_tear_down),
       cmocka_unit_test(a_reader_who_catches_up_does_not_fall_back),
       cmocka_unit_test(a_reader_who_falls_back_is_known_while_its_place_is_held),
       cmocka_unit_test_setup_teardown(in_a_batch_previous_values_take_a_quarter_of_the_limit,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(old_previous_values_give_way_before_their_changes,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(a_walk_that_goes_on_keeps_what_it_has_not_seen,
                                       history_set_up, history_tear_down),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
