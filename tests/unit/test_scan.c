/* Scan over a store of its own and without a wire: what it sends, and that it releases its view.
 */
#include "core/service/service.h"
#include "core/store/store.h"
#include "tests/support/fake_rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE ((size_t)200 * 1024) /* two of them do not fit into one message */

static size_t held_views;

struct kv_store_view *__real_kv_store_view_create(struct kv_store *store);
struct kv_store_view *__wrap_kv_store_view_create(struct kv_store *store);
struct kv_store_view *__wrap_kv_store_view_create(struct kv_store *store)
{
   held_views++;
   return __real_kv_store_view_create(store);
}

void __real_kv_store_view_destroy(struct kv_store_view *view);
void __wrap_kv_store_view_destroy(struct kv_store_view *view);
void __wrap_kv_store_view_destroy(struct kv_store_view *view)
{
   held_views--;
   __real_kv_store_view_destroy(view);
}

struct fixture {
   struct kv_store *store;
   struct kv_service *service;
   struct kv_rpc_method methods[KV_SERVICE_METHODS_MAX];
   struct kv_observers observers;
   const struct kv_rpc_method *scan;
   uint8_t store_id[16];
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   struct kv_status status;
   assert_non_null(fixture);
   held_views = 0;
   fixture->store = kv_store_create();
   assert_int_equal(kv_observers_init(&fixture->observers, 0, 1, &status), KV_OK);
   const struct kv_service_config config = {.store = fixture->store,
                                            .workers = 1,
                                            .value_size_max = 4 * LARGE,
                                            .message_size_max = 4 * LARGE,
                                            .store_id = fixture->store_id,
                                            .observers = &fixture->observers};
   fixture->service = kv_service_create(&config, &status);
   assert_non_null(fixture->service);
   kv_service_set_loaded(fixture->service);
   size_t count = kv_service_methods(fixture->service, fixture->methods);
   for (size_t i = 0; i < count; i++)
      if (strcmp(fixture->methods[i].path, "/kvstore.KeyValueStore/Scan") == 0)
         fixture->scan = &fixture->methods[i];
   assert_non_null(fixture->scan);
   *state = fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   kv_service_destroy(fixture->service);
   kv_observers_deinit(&fixture->observers);
   kv_store_destroy(fixture->store);
   free(fixture);
   return 0;
}

static void fill(struct fixture *fixture, unsigned count, size_t size)
{
   char *value = calloc(1, size);
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   assert_non_null(value);
   assert_non_null(transaction);
   for (unsigned i = 0; i < count; i++) {
      char key[16];
      snprintf(key, sizeof key, "key %06u", i);
      assert_true(
          kv_transaction_set(transaction, kv_slice_of(key), kv_slice(value, size), 0, count));
   }
   kv_transaction_commit(transaction, count);
   free(value);
}

/* Ends the scan at each of its messages in turn; returns their number. */
static size_t cut_at_each(struct fixture *fixture)
{
   struct fake_answer answer;
   size_t count = 0;
   do {
      count++;
      const struct fake_client client = {.leaves_at = count};
      fake_call_run(fixture->scan, kv_slice(NULL, 0), &client, &answer);
      assert_int_equal(held_views, 0);
      assert_true(answer.count <= count);
      fake_answer_deinit(&answer);
   } while (!answer.ended);
   return count - 1;
}

static void a_scan_to_its_end_holds_no_view(void **state)
{
   struct fixture *fixture = *state;
   struct fake_answer answer;
   fill(fixture, 5, LARGE);
   fake_call_run(fixture->scan, kv_slice(NULL, 0), NULL, &answer);
   assert_true(answer.ended);
   assert_int_equal(answer.code, KV_OK);
   assert_int_equal(answer.count, 5);
   assert_int_equal(held_views, 0);
   fake_answer_deinit(&answer);
}

static void a_scan_that_is_cut_off_with_an_entry_held_back_holds_no_view(void **state)
{
   struct fixture *fixture = *state;
   fill(fixture, 5, LARGE);
   assert_int_equal(cut_at_each(fixture), 5);
}

static void a_scan_that_is_cut_off_between_entries_holds_no_view(void **state)
{
   struct fixture *fixture = *state;
   fill(fixture, 10000, 1); /* the number of entries in a message is limited, too */
   assert_in_range(cut_at_each(fixture), 2, 10);
}

static void a_scan_of_nothing_or_that_is_refused_holds_no_view(void **state)
{
   struct fixture *fixture = *state;
   struct fake_answer answer;
   fake_call_run(fixture->scan, kv_slice(NULL, 0), NULL, &answer);
   assert_true(answer.ended);
   assert_int_equal(answer.count, 0);
   assert_int_equal(held_views, 0);
   fake_answer_deinit(&answer);
   fake_call_run(fixture->scan, kv_slice("\xff", 1), NULL, &answer);
   assert_int_equal(answer.code, KV_INVALID_ARGUMENT);
   assert_int_equal(held_views, 0);
   fake_answer_deinit(&answer);
}

static void a_scan_shows_neither_hidden_keys_nor_those_whose_time_has_come(void **state)
{
   struct fixture *fixture = *state;
   struct fake_answer answer;
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   const struct {
      struct kv_slice key;
      int64_t expires_at;
   } entries[] = {{kv_slice("\0hidden", 7), 0}, {kv_slice("a", 1), 1}, {kv_slice("b", 1), 0}};
   for (size_t i = 0; i < 3; i++)
      assert_true(kv_transaction_set(transaction, entries[i].key, kv_slice("v", 1),
                                     entries[i].expires_at, i + 1));
   kv_transaction_commit(transaction, 3);
   fake_call_run(fixture->scan, kv_slice(NULL, 0), NULL, &answer);
   assert_int_equal(answer.count, 1);
   assert_int_equal(answer.messages[0].size, 8);
   assert_memory_equal(answer.messages[0].data,
                       "\x0a\x06\x0a\x01"
                       "b\x12\x01v",
                       8);
   fake_answer_deinit(&answer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_scan_to_its_end_holds_no_view),
       TEST(a_scan_that_is_cut_off_with_an_entry_held_back_holds_no_view),
       TEST(a_scan_that_is_cut_off_between_entries_holds_no_view),
       TEST(a_scan_of_nothing_or_that_is_refused_holds_no_view),
       TEST(a_scan_shows_neither_hidden_keys_nor_those_whose_time_has_come),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
