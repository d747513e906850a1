#include "storage/backup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MODE "plugin=hybrid\n"

/* A backup in memory. */
struct bytes {
   uint8_t *data;
   size_t size;
};

static int collect(void *context, const void *data, size_t size, kvs_error *error)
{
   (void)error;
   struct bytes *bytes = context;
   bytes->data = realloc(bytes->data, bytes->size + size);
   assert_non_null(bytes->data);
   memcpy(bytes->data + bytes->size, data, size);
   bytes->size += size;
   return KVS_OK;
}

static int run_out_of_space(void *context, const void *data, size_t size, kvs_error *error)
{
   (void)data, (void)error;
   size_t *left = context;
   if (*left < size)
      return KVS_NO_SPACE;
   *left -= size;
   return KVS_OK;
}

static const kvs_record records[] = {
    {.sequence = 42, .kind = KVS_SET, .key = {"a", 1}, .value = {"1", 1}},
    {.sequence = 1, .kind = KVS_SET, .key = {"b", 1}, .value = {NULL, 0}},
    {.sequence = 7,
     .kind = KVS_SET,
     .key = {"c\0d", 3},
     .value = {"value", 5},
     .expires_at_ms = 77},
};

static const struct storage_backup_info info = {
    .store_id = "0123456789abcde",
    .sequence = 42,
    .created_ms = 1700000000000,
    .keys = 3,
    .bytes = 11,
    .mode = MODE,
};

static int write_backup(const struct storage_backup_sink *sink,
                        const struct storage_backup_info *what,
                        uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE])
{
   kvs_error error = {.size = sizeof error};
   struct storage_backup_writer *writer;
   int code = storage_backup_begin(sink, what, &writer, &error);
   if (code != KVS_OK)
      return code;
   for (size_t i = 0; code == KVS_OK && i < 3; i++)
      code = storage_backup_add(writer, &records[i], &error);
   if (code == KVS_OK)
      code = storage_backup_finish(writer, digest, &error);
   storage_backup_writer_destroy(writer);
   return code;
}

static struct bytes make(void)
{
   struct bytes bytes = {0};
   uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE];
   const struct storage_backup_sink sink = {collect, &bytes};
   assert_int_equal(write_backup(&sink, &info, digest), KVS_OK);
   return bytes;
}

struct seen {
   struct storage_backup_info info;
   char text[256];
};

static int see_begin(void *context, const struct storage_backup_info *found, kvs_error *error)
{
   (void)error;
   ((struct seen *)context)->info = *found;
   assert_string_equal(found->mode, MODE);
   assert_memory_equal(found->store_id, info.store_id, sizeof info.store_id);
   assert_int_equal(found->sequence, info.sequence);
   assert_int_equal(found->created_ms, info.created_ms);
   assert_int_equal(found->keys, info.keys);
   assert_int_equal(found->bytes, info.bytes);
   return KVS_OK;
}

static int see_records(void *context, const kvs_record *found, size_t count, kvs_error *error)
{
   (void)error;
   char *text = ((struct seen *)context)->text;
   for (size_t i = 0; i < count; i++)
      sprintf(text + strlen(text), "%zu=%.*s/%lld@%llu ", found[i].key.size,
              (int)found[i].value.size, (const char *)found[i].value.data,
              (long long)found[i].expires_at_ms, (unsigned long long)found[i].sequence);
   return KVS_OK;
}

static int read_bytes(const void *data, size_t size, struct seen *seen, kvs_error *error)
{
   int fd = memfd_create("backup", MFD_CLOEXEC);
   assert_true(fd >= 0);
   assert_int_equal(write(fd, data, size), size);
   const struct storage_backup_visitor visitor = {seen, seen ? see_begin : NULL,
                                                  seen ? see_records : NULL};
   error->size = sizeof *error;
   int code = storage_backup_read(fd, "the file", &visitor, error);
   close(fd);
   return code;
}

static void what_is_written_is_read_back(void **state)
{
   (void)state;
   struct bytes bytes = make();
   struct seen seen = {0};
   kvs_error error;
   assert_int_equal(read_bytes(bytes.data, bytes.size, &seen, &error), KVS_OK);
   assert_memory_equal(seen.info.store_id, info.store_id, 16);
   assert_int_equal(seen.info.sequence, 42);
   assert_int_equal(seen.info.created_ms, info.created_ms);
   assert_string_equal(seen.text, "1=1/0@42 1=/0@1 3=value/77@7 ");
   assert_true(bytes.size <= storage_backup_size_limit(&info));
   free(bytes.data);
}

static int see_sealed(void *context, const struct storage_backup_info *found, kvs_error *error)
{
   (void)error;
   *(bool *)context = found->sealed;
   return KVS_OK;
}

/* An older program must not take such records for the data. */
static void a_file_of_sealed_records_has_a_format_of_its_own(void **state)
{
   (void)state;
   struct bytes bytes = {0};
   uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE];
   const struct storage_backup_sink sink = {collect, &bytes};
   struct storage_backup_info other = info;
   for (int sealed = 0; sealed < 2; sealed++) {
      bool seen = !sealed;
      kvs_error error = {.size = sizeof error};
      bytes.size = 0;
      other.sealed = sealed;
      assert_int_equal(write_backup(&sink, &other, digest), KVS_OK);
      assert_int_equal(bytes.data[8], sealed ? 4 : 3);
      int fd = memfd_create("backup", MFD_CLOEXEC);
      assert_int_equal(write(fd, bytes.data, bytes.size), bytes.size);
      const struct storage_backup_visitor visitor = {&seen, see_sealed, NULL};
      assert_int_equal(storage_backup_read(fd, "the file", &visitor, &error), KVS_OK);
      assert_int_equal(seen, sealed);
      close(fd);
   }
   free(bytes.data);
}

static void every_flipped_bit_is_refused(void **state)
{
   (void)state;
   struct bytes bytes = make();
   kvs_error error;
   for (size_t i = 0; i < bytes.size * 8; i++) {
      bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
      struct seen seen = {0}; /* nobody is shown a header that is not as it was written */
      if (read_bytes(bytes.data, bytes.size, &seen, &error) != KVS_CORRUPT)
         fail_msg("bit %zu of %zu bytes was flipped, and nobody saw it", i, bytes.size);
      bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
   }
   free(bytes.data);
}

static void a_file_of_any_other_size_is_refused(void **state)
{
   (void)state;
   struct bytes bytes = make();
   kvs_error error;
   for (size_t size = 0; size < bytes.size; size++)
      assert_int_equal(read_bytes(bytes.data, size, NULL, &error), KVS_CORRUPT);
   const struct storage_backup_sink sink = {collect, &bytes};
   assert_int_equal(sink.write(&bytes, "", 1, &error), KVS_OK);
   assert_int_equal(read_bytes(bytes.data, bytes.size, NULL, &error), KVS_CORRUPT);
   assert_non_null(strstr(error.text, "bytes follow the footer"));
   free(bytes.data);
}

static void a_sink_without_space_ends_the_writing_at_any_byte(void **state)
{
   (void)state;
   struct bytes bytes = make();
   uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE];
   for (size_t space = 0; space < bytes.size; space++) {
      size_t left = space;
      const struct storage_backup_sink sink = {run_out_of_space, &left};
      assert_int_equal(write_backup(&sink, &info, digest), KVS_NO_SPACE);
   }
   free(bytes.data);
}

static void data_that_is_not_what_the_header_says_makes_no_backup(void **state)
{
   (void)state;
   struct bytes bytes = {0};
   uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE];
   const struct storage_backup_sink sink = {collect, &bytes};
   struct storage_backup_info other = info;
   other.keys = 4;
   assert_int_equal(write_backup(&sink, &other, digest), KVS_INVALID);
   other = info;
   other.bytes = 12;
   assert_int_equal(write_backup(&sink, &other, digest), KVS_INVALID);
   free(bytes.data);
}

static int try_sequence(uint64_t sequence)
{
   struct bytes bytes = {0};
   kvs_error error = {.size = sizeof error};
   struct storage_backup_writer *writer;
   const struct storage_backup_sink sink = {collect, &bytes};
   kvs_record record = records[0];
   record.sequence = sequence;
   assert_int_equal(storage_backup_begin(&sink, &info, &writer, &error), KVS_OK);
   int code = storage_backup_add(writer, &record, &error);
   storage_backup_writer_destroy(writer);
   free(bytes.data);
   return code;
}

static void a_record_of_a_sequence_that_the_backup_has_not_reached_makes_none(void **state)
{
   (void)state;
   assert_int_equal(try_sequence(0), KVS_INVALID);
   assert_int_equal(try_sequence(1), KVS_OK);
   assert_int_equal(try_sequence(info.sequence), KVS_OK);
   assert_int_equal(try_sequence(info.sequence + 1), KVS_INVALID);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(what_is_written_is_read_back),
       cmocka_unit_test(a_file_of_sealed_records_has_a_format_of_its_own),
       cmocka_unit_test(every_flipped_bit_is_refused),
       cmocka_unit_test(a_file_of_any_other_size_is_refused),
       cmocka_unit_test(a_sink_without_space_ends_the_writing_at_any_byte),
       cmocka_unit_test(data_that_is_not_what_the_header_says_makes_no_backup),
       cmocka_unit_test(a_record_of_a_sequence_that_the_backup_has_not_reached_makes_none),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
