#include "storage/file.h"
#include "storage/writer.h"
#include "tests/support/log_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
   struct log_host host;
   struct storage_segment_header header;
   struct storage_writer writer;
   struct storage_folder folder; /* the host's directory */
   kvs_error error;
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   log_host_init(&fixture->host);
   fixture->header = (struct storage_segment_header){
       .number = 3,
       .base_sequence = 20,
       .snapshot_sequence = 15,
       .previous = {.last_sequence = 19, .end = 4711, .chain = 0xabcdef01},
   };
   memcpy(fixture->header.store_id, fixture->host.host.store_id, 16);
   fixture->error.size = sizeof fixture->error;
   assert_int_equal(storage_folder_open(fixture->host.directory, &fixture->folder, &fixture->error),
                    KVS_OK);
   storage_writer_init(&fixture->writer);
   *state = fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   storage_writer_deinit(&fixture->writer);
   storage_folder_close(&fixture->folder);
   log_host_deinit(&fixture->host);
   free(fixture);
   return 0;
}

static void begin(struct fixture *fixture)
{
   assert_int_equal(
       storage_writer_begin(&fixture->writer, &fixture->folder, &fixture->header, &fixture->error),
       KVS_OK);
}

static void append(struct fixture *fixture, uint64_t sequence, const char *value)
{
   kvs_record effect = log_host_effect(sequence, "key", value);
   struct storage_writer *writer = &fixture->writer;
   assert_int_equal(storage_writer_append(writer, &effect, 1, storage_writer_batch_size(&effect, 1),
                                          sequence - 1, writer->link.end, &fixture->error),
                    KVS_OK);
}

static int open_segment(struct fixture *fixture, struct storage_segment_reader *reader)
{
   return storage_segment_open(&fixture->folder, 3, O_RDONLY, fixture->host.host.store_id, reader,
                               &fixture->error);
}

static void names_are_ten_digits_and_nothing_else(void **state)
{
   (void)state;
   char name[STORAGE_SEGMENT_NAME_SIZE];
   uint64_t number;
   storage_segment_name(42, name);
   assert_string_equal(name, "0000000042.log");
   assert_true(storage_segment_parse_name(name, &number));
   assert_int_equal(number, 42);
   const char *strange[] = {"42.log",          "0000000042.log.tmp", "0000000042-80.torn",
                            "-000000042.log",  " 000000042.log",     "0000000000.log",
                            "0000000042.log ", "000000004x.log",     ""};
   for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
      assert_false(storage_segment_parse_name(strange[i], &number));
}

static void header_comes_back_as_written(void **state)
{
   struct fixture *fixture = *state;
   struct storage_segment_reader reader;
   begin(fixture);
   assert_int_equal(open_segment(fixture, &reader), KVS_OK);
   assert_memory_equal(&reader.header, &fixture->header, sizeof reader.header);
   assert_int_equal(reader.chain, fixture->writer.link.chain);
   storage_segment_close(&reader);
}

static void every_flipped_bit_of_the_header_is_refused(void **state)
{
   struct fixture *fixture = *state;
   struct storage_segment_reader reader;
   begin(fixture);
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, "0000000003.log", &size);
   assert_int_equal(size, STORAGE_SEGMENT_HEADER_SIZE);
   for (size_t bit = 0; bit < size * 8; bit++) {
      bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
      log_host_write_file(&fixture->host, "0000000003.log", bytes, size);
      assert_int_equal(open_segment(fixture, &reader), KVS_CORRUPT);
      assert_non_null(strstr(fixture->error.text, "0000000003.log"));
      bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
   }
   for (size_t cut = 0; cut < size; cut++) {
      log_host_write_file(&fixture->host, "0000000003.log", bytes, cut);
      assert_int_equal(open_segment(fixture, &reader), KVS_CORRUPT);
   }
   free(bytes);
}

static void segment_of_another_store_or_number_is_refused(void **state)
{
   struct fixture *fixture = *state;
   struct storage_segment_reader reader;
   begin(fixture);
   size_t size;
   uint8_t *bytes = log_host_read_file(&fixture->host, "0000000003.log", &size);
   log_host_write_file(&fixture->host, "0000000004.log", bytes, size);
   free(bytes);
   assert_int_equal(storage_segment_open(&fixture->folder, 4, O_RDONLY, fixture->host.host.store_id,
                                         &reader, &fixture->error),
                    KVS_CORRUPT);
   assert_int_equal(storage_segment_open(&fixture->folder, 3, O_RDONLY,
                                         (const uint8_t *)"store number two", &reader,
                                         &fixture->error),
                    KVS_CORRUPT);
   assert_non_null(strstr(fixture->error.text, "another store"));
}

static void records_larger_than_the_read_window_come_back(void **state)
{
   struct fixture *fixture = *state;
   struct storage_segment_reader reader;
   struct storage_record_header record;
   static char large[3 << 20];
   memset(large, 'x', sizeof large - 1);
   begin(fixture);
   append(fixture, 21, "small");
   append(fixture, 22, large);
   append(fixture, 23, "after");
   assert_int_equal(open_segment(fixture, &reader), KVS_OK);
   const char *values[] = {"small", large, "after"};
   for (int i = 0; i < 3; i++) {
      bool found;
      assert_int_equal(storage_segment_next(&reader, &record, &found, &fixture->error), KVS_OK);
      assert_true(found);
      assert_int_equal(reader.effects[0].sequence, 21 + i);
      assert_int_equal(reader.effects[0].value.size, strlen(values[i]));
      assert_memory_equal(reader.effects[0].value.data, values[i], strlen(values[i]));
   }
   assert_int_equal(reader.offset, fixture->writer.link.end);
   assert_int_equal(reader.chain, fixture->writer.link.chain);
   storage_segment_close(&reader);
}

static void proof_of_durability_is_found_across_window_borders(void **state)
{
   struct fixture *fixture = *state;
   static char large[(1 << 20) + 200];
   /* The record that proves begins at every place around the end of the examined stretch. */
   for (size_t shift = 0; shift < 60; shift++) {
      struct storage_segment_reader reader;
      struct storage_segment_tail tail;
      memset(large, 'x', sizeof large);
      large[(1 << 20) - 130 + shift] = '\0';
      begin(fixture);
      append(fixture, 21, large);
      uint64_t proof = fixture->writer.link.end;
      append(fixture, 22, "proof");
      /* Damage to the first record. */
      assert_int_equal(pwrite(fixture->writer.fd, "?", 1, 200), 1);
      assert_int_equal(open_segment(fixture, &reader), KVS_OK);
      assert_int_equal(storage_segment_examine_tail(&reader, &tail, &fixture->error), KVS_OK);
      assert_true(tail.was_durable);
      assert_int_equal(tail.proof_offset, proof);
      storage_segment_close(&reader);
   }
}

static void log_stored_as_a_value_proves_nothing(void **state)
{
   struct fixture *fixture = *state;
   struct storage_segment_reader reader;
   struct storage_segment_tail tail;
   begin(fixture);
   append(fixture, 21, "one");
   append(fixture, 22, "two");
   size_t size;
   uint8_t *segment = log_host_read_file(&fixture->host, "0000000003.log", &size);
   kvs_record effect = log_host_effect(23, "key", "");
   effect.value = (kvs_bytes){segment, fixture->writer.link.end};
   struct storage_writer *writer = &fixture->writer;
   uint64_t end = writer->link.end;
   assert_int_equal(storage_writer_append(writer, &effect, 1, storage_writer_batch_size(&effect, 1),
                                          0, 0, &fixture->error),
                    KVS_OK);
   free(segment);
   /* Its first bytes are damaged: all that follows is the value. */
   assert_int_equal(pwrite(writer->fd, "?", 1, (off_t)end), 1);
   assert_int_equal(open_segment(fixture, &reader), KVS_OK);
   struct storage_record_header record;
   bool found = true;
   while (found)
      assert_int_equal(storage_segment_next(&reader, &record, &found, &fixture->error), KVS_OK);
   assert_int_equal(reader.offset, end);
   assert_int_equal(storage_segment_examine_tail(&reader, &tail, &fixture->error), KVS_OK);
   assert_false(tail.was_durable);
   assert_true(tail.data_end > end);
   storage_segment_close(&reader);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(names_are_ten_digits_and_nothing_else),
       cmocka_unit_test_setup_teardown(header_comes_back_as_written, set_up, tear_down),
       cmocka_unit_test_setup_teardown(every_flipped_bit_of_the_header_is_refused, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(segment_of_another_store_or_number_is_refused, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(records_larger_than_the_read_window_come_back, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(proof_of_durability_is_found_across_window_borders, set_up,
                                       tear_down),
       cmocka_unit_test_setup_teardown(log_stored_as_a_value_proves_nothing, set_up, tear_down),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
