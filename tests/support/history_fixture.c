#include "tests/support/history_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

int history_set_up(void **state)
{
   *state = kv_history_create(KV_HISTORY_SIZE_MIN, HISTORY_READERS);
   assert_non_null(*state);
   return 0;
}

int history_tear_down(void **state)
{
   kv_history_destroy(*state);
   return 0;
}

kvs_record history_set_record(uint64_t sequence, const char *key, const void *value, size_t size)
{
   return (kvs_record){
       .sequence = sequence, .kind = KVS_SET, .key = {key, strlen(key)}, .value = {value, size}};
}

void history_add_set(struct kv_history *history, uint64_t sequence, const char *key,
                     const char *value)
{
   const kvs_record record = history_set_record(sequence, key, value, strlen(value));
   kv_history_add(history, &record, NULL, NULL);
}

void history_fill_batch(struct kv_history *history, uint64_t from, uint64_t to)
{
   char value[1001];
   memset(value, 'v', 1000);
   value[1000] = '\0';
   for (uint64_t sequence = from; sequence <= to; sequence++)
      history_add_set(history, sequence, "key", value);
}

void history_fill(struct kv_history *history, uint64_t from, uint64_t to)
{
   for (; from <= to; from += HISTORY_FILL_BATCH) {
      history_fill_batch(history, from,
                         to - from < HISTORY_FILL_BATCH ? to : from + HISTORY_FILL_BATCH - 1);
      kv_history_publish(history);
   }
}

struct kv_history_cursor history_open_at(struct kv_history *history, uint64_t sequence)
{
   struct kv_history_cursor cursor;
   uint64_t position;
   assert_true(kv_history_find(history, 0, sequence, &position));
   assert_true(kv_history_open(history, 0, position, &cursor));
   return cursor;
}

unsigned history_count_to_the_end(struct kv_history_cursor *cursor)
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
