/* The latest changes: what is held, what readers see, what is dropped. */
#include "core/watch/history.h"

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

#define READERS 2u
#define LARGE (KV_ENTRY_KEEP_MIN + 5)
#define FILL_BATCH 50

static int set_up(void **state)
{
   *state = kv_history_create(KV_HISTORY_SIZE_MIN, READERS);
   assert_non_null(*state);
   return 0;
}

static int tear_down(void **state)
{
   kv_history_destroy(*state);
   return 0;
}

static kvs_record set_record(uint64_t sequence, const char *key, const void *value, size_t size)
{
   return (kvs_record){
       .sequence = sequence, .kind = KVS_SET, .key = {key, strlen(key)}, .value = {value, size}};
}

static void add_set(struct kv_history *history, uint64_t sequence, const char *key,
                    const char *value)
{
   const kvs_record record = set_record(sequence, key, value, strlen(value));
   kv_history_add(history, &record, NULL, NULL);
}

/* Adds sets of 1,000 bytes up to a sequence, as one batch that is not published yet. */
static void fill_batch(struct kv_history *history, uint64_t from, uint64_t to)
{
   char value[1001];
   memset(value, 'v', 1000);
   value[1000] = '\0';
   for (uint64_t sequence = from; sequence <= to; sequence++)
      add_set(history, sequence, "key", value);
}

/* The same, and publishes them, in batches that are not large. */
static void fill(struct kv_history *history, uint64_t from, uint64_t to)
{
   for (; from <= to; from += FILL_BATCH) {
      fill_batch(history, from, to - from < FILL_BATCH ? to : from + FILL_BATCH - 1);
      kv_history_publish(history);
   }
}

static bool is_text(struct kv_slice bytes, const char *text)
{
   return kv_slice_compare(bytes, kv_slice_of(text)) == 0;
}

static struct kv_history_cursor open_at(struct kv_history *history, uint64_t sequence)
{
   struct kv_history_cursor cursor;
   uint64_t position;
   assert_true(kv_history_find(history, 0, sequence, &position));
   assert_true(kv_history_open(history, 0, position, &cursor));
   return cursor;
}

static void a_change_comes_back_as_it_was_added(void **state)
{
   struct kv_history *history = *state;
   const struct kv_history_previous previous = {true, kv_slice_of("before"), NULL, 3, 77};
   const struct kv_history_previous missing = {.existed = false};
   kvs_record record = set_record(5, "k", "value", 5);
   record.expires_at_ms = 99;
   record.flags = KVS_RECORD_JOINED;
   kv_history_add(history, &record, NULL, &previous);
   record = (kvs_record){.sequence = 6, .kind = KVS_DELETE, .key = {"gone", 4}};
   kv_history_add(history, &record, NULL, &missing);
   record.sequence = 7;
   record.flags = KVS_RECORD_EXPIRED;
   kv_history_add(history, &record, NULL, NULL);
   kv_history_publish(history);

   struct kv_history_cursor cursor = open_at(history, 1);
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
   struct kv_history_cursor cursor = open_at(history, 1);
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
   add_set(history, 1, "a", "1");
   struct kv_history_cursor cursor = open_at(history, 1);
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
   fill(history, 1, 500);
   for (uint64_t sequence = 1; sequence <= 500; sequence++) {
      struct kv_history_cursor cursor = open_at(history, sequence);
      assert_true(kv_history_next(&cursor, &change));
      assert_int_equal(change.sequence, sequence);
      kv_history_close(&cursor);
   }
   struct kv_history_cursor cursor = open_at(history, 501);
   assert_false(kv_history_next(&cursor, &change));
   kv_history_close(&cursor);
}

static void the_oldest_changes_give_way_and_the_lowest_version_says_so(void **state)
{
   struct kv_history *history = *state;
   uint64_t position, before = kv_history_lowest(history);
   struct kv_history_cursor cursor;
   assert_int_equal(before, 1);
   fill(history, 1, 10000);
   const uint64_t lowest = kv_history_lowest(history);
   assert_in_range(lowest, 10000 - KV_HISTORY_SIZE_MIN / 1000, 10000 - KV_HISTORY_SIZE_MIN / 1200);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
   assert_false(kv_history_find(history, 0, lowest - 1, &position));
   cursor = open_at(history, lowest);
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
   fill(history, 1, 400);
   struct kv_history_cursor cursor = open_at(history, 1);
   for (uint64_t from = 401; from < 20000; from += 500)
      fill(history, from, from + 499);
   for (uint64_t sequence = 1; sequence <= 400; sequence++) {
      assert_true(kv_history_next(&cursor, &change));
      assert_int_equal(change.sequence, sequence);
      assert_int_equal(change.value.bytes.size, 1000);
   }
   assert_false(kv_history_next(&cursor, &change));
   size_t limit;
   assert_true(kv_history_lag(&cursor, &limit) > limit);
   assert_int_equal(limit, KV_HISTORY_SIZE_MIN);
   kv_history_close(&cursor);
}

static void a_large_value_is_kept_with_its_entry_and_counts(void **state)
{
   struct kv_history *history = *state;
   char *value = malloc(LARGE);
   memset(value, 'x', LARGE);
   struct kv_entry *entry = kv_entry_create(kv_slice_of("k"), kv_slice(value, LARGE), 0);
   kvs_record record = set_record(1, "k", value, LARGE);
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
   struct kv_history_cursor cursor = open_at(history, 1);
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
   fill(history, 4, 3000); /* they give way like all others */
   assert_true(kv_history_lowest(history) > 3);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
}

static void a_change_larger_than_all_is_held_alone(void **state)
{
   struct kv_history *history = *state;
   const size_t size = 2 * KV_HISTORY_SIZE_MIN;
   char *value = calloc(1, size);
   fill(history, 1, 100);
   const kvs_record record = set_record(101, "k", value, size);
   kv_history_add(history, &record, NULL, NULL);
   kv_history_publish(history);
   free(value);
   assert_in_range(kv_history_lowest(history), 2, 101);
   struct kv_history_cursor cursor = open_at(history, 101);
   struct kv_change change;
   assert_true(kv_history_next(&cursor, &change));
   assert_int_equal(change.value.bytes.size, size);
   kv_history_close(&cursor);
   add_set(history, 102, "k", "v");
   fill(history, 103, 300);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
}

/* Reads on; returns how many changes there are, which follow each other without a gap. */
static unsigned count_to_the_end(struct kv_history_cursor *cursor)
{
   struct kv_change change;
   uint64_t last = 0;
   unsigned count = 0;
   for (; kv_history_next(cursor, &change); count++) {
      assert_true(last == 0 || change.sequence == last + 1);
      last = change.sequence;
   }
   return count;
}

static void a_batch_is_held_as_a_whole_until_the_next_one(void **state)
{
   struct kv_history *history = *state;
   struct kv_history_cursor cursor;
   fill(history, 1, 100);
   fill_batch(history, 101, 4100); /* four times of what may be held */
   assert_in_range(kv_history_lowest(history), 1, 101);
   kv_history_publish(history);
   cursor = open_at(history, 101);
   assert_int_equal(count_to_the_end(&cursor), 4000);
   kv_history_close(&cursor);
   assert_true(kv_history_bytes(history) > 4 * KV_HISTORY_SIZE_MIN - KV_HISTORY_SIZE_MIN / 4);
   add_set(history, 4101, "k", "v");
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
   fill(history, 1, 2000);
   for (uint64_t i = 1; i <= count; i++) { /* none of them is kept: each takes its space */
      const kvs_record record = set_record(2000 + i, "k", value, KV_ENTRY_KEEP_MIN - 1);
      kv_history_add(history, &record, NULL, NULL);
   }
   kv_history_publish(history);
   struct kv_history_cursor cursor = open_at(history, 2001);
   assert_int_equal(count_to_the_end(&cursor), count);
   kv_history_close(&cursor);
   fill(history, 2001 + count, 2001 + count); /* not in what is left of a large segment */
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
   free(value);
}

static void large_values_leave_little_space_unused(void **state)
{
   (void)state;
   const size_t limit = 64 * KV_HISTORY_SIZE_MIN, size = 1024 * 1024;
   struct kv_history *history = kv_history_create(limit, READERS);
   struct kv_entry *entry;
   char *value = calloc(1, size);
   for (uint64_t sequence = 1; sequence <= 200; sequence++) {
      const kvs_record record = set_record(sequence, "k", value, size);
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
   const kvs_record record = set_record(1, "k", value, size);
   kv_history_add(history, &record, NULL, NULL);
   kv_history_publish(history);
   struct kv_history_cursor cursor = open_at(history, 1);
   size_t limit;
   assert_true(kv_history_lag(&cursor, &limit) >= size);
   assert_int_equal(count_to_the_end(&cursor), 1);
   add_set(history, 2, "k", "v");
   kv_history_publish(history);
   assert_true(kv_history_lag(&cursor, &limit) < 1000);
   assert_true(kv_history_go_on(&cursor));
   const uint64_t position = kv_history_position(&cursor);
   kv_history_close(&cursor);
   add_set(history, 3, "k", "v");
   kv_history_publish(history);
   assert_int_equal(kv_history_lowest(history), 2); /* and so it is held when that is dropped */
   assert_true(kv_history_open(history, 0, position, &cursor));
   assert_int_equal(count_to_the_end(&cursor), 2);
   kv_history_close(&cursor);
   free(value);
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
      struct kv_history_cursor cursor = open_at(history, sequence + 1);
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
   add_set(history, 1, "k", "v");
   for (unsigned i = 1; i <= count; i++) {
      add_deletion(history, 1 + i, value, size);
      kv_history_publish(history);
      if (i == 10)
         pinned = open_at(history, 2);
   }
   assert_int_equal(kv_history_lowest(history), 1);
   assert_true(kv_history_is_held(&pinned));
   assert_int_equal(count_previous(&pinned, 10, size, &has_last), 10); /* pinned before */
   kv_history_close(&pinned);

   add_deletion(history, 2 + count, value, size);
   kv_history_publish(history);
   struct kv_history_cursor cursor = open_at(history, 2);
   const unsigned found = count_previous(&cursor, count + 1, size, &has_last);
   assert_true(has_last);
   assert_in_range(found, 1, 2 * KV_HISTORY_SIZE_MIN / size); /* a segment at a time */
   kv_history_close(&cursor);
   fill(history, 3 + count, 3002 + count);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN);
   free(value);
}

static void a_walk_that_goes_on_keeps_what_it_has_not_seen(void **state)
{
   struct kv_history *history = *state;
   struct kv_history_cursor cursor;
   fill(history, 1, 100);
   cursor = open_at(history, 1);
   assert_true(kv_history_go_on(&cursor));
   for (uint64_t from = 101; from < 5000; from += 100) {
      fill(history, from, from + 99);
      if (from == 101)
         assert_true(kv_history_is_held(&cursor));
   }
   assert_false(kv_history_is_held(&cursor));
   assert_true(kv_history_bytes(history) > 4 * KV_HISTORY_SIZE_MIN); /* with what is pinned */
   assert_true(kv_history_go_on(&cursor));
   assert_int_equal(count_to_the_end(&cursor), 5000);
   assert_false(kv_history_go_on(&cursor));
   fill(history, 5001, 5100);
   assert_true(kv_history_go_on(&cursor));
   fill(history, 5101, 5200);
   assert_true(kv_history_bytes(history) <= KV_HISTORY_SIZE_MIN + FILL_BATCH * 1100);
   assert_int_equal(count_to_the_end(&cursor), 100);
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
   struct kv_history_cursor cursor = open_at(history, 1);
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
   fill(history, 1, 10);
   kv_history_begin(history, 100);
   assert_int_equal(kv_history_lowest(history), 101);
   assert_int_equal(kv_history_last(history), 100);
   assert_false(kv_history_find(history, 0, 100, &position));
   struct kv_history_cursor cursor = open_at(history, 101);
   struct kv_change change;
   const uint64_t here = kv_history_position(&cursor);
   kv_history_close(&cursor);
   add_set(history, 101, "a", "b");
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
   add_set(history, 6, "k", "v");
   add_set(history, 7, "k", "v");
   kv_history_reach(history, 20);
   add_set(history, 21, "k", "v");
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
   fill(history, 1, 3);
   kv_history_replace(history, 1000);
   assert_false(kv_history_find(history, 0, 1000, &position));
   struct kv_history_cursor cursor = open_at(history, 1001);
   const uint64_t after = kv_history_position(&cursor);
   kv_history_close(&cursor);
   add_set(history, 1001, "new", "v");
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
      const kvs_record record = set_record(sequence, key, value, sequence % 200);
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
   struct reader readers[READERS] = {{&shared, 0, false}, {&shared, 1, true}};
   pthread_t writer, threads[READERS];
   for (size_t i = 0; i < READERS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
   assert_int_equal(pthread_create(&writer, NULL, write_all, &shared), 0);
   pthread_join(writer, NULL);
   for (size_t i = 0; i < READERS; i++)
      pthread_join(threads[i], NULL);
   assert_int_equal(atomic_load(&shared.faults), 0);
   assert_true(atomic_load(&shared.previous) > 0);
   assert_true(kv_history_lowest(*state) > 1);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test_setup_teardown(a_change_comes_back_as_it_was_added, set_up, tear_down),
       cmocka_unit_test_setup_teardown(a_key_of_the_servers_own_is_hidden, set_up, tear_down),
       cmocka_unit_test_setup_teardown(what_is_not_published_is_not_seen, set_up, tear_down),
       cmocka_unit_test_setup_teardown(the_place_of_a_version_is_found_in_any_segment, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(the_oldest_changes_give_way_and_the_lowest_version_says_so,
                                       set_up, tear_down),
       cmocka_unit_test_setup_teardown(what_is_pinned_stays_while_the_writer_goes_round, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(a_large_value_is_kept_with_its_entry_and_counts, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(a_change_larger_than_all_is_held_alone, set_up, tear_down),
       cmocka_unit_test_setup_teardown(a_batch_is_held_as_a_whole_until_the_next_one, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(a_batch_of_any_size_is_held_as_a_whole, set_up, tear_down),
       cmocka_unit_test(large_values_leave_little_space_unused),
       cmocka_unit_test_setup_teardown(
           a_place_behind_a_large_value_neither_lags_by_it_nor_is_dropped_with_it, set_up,
           tear_down),
       cmocka_unit_test_setup_teardown(in_a_batch_previous_values_take_a_quarter_of_the_limit,
                                       set_up, tear_down),
       cmocka_unit_test_setup_teardown(old_previous_values_give_way_before_their_changes, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(a_walk_that_goes_on_keeps_what_it_has_not_seen, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(the_largest_key_and_values_that_are_copied_fit, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(after_begin_only_what_follows_is_held, set_up, tear_down),
       cmocka_unit_test_setup_teardown(nobody_goes_on_within_a_gap, set_up, tear_down),
       cmocka_unit_test_setup_teardown(a_replacement_is_told_to_who_was_there_before, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(readers_beside_the_writer_see_each_change_whole_and_in_order,
                                       set_up, tear_down),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
