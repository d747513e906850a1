/* What the load generator asks: its messages are read back with protobuf-c, its random choices are
 * counted.
 */
#include "bench/load/reply.h"
#include "kvstore.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEYS 1000

struct fixture {
   struct workload_source *source;
   struct workload *workload;
};

static const struct workload_plan plain = {
    .weights = {[WORKLOAD_SET] = 1}, .keys = KEYS, .value_size_min = 10, .value_size_max = 10};

static void start(struct fixture *fixture, struct workload_plan plan)
{
   fixture->source = workload_source_create(&plan);
   assert_non_null(fixture->source);
   fixture->workload = workload_create(fixture->source, 0);
   assert_non_null(fixture->workload);
}

static void end(struct fixture *fixture)
{
   workload_destroy(fixture->workload);
   workload_source_destroy(fixture->source);
}

/* The message of the next request; the caller frees it. */
static uint8_t *next(struct fixture *fixture, struct workload_request *request)
{
   if (!workload_next(fixture->workload, request))
      return NULL;
   uint8_t *message = malloc(request->size + 1);
   assert_non_null(message);
   message[request->size] = 0xa5;
   workload_write(fixture->workload, message);
   assert_int_equal(message[request->size], 0xa5);
   return message;
}

static unsigned long number_of(ProtobufCBinaryData key)
{
   char text[WORKLOAD_KEY_SIZE + 1] = {0};
   assert_int_equal(key.len, WORKLOAD_KEY_SIZE);
   memcpy(text, key.data, key.len);
   char *rest;
   assert_memory_equal(text, "key:", 4);
   unsigned long number = strtoul(text + 4, &rest, 10);
   assert_int_equal(*rest, '\0');
   return number;
}

/* The key's number of the next request, which is a Set. */
static unsigned long next_set(struct fixture *fixture, size_t low, size_t high)
{
   struct workload_request request;
   uint8_t *message = next(fixture, &request);
   assert_int_equal(request.method, WORKLOAD_CALL_SET);
   assert_int_equal(request.operations, 1);
   Kvstore__SetRequest *set = kvstore__set_request__unpack(NULL, request.size, message);
   assert_non_null(set);
   assert_in_range(set->value.len, low, high);
   unsigned long number = number_of(set->key);
   kvstore__set_request__free_unpacked(set, NULL);
   free(message);
   return number;
}

static void a_set_has_a_key_of_the_key_space_and_a_value_of_its_size(void **state)
{
   (void)state;
   const size_t sizes[][2] = {{0, 0}, {1, 1}, {127, 129}, {70000, 70000}};
   for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      struct fixture fixture;
      struct workload_plan plan = plain;
      plan.value_size_min = sizes[i][0];
      plan.value_size_max = sizes[i][1];
      start(&fixture, plan);
      for (unsigned call = 0; call < 100; call++)
         assert_in_range(next_set(&fixture, sizes[i][0], sizes[i][1]), 0, KEYS - 1);
      end(&fixture);
   }
}

static void a_batch_holds_its_operations_in_the_mix_asked_for(void **state)
{
   (void)state;
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.weights[WORKLOAD_SET] = 60;
   plan.weights[WORKLOAD_GET] = 30;
   plan.weights[WORKLOAD_DEL] = 10;
   plan.batch = 10000;
   start(&fixture, plan);
   struct workload_request request;
   uint8_t *message = next(&fixture, &request);
   assert_int_equal(request.method, WORKLOAD_CALL_BATCH);
   Kvstore__BatchRequest *batch = kvstore__batch_request__unpack(NULL, request.size, message);
   assert_non_null(batch);
   assert_int_equal(batch->n_operations, 10000);
   unsigned kinds[4] = {0};
   for (size_t i = 0; i < batch->n_operations; i++) {
      const Kvstore__Operation *operation = batch->operations[i];
      kinds[operation->operation_case]++;
      if (operation->operation_case == KVSTORE__OPERATION__OPERATION_SET)
         assert_int_equal(operation->set->value.len, 10);
      if (operation->operation_case == KVSTORE__OPERATION__OPERATION_GET)
         number_of(operation->get->key);
   }
   assert_in_range(kinds[KVSTORE__OPERATION__OPERATION_SET], 5800, 6200);
   assert_in_range(kinds[KVSTORE__OPERATION__OPERATION_GET], 2800, 3200);
   assert_in_range(kinds[KVSTORE__OPERATION__OPERATION_DEL], 850, 1150);
   kvstore__batch_request__free_unpacked(batch, NULL);
   free(message);
   end(&fixture);
}

static void single_calls_keep_the_mix_too(void **state)
{
   (void)state;
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.weights[WORKLOAD_GET] = 3;
   start(&fixture, plan);
   unsigned gets = 0;
   struct workload_request request;
   for (unsigned i = 0; i < 10000; i++) {
      assert_true(workload_next(fixture.workload, &request));
      gets += request.method == WORKLOAD_CALL_GET;
   }
   assert_in_range(gets, 7200, 7800);
   end(&fixture);
}

static void a_limited_sequential_workload_meets_every_key_once(void **state)
{
   (void)state;
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.distribution = WORKLOAD_SEQUENTIAL;
   plan.limit = KEYS;
   plan.batch = 7;
   start(&fixture, plan);
   unsigned long expected = 0;
   struct workload_request request;
   for (uint8_t *message; (message = next(&fixture, &request)) != NULL; free(message)) {
      Kvstore__BatchRequest *batch = kvstore__batch_request__unpack(NULL, request.size, message);
      assert_non_null(batch);
      assert_int_equal(batch->n_operations, request.operations);
      for (size_t i = 0; i < batch->n_operations; i++)
         assert_int_equal(number_of(batch->operations[i]->set->key), expected++);
      kvstore__batch_request__free_unpacked(batch, NULL);
   }
   assert_int_equal(expected, KEYS);
   end(&fixture);
}

/* How often each key was met in `calls` sets. */
static void count_keys(enum workload_distribution distribution, unsigned calls,
                       unsigned counts[KEYS])
{
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.distribution = distribution;
   start(&fixture, plan);
   for (unsigned i = 0; i < calls; i++) {
      unsigned long number = next_set(&fixture, 10, 10);
      assert_in_range(number, 0, KEYS - 1);
      counts[number]++;
   }
   end(&fixture);
}

static void uniform_keys_are_met_alike(void **state)
{
   (void)state;
   unsigned counts[KEYS] = {0};
   count_keys(WORKLOAD_UNIFORM, 100 * KEYS, counts);
   for (size_t i = 0; i < KEYS; i++)
      assert_in_range(counts[i], 50, 160);
}

static int descending(const void *a, const void *b)
{
   unsigned first = *(const unsigned *)a, second = *(const unsigned *)b;
   return (first < second) - (first > second);
}

/* The frequency of rank k is 1 / k^0.99 over the sum of those of all ranks, which is 7.73. */
static void zipfian_keys_follow_their_law(void **state)
{
   (void)state;
   unsigned counts[KEYS] = {0};
   count_keys(WORKLOAD_ZIPFIAN, 100000, counts);
   assert_true(counts[0] > counts[1]);
   qsort(counts, KEYS, sizeof *counts, descending);
   assert_in_range(counts[0], 12400, 13500);
   assert_in_range(counts[1], 6200, 6900);
   assert_in_range(counts[9], 1200, 1450);
   assert_in_range(counts[99], 100, 180);
   assert_true(counts[KEYS - 1] > 0);
}

static void the_same_seed_asks_the_same_and_another_thread_something_else(void **state)
{
   (void)state;
   struct fixture first, second;
   start(&first, plain);
   start(&second, plain);
   struct workload *other = workload_create(second.source, 1);
   unsigned same = 0;
   for (unsigned i = 0; i < 100; i++) {
      unsigned long number = next_set(&first, 10, 10);
      assert_int_equal(number, next_set(&second, 10, 10));
      struct fixture third = {second.source, other};
      same += number == next_set(&third, 10, 10);
   }
   assert_in_range(same, 0, 10);
   workload_destroy(other);
   end(&first);
   end(&second);
}

/* ---- Replies ---- */

static struct reply read_batch(Kvstore__OperationResult **results, size_t count)
{
   Kvstore__BatchResponse response = KVSTORE__BATCH_RESPONSE__INIT;
   response.results = results;
   response.n_results = count;
   uint8_t bytes[1024];
   size_t size = kvstore__batch_response__pack(&response, bytes);
   struct reply reply = {0};
   assert_true(reply_add(&reply, WORKLOAD_CALL_BATCH, kv_slice(bytes, size)));
   for (size_t cut = 1; cut < size; cut++)
      reply_add(&(struct reply){0}, WORKLOAD_CALL_BATCH, kv_slice(bytes, cut));
   assert_false(reply_add(&(struct reply){0}, WORKLOAD_CALL_BATCH, kv_slice(bytes, size - 1)));
   return reply;
}

static void results_of_a_batch_are_counted_by_what_they_say(void **state)
{
   (void)state;
   Kvstore__GetResponse found = KVSTORE__GET_RESPONSE__INIT, missing = found;
   found.found = true;
   found.value = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"abc"};
   Kvstore__DelResponse deleted = KVSTORE__DEL_RESPONSE__INIT;
   Kvstore__OperationError error = KVSTORE__OPERATION_ERROR__INIT;
   error.code = 8;
   error.message = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)"full"};
   Kvstore__OperationResult results[4];
   for (size_t i = 0; i < 4; i++)
      kvstore__operation_result__init(&results[i]);
   results[0].result_case = results[1].result_case = KVSTORE__OPERATION_RESULT__RESULT_GET;
   results[0].get = &found;
   results[1].get = &missing;
   results[2].result_case = KVSTORE__OPERATION_RESULT__RESULT_DEL;
   results[2].del = &deleted;
   results[3].result_case = KVSTORE__OPERATION_RESULT__RESULT_ERROR;
   results[3].error = &error;
   struct reply reply = read_batch(
       (Kvstore__OperationResult *[]){results, results + 1, results + 2, results + 3}, 4);
   assert_int_equal(reply.results, 4);
   assert_int_equal(reply.missing, 2);
   assert_int_equal(reply.errors[8], 1);
   assert_string_equal(reply.error_text, "full");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(a_set_has_a_key_of_the_key_space_and_a_value_of_its_size),
       cmocka_unit_test(a_batch_holds_its_operations_in_the_mix_asked_for),
       cmocka_unit_test(single_calls_keep_the_mix_too),
       cmocka_unit_test(a_limited_sequential_workload_meets_every_key_once),
       cmocka_unit_test(uniform_keys_are_met_alike),
       cmocka_unit_test(zipfian_keys_follow_their_law),
       cmocka_unit_test(the_same_seed_asks_the_same_and_another_thread_something_else),
       cmocka_unit_test(results_of_a_batch_are_counted_by_what_they_say),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
