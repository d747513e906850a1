/* Transaction and Batch of kvstore.v1: results in order, what fails alone and what together. */
#include "core/commit/commit.h"
#include "core/service/validate.h"
#include "tests/support/keyvalue_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define TRANSACTION_MAX 10000
#define BATCH_MAX 100000

/* ---- Requests ---- */

/* Lists that are put together operation by operation; large. */
struct list {
   Kvstore__V1__Operation operations[BATCH_MAX + 1], *pointers[BATCH_MAX + 1];
   size_t count;
};
static struct list then, otherwise;
static Kvstore__V1__Comparison comparisons[8], *comparison_pointers[8];
static Kvstore__V1__Condition conditions[8];
static size_t comparison_count;

static int set_up(void **state)
{
   then.count = otherwise.count = comparison_count = 0;
   return keyvalue_set_up(state);
}

static void add(struct list *list, ProtobufCMessage *request)
{
   assert_true(list->count < COUNT(list->operations));
   list->operations[list->count] = keyvalue_operation(request);
   list->pointers[list->count] = &list->operations[list->count];
   list->count++;
}

static void compare(const char *key, Kvstore__V1__Condition condition)
{
   const size_t i = comparison_count++;
   kvstore__v1__comparison__init(&comparisons[i]);
   conditions[i] = condition;
   comparisons[i].key = service_text(key);
   comparisons[i].condition = &conditions[i];
   comparison_pointers[i] = &comparisons[i];
}

static Kvstore__V1__TransactionRequest transaction_of_all(void)
{
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   request.n_success = then.count;
   request.success = then.pointers;
   request.n_failure = otherwise.count;
   request.failure = otherwise.pointers;
   request.n_comparisons = comparison_count;
   request.comparisons = comparison_pointers;
   return request;
}

static Kvstore__V1__TransactionResponse *transact(const struct service_fixture *fixture)
{
   const Kvstore__V1__TransactionRequest request = transaction_of_all();
   Kvstore__V1__TransactionResponse *reply =
       service_reply(fixture, KEYVALUE("Transaction"), &request.base,
                     &kvstore__v1__transaction_response__descriptor);
   assert_int_equal(reply->n_results, reply->succeeded ? then.count : otherwise.count);
   return reply;
}

static Kvstore__V1__BatchRequest batch_of_all(void)
{
   Kvstore__V1__BatchRequest request = KVSTORE__V1__BATCH_REQUEST__INIT;
   request.n_operations = then.count;
   request.operations = then.pointers;
   return request;
}

static Kvstore__V1__BatchResponse *batch(const struct service_fixture *fixture)
{
   const Kvstore__V1__BatchRequest request = batch_of_all();
   Kvstore__V1__BatchResponse *reply = service_reply(fixture, KEYVALUE("Batch"), &request.base,
                                                     &kvstore__v1__batch_response__descriptor);
   assert_int_equal(reply->n_results, then.count);
   return reply;
}

static void release(void *reply)
{
   protobuf_c_message_free_unpacked(reply, NULL);
}

/* ---- Answers ---- */

static void assert_got(const Kvstore__V1__OperationResult *result, const char *value,
                       uint64_t version)
{
   assert_int_equal(result->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_GET);
   if (value)
      keyvalue_assert_is(result->get->entry, value, version, 0);
   else
      assert_null(result->get->entry);
}

static void assert_error(const Kvstore__V1__OperationResult *result, enum kv_code code,
                         const char *reason, uint64_t current_version)
{
   assert_int_equal(result->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_ERROR);
   assert_int_equal(result->error->code, code);
   service_assert_text(result->error->reason, reason);
   assert_int_equal(result->error->current_version, current_version);
   assert_true(result->error->message.len > 0);
}

/* ---- Both ---- */

static void each_kind_has_its_result_in_the_order_of_the_operations(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(KEYVALUE_HOUR);
   Kvstore__V1__GetRequest get = keyvalue_get_of("k"), size = keyvalue_get_of("k");
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "7");
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("k", 5);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("k", &expiry);
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   delete.return_previous = true;
   size.omit_value = true;
   ProtobufCMessage *const requests[] = {&get.base,       &set.base,    &get.base,
                                         &increment.base, &size.base,   &expire.base,
                                         &delete.base,    &delete.base, &get.base};
   for (size_t i = 0; i < COUNT(requests); i++)
      add(&then, requests[i]);
   for (int atomic = 0; atomic < 2; atomic++) {
      const uint64_t before = keyvalue_put(*state, "other", "x");
      Kvstore__V1__TransactionResponse *transacted = atomic ? transact(*state) : NULL;
      Kvstore__V1__BatchResponse *batched = atomic ? NULL : batch(*state);
      Kvstore__V1__OperationResult **results = atomic ? transacted->results : batched->results;
      assert_got(results[0], NULL, 0);
      assert_int_equal(results[1]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET);
      assert_int_equal(results[1]->set->version, before + 1);
      assert_int_equal(results[1]->set->durability, 0); /* the list has it */
      assert_got(results[2], "7", before + 1);
      assert_int_equal(results[3]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_INCREMENT);
      assert_int_equal(results[3]->increment->value, 12);
      assert_int_equal(results[3]->increment->version, before + 2);
      assert_int_equal(results[4]->get->entry->omitted_value_size, 2);
      assert_int_equal(results[4]->get->entry->value.len, 0);
      assert_int_equal(results[5]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET_EXPIRY);
      assert_int_equal(results[5]->set_expiry->version, before + 3);
      assert_int_equal(results[6]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_DELETE);
      assert_true(results[6]->delete_->deleted);
      assert_int_equal(results[6]->delete_->version, before + 4);
      keyvalue_assert_is(results[6]->delete_->previous, "12", before + 3,
                         KEYVALUE_NOW + KEYVALUE_HOUR);
      assert_false(results[7]->delete_->deleted);
      assert_null(results[7]->delete_->previous);
      assert_got(results[8], NULL, 0);
      if (atomic) {
         assert_true(transacted->succeeded);
         assert_int_equal(transacted->version, before + 4);
         assert_int_equal(transacted->durability, KVSTORE__V1__DURABILITY__DURABILITY_MEMORY);
         release(transacted);
      } else {
         assert_int_equal(batched->durability, KVSTORE__V1__DURABILITY__DURABILITY_MEMORY);
         release(batched);
      }
   }
}

static void refuse_field(const struct service_fixture *fixture, const char *part)
{
   const Kvstore__V1__TransactionRequest transaction = transaction_of_all();
   service_refused_for(fixture, KEYVALUE("Transaction"), &transaction.base, KV_INVALID_ARGUMENT,
                       KV_FIELD_INVALID, NULL, part, NULL);
}

/* The part without the name of the list, which differs. */
static void refuse_field_in_both(const struct service_fixture *fixture, const char *part)
{
   char whole[128];
   snprintf(whole, sizeof whole, "success%s", part);
   refuse_field(fixture, whole);
   snprintf(whole, sizeof whole, "operations%s", part);
   const Kvstore__V1__BatchRequest request = batch_of_all();
   service_refused_for(fixture, KEYVALUE("Batch"), &request.base, KV_INVALID_ARGUMENT,
                       KV_FIELD_INVALID, NULL, whole, NULL);
}

static void a_bad_operation_is_named_with_its_place_and_nothing_happens(void **state)
{
   Kvstore__V1__SetRequest good = keyvalue_set_of("good", "v"), bad = keyvalue_set_of("", "v");
   Kvstore__V1__GetRequest get = keyvalue_get_of("a\xff");
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("");
   Kvstore__V1__Expiry expiry = keyvalue_ttl(0);
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("n", 1);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("", NULL);
   increment.expiry = &expiry;
   const struct {
      ProtobufCMessage *request;
      const char *part;
   } cases[] = {{&bad.base, "[1].set.key: is empty"},
                {&get.base, "[1].get.key: byte 0xff at offset 1"},
                {&delete.base, "[1].delete.key: is empty"},
                {&increment.base, "[1].increment.expiry.ttl_ms: 0 given"},
                {&expire.base, "[1].set_expiry.key: is empty"}};
   add(&then, &good.base);
   for (size_t i = 0; i < COUNT(cases); i++) {
      then.count = 1;
      add(&then, cases[i].request);
      refuse_field_in_both(*state, cases[i].part);
   }
   then.operations[1] = (Kvstore__V1__Operation)KVSTORE__V1__OPERATION__INIT;
   refuse_field_in_both(*state, "[1]: holds no operation; give get");
   keyvalue_assert_entry(*state, "good", NULL, 0, 0);
}

static void one_of_several_has_neither_durability_nor_request_id_of_its_own(void **state)
{
   const Kvstore__V1__Durability memory = KVSTORE__V1__DURABILITY__DURABILITY_MEMORY;
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("k", 1);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("k", NULL);
   set.durability = delete.durability = increment.durability = expire.durability = memory;
   const struct {
      ProtobufCMessage *request;
      const char *part;
   } cases[] = {{&set.base, "[0].set.durability: "},
                {&delete.base, "[0].delete.durability: "},
                {&increment.base, "[0].increment.durability: "},
                {&expire.base, "[0].set_expiry.durability: "}};
   for (size_t i = 0; i < COUNT(cases); i++) {
      then.count = 0;
      add(&then, cases[i].request);
      refuse_field_in_both(*state, cases[i].part);
   }
   set.durability = delete.durability = increment.durability = 0;
   set.request_id = delete.request_id = increment.request_id = service_text("id");
   static const char *const parts[] = {
       "[0].set.request_id: ", "[0].delete.request_id: ", "[0].increment.request_id: "};
   for (size_t i = 0; i < COUNT(parts); i++) {
      then.count = 0;
      add(&then, cases[i].request);
      refuse_field_in_both(*state, parts[i]);
   }
}

static void gets_alone_see_one_version_and_no_key_that_has_expired(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(KEYVALUE_HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("b", "brief");
   set.expiry = &expiry;
   const uint64_t version = keyvalue_put(*state, "a", "1");
   release(keyvalue_set(*state, &set));
   keyvalue_advance(KEYVALUE_HOUR);
   Kvstore__V1__GetRequest a = keyvalue_get_of("a"), b = keyvalue_get_of("b");
   add(&then, &a.base);
   add(&then, &b.base);
   add(&then, &a.base);
   Kvstore__V1__TransactionResponse *transacted = transact(*state);
   assert_true(transacted->succeeded);
   assert_true(transacted->version > version);
   assert_got(transacted->results[0], "1", version);
   assert_got(transacted->results[1], NULL, 0);
   assert_got(transacted->results[2], "1", version);
   release(transacted);
   Kvstore__V1__BatchResponse *batched = batch(*state);
   assert_got(batched->results[0], "1", version);
   assert_got(batched->results[1], NULL, 0);
   assert_int_equal(batched->durability, 0);
   release(batched);
}

static void beside_writes_no_key_is_seen_that_has_expired_either(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(KEYVALUE_HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "brief");
   set.expiry = &expiry;
   release(keyvalue_set(*state, &set));
   keyvalue_advance(KEYVALUE_HOUR);
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   add(&then, &get.base);
   add(&then, &delete.base);
   Kvstore__V1__BatchResponse *batched = batch(*state);
   assert_got(batched->results[0], NULL, 0);
   assert_false(batched->results[1]->delete_->deleted);
   release(batched);
   Kvstore__V1__TransactionResponse *transacted = transact(*state);
   assert_got(transacted->results[0], NULL, 0);
   assert_false(transacted->results[1]->delete_->deleted);
   release(transacted);
}

static void a_value_that_is_too_large_is_named_with_its_place(void **state)
{
   static const char value[SERVICE_VALUE_MAX + 1];
   Kvstore__V1__SetRequest good = keyvalue_set_of("good", "v"), large = keyvalue_set_of("k", "");
   large.value = (ProtobufCBinaryData){sizeof value, (uint8_t *)(uintptr_t)value};
   add(&then, &good.base);
   add(&then, &large.base);
   const Kvstore__V1__TransactionRequest transaction = transaction_of_all();
   service_refused_for(*state, KEYVALUE("Transaction"), &transaction.base, KV_INVALID_ARGUMENT,
                       "VALUE_TOO_LARGE", NULL, "success[1].set.value: 204801 bytes given", NULL);
   const Kvstore__V1__BatchRequest request = batch_of_all();
   service_refused_for(*state, KEYVALUE("Batch"), &request.base, KV_INVALID_ARGUMENT,
                       "VALUE_TOO_LARGE", NULL, "operations[1].set.value: 204801 bytes given",
                       "max-value-size", NULL);
   keyvalue_assert_entry(*state, "good", NULL, 0, 0);
}

/* ---- Transaction ---- */

static void comparisons_choose_the_list_that_is_carried_out(void **state)
{
   const uint64_t version = keyvalue_put(*state, "k", "one");
   Kvstore__V1__SetRequest yes = keyvalue_set_of("yes", "1"), no = keyvalue_set_of("no", "1");
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   add(&then, &yes.base);
   add(&otherwise, &get.base);
   add(&otherwise, &no.base);
   compare("k", keyvalue_version(version));
   compare("k", keyvalue_value("one"));
   compare("k", keyvalue_exists(true));
   compare("missing", keyvalue_exists(false));
   compare("missing", keyvalue_version(0));
   Kvstore__V1__TransactionResponse *reply = transact(*state);
   assert_true(reply->succeeded);
   assert_int_equal(reply->version, version + 1);
   assert_int_equal(reply->results[0]->set->version, version + 1);
   release(reply);
   keyvalue_assert_entry(*state, "no", NULL, 0, 0);
   const Kvstore__V1__Condition wrong[] = {keyvalue_version(version + 1), keyvalue_value("on"),
                                           keyvalue_exists(false)};
   for (size_t i = 0; i < COUNT(wrong); i++) {
      conditions[0] = wrong[i];
      reply = transact(*state);
      assert_false(reply->succeeded);
      assert_got(reply->results[0], "one", version);
      assert_int_equal(reply->results[1]->set->version, version + 2 + i);
      assert_int_equal(reply->version, version + 2 + i);
      release(reply);
   }
   keyvalue_assert_entry(*state, "yes", "1", version + 1, 0);
}

static void a_transaction_may_consist_of_comparisons_alone(void **state)
{
   const uint64_t version = keyvalue_put(*state, "k", "one");
   compare("k", keyvalue_version(version));
   for (int holds = 1; holds >= 0; holds--) {
      Kvstore__V1__TransactionResponse *reply = transact(*state);
      assert_int_equal(reply->succeeded, holds);
      assert_int_equal(reply->version, version);
      release(reply);
      conditions[0] = keyvalue_version(version + 1);
   }
}

/* Without the pipeline, whose answer would have a durability. */
static void what_only_reads_is_chosen_by_comparisons_of_the_same_version_too(void **state)
{
   const uint64_t version = keyvalue_put(*state, "k", "one");
   Kvstore__V1__GetRequest get = keyvalue_get_of("k"), missing = keyvalue_get_of("missing");
   add(&then, &get.base);
   add(&otherwise, &missing.base);
   add(&otherwise, &get.base);
   compare("k", keyvalue_value("one"));
   compare("missing", keyvalue_exists(false));
   Kvstore__V1__TransactionResponse *reply = transact(*state);
   assert_true(reply->succeeded);
   assert_got(reply->results[0], "one", version);
   assert_int_equal(reply->version, version);
   assert_int_equal(reply->durability, 0);
   release(reply);
   const Kvstore__V1__Condition wrong[] = {keyvalue_version(version + 1), keyvalue_value("on"),
                                           keyvalue_exists(false)};
   for (size_t i = 0; i < COUNT(wrong); i++) {
      conditions[0] = wrong[i];
      reply = transact(*state);
      assert_false(reply->succeeded);
      assert_got(reply->results[0], NULL, 0);
      assert_got(reply->results[1], "one", version);
      assert_int_equal(reply->version, version);
      assert_int_equal(reply->durability, 0);
      release(reply);
   }
}

static void what_only_reads_sees_a_key_expire_at_the_very_millisecond(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(KEYVALUE_HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "brief");
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   set.expiry = &expiry;
   release(keyvalue_set(*state, &set));
   compare("k", keyvalue_exists(true));
   add(&then, &get.base);
   add(&otherwise, &get.base);
   keyvalue_advance(KEYVALUE_HOUR - 1);
   for (int there = 1; there >= 0; there--) {
      Kvstore__V1__TransactionResponse *reply = transact(*state);
      assert_int_equal(reply->succeeded, there);
      assert_int_equal(reply->results[0]->get->entry != NULL, there);
      release(reply);
      keyvalue_advance(1);
   }
}

static void refuse_operation(const struct service_fixture *fixture, enum kv_code code,
                             const char *reason, const char *metadata, const char *part)
{
   const Kvstore__V1__TransactionRequest request = transaction_of_all();
   service_refused_for(fixture, KEYVALUE("Transaction"), &request.base, code, reason, metadata,
                       part, NULL);
}

static void an_operation_that_fails_makes_the_transaction_fail_without_a_trace(void **state)
{
   const uint64_t version = keyvalue_put(*state, "text", "x");
   Kvstore__V1__SetRequest set = keyvalue_set_of("good", "v"), fails = keyvalue_set_of("text", "y");
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("text", 1);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("missing", NULL);
   Kvstore__V1__Condition condition = keyvalue_exists(false);
   fails.condition = &condition;
   char metadata[64];
   snprintf(metadata, sizeof metadata, "current_version=%llu", (unsigned long long)version);
   const struct {
      ProtobufCMessage *request;
      enum kv_code code;
      const char *reason, *metadata, *part;
   } cases[] = {
       {&fails.base, KV_FAILED_PRECONDITION, "CONDITION_NOT_MET", metadata,
        "[1].set.condition.exists: "},
       {&increment.base, KV_FAILED_PRECONDITION, "NOT_AN_INTEGER", NULL, "[1].increment.key: "},
       {&expire.base, KV_NOT_FOUND, "KEY_NOT_FOUND", NULL, "[1].set_expiry.key: "}};
   for (size_t i = 0; i < COUNT(cases); i++) {
      char part[64];
      then.count = otherwise.count = comparison_count = 0;
      add(&then, &set.base);
      add(&then, cases[i].request);
      snprintf(part, sizeof part, "success%s", cases[i].part);
      refuse_operation(*state, cases[i].code, cases[i].reason, cases[i].metadata, part);
      add(&otherwise, &set.base);
      add(&otherwise, cases[i].request);
      compare("missing", keyvalue_exists(true));
      snprintf(part, sizeof part, "failure%s", cases[i].part);
      refuse_operation(*state, cases[i].code, cases[i].reason, cases[i].metadata, part);
   }
   keyvalue_assert_entry(*state, "good", NULL, 0, 0);
   keyvalue_assert_entry(*state, "text", "x", version, 0);
   assert_int_equal(keyvalue_put(*state, "next", "v"), version + 1);
}

static void an_operation_sees_what_stands_before_it(void **state)
{
   Kvstore__V1__Condition missing = keyvalue_exists(false), one = keyvalue_value("1");
   Kvstore__V1__SetRequest first = keyvalue_set_of("k", "1"), second = keyvalue_set_of("k", "2");
   first.condition = &missing;
   second.condition = &one;
   add(&then, &first.base);
   add(&then, &second.base);
   Kvstore__V1__TransactionResponse *reply = transact(*state);
   keyvalue_assert_entry(*state, "k", "2", reply->version, 0);
   assert_int_equal(reply->results[0]->set->version, reply->version - 1);
   release(reply);
}

static void a_transaction_needs_something_and_has_a_limit(void **state)
{
   refuse_field(*state, "0 given together; 1 to 10000");
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   compare("k", keyvalue_exists(false));
   for (size_t i = 0; i < TRANSACTION_MAX; i++)
      add(i % 2 ? &then : &otherwise, &set.base);
   refuse_field(*state, "10001 given together; 1 to 10000");
   then.count--;
   release(transact(*state));
   comparison_count = 0;
   then.count = otherwise.count = 0;
   compare("", keyvalue_exists(true));
   refuse_field(*state, "comparisons[0].key: is empty");
   comparisons[0].key = service_text("k");
   comparisons[0].condition = NULL;
   refuse_field(*state, "comparisons[0].condition: is missing");
   conditions[0] = (Kvstore__V1__Condition)KVSTORE__V1__CONDITION__INIT;
   comparisons[0].condition = &conditions[0];
   refuse_field(*state, "comparisons[0].condition: holds none");
}

/* Others are committed in parts from some MiB on. */
static void a_large_transaction_is_carried_out_once_and_as_a_whole(void **state)
{
   static const char value[SERVICE_VALUE_MAX];
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("n", 1);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   set.value = (ProtobufCBinaryData){sizeof value, (uint8_t *)(uintptr_t)value};
   add(&then, &increment.base);
   for (size_t i = 0; i < 60; i++)
      add(&then, &set.base);
   add(&then, &increment.base);
   const uint64_t before = keyvalue_put(*state, "before", "v");
   Kvstore__V1__TransactionResponse *reply = transact(*state);
   assert_int_equal(reply->results[0]->increment->value, 1);
   assert_int_equal(reply->results[61]->increment->value, 2);
   assert_int_equal(reply->version, before + 62);
   release(reply);
   assert_int_equal(keyvalue_put(*state, "after", "v"), before + 63);
   otherwise.count = then.count;
   memcpy(otherwise.pointers, then.pointers, then.count * sizeof then.pointers[0]);
   then.count = 0;
   compare("n", keyvalue_value("other"));
   release(transact(*state));
   keyvalue_assert_entry(*state, "n", "4", before + 63 + 62, 0);
}

/* With and without the pipeline. */
static void an_answer_that_would_be_too_large_refuses_the_transaction(void **state)
{
   static const char half[SERVICE_MESSAGE_MAX / 2 + 1];
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   set.value = (ProtobufCBinaryData){sizeof half, (uint8_t *)(uintptr_t)half};
   release(keyvalue_set(*state, &set));
   Kvstore__V1__GetRequest get = keyvalue_get_of("k"), size = keyvalue_get_of("k");
   size.omit_value = true;
   Kvstore__V1__SetRequest other = keyvalue_set_of("other", "v");
   add(&then, &get.base);
   add(&then, &size.base);
   release(transact(*state));
   add(&then, &get.base);
   refuse_operation(*state, KV_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", NULL, "too large");
   compare("k", keyvalue_exists(false));
   release(transact(*state));
   add(&otherwise, &get.base);
   add(&otherwise, &get.base);
   refuse_operation(*state, KV_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", NULL, "too large");
   otherwise.count = comparison_count = 0;
   then.count--;
   add(&then, &other.base);
   add(&then, &get.base);
   refuse_operation(*state, KV_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", NULL, "too large");
   keyvalue_assert_entry(*state, "other", NULL, 0, 0);
   Kvstore__V1__BatchResponse *reply = batch(*state);
   assert_int_equal(reply->results[0]->get->entry->value.len, sizeof half);
   assert_int_equal(reply->results[1]->get->entry->omitted_value_size, sizeof half);
   assert_int_equal(reply->results[2]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET);
   assert_error(reply->results[3], KV_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", 0);
   release(reply);
}

/* A few bytes ask for as much to be written as the value has, each. */
static void expiries_are_set_of_no_more_than_one_message_could_bring(void **state)
{
   static const char value[SERVICE_MESSAGE_MAX / 2];
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   set.value = (ProtobufCBinaryData){sizeof value, (uint8_t *)(uintptr_t)value};
   release(keyvalue_set(*state, &set));
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("k", NULL);
   add(&then, &expire.base);
   add(&then, &expire.base);
   release(transact(*state));
   Kvstore__V1__BatchResponse *reply = batch(*state);
   assert_int_equal(reply->results[1]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET_EXPIRY);
   release(reply);
   add(&then, &expire.base);
   refuse_operation(*state, KV_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", NULL, "fewer keys at once");
   reply = batch(*state);
   assert_int_equal(reply->results[1]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET_EXPIRY);
   assert_error(reply->results[2], KV_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", 0);
   release(reply);
}

/* The account has nothing left. */
static void what_is_written_again_is_charged_like_what_is_sent(void **state)
{
   static const char value[8192];
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("k", NULL);
   struct fake_account account = {0};
   const struct fake_client client = {.account = &account};
   for (int large = 0; large < 2; large++) {
      struct fake_answer answer;
      set.value = (ProtobufCBinaryData){large ? sizeof value : 1, (uint8_t *)(uintptr_t)value};
      release(keyvalue_set(*state, &set));
      account = (struct fake_account){0};
      service_run(*state, KEYVALUE("SetExpiry"), &expire.base, &client, &answer);
      assert_int_equal(answer.code, large ? KV_RESOURCE_EXHAUSTED : KV_OK);
      fake_answer_deinit(&answer);
   }
}

static void what_the_mode_does_not_offer_refuses_the_whole(void **state)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   add(&then, &set.base);
   Kvstore__V1__TransactionRequest transaction = transaction_of_all();
   transaction.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   service_refused_for(*state, KEYVALUE("Transaction"), &transaction.base, KV_FAILED_PRECONDITION,
                       "DURABILITY_NOT_OFFERED", NULL, "durability: SYNCED", NULL);
   Kvstore__V1__BatchRequest request = batch_of_all();
   request.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   service_refused_for(*state, KEYVALUE("Batch"), &request.base, KV_FAILED_PRECONDITION,
                       "DURABILITY_NOT_OFFERED", NULL, "durability: SYNCED", NULL);
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
}

static void gets_alone_are_as_durable_as_is_asked_for(void **state)
{
   keyvalue_put(*state, "k", "v");
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   add(&then, &get.base);
   Kvstore__V1__TransactionRequest request = transaction_of_all();
   request.durability = KVSTORE__V1__DURABILITY__DURABILITY_MEMORY;
   Kvstore__V1__TransactionResponse *response =
       service_reply(*state, KEYVALUE("Transaction"), &request.base,
                     &kvstore__v1__transaction_response__descriptor);
   assert_int_equal(response->durability, KVSTORE__V1__DURABILITY__DURABILITY_MEMORY);
   release(response);
   request.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   service_refused_for(*state, KEYVALUE("Transaction"), &request.base, KV_FAILED_PRECONDITION,
                       "DURABILITY_NOT_OFFERED", NULL, "durability: SYNCED", NULL);
}

/* ---- Batch ---- */

static void operations_of_a_batch_fail_alone(void **state)
{
   const uint64_t version = keyvalue_put(*state, "text", "x");
   Kvstore__V1__SetRequest first = keyvalue_set_of("a", "v"), last = keyvalue_set_of("b", "v"),
                           fails = keyvalue_set_of("text", "y"),
                           misses = keyvalue_set_of("gone", "y");
   Kvstore__V1__Condition exists = keyvalue_exists(true), missing = keyvalue_exists(false);
   fails.condition = &missing;
   misses.condition = &exists;
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("text", 1);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("gone", NULL);
   ProtobufCMessage *const requests[] = {&first.base,     &fails.base,  &misses.base,
                                         &increment.base, &expire.base, &last.base};
   for (size_t i = 0; i < COUNT(requests); i++)
      add(&then, requests[i]);
   Kvstore__V1__BatchResponse *reply = batch(*state);
   assert_int_equal(reply->results[0]->set->version, version + 1);
   assert_error(reply->results[1], KV_FAILED_PRECONDITION, "CONDITION_NOT_MET", version);
   assert_error(reply->results[2], KV_FAILED_PRECONDITION, "CONDITION_NOT_MET", 0);
   assert_error(reply->results[3], KV_FAILED_PRECONDITION, "NOT_AN_INTEGER", 0);
   assert_error(reply->results[4], KV_NOT_FOUND, "KEY_NOT_FOUND", 0);
   assert_int_equal(reply->results[5]->set->version, version + 2);
   release(reply);
}

static void a_batch_needs_something_and_has_a_limit(void **state)
{
   Kvstore__V1__BatchRequest request = batch_of_all();
   service_refused_for(*state, KEYVALUE("Batch"), &request.base, KV_INVALID_ARGUMENT,
                       KV_FIELD_INVALID, NULL, "operations: 0 given; 1 to 100000", NULL);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   for (size_t i = 0; i <= BATCH_MAX; i++)
      add(&then, &set.base);
   request = batch_of_all();
   service_refused_for(*state, KEYVALUE("Batch"), &request.base, KV_INVALID_ARGUMENT,
                       KV_FIELD_INVALID, NULL, "operations: 100001 given; 1 to 100000", NULL);
   then.count--;
   Kvstore__V1__BatchResponse *reply = batch(*state);
   for (size_t i = 1; i < BATCH_MAX; i++)
      assert_int_equal(reply->results[i]->set->version, reply->results[0]->set->version + i);
   release(reply);
}

/* Without the pipeline. */
static void the_gets_of_a_batch_that_are_too_much_for_one_answer_fail_alone(void **state)
{
   static const char half[SERVICE_MESSAGE_MAX / 2 + 1];
   Kvstore__V1__SetRequest set = keyvalue_set_of("large", "");
   set.value = (ProtobufCBinaryData){sizeof half, (uint8_t *)(uintptr_t)half};
   release(keyvalue_set(*state, &set));
   const uint64_t version = keyvalue_put(*state, "small", "v");
   Kvstore__V1__GetRequest large = keyvalue_get_of("large"), small = keyvalue_get_of("small");
   add(&then, &large.base);
   add(&then, &large.base);
   add(&then, &small.base);
   Kvstore__V1__BatchResponse *reply = batch(*state);
   assert_int_equal(reply->results[0]->get->entry->value.len, sizeof half);
   assert_error(reply->results[1], KV_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", 0);
   assert_got(reply->results[2], "v", version);
   release(reply);
}

/* ---- Faults ---- */

static struct service_fixture *create_failing_at_the_second_write(void)
{
   static const struct kv_mode_option options[] = {{"write", "io"}, {"healthy_writes", "1"}};
   const struct service_setup setup = {.mode = "faulty", .options = options, .option_count = 2};
   then.count = otherwise.count = comparison_count = 0;
   return service_fixture_create(&setup);
}

static atomic_bool hides_offer;

struct kv_targets;
enum kv_durability __real_kv_targets_offer(const struct kv_targets *targets);
enum kv_durability __wrap_kv_targets_offer(const struct kv_targets *targets);

/* As if the mode were switched after the first time that it is asked. */
enum kv_durability __wrap_kv_targets_offer(const struct kv_targets *targets)
{
   return atomic_exchange(&hides_offer, false) ? KV_DURABILITY_MEMORY
                                               : __real_kv_targets_offer(targets);
}

static void add_numbered(size_t count)
{
   static char keys[TRANSACTION_MAX][24];
   static Kvstore__V1__SetRequest sets[TRANSACTION_MAX];
   for (size_t i = 0; i < count; i++) {
      snprintf(keys[i], sizeof keys[i], "%06zu", i);
      sets[i] = keyvalue_set_of(keys[i], "v");
      add(&then, &sets[i].base);
   }
}

static void a_batch_of_which_a_part_is_not_durable_enough_tells_of_the_others(void **state)
{
   (void)state;
   const struct service_setup setup = {.mode = "aof"};
   struct service_fixture *fixture = service_fixture_create(&setup);
   then.count = 0;
   add_numbered(TRANSACTION_MAX);
   Kvstore__V1__BatchRequest request = batch_of_all();
   request.durability = KVSTORE__V1__DURABILITY__DURABILITY_SYNCED;
   atomic_store(&hides_offer, true);
   Kvstore__V1__BatchResponse *reply = service_reply(fixture, KEYVALUE("Batch"), &request.base,
                                                     &kvstore__v1__batch_response__descriptor);
   assert_false(atomic_load(&hides_offer));
   const Kvstore__V1__OperationResult *last = reply->results[TRANSACTION_MAX - 1];
   assert_error(reply->results[0], KV_FAILED_PRECONDITION, "DURABILITY_NOT_OFFERED", 0);
   assert_int_equal(last->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET);
   assert_true(last->set->version > 0);
   release(reply);
   service_fixture_destroy(fixture);
}

static void a_part_of_a_batch_that_fails_is_an_error_of_its_operations_alone(void **state)
{
   (void)state;
   struct service_fixture *fixture = create_failing_at_the_second_write();
   add_numbered(TRANSACTION_MAX);
   Kvstore__V1__BatchResponse *reply = batch(fixture);
   size_t done = 0;
   while (reply->results[done]->kind_case == KVSTORE__V1__OPERATION_RESULT__KIND_SET)
      done++;
   assert_in_range(done, 1, TRANSACTION_MAX - 1);
   for (size_t i = done; i < TRANSACTION_MAX; i++)
      assert_error(reply->results[i], KV_UNAVAILABLE, "READ_ONLY", 0);
   release(reply);
   Kvstore__V1__GetStatusResponse *status = service_status(fixture);
   assert_int_equal(status->keys, done);
   release(status);
   service_fixture_destroy(fixture);
}

static void a_transaction_has_no_parts(void **state)
{
   (void)state;
   struct service_fixture *fixture = create_failing_at_the_second_write();
   add_numbered(TRANSACTION_MAX);
   release(transact(fixture));
   const Kvstore__V1__TransactionRequest request = transaction_of_all();
   service_refused(fixture, KEYVALUE("Transaction"), &request.base, KV_UNAVAILABLE, "told to fail",
                   NULL);
   service_fixture_destroy(fixture);
}

static void what_has_no_space_is_refused_alone_in_a_batch_and_whole_in_a_transaction(void **state)
{
   (void)state;
   static const char value[600];
   const struct service_setup setup = {.memory_max = 1000};
   struct service_fixture *fixture = service_fixture_create(&setup);
   then.count = otherwise.count = comparison_count = 0;
   Kvstore__V1__SetRequest a = keyvalue_set_of("a", ""), b = keyvalue_set_of("b", ""),
                           small = keyvalue_set_of("c", "v");
   a.value = b.value = (ProtobufCBinaryData){sizeof value, (uint8_t *)(uintptr_t)value};
   add(&then, &a.base);
   add(&then, &b.base);
   add(&then, &small.base);
   refuse_operation(fixture, KV_RESOURCE_EXHAUSTED, "MEMORY_FULL", NULL, "1000 bytes");
   keyvalue_assert_entry(fixture, "a", NULL, 0, 0);
   Kvstore__V1__BatchResponse *reply = batch(fixture);
   assert_int_equal(reply->results[0]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET);
   assert_error(reply->results[1], KV_RESOURCE_EXHAUSTED, "MEMORY_FULL", 0);
   assert_int_equal(reply->results[2]->kind_case, KVSTORE__V1__OPERATION_RESULT__KIND_SET);
   release(reply);
   service_fixture_destroy(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(each_kind_has_its_result_in_the_order_of_the_operations),
       TEST(a_bad_operation_is_named_with_its_place_and_nothing_happens),
       TEST(one_of_several_has_neither_durability_nor_request_id_of_its_own),
       TEST(gets_alone_see_one_version_and_no_key_that_has_expired),
       TEST(beside_writes_no_key_is_seen_that_has_expired_either),
       TEST(a_value_that_is_too_large_is_named_with_its_place),
       TEST(comparisons_choose_the_list_that_is_carried_out),
       TEST(a_transaction_may_consist_of_comparisons_alone),
       TEST(what_only_reads_is_chosen_by_comparisons_of_the_same_version_too),
       TEST(what_only_reads_sees_a_key_expire_at_the_very_millisecond),
       TEST(an_operation_that_fails_makes_the_transaction_fail_without_a_trace),
       TEST(an_operation_sees_what_stands_before_it),
       TEST(a_transaction_needs_something_and_has_a_limit),
       TEST(a_large_transaction_is_carried_out_once_and_as_a_whole),
       TEST(an_answer_that_would_be_too_large_refuses_the_transaction),
       TEST(expiries_are_set_of_no_more_than_one_message_could_bring),
       TEST(what_is_written_again_is_charged_like_what_is_sent),
       TEST(what_the_mode_does_not_offer_refuses_the_whole),
       TEST(gets_alone_are_as_durable_as_is_asked_for),
       TEST(operations_of_a_batch_fail_alone),
       TEST(a_batch_needs_something_and_has_a_limit),
       TEST(the_gets_of_a_batch_that_are_too_much_for_one_answer_fail_alone),
       cmocka_unit_test(a_batch_of_which_a_part_is_not_durable_enough_tells_of_the_others),
       cmocka_unit_test(a_part_of_a_batch_that_fails_is_an_error_of_its_operations_alone),
       cmocka_unit_test(a_transaction_has_no_parts),
       cmocka_unit_test(what_has_no_space_is_refused_alone_in_a_batch_and_whole_in_a_transaction),
   };
   return cmocka_run_group_tests_name("service transaction", tests, NULL, NULL);
}
