/* DeleteRange over a real store and pipeline; only the wire is a stand-in. */
#include "core/store/store.h"
#include "tests/support/service_fixture.h"

#include "kvstore/v1/key_value.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

typedef Kvstore__V1__DeleteRangeRequest request_type;
typedef Kvstore__V1__KeyRange range_type;

#define INIT_REQUEST KVSTORE__V1__DELETE_RANGE_REQUEST__INIT
#define INIT_RANGE KVSTORE__V1__KEY_RANGE__INIT

static Kvstore__V1__DeleteRangeResponse run(const struct service_fixture *fixture,
                                            const request_type *request)
{
   Kvstore__V1__DeleteRangeResponse *reply =
       service_reply(fixture, "KeyValueService/DeleteRange", &request->base,
                     &kvstore__v1__delete_range_response__descriptor);
   const Kvstore__V1__DeleteRangeResponse copy = *reply; /* no field of it is elsewhere */
   kvstore__v1__delete_range_response__free_unpacked(reply, NULL);
   return copy;
}

/* The keys 000000, 000001, ... */
static void fill(const struct service_fixture *fixture, unsigned count, int64_t expires_at)
{
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   assert_non_null(transaction);
   for (unsigned i = 0; i < count; i++) {
      char key[16];
      snprintf(key, sizeof key, "%06u", i);
      assert_true(
          kv_transaction_set(transaction, kv_slice_of(key), kv_slice_of("v"), expires_at, i + 1));
   }
   kv_transaction_commit(transaction, count);
}

static uint64_t count_of(const struct service_fixture *fixture)
{
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   uint64_t count = kv_version_count(kv_store_view_version(view));
   kv_store_view_destroy(view);
   return count;
}

static uint64_t version_of(const struct service_fixture *fixture)
{
   struct kv_store_view *view = kv_store_view_create(fixture->store);
   assert_non_null(view);
   uint64_t version = kv_version_sequence(kv_store_view_version(view));
   kv_store_view_destroy(view);
   return version;
}

static void just_the_keys_of_the_range_are_deleted(void **state)
{
   struct service_fixture *fixture = *state;
   static const char *const keys[] = {"a", "b", "ba", "bb", "c"};
   for (size_t i = 0; i < 5; i++)
      service_set(fixture, keys[i], "v");
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   range.prefix = service_text("b");
   range.start = service_text("ba");
   Kvstore__V1__DeleteRangeResponse reply = run(fixture, &request);
   assert_int_equal(reply.count, 2);
   assert_int_equal(reply.version, version_of(fixture));
   assert_int_equal(reply.durability, KVSTORE__V1__DURABILITY__DURABILITY_MEMORY);
   service_assert_value(fixture, "b", "v");
   service_assert_value(fixture, "ba", NULL);
   service_assert_value(fixture, "bb", NULL);
   service_assert_value(fixture, "c", "v");

   reply = run(fixture, &request);
   assert_int_equal(reply.count, 0);
   assert_int_equal(reply.version, 0);

   range = (range_type)INIT_RANGE;
   range.key = service_text("b");
   assert_int_equal(run(fixture, &request).count, 1);
   range.key = service_text("");
   assert_int_equal(run(fixture, &request).count, 2);
   assert_int_equal(count_of(fixture), 0);
}

static void a_range_must_be_given_and_make_sense(void **state)
{
   struct service_fixture *fixture = *state;
   service_set(fixture, "a", "v");
   request_type request = INIT_REQUEST;
   service_refused(fixture, "KeyValueService/DeleteRange", &request.base, KV_INVALID_ARGUMENT,
                   "range: is missing", NULL);
   range_type range = INIT_RANGE;
   request.range = &range;
   range.start = service_text("b");
   range.end = service_text("b");
   service_refused(fixture, "KeyValueService/DeleteRange", &request.base, KV_INVALID_ARGUMENT,
                   "range: ", NULL);
   range.end = service_text("c");
   request.durability = 9;
   service_refused(fixture, "KeyValueService/DeleteRange", &request.base, KV_INVALID_ARGUMENT,
                   "durability: ", NULL);
   service_assert_value(fixture, "a", "v");
}

static void a_validation_counts_and_changes_nothing(void **state)
{
   struct service_fixture *fixture = *state;
   fill(fixture, 50000, 0);
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   request.validate_only = true;
   Kvstore__V1__DeleteRangeResponse reply = run(fixture, &request);
   assert_int_equal(reply.count, 50000);
   assert_int_equal(reply.version, 50000);
   range.prefix = service_text("04");
   assert_int_equal(run(fixture, &request).count, 10000);
   assert_int_equal(count_of(fixture), 50000);
}

static void a_validation_that_is_cancelled_ends(void **state)
{
   struct service_fixture *fixture = *state;
   fill(fixture, 50000, 0);
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   request.validate_only = true;
   const struct fake_client client = {.cancels_at_yield = 1};
   struct fake_answer answer;
   service_run(fixture, "KeyValueService/DeleteRange", &request.base, &client, &answer);
   assert_int_equal(answer.code, KV_CANCELLED);
   fake_answer_deinit(&answer);
}

static void a_large_range_is_deleted_in_steps(void **state)
{
   struct service_fixture *fixture = *state;
   fill(fixture, 5000, 0);
   service_set(fixture, "z", "v");
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   range.end = service_text("z");
   const Kvstore__V1__DeleteRangeResponse reply = run(fixture, &request);
   assert_int_equal(reply.count, 5000);
   assert_int_equal(reply.version, version_of(fixture));
   assert_int_equal(count_of(fixture), 1);
}

static void a_call_that_is_cancelled_stops_between_two_steps_and_says_how_far_it_came(void **state)
{
   struct service_fixture *fixture = *state;
   fill(fixture, 5000, 0);
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   struct fake_answer answer;
   struct kv_call *call =
       service_begin(fixture, "KeyValueService/DeleteRange", &request.base, &answer);
   fake_call_cancel(call);
   fake_call_wait(call);
   fake_call_end(call);
   assert_int_equal(answer.code, KV_CANCELLED);
   const uint64_t left = count_of(fixture);
   char text[64];
   snprintf(text, sizeof text, "; %u keys of the range have been deleted", (unsigned)(5000 - left));
   assert_in_range(left, 1, 4999);
   assert_non_null(strstr(answer.text, text));
   fake_answer_deinit(&answer);
}

static void keys_whose_time_has_come_are_not_counted(void **state)
{
   const struct service_setup setup = {.not_loaded = true};
   struct service_fixture *fixture = service_fixture_create(&setup);
   fill(fixture, 10, 1);
   kv_service_set_loaded(fixture->service);
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   request.validate_only = true;
   assert_int_equal(run(fixture, &request).count, 0);
   service_fixture_destroy(fixture);
   (void)state;
}

static void a_durability_that_the_mode_does_not_offer_is_refused(void **state)
{
   struct service_fixture *fixture = *state;
   service_set(fixture, "a", "v");
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   request.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   service_refused(fixture, "KeyValueService/DeleteRange", &request.base, KV_FAILED_PRECONDITION,
                   "durability: SYNCED", NULL);
   service_assert_value(fixture, "a", "v");
}

/* The switch comes between two of many steps; if it comes before or after them, the test begins
 * again. */
static void a_switch_to_a_mode_that_offers_less_says_what_was_deleted(void **state)
{
   (void)state;
   const unsigned count = 50000;
   struct fake_answer answer;
   uint64_t left;
   do {
      const struct service_setup setup = {.mode = "aof"};
      struct service_fixture *fixture = service_fixture_create(&setup);
      fill(fixture, count, 0);
      range_type range = INIT_RANGE;
      request_type request = INIT_REQUEST;
      request.range = &range;
      request.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
      struct kv_call *call =
          service_begin(fixture, "KeyValueService/DeleteRange", &request.base, &answer);
      service_configure(fixture, "none", NULL, NULL);
      fake_call_wait(call);
      fake_call_end(call);
      left = count_of(fixture);
      service_fixture_destroy(fixture);
      if (left == 0 || left == count)
         fake_answer_deinit(&answer);
   } while (left == 0 || left == count);
   char text[64];
   snprintf(text, sizeof text, "; %u keys of the range have been deleted", count - (unsigned)left);
   assert_int_equal(answer.code, KV_FAILED_PRECONDITION);
   assert_non_null(strstr(answer.text, "durability: SYNCED was asked for"));
   assert_non_null(strstr(answer.text, text));
   fake_answer_deinit(&answer);
}

/* All that was deleted cannot be taken back, so the reply needs no memory that it may not have. */
static void a_deletion_that_was_carried_out_is_answered_whatever_memory_there_is(void **state)
{
   struct service_fixture *fixture = *state;
   service_set(fixture, "a", "v");
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   struct fake_account account = {0};
   const struct fake_client client = {.account = &account};
   struct fake_answer answer;
   service_run(fixture, "KeyValueService/DeleteRange", &request.base, &client, &answer);
   assert_int_equal(answer.code, KV_OK);
   assert_true(account.carried_out);
   fake_answer_deinit(&answer);
}

static bool refuse_memory(void *context, size_t size)
{
   (void)context, (void)size;
   return false;
}

/* Where to go on is kept in the call's memory. The others of its batches do not suffer from it. */
static void a_call_without_memory_to_go_on_says_what_was_deleted(void **state)
{
   struct service_fixture *fixture = *state;
   static char key[3001];
   struct kv_transaction *transaction = kv_store_begin(fixture->store);
   memset(key, 'k', sizeof key);
   for (unsigned i = 0; i < 2000; i++) {
      snprintf(key + 2990, 11, "%010u", i);
      assert_true(kv_transaction_set(transaction, kv_slice(key, 3000), kv_slice_of("v"), 0, i + 1));
   }
   kv_transaction_commit(transaction, 2000);
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   struct fake_answer answer;
   struct kv_call *call =
       service_begin(fixture, "KeyValueService/DeleteRange", &request.base, &answer);
   kv_arena_ask(kv_call_arena(call), refuse_memory, NULL);
   while (kv_arena_alloc(kv_call_arena(call), 64))
      ;
   service_set(fixture, "other", "v"); /* in the batch of the first step */
   fake_call_wait(call);
   fake_call_end(call);
   assert_int_equal(answer.code, KV_RESOURCE_EXHAUSTED);
   assert_non_null(strstr(answer.text, "keys of the range have been deleted"));
   assert_in_range(count_of(fixture), 2, 1999);
   fake_answer_deinit(&answer);
}

static void a_failure_between_two_steps_says_what_was_deleted(void **state)
{
   const struct kv_mode_option options[] = {{"write", "io"}, {"healthy_writes", "2"}};
   const struct service_setup setup = {.mode = "faulty", .options = options, .option_count = 2};
   struct service_fixture *fixture = service_fixture_create(&setup);
   fill(fixture, 5000, 0);
   range_type range = INIT_RANGE;
   request_type request = INIT_REQUEST;
   request.range = &range;
   service_refused(fixture, "KeyValueService/DeleteRange", &request.base, KV_UNAVAILABLE,
                   "; 2000 keys of the range have been deleted", NULL);
   assert_int_equal(count_of(fixture), 3000);
   service_fixture_destroy(fixture);
   (void)state;
}

#define TEST(name)                                                                                 \
   cmocka_unit_test_setup_teardown(name, service_fixture_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(just_the_keys_of_the_range_are_deleted),
       TEST(a_range_must_be_given_and_make_sense),
       TEST(a_validation_counts_and_changes_nothing),
       TEST(a_validation_that_is_cancelled_ends),
       TEST(a_large_range_is_deleted_in_steps),
       TEST(a_call_that_is_cancelled_stops_between_two_steps_and_says_how_far_it_came),
       cmocka_unit_test(keys_whose_time_has_come_are_not_counted),
       TEST(a_call_without_memory_to_go_on_says_what_was_deleted),
       cmocka_unit_test(a_failure_between_two_steps_says_what_was_deleted),
       cmocka_unit_test(a_switch_to_a_mode_that_offers_less_says_what_was_deleted),
       TEST(a_durability_that_the_mode_does_not_offer_is_refused),
       TEST(a_deletion_that_was_carried_out_is_answered_whatever_memory_there_is),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
