/* What of a backup file counts as sound beyond its checksums, and what loading it leaves. */
#include "core/backup/backup.h"
#include "core/backup/content.h"
#include "core/backup/sealed.h"
#include "core/datadir/active_text.h"
#include "storage/backup_layout.h"
#include "storage/snapshot_block.h"
#include "tests/support/temporary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RECORDS_MAX 4

struct file {
   kvs_record records[RECORDS_MAX];
   size_t count;
   uint64_t sequence;
   bool of_another_store;
};

static int put(void *context, const void *data, size_t size, kvs_error *error)
{
   (void)error;
   assert_int_equal(write(*(int *)context, data, size), size);
   return KVS_OK;
}

/* The file, with checksums that are right. */
static int make(const struct file *file)
{
   int fd = memfd_create("backup", MFD_CLOEXEC);
   static char plugin[] = "hybrid";
   const struct kv_active active = {.plugin = plugin, .generation = 3};
   struct storage_backup_info info = {.store_id = "0123456789abcde",
                                      .sequence = file->sequence,
                                      .created_ms = 9,
                                      .keys = file->count};
   struct storage_backup_writer *writer;
   struct kv_status status;
   kvs_error error = {.size = sizeof error};
   uint8_t digest[STORAGE_BACKUP_DIGEST_SIZE];
   size_t size;
   char *mode;
   assert_int_equal(kv_active_encode(&active, info.store_id, &mode, &size, &status), KV_OK);
   info.mode = mode;
   if (file->of_another_store)
      info.store_id[0]++;
   for (size_t i = 0; i < file->count; i++)
      info.bytes += file->records[i].key.size + file->records[i].value.size;
   const struct storage_backup_sink sink = {put, &fd};
   assert_int_equal(storage_backup_begin(&sink, &info, &writer, &error), KVS_OK);
   for (size_t i = 0; i < file->count; i++)
      assert_int_equal(storage_backup_add(writer, &file->records[i], &error), KVS_OK);
   assert_int_equal(storage_backup_finish(writer, digest, &error), KVS_OK);
   storage_backup_writer_destroy(writer);
   free(mode);
   return fd;
}

static uint64_t keys_of(struct kv_store *store, uint64_t *sequence)
{
   struct kv_store_view *view = kv_store_view_create(store);
   *sequence = kv_version_sequence(kv_store_view_version(view));
   uint64_t keys = kv_version_count(kv_store_view_version(view));
   kv_store_view_destroy(view);
   return keys;
}

/* Both ways to read it, which must agree. */
static void read_both(const struct file *file, enum kv_code expected, const char *text)
{
   struct kv_backup_content content;
   struct kv_status status;
   const struct kv_backup_source source = {.fd = make(file), .name = "the file"};
   struct kv_store *store = kv_store_create();
   uint64_t sequence;
   assert_int_equal(kv_backup_check(&source, &content, &status), expected);
   kv_backup_content_deinit(&content);
   assert_int_equal(kv_backup_load(&source, store, &content, &status), expected);
   if (expected == KV_OK) {
      assert_string_equal(content.active.plugin, "hybrid");
      assert_int_equal(content.keys, file->count);
      assert_int_equal(content.created_ms, 9);
      assert_int_equal(keys_of(store, &sequence), file->count);
      assert_int_equal(sequence, file->sequence);
   } else {
      assert_non_null(strstr(status.text, text));
      assert_int_equal(keys_of(store, &sequence), 0);
      assert_int_equal(sequence, 0);
   }
   kv_backup_content_deinit(&content);
   kv_store_destroy(store);
   close(source.fd);
}

#define SET(the_key)                                                                               \
   {                                                                                               \
      .sequence = 7, .kind = KVS_SET, .key = {the_key, sizeof(the_key) - 1}, .value = { "v", 1 }   \
   }

static void a_sound_file_is_loaded_at_its_sequence(void **state)
{
   (void)state;
   read_both(&(struct file){.sequence = 7}, KV_OK, NULL);
   read_both(&(struct file){{SET("a"), SET("a!"), SET("b")}, 3, 7, false}, KV_OK, NULL);
}

static void a_key_twice_or_out_of_order_is_damage(void **state)
{
   (void)state;
   read_both(&(struct file){{SET("a"), SET("a")}, 2, 7, false}, KV_DATA_LOSS, "ascending");
   read_both(&(struct file){{SET("a"), SET("c"), SET("b")}, 3, 7, false}, KV_DATA_LOSS,
             "ascending");
}

static void assert_entry(struct kv_store *store, const char *key, int64_t expires_at)
{
   struct kv_store_view *view = kv_store_view_create(store);
   const struct kv_entry *entry = kv_version_find(kv_store_view_version(view), kv_slice_of(key));
   assert_non_null(entry);
   assert_true(kv_entry_expires_at(entry) == expires_at);
   assert_int_equal(kv_entry_version(entry), 7);
   kv_store_view_destroy(view);
}

static enum kv_code write_on(void *context, const void *data, size_t size, struct kv_status *status)
{
   (void)status;
   assert_int_equal(write(*(int *)context, data, size), (ssize_t)size);
   return KV_OK;
}

static void a_key_keeps_its_time_of_expiry_from_file_to_file(void **state)
{
   (void)state;
   struct file file = {{SET("a"), SET("b")}, 2, 7, false};
   file.records[1].expires_at_ms = 1735689600000;
   int fds[] = {make(&file), memfd_create("second", MFD_CLOEXEC)};
   for (size_t i = 0; i < 2; i++) {
      const struct kv_backup_source source = {.fd = fds[i], .name = "the file"};
      struct kv_backup_content content;
      struct kv_backup *backup;
      struct kv_status status;
      uint8_t digest[KV_BACKUP_DIGEST_SIZE];
      struct kv_store *store = kv_store_create();
      assert_int_equal(kv_backup_load(&source, store, &content, &status), KV_OK);
      assert_entry(store, "a", 0);
      assert_entry(store, "b", 1735689600000);
      if (i == 0) {
         const struct kv_backup_sink sink = {.context = &fds[1], .write = write_on};
         assert_int_equal(
             kv_backup_open(store, content.store_id, &content.active, &backup, &status), KV_OK);
         assert_int_equal(kv_backup_write(backup, &sink, digest, &status), KV_OK);
         kv_backup_close(backup);
      }
      kv_backup_content_deinit(&content);
      kv_store_destroy(store);
      close(fds[i]);
   }
}

static void what_cannot_be_kept_is_refused(void **state)
{
   (void)state;
   struct file file = {{SET("a"), SET("b")}, 2, 7, false};
   file.records[1].expires_at_ms = -1;
   read_both(&file, KV_DATA_LOSS, "time of expiry");
   file.records[1].expires_at_ms = KV_EXPIRES_AT_MAX + 1;
   read_both(&file, KV_DATA_LOSS, "time of expiry");
   file.records[1].expires_at_ms = KV_EXPIRES_AT_MAX;
   read_both(&file, KV_OK, NULL);
   static char large[KV_KEY_SIZE_MAX + 1];
   memset(large, 'k', sizeof large);
   file = (struct file){{SET("")}, 1, 7, false};
   file.records[0].key = (kvs_bytes){large, sizeof large};
   read_both(&file, KV_DATA_LOSS, "65536");
   file.records[0].key.size--;
   read_both(&file, KV_OK, NULL);
   read_both(&(struct file){{SET("a\0")}, 1, 7, false}, KV_DATA_LOSS, "UTF-8");
   read_both(&(struct file){{SET("\0r\xff")}, 1, 7, false}, KV_OK, NULL);
   read_both(&(struct file){{SET("a"), SET("\xff")}, 2, 7, false}, KV_DATA_LOSS, "UTF-8");
   read_both(&(struct file){{SET("\xc3\xa4")}, 1, 7, false}, KV_OK, NULL);
   read_both(&(struct file){.sequence = UINT64_MAX}, KV_DATA_LOSS, "out of range");
   read_both(&(struct file){.sequence = 7, .of_another_store = true}, KV_DATA_LOSS,
             "another store");
}

/* ---- The format of before ---- */

static uint8_t *append(uint8_t *to, const void *bytes, size_t size)
{
   memcpy(to, bytes, size);
   return to + size;
}

/* A file of format version 1 by hand, after docs/formats.md: one record, "key" with "value". */
static int make_plain(uint64_t sequence)
{
   static char plugin[] = "hybrid";
   static const uint8_t store_id[KV_STORE_ID_SIZE] = "0123456789abcde";
   const struct kv_active active = {.plugin = plugin, .generation = 3};
   uint8_t file[1024] = BACKUP_MAGIC, checksum[4], block[24], record[24] = {0}, footer[48] = {0};
   struct kv_status status;
   XXH128_canonical_t digest;
   size_t mode_size;
   char *mode;
   assert_int_equal(kv_active_encode(&active, store_id, &mode, &mode_size, &status), KV_OK);
   storage_put32(file + 8, 1);
   storage_put32(file + 12, (uint32_t)mode_size);
   memcpy(file + 16, store_id, sizeof store_id);
   storage_put64(file + 32, sequence);
   storage_put64(file + 48, 1);
   storage_put64(file + 56, 8);
   uint8_t *at = append(file + 72, mode, mode_size);
   storage_put32(checksum, storage_crc(0, file, (size_t)(at - file)));
   at = append(at, checksum, sizeof checksum);
   storage_put64(record, 77); /* expires */
   storage_put32(record + 8, 3);
   storage_put32(record + 12, 5);
   memcpy(record + 16, "keyvalue", 8);
   snapshot_put_block_header(block, 1, record, sizeof record, (uint64_t)(at - file));
   at = append(append(at, block, sizeof block), record, sizeof record);
   storage_put32(footer, BACKUP_FOOTER_MAGIC);
   storage_put64(footer + 8, 1);
   storage_put64(footer + 16, (uint64_t)(at - file));
   XXH128_canonicalFromHash(&digest, XXH3_128bits(file, (size_t)(at - file)));
   memcpy(footer + 24, digest.digest, sizeof digest.digest);
   storage_put32(footer + 44, snapshot_place_crc(footer, 44, (uint64_t)(at - file)));
   at = append(at, footer, sizeof footer);
   int fd = memfd_create("backup", MFD_CLOEXEC);
   assert_int_equal(write(fd, file, (size_t)(at - file)), at - file);
   free(mode);
   return fd;
}

static void in_a_file_of_the_format_of_before_all_are_of_its_version(void **state)
{
   (void)state;
   struct kv_backup_source source = {make_plain(7), "the file", NULL, NULL};
   struct kv_backup_content content;
   struct kv_status status;
   struct kv_store *store = kv_store_create();
   assert_int_equal(kv_backup_load(&source, store, &content, &status), KV_OK);
   struct kv_store_view *view = kv_store_view_create(store);
   const struct kv_entry *entry = kv_version_find(kv_store_view_version(view), kv_slice_of("key"));
   assert_non_null(entry);
   assert_int_equal(kv_entry_version(entry), 7);
   assert_int_equal(kv_entry_expires_at(entry), 77);
   kv_store_view_destroy(view);
   kv_store_destroy(store);
   kv_backup_content_deinit(&content);
   close(source.fd);
   source.fd = make_plain(0);
   assert_int_equal(kv_backup_check(&source, &content, &status), KV_DATA_LOSS);
   assert_non_null(strstr(status.text, "version is out of range"));
   kv_backup_content_deinit(&content);
   close(source.fd);
}

static void each_record_is_loaded_with_its_own_version(void **state)
{
   (void)state;
   struct file file = {{SET("a"), SET("b")}, 2, 7, false};
   file.records[0].sequence = 1;
   const struct kv_backup_source source = {.fd = make(&file), .name = "the file"};
   struct kv_backup_content content;
   struct kv_status status;
   struct kv_store *store = kv_store_create();
   assert_int_equal(kv_backup_load(&source, store, &content, &status), KV_OK);
   struct kv_store_view *view = kv_store_view_create(store);
   const struct kv_version *version = kv_store_view_version(view);
   assert_int_equal(kv_entry_version(kv_version_find(version, kv_slice_of("a"))), 1);
   assert_int_equal(kv_entry_version(kv_version_find(version, kv_slice_of("b"))), 7);
   kv_store_view_destroy(view);
   kv_store_destroy(store);
   kv_backup_content_deinit(&content);
   close(source.fd);
}

static bool give_up(void *context)
{
   return --*(unsigned *)context == 0;
}

static void a_reading_that_is_given_up_leaves_nothing(void **state)
{
   (void)state;
   const struct file file = {{SET("a"), SET("b")}, 2, 7, false};
   unsigned left = 1;
   const struct kv_backup_source source = {make(&file), "the file", give_up, &left};
   struct kv_backup_content content;
   struct kv_status status;
   struct kv_store *store = kv_store_create();
   uint64_t sequence;
   assert_int_equal(kv_backup_load(&source, store, &content, &status), KV_CANCELLED);
   assert_int_equal(keys_of(store, &sequence), 0);
   kv_backup_content_deinit(&content);
   kv_store_destroy(store);
   close(source.fd);
}

/* ---- What a plug-in over another one makes ---- */

/* A wrapper's view. */
struct kvs_view {
   const kvs_record *records;
   size_t count;
};

static size_t read_view(kvs_view *view, kvs_record *to, size_t capacity)
{
   size_t count = view->count < capacity ? view->count : capacity;
   memcpy(to, view->records, count * sizeof *to);
   view->records += count;
   view->count -= count;
   return count;
}

/* What the checkpoint of these returns; *file is the file that it made. */
static int seal(const kvs_record *records, size_t count, size_t announced, int *file,
                kvs_error *error)
{
   static const uint8_t store_id[16] = "0123456789abcde";
   static char plugin[] = "encrypt";
   const struct kv_active active = {.plugin = plugin, .generation = 1};
   struct temporary folder;
   char path[TEMPORARY_PATH_SIZE];
   struct kv_data_directory *directory;
   struct kv_status status;
   struct kv_spool spool;
   temporary_create(&folder);
   assert_int_equal(mkdir(temporary_path(&folder, "data", path), 0700), 0);
   assert_int_equal(kv_data_directory_open(path, &directory, &status), KV_OK);
   assert_int_equal(kv_spool_open(directory, &spool, &status), KV_OK);
   struct kv_sealing sealing = {.spool = &spool, .store_id = store_id, .active = &active};
   const kvs_host host = {.size = sizeof host, .view_read = read_view};
   kvs_view view = {records, count};
   const kvs_tick tick = {.size = sizeof tick,
                          .view = &view,
                          .view_sequence = 7,
                          .view_count = announced,
                          .view_bytes = announced * 2};
   *error = (kvs_error){.size = sizeof *error};
   int code = kv_sealed_checkpoint(&sealing, &host, &tick, error);
   *file = dup(spool.fd);
   kv_spool_close(&spool);
   kv_data_directory_close(directory);
   temporary_remove(&folder);
   return code;
}

static void a_view_that_breaks_its_promises_makes_no_backup(void **state)
{
   (void)state;
   static const kvs_record sound[] = {SET("a"), SET("b")}, unsorted[] = {SET("b"), SET("a")},
                           twice[] = {SET("a"), SET("a")};
   kvs_error error;
   int file;
   assert_int_equal(seal(sound, 2, 2, &file, &error), KVS_OK);
   const struct kv_backup_source source = {.fd = file, .name = "the file"};
   struct kv_backup_content content;
   struct kv_status status;
   assert_int_equal(kv_backup_check(&source, &content, &status), KV_OK);
   assert_true(content.sealed && content.keys == 2 && content.sequence == 7);
   kv_backup_content_deinit(&content);
   close(file);
   assert_int_equal(seal(unsorted, 2, 2, &file, &error), KVS_INVALID);
   assert_non_null(strstr(error.text, "ascending"));
   close(file);
   assert_int_equal(seal(twice, 2, 2, &file, &error), KVS_INVALID);
   close(file);
   assert_int_equal(seal(sound, 2, 3, &file, &error), KVS_INVALID);
   assert_non_null(strstr(error.text, "header"));
   close(file);
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_sound_file_is_loaded_at_its_sequence),
       cmocka_unit_test(a_key_twice_or_out_of_order_is_damage),
       cmocka_unit_test(a_key_keeps_its_time_of_expiry_from_file_to_file),
       cmocka_unit_test(what_cannot_be_kept_is_refused),
       cmocka_unit_test(in_a_file_of_the_format_of_before_all_are_of_its_version),
       cmocka_unit_test(each_record_is_loaded_with_its_own_version),
       cmocka_unit_test(a_reading_that_is_given_up_leaves_nothing),
       cmocka_unit_test(a_view_that_breaks_its_promises_makes_no_backup),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
