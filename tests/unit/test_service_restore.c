/* Restore over a real store and plug-ins: its messages, its ends, and what it holds. */
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES 300

/* All messages of a Backup as one file. */
static struct kv_slice back_up(const struct service_fixture *fixture)
{
   const Kvstore__V1__BackupRequest request = KVSTORE__V1__BACKUP_REQUEST__INIT;
   struct fake_answer answer;
   struct kv_call *call = service_begin(fixture, "Backup", &request.base, &answer);
   while (!fake_call_is_answered(call))
      (void)fake_call_sent(call);
   fake_call_end(call);
   assert_int_equal(answer.code, KV_OK);
   uint8_t *file = NULL;
   size_t size = 0;
   for (size_t i = 0; i < answer.count; i++) {
      Kvstore__V1__BackupResponse *message = kvstore__v1__backup_response__unpack(
          NULL, answer.messages[i].size, answer.messages[i].data);
      assert_non_null(message);
      file = realloc(file, size + message->data.len + 1);
      assert_non_null(file);
      if (message->data.len > 0)
         memcpy(file + size, message->data.data, message->data.len);
      size += message->data.len;
      kvstore__v1__backup_response__free_unpacked(message, NULL);
   }
   fake_answer_deinit(&answer);
   return kv_slice(file, size);
}

struct upload {
   struct kv_call *call;
   struct fake_answer answer;
};

static void begin(struct upload *upload, const struct service_fixture *fixture,
                  struct kv_slice piece, bool replace_existing, bool validate_only)
{
   Kvstore__V1__RestoreRequest request = KVSTORE__V1__RESTORE_REQUEST__INIT;
   request.data = (ProtobufCBinaryData){piece.size, (uint8_t *)(uintptr_t)piece.data};
   request.replace_existing = replace_existing;
   request.validate_only = validate_only;
   upload->call = service_begin(fixture, "Restore", &request.base, &upload->answer);
}

static bool go_on(struct upload *upload, struct kv_slice piece)
{
   uint8_t packed[4096];
   Kvstore__V1__RestoreRequest request = KVSTORE__V1__RESTORE_REQUEST__INIT;
   request.data = (ProtobufCBinaryData){piece.size, (uint8_t *)(uintptr_t)piece.data};
   assert_true(kvstore__v1__restore_request__get_packed_size(&request) <= sizeof packed);
   size_t size = kvstore__v1__restore_request__pack(&request, packed);
   return fake_call_next(upload->call, kv_slice(packed, size));
}

/* The rest of the file, in pieces of 1,000 bytes. */
static void send_rest(struct upload *upload, struct kv_slice file, size_t sent)
{
   for (size_t piece; sent < file.size; sent += piece) {
      piece = file.size - sent < 1000 ? file.size - sent : 1000;
      if (!go_on(upload, kv_slice((const char *)file.data + sent, piece)))
         return;
   }
   (void)fake_call_half_close(upload->call);
}

/* Until it has been answered, and its client is gone. */
static enum kv_code end(struct upload *upload)
{
   while (!fake_call_is_answered(upload->call))
      (void)fake_call_sent(upload->call);
   fake_call_end(upload->call);
   fake_answer_deinit(&upload->answer);
   return upload->answer.code;
}

/* One whose client has gone may still be ending. */
static void begin_when_there_is_room(struct upload *upload, const struct service_fixture *fixture,
                                     struct kv_slice piece)
{
   for (;;) {
      begin(upload, fixture, piece, true, false);
      if (!fake_call_is_answered(upload->call))
         return;
      assert_int_equal(end(upload), KV_RESOURCE_EXHAUSTED);
   }
}

static struct kv_slice fill(struct service_fixture *fixture)
{
   for (int i = 0; i < ENTRIES; i++) {
      char key[] = {'k', (char)('0' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10), 0};
      service_set(fixture, key, "value");
   }
   struct kv_slice file = back_up(fixture);
   service_set(fixture, "other", "data");
   service_del(fixture, "k000");
   return file;
}

static void a_file_in_many_messages_takes_the_place_of_the_data(void **state)
{
   struct kv_slice file = fill(*state);
   struct upload upload;
   begin(&upload, *state, kv_slice(file.data, 10), true, false);
   service_assert_value(*state, "other", "data");
   send_rest(&upload, file, 10);
   assert_int_equal(end(&upload), KV_OK);
   service_assert_value(*state, "other", NULL);
   service_assert_value(*state, "k000", "value");
   service_set(*state, "after", "1");
   service_assert_value(*state, "after", "1");
   free((void *)(uintptr_t)file.data);
}

static void a_check_changes_nothing(void **state)
{
   struct kv_slice file = fill(*state);
   struct upload upload;
   begin(&upload, *state, kv_slice(NULL, 0), true, true);
   send_rest(&upload, file, 0);
   assert_int_equal(end(&upload), KV_OK);
   service_assert_value(*state, "other", "data");
   free((void *)(uintptr_t)file.data);
}

static void a_damaged_file_changes_nothing(void **state)
{
   struct kv_slice file = fill(*state);
   struct upload upload;
   begin(&upload, *state, kv_slice(NULL, 0), true, false);
   send_rest(&upload, kv_slice(file.data, file.size - 1), 0);
   assert_int_equal(end(&upload), KV_DATA_LOSS);
   service_assert_value(*state, "other", "data");
   free((void *)(uintptr_t)file.data);
}

static void a_message_that_is_none_ends_it(void **state)
{
   struct kv_slice file = fill(*state);
   struct upload upload;
   begin(&upload, *state, kv_slice(NULL, 0), true, false);
   assert_true(fake_call_next(upload.call, kv_slice_of("\x0a\xff")));
   assert_int_equal(end(&upload), KV_INVALID_ARGUMENT);
   begin_when_there_is_room(&upload, *state, kv_slice(NULL, 0));
   send_rest(&upload, file, 0);
   assert_int_equal(end(&upload), KV_OK);
   service_assert_value(*state, "other", NULL);
   free((void *)(uintptr_t)file.data);
}

static void a_second_one_is_refused_while_one_is_in_flight(void **state)
{
   struct kv_slice file = fill(*state);
   struct upload first, second;
   begin(&first, *state, kv_slice(NULL, 0), true, false);
   begin(&second, *state, kv_slice(NULL, 0), true, true);
   assert_int_equal(end(&second), KV_RESOURCE_EXHAUSTED);
   send_rest(&first, file, 0);
   assert_int_equal(end(&first), KV_OK);
   begin(&second, *state, kv_slice(NULL, 0), true, true);
   send_rest(&second, file, 0);
   assert_int_equal(end(&second), KV_OK);
   free((void *)(uintptr_t)file.data);
}

/* At any message; the service may end at once behind it. */
static void a_client_that_goes_away_changes_nothing(void **state)
{
   struct kv_slice file = fill(*state);
   for (size_t sent = 0; sent <= file.size; sent += 2000) {
      struct upload upload;
      begin_when_there_is_room(&upload, *state, kv_slice(file.data, sent));
      fake_call_end(upload.call);
      fake_answer_deinit(&upload.answer);
      service_assert_value(*state, "other", "data");
   }
   free((void *)(uintptr_t)file.data);
}

static void keys_are_not_replaced_unasked(void **state)
{
   struct kv_slice file = fill(*state);
   struct upload upload;
   begin(&upload, *state, file.size < 1000 ? file : kv_slice(file.data, 1000), false, false);
   assert_int_equal(end(&upload), KV_FAILED_PRECONDITION);
   service_assert_value(*state, "other", "data");
   free((void *)(uintptr_t)file.data);
}

/* The control thread makes such a backup, and opens it again. */
static void a_backup_of_an_encrypted_store_is_sealed_and_opens_with_its_key(void **state)
{
   struct temporary folder;
   char path[TEMPORARY_PATH_SIZE], key[32] = "a key of thirty-two bytes, like";
   (void)state;
   temporary_create(&folder);
   temporary_write(&folder, "key", key, sizeof key);
   temporary_path(&folder, "key", path);
   assert_int_equal(chmod(path, 0600), 0);
   const struct kv_mode_option option = {"key_file", path};
   const struct service_setup setup = {.mode = "encrypt", .options = &option, .option_count = 1};
   struct service_fixture *fixture = service_fixture_create(&setup);
   struct kv_slice file = fill(fixture);
   assert_null(memmem(file.data, file.size, "value", 5));
   struct upload upload;
   for (int validate = 1; validate >= 0; validate--) {
      begin(&upload, fixture, kv_slice(NULL, 0), true, validate);
      send_rest(&upload, file, 0);
      assert_int_equal(end(&upload), KV_OK);
      service_assert_value(fixture, "other", validate ? "data" : NULL);
   }
   service_assert_value(fixture, "k000", "value");
   free((void *)(uintptr_t)file.data);
   service_fixture_destroy(fixture);
   temporary_remove(&folder);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_file_in_many_messages_takes_the_place_of_the_data),
       TEST(a_check_changes_nothing),
       TEST(a_damaged_file_changes_nothing),
       TEST(a_message_that_is_none_ends_it),
       TEST(a_second_one_is_refused_while_one_is_in_flight),
       TEST(a_client_that_goes_away_changes_nothing),
       TEST(keys_are_not_replaced_unasked),
       cmocka_unit_test(a_backup_of_an_encrypted_store_is_sealed_and_opens_with_its_key),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
