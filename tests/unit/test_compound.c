/* What conditions, expiries, increments, compounds and ranges make of a working version. */
#include "core/commit/compound.h"
#include "core/commit/steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOW 5000
#define BASE 10 /* the sequence of the state that batches build on */

/* An open transaction over a store that holds old=1 (version 7), number=41 (8), and due=x (9),
 * whose time came at 4000. */
struct fixture {
   struct kv_store *store;
   struct kv_transaction *transaction;
   struct kv_effects effects;
   struct kv_arena arena;
   struct kv_data_limit limit;
};

static void put(struct kv_transaction *transaction, const char *key, const char *value,
                int64_t expires_at, uint64_t sequence)
{
   assert_true(
       kv_transaction_set(transaction, kv_slice_of(key), kv_slice_of(value), expires_at, sequence));
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
   put(first, "old", "1", 0, 7);
   put(first, "number", "41", 0, 8);
   put(first, "due", "x", 4000, 9);
   kv_transaction_commit(first, BASE);
   fixture.transaction = kv_store_begin(fixture.store);
   assert_non_null(fixture.transaction);
   kv_effects_init(&fixture.effects);
   kv_effects_reset(&fixture.effects, BASE, false);
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

static struct kv_evaluation evaluation_of(struct fixture *fixture)
{
   return (struct kv_evaluation){.transaction = fixture->transaction,
                                 .effects = &fixture->effects,
                                 .limit = fixture->limit,
                                 .now_ms = NOW,
                                 .offered = KV_DURABILITY_SYNCED};
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

static void evaluate(struct fixture *fixture, struct kv_submission *all)
{
   const struct kv_evaluation evaluation = evaluation_of(fixture);
   assert_true(kv_evaluate(&evaluation, all));
}

static void evaluate_one(struct fixture *fixture, struct kv_operation *operation)
{
   struct kv_submission one = submission(fixture, operation, 1);
   evaluate(fixture, &one);
}

static struct kv_operation operation(enum kv_operation_kind kind, const char *key,
                                     const char *value, const struct kv_terms *terms)
{
   return (struct kv_operation){
       .kind = kind, .key = kv_slice_of(key), .value = kv_slice_of(value), .terms = terms};
}

static struct kv_operation set(const char *key, const char *value, const struct kv_terms *terms)
{
   return operation(KV_OPERATION_SET, key, value, terms);
}

static void assert_slice(struct kv_slice slice, const char *expected)
{
   assert_int_equal(slice.size, strlen(expected));
   assert_memory_equal(slice.data, expected, slice.size);
}

static const struct kv_entry *find(const struct fixture *fixture, const char *key)
{
   return kv_transaction_find(fixture->transaction, kv_slice_of(key));
}

static void assert_entry(const struct fixture *fixture, const char *key, const char *value,
                         uint64_t version, int64_t expires_at)
{
   const struct kv_entry *entry = find(fixture, key);
   assert_non_null(entry);
   assert_slice(kv_entry_value(entry), value);
   assert_int_equal(kv_entry_version(entry), version);
   assert_int_equal(kv_entry_expires_at(entry), expires_at);
}

static void assert_record(const struct fixture *fixture, size_t index, uint32_t kind,
                          const char *key, uint32_t flags)
{
   assert_true(index < fixture->effects.count);
   const kvs_record *record = &fixture->effects.records[index];
   assert_int_equal(record->sequence, BASE + 1 + index);
   assert_int_equal(record->kind, kind);
   assert_int_equal(record->flags, flags);
   assert_slice(kv_slice(record->key.data, record->key.size), key);
}

/* ---- Conditions ---- */

static void a_condition_decides_whether_a_write_happens(void **state)
{
   struct fixture *fixture = *state;
   const struct {
      const char *key;
      struct kv_condition condition;
      bool holds;
   } cases[] = {
       {"old", {.kind = KV_CONDITION_EXISTS}, true},
       {"none", {.kind = KV_CONDITION_EXISTS}, false},
       {"due", {.kind = KV_CONDITION_EXISTS}, false},
       {"old", {.kind = KV_CONDITION_MISSING}, false},
       {"none", {.kind = KV_CONDITION_MISSING}, true},
       {"due", {.kind = KV_CONDITION_MISSING}, true},
       {"old", {.kind = KV_CONDITION_VERSION, .version = 7}, true},
       {"old", {.kind = KV_CONDITION_VERSION, .version = 8}, false},
       {"none", {.kind = KV_CONDITION_VERSION, .version = 0}, true},
       {"due", {.kind = KV_CONDITION_VERSION, .version = 9}, false},
       {"old", {.kind = KV_CONDITION_VALUE, .value = {"1", 1}}, true},
       {"old", {.kind = KV_CONDITION_VALUE, .value = {"2", 1}}, false},
       {"none", {.kind = KV_CONDITION_VALUE, .value = {"", 0}}, false},
   };
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      tear_down(state);
      set_up(state);
      const struct kv_terms terms = {.condition = cases[i].condition};
      struct kv_operation write = set(cases[i].key, "new", &terms);
      evaluate_one(fixture, &write);
      if (cases[i].holds) {
         assert_int_equal(write.code, KV_OK);
         assert_entry(fixture, cases[i].key, "new", write.version, 0);
         continue;
      }
      assert_int_equal(write.code, KV_FAILED_PRECONDITION);
      assert_string_equal(write.reason, KV_REASON_CONDITION_NOT_MET);
      assert_int_equal(write.version, strcmp(cases[i].key, "old") == 0 ? 7 : 0);
      assert_int_equal(fixture->effects.count, 0);
   }
}

static void the_previous_entry_is_returned_when_asked_for(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms terms = {.return_previous = true};
   struct kv_operation operations[] = {set("old", "2", &terms), set("none", "3", &terms),
                                       operation(KV_OPERATION_DELETE, "number", "", &terms),
                                       set("due", "4", &terms)};
   struct kv_submission all = submission(fixture, operations, 4);
   evaluate(fixture, &all);
   assert_slice(operations[0].previous->value, "1");
   assert_int_equal(operations[0].previous->version, 7);
   assert_null(operations[1].previous);
   assert_slice(operations[2].previous->value, "41");
   assert_null(operations[3].previous);
}

static void a_previous_value_without_space_for_it_keeps_the_write_from_happening(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms terms = {.return_previous = true};
   struct kv_operation write = set("number", "2", &terms);
   struct kv_submission one = submission(fixture, &write, 1);
   one.result_max = 1;
   evaluate(fixture, &one);
   assert_int_equal(write.code, KV_RESOURCE_EXHAUSTED);
   assert_string_equal(write.reason, KV_REASON_ANSWER_TOO_LARGE);
   assert_int_equal(fixture->effects.count, 0);
}

/* The last change frees the entry that the one before it has made. */
static void large_values_that_are_replaced_are_kept_and_not_copied(void **state)
{
   struct fixture *fixture = *state;
   static char large[KV_ENTRY_KEEP_MIN];
   memset(large, 'x', sizeof large);
   assert_true(kv_transaction_set(fixture->transaction, kv_slice_of("large"),
                                  kv_slice(large, sizeof large), 0, BASE + 1));
   kv_effects_reset(&fixture->effects, BASE + 1, true);
   const void *stored =
       kv_entry_value(kv_transaction_find(fixture->transaction, kv_slice_of("large"))).data;
   const struct kv_terms terms = {.expiry = {KV_EXPIRY_AT, 9000}};
   struct kv_operation operations[] = {operation(KV_OPERATION_SET_EXPIRY, "large", "", &terms),
                                       operation(KV_OPERATION_DELETE, "large", "", NULL)};
   struct kv_submission all = submission(fixture, operations, 2);
   all.result_max = sizeof large;
   evaluate(fixture, &all);
   const struct kv_effects *effects = &fixture->effects;
   assert_ptr_equal(effects->records[0].value.data, stored);
   assert_ptr_equal(effects->replaced[0].entry.value.data, stored);
   assert_ptr_not_equal(effects->replaced[1].entry.value.data, stored);
   for (size_t i = 0; i < 2; i++) {
      assert_int_equal(effects->replaced[i].entry.value.size, sizeof large);
      assert_memory_equal(effects->replaced[i].entry.value.data, large, sizeof large);
   }
}

/* ---- Increments ---- */

static void an_increment_adds_to_a_decimal_number(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms terms = {.delta = -2, .initial = 10, .expiry = {KV_EXPIRY_KEEP, 0}};
   struct kv_operation operations[] = {operation(KV_OPERATION_INCREMENT, "number", "", &terms),
                                       operation(KV_OPERATION_INCREMENT, "none", "", &terms)};
   struct kv_submission all = submission(fixture, operations, 2);
   evaluate(fixture, &all);
   assert_int_equal(operations[0].number, 39);
   assert_int_equal(operations[1].number, 8);
   assert_entry(fixture, "number", "39", BASE + 1, 0);
   assert_entry(fixture, "none", "8", BASE + 2, 0);
}

static void what_is_no_number_or_would_overflow_is_not_incremented(void **state)
{
   struct fixture *fixture = *state;
   const char *const values[] = {"",
                                 "x",
                                 " 1",
                                 "1 ",
                                 "+1",
                                 "01",
                                 "-0",
                                 "1.5",
                                 "0x1",
                                 "9223372036854775808",
                                 "9223372036854775807",
                                 "99999999999999999999999"};
   for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
      const struct kv_terms terms = {.delta = 1};
      struct kv_operation operations[] = {set("k", values[i], NULL),
                                          operation(KV_OPERATION_INCREMENT, "k", "", &terms)};
      struct kv_submission all = submission(fixture, operations, 2);
      evaluate(fixture, &all);
      assert_int_equal(operations[1].code, KV_FAILED_PRECONDITION);
      assert_string_equal(operations[1].reason, strcmp(values[i], "9223372036854775807") == 0
                                                    ? KV_REASON_INTEGER_OVERFLOW
                                                    : KV_REASON_NOT_AN_INTEGER);
      assert_slice(kv_entry_value(find(fixture, "k")), values[i]);
   }
}

static void a_number_with_something_behind_it_is_none(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms terms = {.delta = 1};
   struct kv_operation operations[] = {set("k", "5", NULL),
                                       operation(KV_OPERATION_INCREMENT, "k", "", &terms)};
   operations[0].value = kv_slice("5\0x", 3);
   struct kv_submission all = submission(fixture, operations, 2);
   evaluate(fixture, &all);
   assert_int_equal(operations[1].code, KV_FAILED_PRECONDITION);
}

/* ---- Expiry ---- */

static void a_write_sets_keeps_or_clears_the_expiry(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms at = {.expiry = {KV_EXPIRY_AT, 9000}},
                         keep = {.expiry = {KV_EXPIRY_KEEP, 0}};
   struct kv_operation first = set("old", "2", &at);
   evaluate_one(fixture, &first);
   assert_entry(fixture, "old", "2", BASE + 1, 9000);
   assert_int_equal(fixture->effects.records[0].expires_at_ms, 9000);
   struct kv_operation second = set("old", "3", &keep);
   evaluate_one(fixture, &second);
   assert_entry(fixture, "old", "3", BASE + 2, 9000);
   struct kv_operation third = set("old", "4", NULL);
   evaluate_one(fixture, &third);
   assert_entry(fixture, "old", "4", BASE + 3, 0);
   struct kv_operation fourth = operation(KV_OPERATION_SET_EXPIRY, "old", "", &at);
   evaluate_one(fixture, &fourth);
   assert_entry(fixture, "old", "4", BASE + 4, 9000);
   struct kv_operation fifth = operation(KV_OPERATION_SET_EXPIRY, "none", "", &at);
   evaluate_one(fixture, &fifth);
   assert_int_equal(fifth.code, KV_NOT_FOUND);
}

static void a_key_whose_time_has_come_is_missing_and_deleted_before_it_is_written(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation got = operation(KV_OPERATION_GET, "due", "", NULL);
   evaluate_one(fixture, &got);
   assert_false(got.found);
   struct kv_operation deleted = operation(KV_OPERATION_DELETE, "due", "", NULL);
   evaluate_one(fixture, &deleted);
   assert_false(deleted.found);
   assert_int_equal(fixture->effects.count, 0);
   struct kv_operation written = set("due", "y", NULL);
   evaluate_one(fixture, &written);
   assert_false(written.found);
   assert_record(fixture, 0, KVS_DELETE, "due", KVS_RECORD_EXPIRED);
   assert_record(fixture, 1, KVS_SET, "due", 0);
   assert_entry(fixture, "due", "y", BASE + 2, 0);
}

static void keys_whose_time_has_come_are_deleted_in_steps(void **state)
{
   struct fixture *fixture = *state;
   char key[16];
   for (int i = 0; i < 5; i++) {
      snprintf(key, sizeof key, "t%d", i);
      put(fixture->transaction, key, "v", NOW - i, BASE + 1);
   }
   put(fixture->transaction, "later", "v", NOW + 1, BASE + 1);
   kv_effects_reset(&fixture->effects, BASE, false);
   const struct kv_evaluation evaluation = evaluation_of(fixture);
   size_t count;
   assert_true(kv_expire_step(&evaluation, 4, &count));
   assert_int_equal(count, 4);
   assert_true(kv_expire_step(&evaluation, 4, &count));
   assert_int_equal(count, 2); /* with "due" */
   assert_true(kv_expire_step(&evaluation, 4, &count));
   assert_int_equal(count, 0);
   assert_int_equal(fixture->effects.count, 6);
   assert_record(fixture, 0, KVS_DELETE, "due", KVS_RECORD_EXPIRED);
   assert_non_null(find(fixture, "later"));
   assert_non_null(find(fixture, "old"));
}

/* Keys that were to expire and got a later time leave nothing behind but the search for them. */
static void a_step_that_looks_in_vain_for_long_leaves_the_rest_to_the_next(void **state)
{
   struct fixture *fixture = *state;
   enum { COUNT = 5000, MAX = 10 };
   static const int64_t times[] = {1, NOW + 1};
   for (size_t i = 0; i < 2; i++) {
      for (unsigned j = 0; j < COUNT; j++) {
         char key[16];
         snprintf(key, sizeof key, "a%u", j);
         put(fixture->transaction, key, "v", times[i], BASE + 1);
      }
   }
   const struct kv_evaluation evaluation = evaluation_of(fixture);
   size_t count = 0;
   unsigned steps = 0;
   for (; count == 0; steps++) {
      assert_true(kv_transaction_expires_first(fixture->transaction) <= NOW);
      assert_true(kv_expire_step(&evaluation, MAX, &count));
   }
   assert_int_equal(count, 1); /* "due" */
   assert_in_range(steps, 10, COUNT);
   assert_null(find(fixture, "due"));
}

/* ---- Compounds ---- */

static void a_compound_carries_out_one_of_its_lists(void **state)
{
   struct fixture *fixture = *state;
   for (int version = 7; version <= 8; version++) {
      tear_down(state);
      set_up(state);
      const struct kv_requirement comparisons[] = {
          {kv_slice_of("number"), {.kind = KV_CONDITION_EXISTS}},
          {kv_slice_of("old"), {.kind = KV_CONDITION_VERSION, .version = (uint64_t)version}}};
      struct kv_operation operations[] = {set("then", "1", NULL), set("then2", "1", NULL),
                                          set("else", "1", NULL)};
      struct kv_compound compound = {
          .comparisons = comparisons, .comparison_count = 2, .otherwise = 2};
      struct kv_submission all = submission(fixture, operations, 3);
      all.compound = &compound;
      evaluate(fixture, &all);
      assert_int_equal(compound.code, KV_OK);
      assert_int_equal(compound.succeeded, version == 7);
      if (version == 7) {
         assert_record(fixture, 0, KVS_SET, "then", KVS_RECORD_JOINED);
         assert_record(fixture, 1, KVS_SET, "then2", 0);
      } else {
         assert_record(fixture, 0, KVS_SET, "else", 0);
      }
      assert_int_equal(compound.version, fixture->effects.last_sequence);
   }
}

static void operations_of_a_compound_see_those_before_them(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms plus = {.delta = 1, .expiry = {KV_EXPIRY_KEEP, 0}},
                         at = {.expiry = {KV_EXPIRY_AT, 9000}},
                         is_second = {.condition = {KV_CONDITION_VERSION, BASE + 2, {NULL, 0}}};
   struct kv_operation operations[] = {
       operation(KV_OPERATION_INCREMENT, "number", "", &plus),
       operation(KV_OPERATION_INCREMENT, "number", "", &plus),
       operation(KV_OPERATION_GET, "number", "", NULL),
       set("number", "7", &is_second),
       operation(KV_OPERATION_SET_EXPIRY, "old", "", &at),
       operation(KV_OPERATION_SET_EXPIRY, "old", "", &at),
       operation(KV_OPERATION_GET, "old", "", NULL),
       operation(KV_OPERATION_DELETE, "old", "", NULL),
       operation(KV_OPERATION_GET, "old", "", NULL),
       set("due", "z", NULL),
   };
   struct kv_compound compound = {.otherwise = 10};
   struct kv_submission all = submission(fixture, operations, 10);
   all.compound = &compound;
   evaluate(fixture, &all);
   assert_int_equal(compound.code, KV_OK);
   assert_int_equal(operations[1].number, 43);
   assert_slice(operations[2].value, "43");
   assert_int_equal(operations[2].version, BASE + 2);
   assert_int_equal(operations[3].version, BASE + 3);
   assert_slice(operations[6].value, "1");
   assert_int_equal(operations[6].expires_at, 9000);
   assert_true(operations[7].found);
   assert_false(operations[8].found);
   assert_record(fixture, 6, KVS_DELETE, "due", KVS_RECORD_EXPIRED | KVS_RECORD_JOINED);
   assert_entry(fixture, "due", "z", BASE + 8, 0);
   assert_entry(fixture, "number", "7", BASE + 3, 0);
   assert_null(find(fixture, "old"));
}

static void a_compound_with_an_operation_that_fails_leaves_no_trace(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms plus = {.delta = 1};
   struct kv_operation other = set("other", "1", NULL);
   evaluate_one(fixture, &other);
   struct kv_operation operations[] = {
       set("a", "1", NULL), operation(KV_OPERATION_DELETE, "old", "", NULL),
       operation(KV_OPERATION_INCREMENT, "a", "", &plus), set("text", "x", NULL),
       operation(KV_OPERATION_INCREMENT, "text", "", &plus)};
   struct kv_compound compound = {.otherwise = 5};
   struct kv_submission all = submission(fixture, operations, 5);
   all.compound = &compound;
   evaluate(fixture, &all);
   assert_int_equal(compound.code, KV_FAILED_PRECONDITION);
   assert_string_equal(compound.reason, KV_REASON_NOT_AN_INTEGER);
   assert_int_equal(compound.failed, 4);
   assert_int_equal(fixture->effects.count, 1);
   assert_null(find(fixture, "a"));
   assert_entry(fixture, "old", "1", 7, 0);
}

/* What its own operations would have made of the key has not happened. */
static void a_condition_that_fails_in_a_compound_tells_the_version_that_the_key_has(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_terms missing = {.condition = {.kind = KV_CONDITION_MISSING}},
                         first = {.condition = {.kind = KV_CONDITION_VERSION, .version = 99}};
   const struct {
      const char *key;
      uint64_t version;
   } cases[] = {{"none", 0}, {"old", 7}, {"due", 0}};
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      for (int j = 0; j < 2; j++) {
         struct kv_operation operations[] = {set(cases[i].key, "mine", NULL),
                                             set(cases[i].key, "x", j == 0 ? &missing : &first)};
         struct kv_compound compound = {.otherwise = 2};
         struct kv_submission all = submission(fixture, operations, 2);
         all.compound = &compound;
         evaluate(fixture, &all);
         assert_string_equal(compound.reason, KV_REASON_CONDITION_NOT_MET);
         assert_int_equal(compound.failed, 1);
         assert_int_equal(operations[1].version, cases[i].version);
         assert_int_equal(operations[1].found, cases[i].version > 0);
      }
   }
   /* Another's, earlier in the same batch, has. */
   struct kv_operation other = set("none", "1", NULL);
   evaluate_one(fixture, &other);
   struct kv_operation again = set("none", "2", &missing);
   struct kv_compound compound = {.otherwise = 1};
   struct kv_submission all = submission(fixture, &again, 1);
   all.compound = &compound;
   evaluate(fixture, &all);
   assert_int_equal(again.version, other.version);
}

static void a_compound_is_joined_but_not_to_what_follows(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation operations[] = {
       set("a", "1", NULL), operation(KV_OPERATION_GET, "a", "", NULL), set("b", "2", NULL),
       operation(KV_OPERATION_DELETE, "old", "", NULL)};
   struct kv_compound compound = {.otherwise = 4};
   struct kv_submission all = submission(fixture, operations, 4);
   all.compound = &compound;
   struct kv_operation later = set("c", "3", NULL);
   evaluate(fixture, &all);
   evaluate_one(fixture, &later);
   assert_int_equal(fixture->effects.count, 4);
   assert_record(fixture, 0, KVS_SET, "a", KVS_RECORD_JOINED);
   assert_record(fixture, 1, KVS_SET, "b", KVS_RECORD_JOINED);
   assert_record(fixture, 2, KVS_DELETE, "old", 0);
   assert_record(fixture, 3, KVS_SET, "c", 0);
}

static void a_compound_is_weighed_as_a_whole(void **state)
{
   struct fixture *fixture = *state;
   const uint64_t bytes = kv_transaction_bytes(fixture->transaction);
   fixture->limit.bytes = bytes + 2;
   struct kv_operation operations[] = {operation(KV_OPERATION_DELETE, "old", "", NULL),
                                       set("k", "12345", NULL)};
   struct kv_compound compound = {.otherwise = 2};
   struct kv_submission all = submission(fixture, operations, 2);
   all.compound = &compound;
   evaluate(fixture, &all); /* -4 + 6 */
   assert_int_equal(compound.code, KV_OK);
   struct kv_operation more[] = {set("l", "1", NULL)};
   struct kv_submission again = submission(fixture, more, 1);
   compound = (struct kv_compound){.otherwise = 1};
   again.compound = &compound;
   evaluate(fixture, &again);
   assert_int_equal(compound.code, KV_RESOURCE_EXHAUSTED);
   assert_string_equal(compound.reason, KV_REASON_MEMORY_FULL);
   assert_null(find(fixture, "l"));
}

static void what_is_not_offered_is_refused_before_anything_happens(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation write = set("k", "1", NULL);
   struct kv_submission one = submission(fixture, &write, 1);
   one.durability = KV_DURABILITY_SYNCED;
   struct kv_evaluation evaluation = evaluation_of(fixture);
   evaluation.offered = KV_DURABILITY_MEMORY;
   assert_true(kv_evaluate(&evaluation, &one));
   assert_int_equal(write.code, KV_FAILED_PRECONDITION);
   assert_string_equal(write.reason, KV_REASON_DURABILITY_NOT_OFFERED);
   assert_int_equal(fixture->effects.count, 0);
}

/* ---- Remembered requests ---- */

static struct kv_slice encode(const struct kv_submission *submission)
{
   char *text = kv_arena_alloc(submission->arena, 32);
   assert_non_null(text);
   int size = snprintf(text, 32, "version %" PRIu64, submission->compound->version);
   return kv_slice(text, (size_t)size);
}

/* Asks for SYNCED, of an instance that offers as much as that says. */
static struct kv_compound send_for(struct fixture *fixture, const char *digest, const char *value,
                                   enum kv_durability offered)
{
   static const char key[] = "\0rid";
   const struct kv_remembered request = {.key = kv_slice(key, sizeof key - 1),
                                         .digest = kv_slice_of(digest),
                                         .expires_at = NOW + 1,
                                         .encode = encode};
   struct kv_operation write = set("old", value, NULL);
   struct kv_compound compound = {.otherwise = 1, .request = &request};
   struct kv_submission one = submission(fixture, &write, 1);
   one.compound = &compound;
   one.durability = KV_DURABILITY_SYNCED;
   struct kv_evaluation evaluation = evaluation_of(fixture);
   evaluation.offered = offered;
   assert_true(kv_evaluate(&evaluation, &one));
   return compound;
}

static struct kv_compound send(struct fixture *fixture, const char *digest, const char *value)
{
   return send_for(fixture, digest, value, KV_DURABILITY_SYNCED);
}

static void a_repeated_request_gets_the_first_answer_and_changes_nothing(void **state)
{
   struct fixture *fixture = *state;
   struct kv_compound first = send(fixture, "digest", "2");
   assert_int_equal(first.code, KV_OK);
   assert_false(first.repeated);
   assert_record(fixture, 0, KVS_SET, "old", KVS_RECORD_JOINED);
   assert_int_equal(fixture->effects.count, 2);
   struct kv_compound again = send(fixture, "digest", "2");
   assert_true(again.repeated);
   assert_slice(again.answer, "version 11");
   struct kv_compound other = send(fixture, "other!", "3");
   assert_int_equal(other.code, KV_INVALID_ARGUMENT);
   assert_string_equal(other.reason, KV_REASON_REQUEST_ID_REUSED);
   assert_int_equal(fixture->effects.count, 2);
   assert_entry(fixture, "old", "2", BASE + 1, 0);
}

static void a_repetition_is_answered_where_the_durability_is_not_offered_any_more(void **state)
{
   struct fixture *fixture = *state;
   const struct kv_compound refused = send_for(fixture, "digest", "2", KV_DURABILITY_MEMORY);
   assert_string_equal(refused.reason, KV_REASON_DURABILITY_NOT_OFFERED);
   assert_false(send(fixture, "digest", "2").repeated);
   const struct kv_compound again = send_for(fixture, "digest", "2", KV_DURABILITY_MEMORY);
   assert_int_equal(again.code, KV_OK);
   assert_true(again.repeated);
   assert_slice(again.answer, "version 11");
   const struct kv_compound other = send_for(fixture, "other!", "3", KV_DURABILITY_MEMORY);
   assert_string_equal(other.reason, KV_REASON_REQUEST_ID_REUSED);
   assert_int_equal(fixture->effects.count, 2);
}

/* ---- Ranges ---- */

static void a_step_that_is_refused_counts_no_key(void **state)
{
   struct fixture *fixture = *state;
   struct kv_operation range = operation(KV_OPERATION_DELETE_RANGE, "", "", NULL);
   struct kv_submission one = submission(fixture, &range, 1);
   one.durability = KV_DURABILITY_SYNCED;
   evaluate(fixture, &one);
   assert_int_equal(one.step_count, 2); /* and one whose time has come */
   struct kv_evaluation evaluation = evaluation_of(fixture);
   evaluation.offered = KV_DURABILITY_MEMORY;
   assert_true(kv_evaluate(&evaluation, &one));
   assert_string_equal(range.reason, KV_REASON_DURABILITY_NOT_OFFERED);
   assert_int_equal(one.step_count, 0);
}

static void a_step_of_a_range_is_shorter_where_its_values_are_kept(void **state)
{
   struct fixture *fixture = *state;
   static char value[60000];
   enum { COUNT = 100, MOST = 32 /* of some MiB */ };
   for (unsigned i = 0; i < COUNT; i++) {
      char key[16];
      snprintf(key, sizeof key, "r%u", i);
      assert_true(kv_transaction_set(fixture->transaction, kv_slice_of(key),
                                     kv_slice(value, sizeof value), 0, BASE + 1));
   }
   kv_effects_reset(&fixture->effects, BASE, true);
   struct kv_operation range = operation(KV_OPERATION_DELETE_RANGE, "r", "s", NULL);
   evaluate_one(fixture, &range);
   assert_in_range(fixture->effects.count, 1, MOST);
}

static void a_range_is_deleted_in_steps_of_one_unit_each(void **state)
{
   struct fixture *fixture = *state;
   char key[16];
   for (int i = 0; i < 2500; i++) {
      snprintf(key, sizeof key, "r%04d", i);
      put(fixture->transaction, key, "v", 0, BASE + 1);
   }
   put(fixture->transaction, "r0001", "v", NOW, BASE + 1); /* its time has come */
   struct kv_operation range = operation(KV_OPERATION_DELETE_RANGE, "r", "s", NULL);
   struct kv_submission one = submission(fixture, &range, 1);
   int64_t deleted = 0;
   int steps = 0;
   do {
      kv_effects_reset(&fixture->effects, BASE, false);
      one.unfinished = false;
      evaluate(fixture, &one);
      deleted += one.step_count;
      range.key = one.unfinished ? one.next_key : range.key;
      const size_t count = fixture->effects.count;
      assert_true(count > 0 && count <= 1000);
      for (size_t i = 0; i < count; i++)
         assert_int_equal(fixture->effects.records[i].flags & KVS_RECORD_JOINED,
                          i + 1 < count ? KVS_RECORD_JOINED : 0);
      steps++;
   } while (one.unfinished);
   assert_int_equal(steps, 3);
   assert_int_equal(deleted, 2499);
   assert_int_equal(kv_transaction_count(fixture->transaction), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_condition_decides_whether_a_write_happens),
       TEST(the_previous_entry_is_returned_when_asked_for),
       TEST(large_values_that_are_replaced_are_kept_and_not_copied),
       TEST(a_previous_value_without_space_for_it_keeps_the_write_from_happening),
       TEST(an_increment_adds_to_a_decimal_number),
       TEST(what_is_no_number_or_would_overflow_is_not_incremented),
       TEST(a_number_with_something_behind_it_is_none),
       TEST(a_write_sets_keeps_or_clears_the_expiry),
       TEST(a_key_whose_time_has_come_is_missing_and_deleted_before_it_is_written),
       TEST(keys_whose_time_has_come_are_deleted_in_steps),
       TEST(a_compound_carries_out_one_of_its_lists),
       TEST(operations_of_a_compound_see_those_before_them),
       TEST(a_compound_with_an_operation_that_fails_leaves_no_trace),
       TEST(a_condition_that_fails_in_a_compound_tells_the_version_that_the_key_has),
       TEST(a_compound_is_joined_but_not_to_what_follows),
       TEST(a_compound_is_weighed_as_a_whole),
       TEST(what_is_not_offered_is_refused_before_anything_happens),
       TEST(a_repeated_request_gets_the_first_answer_and_changes_nothing),
       TEST(a_repetition_is_answered_where_the_durability_is_not_offered_any_more),
       TEST(a_step_that_looks_in_vain_for_long_leaves_the_rest_to_the_next),
       TEST(a_step_that_is_refused_counts_no_key),
       TEST(a_range_is_deleted_in_steps_of_one_unit_each),
       TEST(a_step_of_a_range_is_shorter_where_its_values_are_kept),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
