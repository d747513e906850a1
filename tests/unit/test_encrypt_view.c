/* The view that encrypt gives its inner plug-in. */
#include "plugins/encrypt/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

enum { RECORDS = 3, VALUE_SIZE = 100 };

/* What the host's view gives. */
static size_t given;

static size_t host_view_read(kvs_view *view, kvs_record *records, size_t capacity)
{
   static const char keys[RECORDS][2] = {"a", "b", "c"};
   static const uint8_t value[VALUE_SIZE];
   (void)view;
   size_t count = 0;
   for (; count < capacity && given < RECORDS; given++, count++)
      records[count] = (kvs_record){.sequence = 7 + given,
                                    .kind = KVS_SET,
                                    .key = {keys[given], 1},
                                    .value = {value, VALUE_SIZE}};
   return count;
}

static const kvs_host host = {.size = sizeof host, .view_read = host_view_read};

/* Reads a view of RECORDS records through, whose tick says `count` and `bytes`. Returns how many
 * came, and how many of them open. */
static size_t read_through(uint64_t count, uint64_t bytes, size_t *opened, bool *exceeded)
{
   static const uint8_t master[SEAL_MASTER_SIZE], store_id[16];
   struct seal *seal = seal_create(master, store_id);
   assert_non_null(seal);
   const kvs_tick tick = {
       .size = sizeof tick, .view_sequence = 9, .view_count = count, .view_bytes = bytes};
   kvs_error error = {.size = sizeof error};
   kvs_view *view;
   given = *opened = 0;
   assert_int_equal(view_create(&host, seal, &tick, 0, &view, &error), KVS_OK);
   kvs_record record, plain;
   size_t came = 0;
   for (; view_read(view, &record, 1) == 1; came++) {
      uint8_t room[1024];
      *opened += seal_open(seal, record.key, record.value, room, &plain);
   }
   *exceeded = view_exceeded(view);
   view_destroy(view);
   seal_destroy(seal);
   return came;
}

static void gives_what_the_tick_says(void **state)
{
   size_t opened;
   bool exceeded;
   (void)state;
   assert_int_equal(read_through(RECORDS, RECORDS * (VALUE_SIZE + 1), &opened, &exceeded), RECORDS);
   assert_int_equal(opened, RECORDS);
   assert_false(exceeded);
}

static void more_keys_than_the_tick_says_give_one_record_that_does_not_open(void **state)
{
   size_t opened;
   bool exceeded;
   (void)state;
   for (uint64_t count = 0; count < RECORDS; count++) {
      assert_int_equal(read_through(count, 1 << 20, &opened, &exceeded), 1);
      assert_int_equal(opened, 0);
      assert_true(exceeded);
   }
}

static void more_bytes_than_the_tick_says_give_one_record_that_does_not_open(void **state)
{
   size_t opened;
   bool exceeded;
   (void)state;
   assert_int_equal(read_through(RECORDS, VALUE_SIZE, &opened, &exceeded), 1);
   assert_int_equal(opened, 0);
   assert_true(exceeded);
}

/* The sum of the sequences that a reader with these flags gets. */
static uint64_t sum_of_sequences(uint32_t flags)
{
   static const uint8_t master[SEAL_MASTER_SIZE], store_id[16];
   struct seal *seal = seal_create(master, store_id);
   assert_non_null(seal);
   const kvs_tick tick = {.size = sizeof tick,
                          .view_sequence = 20,
                          .view_count = RECORDS,
                          .view_bytes = RECORDS * (VALUE_SIZE + 1)};
   kvs_error error = {.size = sizeof error};
   kvs_view *view;
   kvs_record record;
   uint64_t sum = 0;
   given = 0;
   assert_int_equal(view_create(&host, seal, &tick, flags, &view, &error), KVS_OK);
   while (view_read(view, &record, 1) == 1)
      sum += record.sequence;
   view_destroy(view);
   seal_destroy(seal);
   return sum;
}

static void a_reader_gets_each_records_own_sequence_only_where_it_asks_for_it(void **state)
{
   (void)state;
   assert_int_equal(sum_of_sequences(KVS_PLUGIN_COPIES), 3 * 20);
   assert_int_equal(sum_of_sequences(KVS_PLUGIN_COPIES | KVS_PLUGIN_VERSIONS), 7 + 8 + 9);
}

int main(void)
{
   if (sodium_init() < 0)
      return 1;
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(gives_what_the_tick_says),
       cmocka_unit_test(more_keys_than_the_tick_says_give_one_record_that_does_not_open),
       cmocka_unit_test(more_bytes_than_the_tick_says_give_one_record_that_does_not_open),
       cmocka_unit_test(a_reader_gets_each_records_own_sequence_only_where_it_asks_for_it),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
