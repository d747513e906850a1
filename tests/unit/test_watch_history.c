/* The latest changes: what is held, what readers see, what is dropped. */
#include "tests/support/history_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool is_text(struct kv_slice bytes, const char *text)
{
   return kv_slice_compare(bytes, kv_slice_of(text)) == 0;
}

static void a_change_comes_back_as_it_was_added(void **state)
{
   struct kv_history *history = *state;
   const struct kv_history_previous previous = {true, kv_slice_of("before"), NULL, 3, 77};
   const struct kv_history_previous missing = {.existed = false};
   kvs_record record = history_set_record(5, "k", "value", 5);
   record.expires_at_ms = 99;
   record.flags = KVS_RECORD_JOINED;
   kv_history_add(history, &record, NULL, &previous);
   record = (kvs_record){.sequence = 6, .kind = KVS_DELETE, .key = {"gone", 4}};
   kv_history_add(history, &record, NULL, &missing);
   record.sequence = 7;
   record.flags = KVS_RECORD_EXPIRED;
   kv_history_add(history, &record, NULL, NULL);
   kv_history_publish(history);

   struct kv_history_cursor cursor = history_open_at(history, 1);
   struct kv_change change;
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.sequence, 5);
   assert_int_equal(change.kind, KV_CHANGE_SET);
   assert_true(change.joined && change.knows_previous && change.existed);
   assert_true(is_text(change.key, "k") && is_text(change.value.bytes, "value"));
   assert_true(is_text(change.previous.bytes, "before"));
   assert_int_equal(change.expires_at, 99);
   assert_int_equal(change.previous_version, 3);
   assert_int_equal(change.previous_expires_at, 77);
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.kind, KV_CHANGE_DELETE);
   assert_true(is_text(change.key, "gone") && change.value.bytes.size == 0);
   assert_true(!change.joined && change.knows_previous && !change.existed);
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.kind, KV_CHANGE_EXPIRE);
   assert_false(change.knows_previous);
   assert_false(kv_history_next(&cursor, &change));
   kv_history_close(&cursor);
   assert_int_equal(kv_history_last(history), 7);
}

static void a_key_of_the_servers_own_is_hidden(void **state)
{
   struct kv_history *history = *state;
   const kvs_record record = {
       .sequence = 1, .kind = KVS_SET, .key = {"\0r1", 3}, .value = {"secret", 6}};
   kv_history_add(history, &record, NULL, NULL);
   kv_history_reach(history, 9);
   kv_history_reach(history, 9);
   kv_history_publish(history);
   struct kv_history_cursor cursor = history_open_at(history, 1);
   struct kv_change change;
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.kind, KV_CHANGE_HIDDEN);
   assert_int_equal(change.key.size + change.value.bytes.size, 0);
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.sequence, 9);
   assert_false(kv_history_next(&cursor, &change));
   kv_history_close(&cursor);
}

static void what_is_not_published_is_not_seen(void **state)
{
   struct kv_history *history = *state;
   struct kv_change change;
   history_add_set(history, 1, "a", "1");
   struct kv_history_cursor cursor = history_open_at(history, 1);
   kv_history_publish(history);
   assert_false(kv_history_next(&cursor, &change)); /* the walk began before */
   const uint64_t position = kv_history_position(&cursor);
   kv_history_close(&cursor);
   assert_true(kv_history_open(history, 0, position, &cursor));
   assert_true(kv_history_next(&cursor, &change));
   kv_history_close(&cursor);
}

static void the_place_of_a_version_is_found_in_any_segment(void **state)
{
   struct kv_history *history = *state;
   struct kv_change change;
   history_fill(history, 1, 500);
   for (uint64_t sequence = 1; sequence <= 500; sequence++) {
      struct kv_history_cursor cursor = history_open_at(history, sequence);
      assert_true(kv_history_next(&cursor, &change));
      assert_int_equal(change.sequence, sequence);
      kv_history_close(&cursor);
   }
   struct kv_history_cursor cursor = history_open_at(history, 501);
   assert_false(kv_history_next(&cursor, &change));
   kv_history_close(&cursor);
}

static void the_oldest_changes_give_way_and_the_lowest_version_says_so(void **state)
{
   struct kv_history *history = *state;
   uint64_t position, before = kv_history_lowest(history);
   struct kv_history_cursor cursor;
   assert_int_equal(before, 1);
   history_fill(history, 1, 10000);
   const uint64_t lowest = kv_history_lowest(history);
   assert_in_range(lowest, 10000 - KV_HISTORY_SIZE_MIN / 1000, 10000 - KV_HISTORY_SIZE_MIN / 1200);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
   assert_false(kv_history_find(history, 0, lowest - 1, &position));
   cursor = history_open_at(history, lowest);
   struct kv_change change;
   for (uint64_t sequence = lowest; sequence <= 10000; sequence++) {
      assert_true(kv_history_next(&cursor, &change));
      assert_int_equal(change.sequence, sequence);
   }
   assert_false(kv_history_next(&cursor, &change));
   kv_history_close(&cursor);
   assert_false(kv_history_open(history, 0, 0, &cursor)); /* where it began */
}

static void what_is_pinned_stays_while_the_writer_goes_round(void **state)
{
   struct kv_history *history = *state;
   struct kv_change change;
   history_fill(history, 1, 400);
   struct kv_history_cursor cursor = history_open_at(history, 1);
   for (uint64_t from = 401; from < 20000; from += 500)
      history_fill(history, from, from + 499);
   for (uint64_t sequence = 1; sequence <= 400; sequence++) {
      assert_true(kv_history_next(&cursor, &change));
      assert_int_equal(change.sequence, sequence);
      assert_int_equal(change.value.bytes.size, 1000);
   }
   assert_false(kv_history_next(&cursor, &change));
   const struct kv_history_lag lag = kv_history_lag(&cursor);
   assert_true(lag.least > lag.limit);
   assert_int_equal(lag.least, lag.most);
   assert_int_equal(lag.limit, KV_HISTORY_SIZE_MIN);
   kv_history_close(&cursor);
}

static void the_largest_key_and_values_that_are_copied_fit(void **state)
{
   struct kv_history *history = *state;
   char *bytes = malloc(KV_KEY_SIZE_MAX);
   memset(bytes, 'k', KV_KEY_SIZE_MAX);
   const kvs_record record = {.sequence = 1,
                              .kind = KVS_SET,
                              .key = {bytes, KV_KEY_SIZE_MAX},
                              .value = {bytes, KV_ENTRY_KEEP_MIN - 1}};
   const struct kv_history_previous previous = {true, kv_slice(bytes, KV_ENTRY_KEEP_MIN - 1), NULL,
                                                1, 1};
   kv_history_add(history, &record, NULL, &previous);
   kv_history_publish(history);
   struct kv_history_cursor cursor = history_open_at(history, 1);
   struct kv_change change;
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.key.size, KV_KEY_SIZE_MAX);
   assert_int_equal(change.previous.bytes.size, KV_ENTRY_KEEP_MIN - 1);
   assert_null(change.value.entry);
   kv_history_close(&cursor);
   free(bytes);
}

static void after_begin_only_what_follows_is_held(void **state)
{
   struct kv_history *history = *state;
   uint64_t position;
   history_fill(history, 1, 10);
   kv_history_begin(history, 100);
   assert_int_equal(kv_history_lowest(history), 101);
   assert_int_equal(kv_history_last(history), 100);
   assert_false(kv_history_find(history, 0, 100, &position));
   struct kv_history_cursor cursor = history_open_at(history, 101);
   struct kv_change change;
   const uint64_t here = kv_history_position(&cursor);
   kv_history_close(&cursor);
   history_add_set(history, 101, "a", "b");
   kv_history_publish(history);
   assert_true(kv_history_open(history, 0, here, &cursor));
   assert_true(kv_history_next(&cursor, &change)); /* and nothing in between */
   assert_int_equal(change.kind, KV_CHANGE_SET);
   kv_history_close(&cursor);
}

static void nobody_goes_on_within_a_gap(void **state)
{
   struct kv_history *history = *state;
   uint64_t position;
   kv_history_begin(history, 5);
   history_add_set(history, 6, "k", "v");
   history_add_set(history, 7, "k", "v");
   kv_history_reach(history, 20);
   history_add_set(history, 21, "k", "v");
   kv_history_publish(history);
   static const struct {
      uint64_t sequence;
      bool held;
   } cases[] = {{5, false},  {6, true},  {7, true},  {8, true}, {9, false},
                {15, false}, {20, true}, {21, true}, {22, true}};
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
      assert_int_equal(kv_history_find(history, 0, cases[i].sequence, &position), cases[i].held);
}

static void a_replacement_is_told_to_who_was_there_before(void **state)
{
   struct kv_history *history = *state;
   struct kv_change change;
   uint64_t position;
   history_fill(history, 1, 3);
   assert_int_equal(kv_history_replaced(history), 0);
   kv_history_replace(history, 1000);
   assert_false(kv_history_find(history, 0, 1000, &position));
   assert_int_equal(kv_history_replaced(history), 1000);
   struct kv_history_cursor cursor = history_open_at(history, 1001);
   const uint64_t after = kv_history_position(&cursor);
   kv_history_close(&cursor);
   history_add_set(history, 1001, "new", "v");
   kv_history_publish(history);

   assert_true(kv_history_open(history, 0, 0, &cursor));
   for (uint64_t sequence = 1; sequence <= 3; sequence++)
      assert_true(kv_history_next(&cursor, &change) && change.sequence == sequence);
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.kind, KV_CHANGE_REPLACED);
   assert_int_equal(change.sequence, 1000);
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.sequence, 1001);
   kv_history_close(&cursor);

   assert_true(kv_history_open(history, 0, after, &cursor));
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.kind, KV_CHANGE_SET);
   kv_history_close(&cursor);
}

/* ---- Beside the writer ---- */

enum { CHANGES = 120000, BATCH = 7, REPLACED = 5000 };

struct shared {
   struct kv_history *history;
   atomic_bool done;
   atomic_uint faults;
   atomic_uint laps;     /* places that a reader was too slow for */
   atomic_uint previous; /* values that were seen */
};

static void *write_all(void *argument)
{
   struct shared *shared = argument;
   char key[24], value[REPLACED];
   for (uint64_t sequence = 1; sequence <= CHANGES; sequence++) {
      snprintf(key, sizeof key, "%08u", (unsigned)sequence);
      memset(value, (int)('a' + sequence % 26), sizeof value);
      const kvs_record record = history_set_record(sequence, key, value, sequence % 200);
      const struct kv_history_previous previous = {true, kv_slice(value, REPLACED), NULL, 1, 0};
      kv_history_add(shared->history, &record, NULL, sequence % 8 == 0 ? &previous : NULL);
      if (sequence % BATCH == 0 || sequence == CHANGES)
         kv_history_publish(shared->history);
   }
   atomic_store(&shared->done, true);
   return NULL;
}

static bool is_filled(struct kv_slice bytes, uint64_t sequence, size_t size)
{
   const char *value = bytes.data;
   for (size_t i = 0; i < bytes.size; i++)
      if (value[i] != (char)('a' + sequence % 26))
         return false;
   return bytes.size == size;
}

/* What it replaced may have given way. */
static bool is_as_written(const struct kv_change *change)
{
   char key[24];
   snprintf(key, sizeof key, "%08u", (unsigned)change->sequence);
   return is_text(change->key, key) &&
          is_filled(change->value.bytes, change->sequence, change->sequence % 200) &&
          (!change->existed || is_filled(change->previous.bytes, change->sequence, REPLACED));
}

struct reader {
   struct shared *shared;
   unsigned number;
   bool slow;
};

/* Every change once, in order; where it was too slow it goes on with the lowest one held. */
static void *read_all(void *argument)
{
   struct reader *reader = argument;
   struct shared *shared = reader->shared;
   struct kv_history_cursor cursor;
   struct kv_change change;
   uint64_t position = 0, last = 0;
   while (last < CHANGES) {
      if (!kv_history_open(shared->history, reader->number, position, &cursor)) {
         atomic_fetch_add(&shared->laps, 1);
         last = kv_history_lowest(shared->history) - 1;
         if (!kv_history_find(shared->history, reader->number, last + 1, &position))
            last = 0; /* it has gone on meanwhile */
         continue;
      }
      while (kv_history_next(&cursor, &change) ||
             (!reader->slow && kv_history_is_held(&cursor) && kv_history_go_on(&cursor) &&
              kv_history_next(&cursor, &change))) {
         atomic_fetch_add(&shared->previous, change.existed ? 1 : 0);
         if ((last > 0 && change.sequence != last + 1) || !is_as_written(&change))
            atomic_fetch_add(&shared->faults, 1);
         last = change.sequence;
         if (reader->slow && change.sequence % 64 == 0)
            sched_yield();
      }
      position = kv_history_position(&cursor);
      kv_history_close(&cursor);
   }
   return NULL;
}

static void readers_beside_the_writer_see_each_change_whole_and_in_order(void **state)
{
   struct shared shared = {.history = *state};
   struct reader readers[HISTORY_READERS] = {{&shared, 0, false}, {&shared, 1, true}};
   pthread_t writer, threads[HISTORY_READERS];
   for (size_t i = 0; i < HISTORY_READERS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
   assert_int_equal(pthread_create(&writer, NULL, write_all, &shared), 0);
   pthread_join(writer, NULL);
   for (size_t i = 0; i < HISTORY_READERS; i++)
      pthread_join(threads[i], NULL);
   assert_int_equal(atomic_load(&shared.faults), 0);
   assert_true(atomic_load(&shared.previous) > 0);
   assert_true(kv_history_lowest(*state) > 1);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(a_change_comes_back_as_it_was_added, history_set_up,
                                       history_tear_down),
       cmocka_unit_test_setup_teardown(a_key_of_the_servers_own_is_hidden, history_set_up,
                                       history_tear_down),
       cmocka_unit_test_setup_teardown(what_is_not_published_is_not_seen, history_set_up,
                                       history_tear_down),
       cmocka_unit_test_setup_teardown(the_place_of_a_version_is_found_in_any_segment,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(the_oldest_changes_give_way_and_the_lowest_version_says_so,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(what_is_pinned_stays_while_the_writer_goes_round,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(the_largest_key_and_values_that_are_copied_fit,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(after_begin_only_what_follows_is_held, history_set_up,
                                       history_tear_down),
       cmocka_unit_test_setup_teardown(nobody_goes_on_within_a_gap, history_set_up,
                                       history_tear_down),
       cmocka_unit_test_setup_teardown(a_replacement_is_told_to_who_was_there_before,
                                       history_set_up, history_tear_down),
       cmocka_unit_test_setup_teardown(readers_beside_the_writer_see_each_change_whole_and_in_order,
                                       history_set_up, history_tear_down),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
