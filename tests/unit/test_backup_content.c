/* What of a backup file counts as sound beyond its checksums, and what loading it leaves. */
#include "core/backup/content.h"
#include "core/backup/sealed.h"
#include "core/datadir/active_text.h"
#include "storage/backup.h"
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
      .kind = KVS_SET, .key = {the_key, sizeof(the_key) - 1}, .value = { "v", 1 }                  \
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
   file.sequence = 0;
   read_both(&file, KV_DATA_LOSS, "version is out of range");
   static char large[KV_KEY_SIZE_MAX + 1];
   memset(large, 'k', sizeof large);
   file = (struct file){{SET("")}, 1, 7, false};
   file.records[0].key = (kvs_bytes){large, sizeof large};
   read_both(&file, KV_DATA_LOSS, "65536");
   file.records[0].key.size--;
   read_both(&file, KV_OK, NULL);
   read_both(&(struct file){{SET("a\0")}, 1, 7, false}, KV_DATA_LOSS, "UTF-8");
   read_both(&(struct file){{SET("a"), SET("\xff")}, 2, 7, false}, KV_DATA_LOSS, "UTF-8");
   read_both(&(struct file){{SET("\xc3\xa4")}, 1, 7, false}, KV_OK, NULL);
   read_both(&(struct file){.sequence = UINT64_MAX}, KV_DATA_LOSS, "out of range");
   read_both(&(struct file){.sequence = 7, .of_another_store = true}, KV_DATA_LOSS,
             "another store");
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
       cmocka_unit_test(what_cannot_be_kept_is_refused),
       cmocka_unit_test(a_reading_that_is_given_up_leaves_nothing),
       cmocka_unit_test(a_view_that_breaks_its_promises_makes_no_backup),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
