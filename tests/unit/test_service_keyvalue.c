/* Get, Set, Delete, Increment and SetExpiry of kvstore.v1: what each answers, and how it
 * refuses. */
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

static const char large[SERVICE_VALUE_MAX + 1] = "large";
static const char long_key[KV_KEY_SIZE_MAX + 1] = {[0 ... KV_KEY_SIZE_MAX] = 'k'};

#define NOW KEYVALUE_NOW
#define HOUR KEYVALUE_HOUR

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
   return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)(uintptr_t)data};
}

static void release(void *reply)
{
   protobuf_c_message_free_unpacked(reply, NULL);
}

/* ---- What is stored and read ---- */

static void each_write_has_the_next_version_and_get_shows_it(void **state)
{
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
   const uint64_t first = keyvalue_put(*state, "k", "one");
   assert_true(first > 0);
   keyvalue_assert_entry(*state, "k", "one", first, 0);
   const uint64_t second = keyvalue_put(*state, "k", "");
   assert_true(second > first);
   keyvalue_assert_entry(*state, "k", "", second, 0);
   assert_true(keyvalue_put(*state, "other", "x") > second);
   keyvalue_assert_entry(*state, "k", "", second, 0);
}

static void the_frozen_service_and_this_one_hold_the_same_data(void **state)
{
   service_set(*state, "old", "1");
   const uint64_t version = keyvalue_put(*state, "new", "2");
   keyvalue_assert_entry(*state, "old", "1", version - 1, 0);
   service_assert_value(*state, "new", "2");
   assert_true(service_del(*state, "new"));
   keyvalue_assert_entry(*state, "new", NULL, 0, 0);
}

static void a_get_may_leave_out_the_value(void **state)
{
   const Kvstore__V1__SetRequest set = {
       .base = PROTOBUF_C_MESSAGE_INIT(&kvstore__v1__set_request__descriptor),
       .key = service_text("k"),
       .value = bytes(large, SERVICE_VALUE_MAX)};
   release(keyvalue_set(*state, &set));
   Kvstore__V1__GetRequest get = keyvalue_get_of("k");
   Kvstore__V1__GetResponse *reply = keyvalue_get(*state, &get);
   assert_int_equal(reply->entry->value.len, SERVICE_VALUE_MAX);
   assert_memory_equal(reply->entry->value.data, large, SERVICE_VALUE_MAX);
   assert_int_equal(reply->entry->omitted_value_size, 0);
   release(reply);
   get.omit_value = true;
   reply = keyvalue_get(*state, &get);
   assert_int_equal(reply->entry->value.len, 0);
   assert_int_equal(reply->entry->omitted_value_size, SERVICE_VALUE_MAX);
   assert_true(reply->entry->version > 0);
   release(reply);
   get.key = service_text("missing");
   reply = keyvalue_get(*state, &get);
   assert_null(reply->entry);
   release(reply);
}

static void a_deletion_says_whether_the_key_was_there_and_its_version(void **state)
{
   const Kvstore__V1__DeleteRequest request = keyvalue_delete_of("k");
   Kvstore__V1__DeleteResponse *reply = keyvalue_delete(*state, &request);
   assert_false(reply->deleted);
   assert_int_equal(reply->version, 0);
   release(reply);
   const uint64_t version = keyvalue_put(*state, "k", "v");
   reply = keyvalue_delete(*state, &request);
   assert_true(reply->deleted);
   assert_int_equal(reply->version, version + 1);
   assert_null(reply->previous);
   release(reply);
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
}

static void what_a_write_replaces_is_returned_on_request(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "one");
   set.expiry = &expiry;
   set.return_previous = true;
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   const uint64_t first = reply->version;
   assert_null(reply->previous);
   release(reply);
   set.expiry = NULL;
   set.value = service_text("");
   reply = keyvalue_set(*state, &set);
   const uint64_t second = reply->version;
   keyvalue_assert_is(reply->previous, "one", first, NOW + HOUR);
   release(reply);
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   delete.return_previous = true;
   Kvstore__V1__DeleteResponse *deleted = keyvalue_delete(*state, &delete);
   keyvalue_assert_is(deleted->previous, "", second, 0);
   release(deleted);
   deleted = keyvalue_delete(*state, &delete);
   assert_null(deleted->previous);
   release(deleted);
}

/* ---- Increment ---- */

static void increment(const struct service_fixture *fixture, const char *key, int64_t delta,
                      int64_t initial, int64_t expected)
{
   Kvstore__V1__IncrementRequest request = keyvalue_increment_of(key, delta);
   request.initial = initial;
   Kvstore__V1__IncrementResponse *reply = keyvalue_increment(fixture, &request);
   assert_true(reply->value == expected);
   char text[32];
   snprintf(text, sizeof text, "%lld", (long long)expected);
   keyvalue_assert_entry(fixture, key, text, reply->version, 0);
   release(reply);
}

static void an_increment_returns_the_sum_and_stores_it_in_decimal(void **state)
{
   increment(*state, "n", 5, 0, 5);
   increment(*state, "n", -7, 100, -2);
   increment(*state, "n", 2, 0, 0);
   increment(*state, "n", 0, 0, 0);
   increment(*state, "from", 1, 41, 42);
   increment(*state, "max", 0, INT64_MAX, INT64_MAX);
   increment(*state, "max", INT64_MIN, 0, -1);
   increment(*state, "max", -INT64_MAX, 0, INT64_MIN);
}

static void what_cannot_be_incremented_is_refused_with_a_reason(void **state)
{
   static const char *const values[] = {
       "", "x", "1x", " 1", "+1", "01", "-0", "1.0", "9223372036854775808"};
   for (size_t i = 0; i < COUNT(values); i++) {
      const uint64_t version = keyvalue_put(*state, "k", values[i]);
      const Kvstore__V1__IncrementRequest request = keyvalue_increment_of("k", 1);
      service_refused_for(*state, KEYVALUE("Increment"), &request.base, KV_FAILED_PRECONDITION,
                          "NOT_AN_INTEGER", NULL, "key: ", "64 bits", NULL);
      keyvalue_assert_entry(*state, "k", values[i], version, 0);
   }
   keyvalue_put(*state, "k", "9223372036854775807");
   const Kvstore__V1__IncrementRequest request = keyvalue_increment_of("k", 1);
   service_refused_for(*state, KEYVALUE("Increment"), &request.base, KV_FAILED_PRECONDITION,
                       "INTEGER_OVERFLOW", NULL, "delta: 1 ", NULL);
}

static void an_increment_keeps_the_expiry_unless_it_has_one_of_its_own(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(HOUR);
   Kvstore__V1__IncrementRequest request = keyvalue_increment_of("n", 1);
   request.expiry = &expiry;
   Kvstore__V1__IncrementResponse *reply = keyvalue_increment(*state, &request);
   keyvalue_assert_entry(*state, "n", "1", reply->version, NOW + HOUR);
   release(reply);
   keyvalue_advance(1000);
   request.expiry = NULL;
   reply = keyvalue_increment(*state, &request);
   keyvalue_assert_entry(*state, "n", "2", reply->version, NOW + HOUR);
   release(reply);
   request.expiry = &expiry;
   reply = keyvalue_increment(*state, &request);
   keyvalue_assert_entry(*state, "n", "3", reply->version, NOW + HOUR + 1000);
   release(reply);
}

/* ---- Expiry ---- */

static void a_set_sets_keeps_or_clears_the_expiry(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_expires_at(NOW + HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.expiry = &expiry;
   const struct {
      Kvstore__V1__Expiry expiry;
      int64_t expected;
   } steps[] = {{keyvalue_expires_at(NOW + HOUR), NOW + HOUR},
                {keyvalue_keep(true), NOW + HOUR},
                {keyvalue_ttl(1), NOW + 1},
                {keyvalue_ttl(KV_EXPIRES_AT_MAX), KV_EXPIRES_AT_MAX},
                {keyvalue_expires_at(KV_EXPIRES_AT_MAX), KV_EXPIRES_AT_MAX}};
   for (size_t i = 0; i < COUNT(steps); i++) {
      expiry = steps[i].expiry;
      Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
      keyvalue_assert_entry(*state, "k", "v", reply->version, steps[i].expected);
      release(reply);
   }
   keyvalue_assert_entry(*state, "k", "w", keyvalue_put(*state, "k", "w"), 0);
   expiry = keyvalue_keep(true);
   set.key = service_text("fresh");
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   keyvalue_assert_entry(*state, "fresh", "v", reply->version, 0);
   release(reply);
}

static void the_frozen_set_clears_the_expiry(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.expiry = &expiry;
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   service_set(*state, "k", "w");
   keyvalue_assert_entry(*state, "k", "w", reply->version + 1, 0);
   release(reply);
}

static void the_expiry_of_a_key_is_set_and_cleared_as_a_change_of_its_own(void **state)
{
   const uint64_t version = keyvalue_put(*state, "k", "v");
   Kvstore__V1__Expiry expiry = keyvalue_ttl(HOUR);
   Kvstore__V1__SetExpiryRequest request = keyvalue_set_expiry_of("k", &expiry);
   Kvstore__V1__SetExpiryResponse *reply = keyvalue_set_expiry(*state, &request);
   assert_int_equal(reply->version, version + 1);
   release(reply);
   keyvalue_assert_entry(*state, "k", "v", version + 1, NOW + HOUR);
   request.expiry = NULL;
   release(keyvalue_set_expiry(*state, &request));
   keyvalue_assert_entry(*state, "k", "v", version + 2, 0);
   request.key = service_text("missing");
   service_refused_for(*state, KEYVALUE("SetExpiry"), &request.base, KV_NOT_FOUND, "KEY_NOT_FOUND",
                       NULL, "key: ", NULL);
}

static void a_key_is_in_no_answer_from_the_millisecond_on_that_it_expires(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.expiry = &expiry;
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   keyvalue_advance(HOUR - 1);
   keyvalue_assert_entry(*state, "k", "v", reply->version, NOW + HOUR);
   service_assert_value(*state, "k", "v");
   keyvalue_advance(1);
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
   service_assert_value(*state, "k", NULL);
   release(reply);
}

static void a_write_takes_a_key_that_has_expired_as_missing(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_expires_at(1); /* long past */
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "7");
   set.expiry = &expiry;
   for (int i = 0; i < 2; i++) {
      release(keyvalue_set(*state, &set));
      keyvalue_assert_entry(*state, "k", NULL, 0, 0);
   }
   const Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   Kvstore__V1__DeleteResponse *deleted = keyvalue_delete(*state, &delete);
   assert_false(deleted->deleted);
   release(deleted);
   release(keyvalue_set(*state, &set));
   assert_false(service_del(*state, "k"));
   release(keyvalue_set(*state, &set));
   increment(*state, "k", 1, 10, 11);
}

/* ---- Conditions ---- */

/* Of a Set of "k"; with `metadata` it must be refused. */
static void set_if(const struct service_fixture *fixture, Kvstore__V1__Condition condition,
                   const char *metadata, const char *part)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "secret");
   set.condition = &condition;
   if (metadata)
      service_refused_for(fixture, KEYVALUE("Set"), &set.base, KV_FAILED_PRECONDITION,
                          "CONDITION_NOT_MET", metadata, part, NULL);
   else
      release(keyvalue_set(fixture, &set));
}

static void a_set_happens_only_when_its_condition_holds(void **state)
{
   char metadata[64], part[64];
   set_if(*state, keyvalue_exists(true), "current_version=0",
          "condition.exists: the key is missing");
   set_if(*state, keyvalue_version(7), "current_version=0", "condition.version: 7 was asked for");
   set_if(*state, keyvalue_value(""), "current_version=0", "condition.value: ");
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
   set_if(*state, keyvalue_exists(false), NULL, NULL);
   const uint64_t version = keyvalue_put(*state, "k", "one");
   snprintf(metadata, sizeof metadata, "current_version=%llu", (unsigned long long)version);
   snprintf(part, sizeof part, "version %llu", (unsigned long long)version);
   set_if(*state, keyvalue_exists(false), metadata, part);
   set_if(*state, keyvalue_version(0), metadata, part);
   set_if(*state, keyvalue_version(version + 1), metadata, part);
   set_if(*state, keyvalue_value("on"), metadata, part);
   keyvalue_assert_entry(*state, "k", "one", version, 0);
   set_if(*state, keyvalue_version(version), NULL, NULL);
   set_if(*state, keyvalue_value("secret"), NULL, NULL);
   set_if(*state, keyvalue_exists(true), NULL, NULL);
   keyvalue_assert_entry(*state, "k", "secret", version + 3, 0);
}

static void deletions_and_expiries_have_conditions_too(void **state)
{
   const uint64_t version = keyvalue_put(*state, "k", "v");
   char metadata[64];
   snprintf(metadata, sizeof metadata, "current_version=%llu", (unsigned long long)version);
   Kvstore__V1__Condition condition = keyvalue_version(version + 1);
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("k");
   delete.condition = &condition;
   service_refused_for(*state, KEYVALUE("Delete"), &delete.base, KV_FAILED_PRECONDITION,
                       "CONDITION_NOT_MET", metadata, "condition.version", NULL);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("k", NULL);
   expire.condition = &condition;
   service_refused_for(*state, KEYVALUE("SetExpiry"), &expire.base, KV_FAILED_PRECONDITION,
                       "CONDITION_NOT_MET", metadata, "condition.version", NULL);
   condition = keyvalue_version(version);
   release(keyvalue_set_expiry(*state, &expire));
   condition = keyvalue_value("v");
   release(keyvalue_delete(*state, &delete));
   condition = keyvalue_exists(true);
   service_refused_for(*state, KEYVALUE("Delete"), &delete.base, KV_FAILED_PRECONDITION,
                       "CONDITION_NOT_MET", "current_version=0", "the key is missing", NULL);
   condition = keyvalue_exists(false);
   Kvstore__V1__DeleteResponse *reply = keyvalue_delete(*state, &delete);
   assert_false(reply->deleted);
   release(reply);
}

static void a_key_that_has_expired_meets_the_conditions_of_a_missing_one(void **state)
{
   Kvstore__V1__Expiry expiry = keyvalue_ttl(HOUR);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.expiry = &expiry;
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   keyvalue_advance(HOUR);
   set_if(*state, keyvalue_exists(true), "current_version=0", "missing");
   set_if(*state, keyvalue_version(reply->version), "current_version=0", "missing");
   set_if(*state, keyvalue_exists(false), NULL, NULL);
   release(reply);
}

static void texts_of_conditions_that_are_not_met_show_no_value(void **state)
{
   keyvalue_put(*state, "k", "secret");
   Kvstore__V1__Condition condition = keyvalue_value("guess");
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "intended");
   set.condition = &condition;
   struct fake_answer answer;
   service_run(*state, KEYVALUE("Set"), &set.base, NULL, &answer);
   assert_int_equal(answer.code, KV_FAILED_PRECONDITION);
   static const char *const values[] = {"secret", "guess", "intended"};
   for (size_t i = 0; i < COUNT(values); i++)
      assert_null(strstr(answer.text, values[i]));
   fake_answer_deinit(&answer);
}

/* ---- What requests must be ---- */

static void refuse_field(const struct service_fixture *fixture, const char *name,
                         const ProtobufCMessage *request, const char *part, const char *other_part)
{
   service_refused_for(fixture, name, request, KV_INVALID_ARGUMENT, KV_FIELD_INVALID, NULL, part,
                       other_part, NULL);
}

static void a_key_that_is_none_is_refused_by_each_method(void **state)
{
   const ProtobufCBinaryData keys[] = {service_text(""), bytes(long_key, sizeof long_key),
                                       bytes("a\0b", 3), bytes("\0r", 2), service_text("\xc0\xaf")};
   const char *const parts[][2] = {{"key: is empty", "1 to 65536 bytes"},
                                   {"key: 65537 bytes given", "at most 65536"},
                                   {"key: byte 0x00 at offset 1", "UTF-8 without NUL"},
                                   {"key: byte 0x00 at offset 0", "UTF-8 without NUL"},
                                   {"key: byte 0xc0 at offset 0", "UTF-8 without NUL"}};
   Kvstore__V1__GetRequest get = keyvalue_get_of("");
   Kvstore__V1__SetRequest set = keyvalue_set_of("", "v");
   Kvstore__V1__DeleteRequest delete = keyvalue_delete_of("");
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("", 1);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("", NULL);
   for (size_t i = 0; i < COUNT(keys); i++) {
      get.key = set.key = delete.key = increment.key = expire.key = keys[i];
      refuse_field(*state, KEYVALUE("Get"), &get.base, parts[i][0], parts[i][1]);
      refuse_field(*state, KEYVALUE("Set"), &set.base, parts[i][0], parts[i][1]);
      refuse_field(*state, KEYVALUE("Delete"), &delete.base, parts[i][0], parts[i][1]);
      refuse_field(*state, KEYVALUE("Increment"), &increment.base, parts[i][0], parts[i][1]);
      refuse_field(*state, KEYVALUE("SetExpiry"), &expire.base, parts[i][0], parts[i][1]);
   }
}

static void a_value_above_the_limit_is_refused(void **state)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   set.value = bytes(large, sizeof large);
   service_refused_for(*state, KEYVALUE("Set"), &set.base, KV_INVALID_ARGUMENT, KV_VALUE_TOO_LARGE,
                       NULL, "value: 204801 bytes given, at most 204800", "max-value-size", NULL);
}

static void a_time_out_of_bounds_is_refused_with_the_bounds(void **state)
{
   const struct {
      Kvstore__V1__Expiry expiry;
      const char *part;
   } cases[] = {{keyvalue_ttl(0), "expiry.ttl_ms: 0 given"},
                {keyvalue_ttl(-1), "expiry.ttl_ms: -1 given"},
                {keyvalue_ttl(KV_EXPIRES_AT_MAX + 1), "expiry.ttl_ms: 100000000000001 given"},
                {keyvalue_expires_at(0), "expiry.expire_time_ms: 0 given"},
                {keyvalue_expires_at(INT64_MIN), "expiry.expire_time_ms: -9223372036854775808"},
                {keyvalue_expires_at(KV_EXPIRES_AT_MAX + 1), "expiry.expire_time_ms: 10000000"}};
   Kvstore__V1__Expiry expiry;
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   Kvstore__V1__IncrementRequest increment = keyvalue_increment_of("k", 1);
   Kvstore__V1__SetExpiryRequest expire = keyvalue_set_expiry_of("k", &expiry);
   set.expiry = increment.expiry = &expiry;
   for (size_t i = 0; i < COUNT(cases); i++) {
      expiry = cases[i].expiry;
      refuse_field(*state, KEYVALUE("Set"), &set.base, cases[i].part, "1 to 100000000000000");
      refuse_field(*state, KEYVALUE("Increment"), &increment.base, cases[i].part, "milliseconds");
      refuse_field(*state, KEYVALUE("SetExpiry"), &expire.base, cases[i].part, "milliseconds");
   }
   keyvalue_assert_entry(*state, "k", NULL, 0, 0);
}

static void an_expiry_or_a_condition_must_say_something(void **state)
{
   Kvstore__V1__Expiry expiry = KVSTORE__V1__EXPIRY__INIT;
   Kvstore__V1__Condition condition = KVSTORE__V1__CONDITION__INIT;
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.expiry = &expiry;
   refuse_field(*state, KEYVALUE("Set"), &set.base, "expiry: holds no time", "ttl_ms");
   expiry = keyvalue_keep(false);
   refuse_field(*state, KEYVALUE("Set"), &set.base, "expiry.keep: is false", "leave out");
   set.expiry = NULL;
   set.condition = &condition;
   refuse_field(*state, KEYVALUE("Set"), &set.base, "condition: holds none", "exists");
}

/* ---- Durability ---- */

static void what_a_mode_without_a_disk_cannot_do_is_refused(void **state)
{
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   set.durability = KVSTORE__V1__DURABILITY__DURABILITY_MEMORY;
   Kvstore__V1__SetResponse *reply = keyvalue_set(*state, &set);
   assert_int_equal(reply->durability, KVSTORE__V1__DURABILITY__DURABILITY_MEMORY);
   const uint64_t version = reply->version;
   release(reply);
   static const struct {
      Kvstore__V1__Durability asked;
      const char *name;
   } levels[] = {{KVSTORE__V1__DURABILITY__DURABILITY_WRITTEN, "durability: WRITTEN"},
                 {KVSTORE__V1__DURABILITY__DURABILITY_SYNCED, "durability: SYNCED"}};
   for (size_t i = 0; i < COUNT(levels); i++) {
      set.durability = levels[i].asked;
      service_refused_for(*state, KEYVALUE("Set"), &set.base, KV_FAILED_PRECONDITION,
                          "DURABILITY_NOT_OFFERED", NULL, levels[i].name, NULL);
   }
   keyvalue_assert_entry(*state, "k", "v", version, 0);
   set.durability = 4;
   refuse_field(*state, KEYVALUE("Set"), &set.base, "durability: 4 given", "0 to 3");
   set.durability = -1;
   refuse_field(*state, KEYVALUE("Set"), &set.base, "durability: -1 given", "0 to 3");
}

/* The plug-in syncs only what it is asked to sync. */
static void a_log_syncs_a_write_that_asks_for_it(void **state)
{
   (void)state;
   const struct kv_mode_option options[] = {{"fsync", "no"}};
   const struct service_setup setup = {.mode = "aof", .options = options, .option_count = 1};
   struct service_fixture *fixture = service_fixture_create(&setup);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "v");
   for (int asked = KVSTORE__V1__DURABILITY__DURABILITY_UNSPECIFIED;
        asked <= KVSTORE__V1__DURABILITY__DURABILITY_SYNCED; asked++) {
      set.durability = (Kvstore__V1__Durability)asked;
      Kvstore__V1__SetResponse *reply = keyvalue_set(fixture, &set);
      assert_int_equal(reply->durability, asked == KVSTORE__V1__DURABILITY__DURABILITY_SYNCED
                                              ? KVSTORE__V1__DURABILITY__DURABILITY_SYNCED
                                              : KVSTORE__V1__DURABILITY__DURABILITY_WRITTEN);
      release(reply);
   }
   service_fixture_destroy(fixture);
}

/* ---- Memory ---- */

static void a_write_above_the_memory_limit_is_refused_by_both_services(void **state)
{
   (void)state;
   const struct service_setup setup = {.memory_max = 1000};
   struct service_fixture *fixture = service_fixture_create(&setup);
   Kvstore__V1__SetRequest set = keyvalue_set_of("k", "");
   set.value = bytes(large, 2000);
   service_refused_for(fixture, KEYVALUE("Set"), &set.base, KV_RESOURCE_EXHAUSTED, "MEMORY_FULL",
                       NULL, "1000 bytes", "max-memory", NULL);
   Kvstore__SetRequest old = KVSTORE__SET_REQUEST__INIT;
   old.key = set.key;
   old.value = set.value;
   service_refused_for(fixture, "Set", &old.base, KV_RESOURCE_EXHAUSTED, "MEMORY_FULL", NULL,
                       "1000 bytes", "max-memory", NULL);
   keyvalue_assert_entry(fixture, "k", NULL, 0, 0);
   service_fixture_destroy(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, keyvalue_set_up, service_fixture_tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(each_write_has_the_next_version_and_get_shows_it),
       TEST(the_frozen_service_and_this_one_hold_the_same_data),
       TEST(a_get_may_leave_out_the_value),
       TEST(a_deletion_says_whether_the_key_was_there_and_its_version),
       TEST(what_a_write_replaces_is_returned_on_request),
       TEST(an_increment_returns_the_sum_and_stores_it_in_decimal),
       TEST(what_cannot_be_incremented_is_refused_with_a_reason),
       TEST(an_increment_keeps_the_expiry_unless_it_has_one_of_its_own),
       TEST(a_set_sets_keeps_or_clears_the_expiry),
       TEST(the_frozen_set_clears_the_expiry),
       TEST(the_expiry_of_a_key_is_set_and_cleared_as_a_change_of_its_own),
       TEST(a_key_is_in_no_answer_from_the_millisecond_on_that_it_expires),
       TEST(a_write_takes_a_key_that_has_expired_as_missing),
       TEST(a_set_happens_only_when_its_condition_holds),
       TEST(deletions_and_expiries_have_conditions_too),
       TEST(a_key_that_has_expired_meets_the_conditions_of_a_missing_one),
       TEST(texts_of_conditions_that_are_not_met_show_no_value),
       TEST(a_key_that_is_none_is_refused_by_each_method),
       TEST(a_value_above_the_limit_is_refused),
       TEST(a_time_out_of_bounds_is_refused_with_the_bounds),
       TEST(an_expiry_or_a_condition_must_say_something),
       TEST(what_a_mode_without_a_disk_cannot_do_is_refused),
       cmocka_unit_test(a_log_syncs_a_write_that_asks_for_it),
       cmocka_unit_test(a_write_above_the_memory_limit_is_refused_by_both_services),
   };
   return cmocka_run_group_tests_name("service keyvalue", tests, NULL, NULL);
}
