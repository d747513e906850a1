#include "core/commit/evaluate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

/* An open transaction over a store that holds old=1, and the effects of what is evaluated in it. */
struct fixture {
   struct kv_store *store;
   struct kv_transaction *transaction;
   struct kv_effects effects;
   struct kv_arena arena;
};

static const struct kv_data_limit no_limit;

static struct kv_data_limit limit_of(uint64_t bytes)
{
   return (struct kv_data_limit){.bytes = bytes};
}

static int set_up(void **state)
{
   static struct fixture fixture;
   memset(&fixture, 0, sizeof fixture);
   kv_arena_init(&fixture.arena);
   fixture.store = kv_store_create();
   assert_non_null(fixture.store);
   struct kv_transaction *first = kv_store_begin(fixture.store);
   assert_non_null(first);
   assert_true(kv_transaction_set(first, kv_slice_of("old"), kv_slice_of("1"), 0, 10));
   kv_transaction_commit(first, 10);
   fixture.transaction = kv_store_begin(fixture.store);
   assert_non_null(fixture.transaction);
   kv_effects_init(&fixture.effects);
   kv_effects_reset(&fixture.effects, 10, false);
   *state = &fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   kv_transaction_abort(fixture->transaction);
   kv_effects_deinit(&fixture->effects);
   kv_store_destroy(fixture->store);
   kv_arena_reset(&fixture->arena);
   return 0;
}

static bool evaluate(struct fixture *fixture, struct kv_submission *submission,
                     struct kv_data_limit limit)
{
   const struct kv_evaluation evaluation = {.transaction = fixture->transaction,
                                            .effects = &fixture->effects,
                                            .limit = limit,
                                            .now_ms = 1000,
                                            .offered = KV_DURABILITY_SYNCED};
   return kv_evaluate(&evaluation, submission);
}

static struct kv_operation set(const char *key, const char *value)
{
   return (struct kv_operation){
       .kind = KV_OPERATION_SET, .key = kv_slice_of(key), .value = kv_slice_of(value)};
}

static struct kv_operation delete (const char *key)
{
   return (struct kv_operation){.kind = KV_OPERATION_DELETE, .key = kv_slice_of(key)};
}

static struct kv_operation get(const char *key)
{
   return (struct kv_operation){.kind = KV_OPERATION_GET, .key = kv_slice_of(key)};
}

static struct kv_submission submission(struct fixture *fixture, struct kv_operation *operations,
                                       size_t count)
{
   return (struct kv_submission){.operations = operations,
                                 .count = count,
                                 .batch_end = count,
                                 .arena = &fixture->arena,
                                 .result_max = 100};
}

static void assert_value(const struct kv_operation *operation, const char *expected)
{
   assert_int_equal(operation->code, KV_OK);
   assert_true(operation->found);
   assert_int_equal(operation->value.size, strlen(expected));
   assert_memory_equal(operation->value.data, expected, strlen(expected));
}

static void assert_effect(const kvs_record *record, uint64_t sequence, uint32_t kind,
                          const char *key, uint32_t flags)
{
   assert_int_equal(record->sequence, sequence);
   assert_int_equal(record->kind, kind);
   assert_int_equal(record->flags, flags);
   assert_int_equal(record->expires_at_ms, 0);
   assert_int_equal(record->key.size, strlen(key));
   assert_memory_equal(record->key.data, key, strlen(key));
}

static void operations_see_those_before_them(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {get("old"),     set("old", "2"), get("old"),
                                       delete ("old"), get("old"),      delete ("old")};
   struct kv_submission all = submission(fixture, operations, 6);
   assert_true(evaluate(fixture, &all, no_limit));
   assert_value(&operations[0], "1");
   assert_value(&operations[2], "2");
   assert_true(operations[3].found);
   assert_false(operations[4].found);
   assert_false(operations[5].found);
}

static void only_what_changed_is_an_effect_each_with_a_sequence_of_its_own(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("a", "1"), delete ("none"), get("a"), delete ("old"),
                                       set("b", "")};
   struct kv_submission all = submission(fixture, operations, 5);
   assert_true(evaluate(fixture, &all, no_limit));
   assert_int_equal(fixture->effects.count, 3);
   assert_effect(&fixture->effects.records[0], 11, KVS_SET, "a", 0);
   assert_effect(&fixture->effects.records[1], 12, KVS_DELETE, "old", 0);
   assert_int_equal(fixture->effects.records[1].value.size, 0);
   assert_effect(&fixture->effects.records[2], 13, KVS_SET, "b", 0);
   assert_int_equal(fixture->effects.last_sequence, 13);
}

/* The data are 4 bytes ("old" and "1"); the limit leaves 4 more. */
static void only_what_exceeds_the_memory_limit_is_refused(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("long", "x"), set("k", "12"), delete ("old"),
                                       set("long", "x")};
   struct kv_submission all = submission(fixture, operations, 4);
   kv_prepare(&all);
   assert_true(evaluate(fixture, &all, limit_of(8)));
   assert_int_equal(operations[0].code, KV_RESOURCE_EXHAUSTED); /* 9 of 8 */
   assert_int_equal(operations[1].code, KV_OK);                 /* 7 of 8 */
   assert_int_equal(operations[2].code, KV_OK);                 /* 3 of 8 */
   assert_int_equal(operations[3].code, KV_OK);                 /* 8 of 8 */
   assert_int_equal(fixture->effects.count, 3);
   assert_int_equal(kv_transaction_bytes(fixture->transaction), 8);
}

/* "old" counts 14 of 31 already, so that one key of two bytes fits, and its value may grow by
 * five. */
static void each_key_counts_its_cost_beside_its_bytes(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("k", "1"),       set("l", ""),   set("k", "123456"),
                                       set("k", "1234567"), delete ("old"), set("l", "")};
   struct kv_submission all = submission(fixture, operations, 6);
   const struct kv_data_limit limit = {.bytes = 31, .key_cost = 10};
   assert_true(evaluate(fixture, &all, limit));
   const enum kv_code wanted[] = {KV_OK, KV_RESOURCE_EXHAUSTED, KV_OK, KV_RESOURCE_EXHAUSTED, KV_OK,
                                  KV_OK};
   for (size_t i = 0; i < 6; i++)
      assert_int_equal(operations[i].code, wanted[i]);
}

static void a_value_that_shrinks_fits_even_above_the_limit(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("old", "2"), set("old", "")};
   struct kv_submission all = submission(fixture, operations, 2);
   assert_true(evaluate(fixture, &all, limit_of(1)));
   assert_int_equal(operations[0].code, KV_OK);
   assert_int_equal(operations[1].code, KV_OK);
}

static void gets_are_refused_beyond_the_limit_on_results(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("v", "12345"), get("v"), get("v"), get("old")};
   struct kv_submission all = submission(fixture, operations, 4);
   all.result_max = 6;
   assert_true(evaluate(fixture, &all, no_limit));
   assert_value(&operations[1], "12345");
   assert_int_equal(operations[2].code, KV_RESOURCE_EXHAUSTED);
   assert_value(&operations[3], "1");
}

static void what_is_evaluated_again_has_its_whole_limit_on_results(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("v", "12345"), get("v"), get("none"), get("old")};
   struct kv_submission all = submission(fixture, operations, 4);
   all.result_max = 6;
   for (int i = 0; i < 3; i++) {
      assert_true(evaluate(fixture, &all, no_limit));
      assert_value(&operations[1], "12345");
      assert_value(&operations[3], "1");
      assert_int_equal(all.result_max, 0);
      kv_evaluate_again(&all);
      assert_int_equal(all.result_max, 6);
   }
}

static void a_value_got_outlives_its_being_overwritten(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("k", "first"), get("k"), set("k", "second"),
                                       delete ("k")};
   struct kv_submission all = submission(fixture, operations, 4);
   assert_true(evaluate(fixture, &all, no_limit));
   assert_value(&operations[1], "first");
}

static void what_was_prepared_is_evaluated_alike_or_dropped(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {set("k", "first"), delete ("k"), set("k", "second"),
                                       get("k")};
   struct kv_submission all = submission(fixture, operations, 4);
   kv_prepare(&all);
   kv_drop_prepared(&all);
   kv_prepare(&all);
   assert_true(evaluate(fixture, &all, no_limit));
   assert_true(operations[1].found);
   assert_value(&operations[3], "second");
   assert_int_equal(fixture->effects.count, 3);
   kv_drop_prepared(&all); /* nothing is left of it */
   const struct kv_entry *entry = kv_transaction_find(fixture->transaction, kv_slice_of("k"));
   assert_non_null(entry);
   assert_memory_equal(kv_entry_value(entry).data, "second", 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(operations_see_those_before_them),
       TEST(only_what_changed_is_an_effect_each_with_a_sequence_of_its_own),
       TEST(only_what_exceeds_the_memory_limit_is_refused),
       TEST(each_key_counts_its_cost_beside_its_bytes),
       TEST(a_value_that_shrinks_fits_even_above_the_limit),
       TEST(gets_are_refused_beyond_the_limit_on_results),
       TEST(what_is_evaluated_again_has_its_whole_limit_on_results),
       TEST(a_value_got_outlives_its_being_overwritten),
       TEST(what_was_prepared_is_evaluated_alike_or_dropped),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
