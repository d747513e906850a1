/* What the load generator reads of replies: they are written with protobuf-c. */
#include "bench/load/reply.h"
#include "kvstore/v1/key_value.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CHANGES_MAX 8

struct changes {
   size_t count;
   uint64_t versions[CHANGES_MAX];
};

static void on_change(void *context, uint64_t version)
{
   struct changes *changes = context;
   assert_in_range(changes->count, 0, CHANGES_MAX - 1);
   changes->versions[changes->count++] = version;
}

/* Reads a message as it is, and everything that a cut can leave of it, which must not fail
 * otherwise than by false. */
static struct reply read_reply(enum workload_method method, const ProtobufCMessage *message,
                               struct changes *changes)
{
   uint8_t bytes[1024];
   size_t size = protobuf_c_message_get_packed_size(message);
   assert_in_range(size, 0, sizeof bytes);
   protobuf_c_message_pack(message, bytes);
   for (size_t cut = 0; cut < size; cut++)
      reply_add(&(struct reply){0}, method, kv_slice(bytes, cut), NULL, NULL);
   if (size > 0)
      assert_false(reply_add(&(struct reply){0}, method, kv_slice(bytes, size - 1), NULL, NULL));
   struct reply reply = {0};
   *changes = (struct changes){0};
   assert_true(reply_add(&reply, method, kv_slice(bytes, size), on_change, changes));
   return reply;
}

struct results {
   Kvstore__V1__Entry entry;
   Kvstore__V1__GetResponse found, missing;
   Kvstore__V1__SetResponse set;
   Kvstore__V1__DeleteResponse deleted, not_there;
   Kvstore__V1__IncrementResponse sum;
   Kvstore__V1__OperationError error;
   Kvstore__V1__OperationResult items[7];
   Kvstore__V1__OperationResult *list[7];
};

static void init_responses(struct results *results)
{
   kvstore__v1__entry__init(&results->entry);
   results->entry.version = 700;
   kvstore__v1__get_response__init(&results->found);
   results->found.entry = &results->entry;
   kvstore__v1__get_response__init(&results->missing);
   kvstore__v1__set_response__init(&results->set);
   results->set.version = 800;
   kvstore__v1__delete_response__init(&results->deleted);
   results->deleted.deleted = true;
   results->deleted.version = 900;
   kvstore__v1__delete_response__init(&results->not_there);
   kvstore__v1__increment_response__init(&results->sum);
   results->sum.value = 5;
   results->sum.version = 850;
   kvstore__v1__operation_error__init(&results->error);
   results->error.code = 8;
   results->error.reason = (ProtobufCBinaryData){.len = 11, .data = (uint8_t *)"MEMORY_FULL"};
   results->error.message = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)"full"};
}

static void init_results(struct results *results)
{
   init_responses(results);
   for (size_t i = 0; i < 7; i++) {
      kvstore__v1__operation_result__init(&results->items[i]);
      results->list[i] = &results->items[i];
   }
   Kvstore__V1__OperationResult *items = results->items;
   items[0].kind_case = items[1].kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_GET;
   items[0].get = &results->found;
   items[1].get = &results->missing;
   items[2].kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_SET;
   items[2].set = &results->set;
   items[3].kind_case = items[4].kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_DELETE;
   items[3].delete_ = &results->deleted;
   items[4].delete_ = &results->not_there;
   items[5].kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_INCREMENT;
   items[5].increment = &results->sum;
   items[6].kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_ERROR;
   items[6].error = &results->error;
}

static void check_list(const struct reply *reply, const struct changes *changes)
{
   assert_int_equal(reply->results, 7);
   assert_int_equal(reply->missing, 2);
   assert_int_equal(reply->errors[8], 1);
   assert_string_equal(reply->error_text, "full");
   assert_int_equal(reply->last_change, 900);
   assert_int_equal(changes->count, 3);
   assert_int_equal(changes->versions[0], 800);
   assert_int_equal(changes->versions[1], 900);
   assert_int_equal(changes->versions[2], 850);
}

static void results_of_a_list_are_counted_by_what_they_say(void **state)
{
   (void)state;
   struct results results;
   init_results(&results);
   Kvstore__V1__BatchResponse batch = KVSTORE__V1__BATCH_RESPONSE__INIT;
   batch.n_results = 7;
   batch.results = results.list;
   struct changes changes;
   struct reply reply = read_reply(WORKLOAD_CALL_BATCH, &batch.base, &changes);
   check_list(&reply, &changes);
   Kvstore__V1__TransactionResponse transaction = KVSTORE__V1__TRANSACTION_RESPONSE__INIT;
   transaction.n_results = 7;
   transaction.results = results.list;
   reply = read_reply(WORKLOAD_CALL_TRANSACTION, &transaction.base, &changes);
   check_list(&reply, &changes);
}

static void an_answer_alone_shows_the_version_of_its_key(void **state)
{
   (void)state;
   struct results results;
   init_responses(&results);
   const struct {
      enum workload_method method;
      const ProtobufCMessage *message;
      uint64_t version, missing, change;
   } cases[] = {
       {WORKLOAD_CALL_GET, &results.found.base, 700, 0, 0},
       {WORKLOAD_CALL_GET, &results.missing.base, 0, 1, 0},
       {WORKLOAD_CALL_SET, &results.set.base, 800, 0, 800},
       {WORKLOAD_CALL_DEL, &results.deleted.base, 0, 0, 900},
       {WORKLOAD_CALL_DEL, &results.not_there.base, 0, 1, 0},
       {WORKLOAD_CALL_INCR, &results.sum.base, 0, 0, 850},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      struct changes changes;
      struct reply reply = read_reply(cases[i].method, cases[i].message, &changes);
      assert_int_equal(reply.results, 1);
      assert_int_equal(reply.version, cases[i].version);
      assert_int_equal(reply.missing, cases[i].missing);
      assert_int_equal(reply.last_change, cases[i].change);
      assert_int_equal(changes.count, cases[i].change > 0);
   }
}

static void entries_of_a_scan_are_counted(void **state)
{
   (void)state;
   Kvstore__V1__Entry entry = KVSTORE__V1__ENTRY__INIT;
   entry.version = 9;
   Kvstore__V1__ScanResponse scan = KVSTORE__V1__SCAN_RESPONSE__INIT;
   scan.n_entries = 3;
   scan.entries = (Kvstore__V1__Entry *[]){&entry, &entry, &entry};
   struct changes changes;
   struct reply reply = read_reply(WORKLOAD_CALL_SCAN, &scan.base, &changes);
   assert_int_equal(reply.results, 3);
   assert_int_equal(changes.count, 0);
}

/* ---- Watches ---- */

static struct reply_watch read_watch(const Kvstore__V1__WatchResponse *response,
                                     struct changes *changes)
{
   uint8_t bytes[1024];
   size_t size = kvstore__v1__watch_response__pack(response, bytes);
   struct reply_watch reply;
   for (size_t cut = 0; cut < size; cut++)
      reply_read_watch(&reply, kv_slice(bytes, cut), on_change, &(struct changes){0});
   *changes = (struct changes){0};
   assert_true(reply_read_watch(&reply, kv_slice(bytes, size), on_change, changes));
   return reply;
}

static void a_watch_tells_its_events_and_how_far_it_is(void **state)
{
   (void)state;
   Kvstore__V1__Entry entries[2] = {KVSTORE__V1__ENTRY__INIT, KVSTORE__V1__ENTRY__INIT};
   Kvstore__V1__Event events[2] = {KVSTORE__V1__EVENT__INIT, KVSTORE__V1__EVENT__INIT};
   for (size_t i = 0; i < 2; i++) {
      entries[i].version = 41 + i;
      events[i].kind = KVSTORE__V1__EVENT__KIND__KIND_SET;
      events[i].entry = &entries[i];
   }
   Kvstore__V1__WatchResponse__Events list = KVSTORE__V1__WATCH_RESPONSE__EVENTS__INIT;
   list.n_events = 2;
   list.events = (Kvstore__V1__Event *[]){&events[0], &events[1]};
   Kvstore__V1__WatchResponse response = KVSTORE__V1__WATCH_RESPONSE__INIT;
   response.watch_id = 1;
   response.version = 50;
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_EVENTS;
   response.events = &list;
   struct changes changes;
   struct reply_watch reply = read_watch(&response, &changes);
   assert_int_equal(reply.version, 50);
   assert_int_equal(reply.events, 2);
   assert_int_equal(changes.count, 2);
   assert_int_equal(changes.versions[0], 41);
   assert_int_equal(changes.versions[1], 42);
   assert_false(reply.created || reply.ended);
}

static void a_watch_tells_its_begin_and_its_end(void **state)
{
   (void)state;
   Kvstore__V1__WatchResponse response = KVSTORE__V1__WATCH_RESPONSE__INIT;
   Kvstore__V1__WatchResponse__Created created = KVSTORE__V1__WATCH_RESPONSE__CREATED__INIT;
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_CREATED;
   response.created = &created;
   struct changes changes;
   assert_true(read_watch(&response, &changes).created);
   Kvstore__V1__WatchResponse__Ended ended = KVSTORE__V1__WATCH_RESPONSE__ENDED__INIT;
   ended.code = 8;
   ended.message = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)"slow"};
   response.kind_case = KVSTORE__V1__WATCH_RESPONSE__KIND_ENDED;
   response.ended = &ended;
   struct reply_watch reply = read_watch(&response, &changes);
   assert_true(reply.ended);
   assert_int_equal(reply.code, 8);
   assert_string_equal(reply.text, "slow");
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(results_of_a_list_are_counted_by_what_they_say),
       cmocka_unit_test(an_answer_alone_shows_the_version_of_its_key),
       cmocka_unit_test(entries_of_a_scan_are_counted),
       cmocka_unit_test(a_watch_tells_its_events_and_how_far_it_is),
       cmocka_unit_test(a_watch_tells_its_begin_and_its_end),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
