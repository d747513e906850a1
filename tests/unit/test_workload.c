/* What the load generator asks: its messages are read back with protobuf-c, its random choices are
 * counted.
 */
#include "bench/load/request.h"
#include "bench/load/workload.h"
#include "kvstore/v1/key_value.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
   char text[REQUEST_KEY_SIZE + 1] = {0};
   assert_int_equal(key.len, REQUEST_KEY_SIZE);
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
   Kvstore__V1__SetRequest *set = kvstore__v1__set_request__unpack(NULL, request.size, message);
   assert_non_null(set);
   assert_in_range(set->value.len, low, high);
   unsigned long number = number_of(set->key);
   kvstore__v1__set_request__free_unpacked(set, NULL);
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
   Kvstore__V1__BatchRequest *batch =
       kvstore__v1__batch_request__unpack(NULL, request.size, message);
   assert_non_null(batch);
   assert_int_equal(batch->n_operations, 10000);
   unsigned kinds[6] = {0};
   for (size_t i = 0; i < batch->n_operations; i++) {
      const Kvstore__V1__Operation *operation = batch->operations[i];
      kinds[operation->kind_case]++;
      if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_SET)
         assert_int_equal(operation->set->value.len, 10);
      if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_GET)
         number_of(operation->get->key);
   }
   assert_in_range(kinds[KVSTORE__V1__OPERATION__KIND_SET], 5800, 6200);
   assert_in_range(kinds[KVSTORE__V1__OPERATION__KIND_GET], 2800, 3200);
   assert_in_range(kinds[KVSTORE__V1__OPERATION__KIND_DELETE], 850, 1150);
   kvstore__v1__batch_request__free_unpacked(batch, NULL);
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
      Kvstore__V1__BatchRequest *batch =
          kvstore__v1__batch_request__unpack(NULL, request.size, message);
      assert_non_null(batch);
      assert_int_equal(batch->n_operations, request.operations);
      for (size_t i = 0; i < batch->n_operations; i++)
         assert_int_equal(number_of(batch->operations[i]->set->key), expected++);
      kvstore__v1__batch_request__free_unpacked(batch, NULL);
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

/* ---- Expiry, conditions, ranges ---- */

static Kvstore__V1__SetRequest *next_conditional(struct fixture *fixture, uint64_t *key)
{
   struct workload_request request;
   uint8_t *message = next(fixture, &request);
   assert_int_equal(request.method, WORKLOAD_CALL_SET);
   assert_true(request.conditional);
   Kvstore__V1__SetRequest *set = kvstore__v1__set_request__unpack(NULL, request.size, message);
   assert_non_null(set);
   assert_int_equal(set->condition->kind_case, KVSTORE__V1__CONDITION__KIND_VERSION);
   assert_int_equal(set->value.len, 10);
   assert_int_equal(number_of(set->key), request.key);
   *key = request.key;
   free(message);
   return set;
}

static void a_cas_asks_for_a_version_then_sets_on_condition_that_it_is_still_that(void **state)
{
   (void)state;
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.keys = 1;
   plan.weights[WORKLOAD_SET] = 0;
   plan.weights[WORKLOAD_CAS] = 1;
   start(&fixture, plan);
   /* Of a missing key, of one that is there, and after it turned out to be another. */
   const uint64_t versions[] = {0, 7, UINT64_C(1) << 47};
   for (size_t i = 0; i < 3; i++) {
      struct workload_request request;
      assert_true(workload_next(fixture.workload, &request));
      assert_int_equal(request.method, WORKLOAD_CALL_GET);
      assert_false(request.conditional);
      workload_learn(fixture.source, request.key, versions[i]);
      uint64_t key;
      Kvstore__V1__SetRequest *set = next_conditional(&fixture, &key);
      assert_int_equal(set->condition->version, versions[i]);
      kvstore__v1__set_request__free_unpacked(set, NULL);
      workload_learn(fixture.source, key, WORKLOAD_UNKNOWN);
   }
   end(&fixture);
}

static void what_is_set_expires_when_it_should(void **state)
{
   (void)state;
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.ttl_ms_min = 100;
   plan.ttl_ms_max = 300;
   start(&fixture, plan);
   uint64_t low = UINT64_MAX, high = 0;
   for (unsigned i = 0; i < 1000; i++) {
      struct workload_request request;
      uint8_t *message = next(&fixture, &request);
      Kvstore__V1__SetRequest *set = kvstore__v1__set_request__unpack(NULL, request.size, message);
      assert_non_null(set);
      assert_int_equal(set->expiry->time_case, KVSTORE__V1__EXPIRY__TIME_TTL_MS);
      uint64_t ttl_ms = (uint64_t)set->expiry->ttl_ms;
      low = ttl_ms < low ? ttl_ms : low;
      high = ttl_ms > high ? ttl_ms : high;
      kvstore__v1__set_request__free_unpacked(set, NULL);
      free(message);
   }
   assert_in_range(low, 100, 110);
   assert_in_range(high, 290, 300);
   end(&fixture);
}

static void a_transaction_holds_its_operations_without_comparisons(void **state)
{
   (void)state;
   struct fixture fixture;
   struct workload_plan plan = plain;
   plan.weights[WORKLOAD_INCR] = 1;
   plan.batch = 100;
   plan.atomic = true;
   start(&fixture, plan);
   struct workload_request request;
   uint8_t *message = next(&fixture, &request);
   assert_int_equal(request.method, WORKLOAD_CALL_TRANSACTION);
   Kvstore__V1__TransactionRequest *transaction =
       kvstore__v1__transaction_request__unpack(NULL, request.size, message);
   assert_non_null(transaction);
   assert_int_equal(transaction->n_success, 100);
   assert_int_equal(transaction->n_comparisons + transaction->n_failure, 0);
   unsigned increments = 0;
   for (size_t i = 0; i < 100; i++) {
      const Kvstore__V1__Operation *operation = transaction->success[i];
      if (operation->kind_case != KVSTORE__V1__OPERATION__KIND_INCREMENT)
         continue;
      increments++;
      assert_int_equal(operation->increment->delta, 1);
      assert_memory_equal(operation->increment->key.data, "num:", 4);
   }
   assert_in_range(increments, 30, 70);
   kvstore__v1__transaction_request__free_unpacked(transaction, NULL);
   free(message);
   end(&fixture);
}

static Kvstore__V1__ScanRequest *next_scan(struct workload_plan plan)
{
   struct fixture fixture;
   plan.weights[WORKLOAD_SET] = 0;
   plan.weights[WORKLOAD_SCAN] = 1;
   start(&fixture, plan);
   struct workload_request request;
   uint8_t *message = next(&fixture, &request);
   assert_int_equal(request.method, WORKLOAD_CALL_SCAN);
   Kvstore__V1__ScanRequest *scan = kvstore__v1__scan_request__unpack(NULL, request.size, message);
   assert_non_null(scan);
   assert_int_equal(scan->range->prefix.len, 4);
   free(message);
   end(&fixture);
   return scan;
}

static void scans_are_of_all_keys_or_of_some_from_one_on(void **state)
{
   (void)state;
   struct workload_plan plan = plain;
   Kvstore__V1__ScanRequest *scan = next_scan(plan);
   assert_int_equal(scan->limit, 0);
   assert_int_equal(scan->range->start.len + scan->range->end.len, 0);
   assert_false(scan->descending);
   assert_int_equal(scan->projection,
                    KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_UNSPECIFIED);
   kvstore__v1__scan_request__free_unpacked(scan, NULL);

   plan.scan_entries = 300;
   scan = next_scan(plan);
   assert_int_equal(scan->limit, 300);
   assert_in_range(number_of(scan->range->start), 0, KEYS - 1);
   assert_int_equal(scan->range->end.len, 0);
   kvstore__v1__scan_request__free_unpacked(scan, NULL);

   plan.descending = plan.keys_only = true;
   scan = next_scan(plan);
   assert_true(scan->descending);
   assert_int_equal(scan->projection, KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS);
   assert_in_range(number_of(scan->range->end), 1, KEYS);
   assert_int_equal(scan->range->start.len, 0);
   kvstore__v1__scan_request__free_unpacked(scan, NULL);
}

static Kvstore__V1__WatchRequest *read_watch(uint64_t first, uint64_t end)
{
   uint8_t message[REQUEST_WATCH_SIZE_MAX];
   size_t size = request_write_watch(message, first, end, UINT32_MAX);
   assert_in_range(size, 1, REQUEST_WATCH_SIZE_MAX);
   Kvstore__V1__WatchRequest *watch = kvstore__v1__watch_request__unpack(NULL, size, message);
   assert_non_null(watch);
   assert_int_equal(watch->kind_case, KVSTORE__V1__WATCH_REQUEST__KIND_CREATE);
   assert_int_equal(watch->create->n_ranges, 1);
   assert_true(watch->create->omit_values);
   assert_int_equal(watch->create->progress_interval_ms, UINT32_MAX);
   return watch;
}

static void watches_are_of_all_keys_or_of_neighbours(void **state)
{
   (void)state;
   Kvstore__V1__WatchRequest *watch = read_watch(0, 0);
   assert_int_equal(watch->create->ranges[0]->prefix.len, 4);
   kvstore__v1__watch_request__free_unpacked(watch, NULL);
   watch = read_watch(7, 12);
   assert_int_equal(number_of(watch->create->ranges[0]->start), 7);
   assert_int_equal(number_of(watch->create->ranges[0]->end), 12);
   kvstore__v1__watch_request__free_unpacked(watch, NULL);
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
       cmocka_unit_test(a_cas_asks_for_a_version_then_sets_on_condition_that_it_is_still_that),
       cmocka_unit_test(what_is_set_expires_when_it_should),
       cmocka_unit_test(a_transaction_holds_its_operations_without_comparisons),
       cmocka_unit_test(scans_are_of_all_keys_or_of_some_from_one_on),
       cmocka_unit_test(watches_are_of_all_keys_or_of_neighbours),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
