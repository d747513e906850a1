/* Set, Get, Del and Keys of the frozen service: what each answers, and how it refuses. */
#include "core/service/moved.h"
#include "core/store/store.h"
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char large[SERVICE_VALUE_MAX + 1] = "large";
static const char long_key[KV_KEY_SIZE_MAX + 1] = {[0 ... KV_KEY_SIZE_MAX] = 'k'};

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
   return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)data};
}

static Kvstore__SetRequest set_of(ProtobufCBinaryData key, ProtobufCBinaryData value)
{
   Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   request.key = key;
   request.value = value;
   return request;
}

static void refuse_set(const struct service_fixture *fixture, ProtobufCBinaryData key,
                       ProtobufCBinaryData value, const char *part, const char *other_part)
{
   const Kvstore__SetRequest request = set_of(key, value);
   service_refused(fixture, "Set", &request.base, KV_INVALID_ARGUMENT, part, other_part, NULL);
}

static void a_value_set_is_got_until_it_is_deleted(void **state)
{
   service_assert_value(*state, "k", NULL);
   service_set(*state, "k", "one");
   service_assert_value(*state, "k", "one");
   service_set(*state, "k", "");
   service_assert_value(*state, "k", "");
   assert_true(service_del(*state, "k"));
   assert_false(service_del(*state, "k"));
   service_assert_value(*state, "k", NULL);
}

/* The plug-in takes one batch. */
static void the_writes_of_one_turn_are_answered_at_its_end_as_one_batch(void **state)
{
   (void)state;
   const struct kv_mode_option options[] = {{"write", "io"}, {"healthy_writes", "1"}};
   const struct service_setup setup = {.mode = "faulty", .options = options, .option_count = 2};
   struct service_fixture *fixture = service_fixture_create(&setup);
   struct kv_call *calls[3];
   struct fake_answer answers[3];
   static const char *const values[] = {"1", "2", "3"};
   for (size_t i = 0; i < 3; i++) {
      const Kvstore__SetRequest request = set_of(service_text("k"), service_text(values[i]));
      calls[i] = service_begin(fixture, "Set", &request.base, &answers[i]);
   }
   for (size_t i = 0; i < 3; i++)
      assert_false(fake_call_is_answered(calls[i]));
   for (size_t i = 0; i < 3; i++) {
      fake_call_wait(calls[i]);
      assert_int_equal(answers[i].code, KV_OK);
      fake_call_end(calls[i]);
      fake_answer_deinit(&answers[i]);
   }
   service_assert_value(fixture, "k", "3");
   service_fixture_destroy(fixture);
}

static void a_key_that_is_none_is_refused_with_the_field_and_the_limit(void **state)
{
   const ProtobufCBinaryData keys[] = {service_text(""), bytes(long_key, sizeof long_key),
                                       bytes("a\0b", 3), service_text("\xc0\xaf")};
   const char *const parts[][2] = {{"key: is empty", "1 to 65536 bytes"},
                                   {"key: 65537 bytes given", "at most 65536"},
                                   {"key: byte 0x00 at offset 1", "UTF-8 without NUL"},
                                   {"key: byte 0xc0 at offset 0", "UTF-8 without NUL"}};
   for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
      refuse_set(*state, keys[i], service_text("v"), parts[i][0], parts[i][1]);
      Kvstore__GetRequest get = KVSTORE__GET_REQUEST__INIT;
      get.key = keys[i];
      service_refused(*state, "Get", &get.base, KV_INVALID_ARGUMENT, parts[i][0], parts[i][1],
                      NULL);
      Kvstore__DelRequest del = KVSTORE__DEL_REQUEST__INIT;
      del.key = keys[i];
      service_refused(*state, "Del", &del.base, KV_INVALID_ARGUMENT, parts[i][0], parts[i][1],
                      NULL);
   }
}

static void the_longest_key_and_the_largest_value_are_taken_and_no_larger_one(void **state)
{
   const ProtobufCBinaryData key = bytes(long_key, KV_KEY_SIZE_MAX);
   const Kvstore__SetRequest set = set_of(key, bytes(large, SERVICE_VALUE_MAX));
   protobuf_c_message_free_unpacked(
       service_reply(*state, "Set", &set.base, &google__protobuf__empty__descriptor), NULL);
   Kvstore__GetRequest get = KVSTORE__GET_REQUEST__INIT;
   get.key = key;
   Kvstore__GetResponse *reply =
       service_reply(*state, "Get", &get.base, &kvstore__get_response__descriptor);
   assert_int_equal(reply->value.len, SERVICE_VALUE_MAX);
   assert_memory_equal(reply->value.data, large, SERVICE_VALUE_MAX);
   kvstore__get_response__free_unpacked(reply, NULL);
   refuse_set(*state, key, bytes(large, sizeof large), "value: 204801 bytes given, at most 204800",
              "max-value-size");
}

static void bytes_that_are_no_message_are_refused_by_every_method(void **state)
{
   const struct service_fixture *fixture = *state;
   size_t moved = 0;
   for (size_t i = 0; i < fixture->method_count; i++) {
      struct fake_answer answer;
      fake_call_run(&fixture->methods[i], kv_slice("\xff", 1), NULL, &answer);
      if (answer.code == KV_UNIMPLEMENTED) {
         assert_non_null(strstr(answer.text, "has become kvstore.v1."));
         assert_non_null(strstr(answer.text, "kvstore/v1/"));
         moved++;
      } else {
         assert_int_equal(answer.code, KV_INVALID_ARGUMENT);
         assert_non_null(strstr(answer.text, "the request's 1 bytes are not a valid kvstore."));
      }
      fake_answer_deinit(&answer);
   }
   assert_int_equal(moved, KV_MOVED_METHODS);
}

static void a_value_that_the_memory_limit_has_no_space_for_is_refused(void **state)
{
   (void)state;
   const struct service_setup setup = {.memory_max = 10};
   struct service_fixture *fixture = service_fixture_create(&setup);
   service_set(fixture, "k", "12345");
   const Kvstore__SetRequest set = set_of(service_text("other"), service_text("12345"));
   service_refused(fixture, "Set", &set.base, KV_RESOURCE_EXHAUSTED, "value: ", "limit of 10 bytes",
                   "max-memory", "delete keys", NULL);
   service_set(fixture, "k", "1");
   service_assert_value(fixture, "other", NULL);
   service_set(fixture, "other", "123");
   service_fixture_destroy(fixture);
}

/* ---- Keys ---- */

static void keys_come_in_the_order_of_their_bytes(void **state)
{
   static const char *const keys[] = {"a", "aa", "b", "\xc3\xa4"};
   for (size_t i = 4; i-- > 0;)
      service_set(*state, keys[i], "v");
   const Kvstore__KeysRequest request = KVSTORE__KEYS_REQUEST__INIT;
   Kvstore__KeysResponse *reply =
       service_reply(*state, "Keys", &request.base, &kvstore__keys_response__descriptor);
   assert_int_equal(reply->n_keys, 4);
   for (size_t i = 0; i < 4; i++)
      service_assert_text(reply->keys[i], keys[i]);
   kvstore__keys_response__free_unpacked(reply, NULL);
}

static void fill(struct service_fixture *fixture, unsigned count, size_t value_size)
{
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   assert_non_null(transaction);
   for (unsigned i = 0; i < count; i++) {
      char key[16];
      snprintf(key, sizeof key, "key %06u", i);
      assert_true(
          kv_transaction_set(transaction, kv_slice_of(key), kv_slice(large, value_size), 0, count));
   }
   kv_transaction_commit(transaction, count);
}

static void keys_end_when_their_call_is_cancelled_in_either_walk(void **state)
{
   struct service_fixture *fixture = *state;
   const Kvstore__KeysRequest request = KVSTORE__KEYS_REQUEST__INIT;
   fill(fixture, 40000, 1);
   unsigned cancelled = 0;
   for (;; cancelled++) {
      const struct fake_client client = {.cancels_at_yield = cancelled + 1};
      struct fake_answer answer;
      service_run(fixture, "Keys", &request.base, &client, &answer);
      enum kv_code code = answer.code;
      fake_answer_deinit(&answer);
      if (code == KV_OK)
         break;
      assert_int_equal(code, KV_CANCELLED);
   }
   assert_in_range(cancelled, 4, 100);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_value_set_is_got_until_it_is_deleted),
       cmocka_unit_test(the_writes_of_one_turn_are_answered_at_its_end_as_one_batch),
       TEST(a_key_that_is_none_is_refused_with_the_field_and_the_limit),
       TEST(the_longest_key_and_the_largest_value_are_taken_and_no_larger_one),
       TEST(bytes_that_are_no_message_are_refused_by_every_method),
       cmocka_unit_test(a_value_that_the_memory_limit_has_no_space_for_is_refused),
       TEST(keys_come_in_the_order_of_their_bytes),
       TEST(keys_end_when_their_call_is_cancelled_in_either_walk),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
