/* Requests that are remembered: a repetition gets the first answer, and changes nothing. */
#include "core/service/validate.h"
#include "core/store/store.h"
#include "tests/support/keyvalue_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define WINDOW_MS 60000 /* the fixture's */

static void release(void *reply)
{
   protobuf_c_message_free_unpacked(reply, NULL);
}

static void assert_same(struct kv_slice answer, struct kv_slice expected)
{
   assert_int_equal(answer.size, expected.size);
   assert_memory_equal(answer.data, expected.data, expected.size);
}

/* Runs the call twice; the second one must be answered with the bytes of the first, and change
 * nothing. */
static void repeat(const struct service_fixture *fixture, const char *name,
                   const ProtobufCMessage *request)
{
   struct fake_answer first, second;
   service_run(fixture, name, request, NULL, &first);
   if (first.code != KV_OK)
      fail_msg("%s failed: %s", name, first.text);
   const uint64_t next = keyvalue_put(fixture, "between", "v");
   service_run(fixture, name, request, NULL, &second);
   assert_int_equal(second.code, KV_OK);
   assert_same(second.messages[0], first.messages[0]);
   assert_int_equal(keyvalue_put(fixture, "between", "v"), next + 1);
   fake_answer_deinit(&first);
   fake_answer_deinit(&second);
}

static void a_repetition_gets_the_first_answer_of_each_method(void **state)
{
   keyvalue_put(*state, "k", "old");
   Kvstore__V1__Expiry expiry = keyvalue_ttl(KEYVALUE_HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "5");
   set.request_id = service_text("one");
   set.return_previous = true;
   set.expiry = &expiry;
   repeat(*state, KEYVALUE("Set"), &set.base);
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("k", 1);
   increment.request_id = service_text("two");
   repeat(*state, KEYVALUE("Increment"), &increment.base);
   const Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   Kvstore__V1__GetResponse *got = keyvalue_get(*state, &get);
   service_assert_text(got->entry->value, "6");
   release(got);
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   delete.request_id = service_text("three");
   delete.return_previous = true;
   repeat(*state, KEYVALUE("Delete"), &delete.base);
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
}

/* Of either list, with all kinds of results. */
static void a_transaction_is_repeated_with_all_its_results(void **state)
{
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   set.return_previous = true;
   Kvstore__V1__Operation operations[] = {
       keyvalue_operation(&get.base), keyvalue_operation(&set.base), keyvalue_operation(&get.base),
       keyvalue_operation(&delete.base)};
   Kvstore__V1__Operation *pointers[COUNT(operations)];
   for (size_t i = 0; i < COUNT(operations); i++)
      pointers[i] = &operations[i];
   Kvstore__V1__Condition condition = keyvalue_exists(true);
   Kvstore__V1__Comparison comparison = KVSTORE__V1__COMPARISON__INIT, *comparisons = &comparison;
   comparison.key = service_text("k");
   comparison.condition = &condition;
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   request.n_comparisons = 1;
   request.comparisons = &comparisons;
   request.n_success = request.n_failure = COUNT(operations);
   request.success = request.failure = pointers;
   request.request_id = service_text("failure");
   repeat(*state, KEYVALUE("Transaction"), &request.base);
   keyvalue_put(*state, "k", "there");
   request.request_id = service_text("success");
   repeat(*state, KEYVALUE("Transaction"), &request.base);
}

/* Else who has the role read alone could fill memory and log. */
static void gets_alone_are_not_remembered(void **state)
{
   static const Kvstore__V1__Durability levels[] = {KVSTORE__V1__DURABILITY__DURABILITY_UNSPECIFIED,
                                                    KVSTORE__V1__DURABILITY__DURABILITY_WRITTEN};
   const struct service_setup setup = {.mode = "aof"};
   struct service_fixture *fixture = service_fixture_create(&setup);
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   Kvstore__V1__Operation operation = keyvalue_operation(&get.base), *operations = &operation;
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   request.n_success = 1;
   request.success = &operations;
   request.request_id = service_text("gets");
   uint64_t version = keyvalue_put(fixture, "k", "v");
   for (size_t i = 0; i < COUNT(levels); i++) {
      request.durability = levels[i];
      for (int repetitions = 0; repetitions < 2; repetitions++) {
         release(service_reply(fixture, KEYVALUE("Transaction"), &request.base,
                               &kvstore__v1__transaction_response__descriptor));
         assert_int_equal(keyvalue_put(fixture, "k", "v"), ++version);
      }
   }
   request.request_id = service_text("\xff");
   service_refused(fixture, KEYVALUE("Transaction"), &request.base, KV_INVALID_ARGUMENT,
                   "request_id: ", NULL);
   service_fixture_destroy(fixture);
   (void)state;
}

static void another_request_with_the_same_id_is_refused(void **state)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "one");
   set.request_id = service_text("id");
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   const uint64_t version = reply->version;
   release(reply);
   Kvstore__V1__Condition condition = keyvalue_exists(true);
   Kvstore__V1__SetRequest others[] = {set, set, set, set};
   others[0].key = service_text("other");
   others[1].value = service_text("two");
   others[2].condition = &condition;
   others[3].return_previous = true;
   for (size_t i = 0; i < COUNT(others); i++)
      service_refused_for(*state, KEYVALUE("Set"), &others[i].base, KV_INVALID_ARGUMENT,
                          "REQUEST_ID_REUSED", NULL, "request_id: ", NULL);
   keyvalue_assert_entry(*state, "k", "one", version, 0);
   keyvalue_assert_entry(*state, "other", NULL, 0, 0);
}

static void another_method_with_the_same_id_is_refused(void **state)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("k", 1);
   Kvstore__V1__Operation operation = keyvalue_operation(&set.base), *operations = &operation;
   Kvstore__V1__TransactionRequest transaction = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   transaction.n_success = 1;
   transaction.success = &operations;
   Kvstore__V1__SetRequest own = set;
   const struct {
      const char *name;
      ProtobufCMessage *request;
      ProtobufCBinaryData *id;
   } methods[] = {{KEYVALUE("Set"), &own.base, &own.request_id},
                  {KEYVALUE("Delete"), &delete.base, &delete.request_id},
                  {KEYVALUE("Increment"), &increment.base, &increment.request_id},
                  {KEYVALUE("Transaction"), &transaction.base, &transaction.request_id}};
   static const char *const ids[] = {"1", "2", "3", "4"};
   for (size_t i = 0; i < COUNT(methods); i++) {
      struct fake_answer answer;
      keyvalue_put(*state, "k", "5");
      *methods[i].id = service_text(ids[i]);
      service_run(*state, methods[i].name, methods[i].request, NULL, &answer);
      assert_int_equal(answer.code, KV_OK);
      fake_answer_deinit(&answer);
      const uint64_t next = keyvalue_put(*state, "next", "v") + 1;
      for (size_t j = 0; j < COUNT(methods); j++) {
         *methods[j].id = service_text(ids[i]);
         if (j != i)
            service_refused_for(*state, methods[j].name, methods[j].request, KV_INVALID_ARGUMENT,
                                "REQUEST_ID_REUSED", NULL, "request_id: ", NULL);
      }
      assert_int_equal(keyvalue_put(*state, "next", "v"), next);
   }
}

static void requests_with_other_ids_or_none_are_carried_out_again(void **state)
{
   Kvstore__V1__IncrementRequest request = keyvalue_increment_of("n", 1);
   static const char *const ids[] = {"", "", "a", "ab", "b", "a"};
   static const int64_t expected[] = {1, 2, 3, 4, 5, 3};
   for (size_t i = 0; i < COUNT(ids); i++) {
      request.request_id = service_text(ids[i]);
      Kvstore__V1__IncrementResponse *reply = keyvalue_increment(*state, &request);
      assert_int_equal(reply->value, expected[i]);
      release(reply);
   }
}

static void a_request_that_failed_is_not_remembered(void **state)
{
   Kvstore__V1__Condition condition = keyvalue_exists(true);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.condition = &condition;
   set.request_id = service_text("id");
   service_refused_for(*state, KEYVALUE("Set"), &set.base, KV_FAILED_PRECONDITION,
                       "CONDITION_NOT_MET", "current_version=0", "condition.exists", NULL);
   keyvalue_put(*state, "k", "there");
   release(keyvalue_set(*state, &set));
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("k", 1);
   increment.request_id = service_text("other");
   for (int i = 0; i < 2; i++)
      service_refused_for(*state, KEYVALUE("Increment"), &increment.base, KV_FAILED_PRECONDITION,
                          "NOT_AN_INTEGER", NULL, "key: ", NULL);
}

static void it_is_forgotten_when_the_window_has_passed(void **state)
{
   Kvstore__V1__IncrementRequest request = keyvalue_increment_of("n", 1);
   request.request_id = service_text("id");
   static const int64_t waits[] = {0, WINDOW_MS - 1, 1, WINDOW_MS - 1, 1};
   static const int64_t expected[] = {1, 1, 2, 2, 3};
   for (size_t i = 0; i < COUNT(waits); i++) {
      keyvalue_advance(waits[i]);
      Kvstore__V1__IncrementResponse *reply = keyvalue_increment(*state, &request);
      assert_int_equal(reply->value, expected[i]);
      release(reply);
   }
}

static void what_is_remembered_cannot_be_seen_by_clients(void **state)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.request_id = service_text("id");
   release(keyvalue_set(*state, &set));
   const struct service_fixture *fixture = *state;
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_int_equal(kv_version_count(kv_store_view_version(view)), 2);
   assert_int_equal(kv_version_hidden_count(kv_store_view_version(view)), 1);
   struct kv_cursor cursor;
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   const struct kv_slice key = kv_entry_key(kv_cursor_next(&cursor));
   char name[64];
   assert_in_range(key.size, 3, sizeof name);
   memcpy(name, key.data, key.size);
   const size_t size = key.size;
   kv_store_view_destroy(view);
   Kvstore__V1__GetRequest get = keyvalue_get_of("");
   get.key = (ProtobufCBinaryData){size, (uint8_t *)name};
   service_refused_for(*state, KEYVALUE("Get"), &get.base, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                       NULL, "key: byte 0x00 at offset 0", NULL);
}

static void an_id_that_is_none_is_refused(void **state)
{
   static const char longest[] = "0123456789012345678901234567890123456789012345678901234567890123";
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.request_id = service_text(longest);
   release(keyvalue_set(*state, &set));
   const struct {
      ProtobufCBinaryData id;
      const char *part;
   } cases[] = {
       {{sizeof longest, (uint8_t *)(uintptr_t)longest}, "request_id: 65 bytes given, at most 64"},
       {service_text("\xff"), "request_id: byte 0xff at offset 0"},
       {{3, (uint8_t *)(uintptr_t) "a\0b"}, "request_id: byte 0x00 at offset 1"}};
   for (size_t i = 0; i < COUNT(cases); i++) {
      set.request_id = cases[i].id;
      service_refused_for(*state, KEYVALUE("Set"), &set.base, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                          NULL, cases[i].part, NULL);
   }
}

/* It would be kept in memory until the window has passed. */
static void an_answer_too_large_to_remember_refuses_the_request(void **state)
{
   static const char value[64 * 1024];
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   set.value = (ProtobufCBinaryData){sizeof value, (uint8_t *)(uintptr_t)value};
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   const uint64_t version = reply->version;
   release(reply);
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   delete.return_previous = true;
   delete.request_id = service_text("id");
   service_refused_for(*state, KEYVALUE("Delete"), &delete.base, KV_RESOURCE_EXHAUSTED,
                       "ANSWER_TOO_LARGE", NULL, "too large", NULL);
   assert_int_equal(keyvalue_put(*state, "next", "v"), version + 1);
   delete.return_previous = false;
   release(keyvalue_delete(*state, &delete));
}

static void an_id_does_not_stand_in_for_durability(void **state)
{
   (void)state;
   const struct kv_mode_option options[] = {{"fsync", "no"}};
   const struct service_setup setup = {.mode = "aof", .options = options, .option_count = 1};
   struct service_fixture *fixture = service_fixture_create(&setup);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.request_id = service_text("id");
   for (int i = 0; i < 2; i++) {
      Kvstore__V1__SetResponse *reply = keyvalue_set(fixture, &set);
      assert_int_equal(reply->durability, KVSTORE__V1__DURABILITY__DURABILITY_WRITTEN);
      release(reply);
   }
   set.request_id = service_text("other");
   set.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   for (int i = 0; i < 3; i++) {
      Kvstore__V1__SetResponse *reply = keyvalue_set(fixture, &set);
      assert_int_equal(reply->durability, KVSTORE__V1__DURABILITY__DURABILITY_SYNCED);
      release(reply);
   }
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("missing");
   delete.durability = set.durability;
   Kvstore__V1__DeleteResponse *deleted = keyvalue_delete(fixture, &delete);
   assert_int_equal(deleted->durability, KVSTORE__V1__DURABILITY__DURABILITY_SYNCED);
   release(deleted);
   service_fixture_destroy(fixture);
}

/* "Not offered" would be read as: nothing has happened. */
static void a_repetition_is_answered_in_a_mode_that_offers_less(void **state)
{
   (void)state;
   const struct service_setup setup = {.mode = "aof"};
   struct service_fixture *fixture = service_fixture_create(&setup);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.request_id = service_text("id");
   set.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   Kvstore__V1__SetResponse *first = keyvalue_set(fixture, &set);
   service_configure(fixture, "none", NULL, NULL);
   Kvstore__V1__SetResponse *again = keyvalue_set(fixture, &set);
   assert_int_equal(again->version, first->version);
   assert_int_equal(first->durability, KVSTORE__V1__DURABILITY__DURABILITY_SYNCED);
   assert_int_equal(again->durability, KVSTORE__V1__DURABILITY__DURABILITY_MEMORY);
   release(first);
   release(again);
   set.value = service_text("other");
   service_refused_for(fixture, KEYVALUE("Set"), &set.base, KV_INVALID_ARGUMENT,
                       "REQUEST_ID_REUSED", NULL, "request_id: ", NULL);
   set.request_id = service_text("new");
   service_refused_for(fixture, KEYVALUE("Set"), &set.base, KV_FAILED_PRECONDITION,
                       "DURABILITY_NOT_OFFERED", NULL, "durability: SYNCED", NULL);
   service_fixture_destroy(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, keyvalue_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_repetition_gets_the_first_answer_of_each_method),
       TEST(a_transaction_is_repeated_with_all_its_results),
       TEST(gets_alone_are_not_remembered),
       TEST(another_request_with_the_same_id_is_refused),
       TEST(another_method_with_the_same_id_is_refused),
       TEST(requests_with_other_ids_or_none_are_carried_out_again),
       TEST(a_request_that_failed_is_not_remembered),
       TEST(it_is_forgotten_when_the_window_has_passed),
       TEST(what_is_remembered_cannot_be_seen_by_clients),
       TEST(an_id_that_is_none_is_refused),
       TEST(an_answer_too_large_to_remember_refuses_the_request),
       cmocka_unit_test(an_id_does_not_stand_in_for_durability),
       cmocka_unit_test(a_repetition_is_answered_in_a_mode_that_offers_less),
   };
   return cmocka_run_group_tests_name("service request_id", tests, NULL, NULL);
}
