/* Batch: results in order, what is refused alone and what together, and parts. */
#include "core/store/store.h"
#include "tests/support/service_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATIONS_MAX 6000

/* A request that is put together operation by operation. */
struct batch {
   Kvstore__BatchRequest request;
   Kvstore__Operation operations[OPERATIONS_MAX], *pointers[OPERATIONS_MAX];
   Kvstore__SetRequest sets[OPERATIONS_MAX];
   Kvstore__GetRequest gets[OPERATIONS_MAX];
   Kvstore__DelRequest dels[OPERATIONS_MAX];
};

static struct batch batch; /* large */

static void begin_batch(bool atomic)
{
   kvstore__batch_request__init(&batch.request);
   batch.request.operations = batch.pointers;
   batch.request.atomic = atomic;
}

static Kvstore__Operation *add(void)
{
   size_t i = batch.request.n_operations++;
   assert_true(i < OPERATIONS_MAX);
   kvstore__operation__init(&batch.operations[i]);
   return batch.pointers[i] = &batch.operations[i];
}

static void add_set(ProtobufCBinaryData key, ProtobufCBinaryData value)
{
   Kvstore__SetRequest *set = &batch.sets[batch.request.n_operations];
   kvstore__set_request__init(set);
   set->key = key;
   set->value = value;
   Kvstore__Operation *operation = add();
   operation->operation_case = KVSTORE__OPERATION__OPERATION_SET;
   operation->set = set;
}

static void add_get(const char *key)
{
   Kvstore__GetRequest *get = &batch.gets[batch.request.n_operations];
   kvstore__get_request__init(get);
   get->key = service_text(key);
   Kvstore__Operation *operation = add();
   operation->operation_case = KVSTORE__OPERATION__OPERATION_GET;
   operation->get = get;
}

static void add_del(const char *key)
{
   Kvstore__DelRequest *del = &batch.dels[batch.request.n_operations];
   kvstore__del_request__init(del);
   del->key = service_text(key);
   Kvstore__Operation *operation = add();
   operation->operation_case = KVSTORE__OPERATION__OPERATION_DEL;
   operation->del = del;
}

static Kvstore__BatchResponse *run_batch(const struct service_fixture *fixture)
{
   Kvstore__BatchResponse *reply =
       service_reply(fixture, "Batch", &batch.request.base, &kvstore__batch_response__descriptor);
   assert_int_equal(reply->n_results, batch.request.n_operations);
   return reply;
}

static void assert_got(const Kvstore__OperationResult *result, const char *expected)
{
   assert_int_equal(result->result_case, KVSTORE__OPERATION_RESULT__RESULT_GET);
   assert_int_equal(result->get->found, expected != NULL);
   service_assert_text(result->get->value, expected ? expected : "");
}

static void assert_deleted(const Kvstore__OperationResult *result, bool existed)
{
   assert_int_equal(result->result_case, KVSTORE__OPERATION_RESULT__RESULT_DEL);
   assert_int_equal(result->del->success, existed);
}

static void assert_error(const Kvstore__OperationResult *result, enum kv_code code,
                         const char *part)
{
   assert_int_equal(result->result_case, KVSTORE__OPERATION_RESULT__RESULT_ERROR);
   assert_int_equal(result->error->code, code);
   assert_non_null(
       memmem(result->error->message.data, result->error->message.len, part, strlen(part)));
}

static void results_come_in_order_and_a_get_sees_what_stands_before_it(void **state)
{
   for (int atomic = 0; atomic < 2; atomic++) {
      begin_batch(atomic);
      add_get("k");
      add_set(service_text("k"), service_text("one"));
      add_get("k");
      add_del("k");
      add_del("k");
      add_get("k");
      Kvstore__BatchResponse *reply = run_batch(*state);
      assert_got(reply->results[0], NULL);
      assert_int_equal(reply->results[1]->result_case, KVSTORE__OPERATION_RESULT__RESULT_SET);
      assert_got(reply->results[2], "one");
      assert_deleted(reply->results[3], true);
      assert_deleted(reply->results[4], false);
      assert_got(reply->results[5], NULL);
      kvstore__batch_response__free_unpacked(reply, NULL);
   }
}

static void gets_alone_and_nothing_at_all_are_batches_too(void **state)
{
   begin_batch(false);
   kvstore__batch_response__free_unpacked(run_batch(*state), NULL);
   service_set(*state, "a", "one");
   service_set(*state, "b", "");
   add_get("a");
   add_get("missing");
   add_get("b");
   Kvstore__BatchResponse *reply = run_batch(*state);
   assert_got(reply->results[0], "one");
   assert_got(reply->results[1], NULL);
   assert_got(reply->results[2], "");
   kvstore__batch_response__free_unpacked(reply, NULL);
}

static void one_bad_operation_is_named_and_refuses_the_whole(void **state)
{
   static const char large[SERVICE_VALUE_MAX + 1];
   begin_batch(false);
   add_set(service_text("k"), service_text("v"));
   add_get("");
   service_refused(*state, "Batch", &batch.request.base, KV_INVALID_ARGUMENT,
                   "operations[1].get.key: is empty", NULL);
   begin_batch(false);
   add_set(service_text("k"), service_text("v"));
   add_del("\xff");
   service_refused(*state, "Batch", &batch.request.base, KV_INVALID_ARGUMENT,
                   "operations[1].del.key: byte 0xff", NULL);
   begin_batch(false);
   add_set(service_text("k"), (ProtobufCBinaryData){sizeof large, (uint8_t *)(uintptr_t)large});
   service_refused(*state, "Batch", &batch.request.base, KV_INVALID_ARGUMENT,
                   "operations[0].set.value: 204801 bytes given", "max-value-size", NULL);
   begin_batch(false);
   add();
   service_refused(*state, "Batch", &batch.request.base, KV_INVALID_ARGUMENT,
                   "operations[0]: holds no operation; give set, get or del", NULL);
   service_assert_value(*state, "k", NULL);
}

/* With a write in it the values are copies, without one they are sent in place. */
static void values_that_are_too_much_for_one_reply_are_refused_alone(void **state)
{
   char *value = malloc(SERVICE_VALUE_MAX + 1);
   assert_non_null(value);
   memset(value, 'v', SERVICE_VALUE_MAX);
   value[SERVICE_VALUE_MAX] = '\0';
   service_set(*state, "large", value);
   service_set(*state, "small", "v");
   for (int writes = 0; writes < 2; writes++) {
      begin_batch(false);
      add_get("large");
      add_get("large");
      add_get("small");
      if (writes)
         add_del("missing");
      Kvstore__BatchResponse *reply = run_batch(*state);
      assert_got(reply->results[0], value);
      assert_error(reply->results[1], KV_RESOURCE_EXHAUSTED, "too large for one reply; get fewer");
      assert_got(reply->results[2], "v");
      kvstore__batch_response__free_unpacked(reply, NULL);
   }
   free(value);
}

static struct service_fixture *create_small(void)
{
   const struct service_setup setup = {.memory_max = 10};
   return service_fixture_create(&setup);
}

static void the_memory_limit_refuses_single_operations(void **state)
{
   (void)state;
   struct service_fixture *fixture = create_small();
   begin_batch(false);
   add_set(service_text("a"), service_text("12345"));
   add_set(service_text("b"), service_text("12345"));
   add_set(service_text("c"), service_text("1"));
   Kvstore__BatchResponse *reply = run_batch(fixture);
   assert_error(reply->results[1], KV_RESOURCE_EXHAUSTED,
                "the memory limit (server setting max-memory) leaves no");
   assert_int_equal(reply->results[2]->result_case, KVSTORE__OPERATION_RESULT__RESULT_SET);
   kvstore__batch_response__free_unpacked(reply, NULL);
   service_assert_value(fixture, "a", "12345");
   service_assert_value(fixture, "b", NULL);
   service_assert_value(fixture, "c", "1");
   service_fixture_destroy(fixture);
}

static void the_memory_limit_refuses_an_atomic_batch_as_a_whole(void **state)
{
   (void)state;
   struct service_fixture *fixture = create_small();
   begin_batch(true);
   add_set(service_text("a"), service_text("12345"));
   add_set(service_text("b"), service_text("12345"));
   service_refused(fixture, "Batch", &batch.request.base, KV_RESOURCE_EXHAUSTED,
                   "operations: ", "limit of 10 bytes", "max-memory", "nothing was changed", NULL);
   service_assert_value(fixture, "a", NULL);
   service_fixture_destroy(fixture);
}

static void add_numbered(unsigned count)
{
   static char keys[OPERATIONS_MAX][16];
   for (unsigned i = 0; i < count; i++) {
      snprintf(keys[i], sizeof keys[i], "%06u", i);
      add_set(service_text(keys[i]), service_text("v"));
   }
}

static struct service_fixture *create_failing_at_the_second_write(void)
{
   static const struct kv_mode_option options[] = {{"write", "io"}, {"healthy_writes", "1"}};
   const struct service_setup setup = {.mode = "faulty", .options = options, .option_count = 2};
   return service_fixture_create(&setup);
}

static void a_part_that_fails_is_an_error_of_its_operations_alone(void **state)
{
   (void)state;
   struct service_fixture *fixture = create_failing_at_the_second_write();
   begin_batch(false);
   add_numbered(OPERATIONS_MAX);
   Kvstore__BatchResponse *reply = run_batch(fixture);
   size_t done = 0;
   while (reply->results[done]->result_case == KVSTORE__OPERATION_RESULT__RESULT_SET)
      done++;
   assert_in_range(done, 1, OPERATIONS_MAX - 1);
   for (size_t i = done; i < OPERATIONS_MAX; i++)
      assert_error(reply->results[i], KV_UNAVAILABLE, "told to fail");
   kvstore__batch_response__free_unpacked(reply, NULL);
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   assert_int_equal(status->keys, done);
   kvstore__v1__get_status_response__free_unpacked(status, NULL);
   service_fixture_destroy(fixture);
}

static void an_atomic_batch_has_no_parts(void **state)
{
   (void)state;
   struct service_fixture *fixture = create_failing_at_the_second_write();
   begin_batch(true);
   add_numbered(OPERATIONS_MAX);
   kvstore__batch_response__free_unpacked(run_batch(fixture), NULL);
   service_refused(fixture, "Batch", &batch.request.base, KV_UNAVAILABLE, "told to fail", NULL);
   service_fixture_destroy(fixture);
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(results_come_in_order_and_a_get_sees_what_stands_before_it),
       TEST(gets_alone_and_nothing_at_all_are_batches_too),
       TEST(one_bad_operation_is_named_and_refuses_the_whole),
       TEST(values_that_are_too_much_for_one_reply_are_refused_alone),
       cmocka_unit_test(the_memory_limit_refuses_single_operations),
       cmocka_unit_test(the_memory_limit_refuses_an_atomic_batch_as_a_whole),
       cmocka_unit_test(a_part_that_fails_is_an_error_of_its_operations_alone),
       cmocka_unit_test(an_atomic_batch_has_no_parts),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
