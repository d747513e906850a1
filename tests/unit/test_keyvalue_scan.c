/* Scan of kvstore.v1 over a store of its own and without a wire: what it shows, and how. */
#include "core/service/service.h"
#include "core/store/store.h"
#include "core/support/clock.h"
#include "tests/support/fake_rpc.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "kvstore/v1/key_value.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS
#define COUNT KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_COUNT

#define MESSAGE_MAX ((size_t)256 * 1024 + 16) /* beside its entries, a message has its version */

static size_t held_views;

struct kv_store_view *__real_kv_store_view_create(struct kv_store *store);
struct kv_store_view *__wrap_kv_store_view_create(struct kv_store *store);
struct kv_store_view *__wrap_kv_store_view_create(struct kv_store *store)
{
   held_views++;
   return __real_kv_store_view_create(store);
}

void __real_kv_store_view_destroy(struct kv_store_view *view);
void __wrap_kv_store_view_destroy(struct kv_store_view *view);
void __wrap_kv_store_view_destroy(struct kv_store_view *view)
{
   held_views--;
   __real_kv_store_view_destroy(view);
}

struct fixture {
   struct kv_store *store;
   struct kv_service *service;
   struct kv_rpc_method methods[KV_SERVICE_METHODS_MAX];
   struct kv_observers observers;
   const struct kv_rpc_method *scan;
   uint8_t store_id[16];
   struct kv_transaction *transaction;
   uint64_t sequence;
};

static int set_up(void **state)
{
   struct fixture *fixture = calloc(1, sizeof *fixture);
   struct kv_status status;
   assert_non_null(fixture);
   held_views = 0;
   fixture->store = kv_store_create();
   assert_int_equal(kv_observers_init(&fixture->observers, 0, 1, &status), KV_OK);
   const struct kv_service_config config = {.store = fixture->store,
                                            .workers = 1,
                                            .value_size_max = 1 << 20,
                                            .message_size_max = 1 << 20,
                                            .store_id = fixture->store_id,
                                            .observers = &fixture->observers};
   fixture->service = kv_service_create(&config, &status);
   assert_non_null(fixture->service);
   kv_service_set_loaded(fixture->service);
   size_t count = kv_service_methods(fixture->service, fixture->methods);
   for (size_t i = 0; i < count; i++)
      if (strcmp(fixture->methods[i].path, "/kvstore.v1.KeyValueService/Scan") == 0)
         fixture->scan = &fixture->methods[i];
   assert_non_null(fixture->scan);
   *state = fixture;
   return 0;
}

static int tear_down(void **state)
{
   struct fixture *fixture = *state;
   assert_int_equal(held_views, 0);
   kv_service_destroy(fixture->service);
   kv_observers_deinit(&fixture->observers);
   kv_store_destroy(fixture->store);
   free(fixture);
   return 0;
}

/* ---- Data ---- */

static void put(struct fixture *fixture, struct kv_slice key, size_t value_size, int64_t expires_at)
{
   char *value = malloc(value_size + 1);
   assert_non_null(value);
   memset(value, 'v', value_size);
   if (!fixture->transaction)
      fixture->transaction = kv_store_begin(fixture->store);
   assert_true(kv_transaction_set(fixture->transaction, key, kv_slice(value, value_size),
                                  expires_at, ++fixture->sequence));
   free(value);
}

static void publish(struct fixture *fixture)
{
   kv_transaction_commit(fixture->transaction, fixture->sequence);
   fixture->transaction = NULL;
}

/* The keys 000000, 000001, ... */
static void fill(struct fixture *fixture, unsigned count, size_t size, int64_t expires_at)
{
   for (unsigned i = 0; i < count; i++) {
      char key[16];
      snprintf(key, sizeof key, "%06u", i);
      put(fixture, kv_slice_of(key), size, expires_at);
   }
}

/* ---- Calls ---- */

typedef Kvstore__V1__ScanRequest request_type;

static ProtobufCBinaryData text(const char *text)
{
   return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

static void run(struct fixture *fixture, const request_type *request, struct fake_answer *answer)
{
   size_t size = kvstore__v1__scan_request__get_packed_size(request);
   uint8_t *bytes = malloc(size + 1);
   assert_non_null(bytes);
   kvstore__v1__scan_request__pack(request, bytes);
   fake_call_run(fixture->scan, kv_slice(bytes, size), NULL, answer);
   free(bytes);
   assert_true(answer->ended);
   assert_true(answer->count <= FAKE_MESSAGES_MAX);
}

/* All that a stream has: its messages and, for a comparison, its keys with a comma behind each. */
struct result {
   Kvstore__V1__ScanResponse *messages[FAKE_MESSAGES_MAX];
   const Kvstore__V1__ScanResponse *last;
   size_t count, entries;
   char keys[1024];
};

static void scan(struct fixture *fixture, const request_type *request, struct result *result)
{
   struct fake_answer answer;
   run(fixture, request, &answer);
   if (answer.code != KV_OK)
      fail_msg("%s", answer.text);
   *result = (struct result){.count = answer.count};
   for (size_t i = 0; i < answer.count; i++) {
      Kvstore__V1__ScanResponse *message = kvstore__v1__scan_response__unpack(
          NULL, answer.messages[i].size, answer.messages[i].data);
      assert_non_null(message);
      result->messages[i] = message;
      result->last = message;
      result->entries += message->n_entries;
      for (size_t j = 0; j < message->n_entries; j++) {
         const ProtobufCBinaryData key = message->entries[j]->key;
         if (strlen(result->keys) + key.len + 2 < sizeof result->keys)
            sprintf(strchr(result->keys, '\0'), "%.*s,", (int)key.len, key.data);
      }
   }
   fake_answer_deinit(&answer);
}

static void release(struct result *result)
{
   for (size_t i = 0; i < result->count; i++)
      kvstore__v1__scan_response__free_unpacked(result->messages[i], NULL);
}

static void assert_keys(struct fixture *fixture, const request_type *request, const char *keys)
{
   struct result result;
   scan(fixture, request, &result);
   assert_string_equal(result.keys, keys);
   release(&result);
}

static void assert_count(struct fixture *fixture, const request_type *request, uint64_t count)
{
   struct result result;
   scan(fixture, request, &result);
   assert_int_equal(result.count, 1);
   assert_int_equal(result.entries, 0);
   assert_int_equal(result.last->count, count);
   release(&result);
}

static void assert_refused(struct fixture *fixture, const request_type *request, const char *reason,
                           const char *part)
{
   struct fake_answer answer;
   run(fixture, request, &answer);
   assert_int_equal(answer.code, KV_INVALID_ARGUMENT);
   if (!strstr(answer.text, part))
      fail_msg("\"%s\" lacks \"%s\"", answer.text, part);
   assert_non_null(answer.details);
   Google__Rpc__Status *status =
       google__rpc__status__unpack(NULL, answer.details_size, answer.details);
   assert_non_null(status);
   Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(
       NULL, status->details[0]->value.len, status->details[0]->value.data);
   assert_int_equal(info->reason.len, strlen(reason));
   assert_memory_equal(info->reason.data, reason, info->reason.len);
   google__rpc__error_info__free_unpacked(info, NULL);
   google__rpc__status__free_unpacked(status, NULL);
   fake_answer_deinit(&answer);
}

/* ---- Ranges and directions ---- */

static void a_range_is_scanned_either_way(void **state)
{
   static const char *const keys[] = {"a", "b", "ba", "bb", "c", "\xf4\x8f\xbf\xbf"};
   for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
      put(*state, kv_slice_of(keys[i]), 1, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   assert_keys(*state, &request, "a,b,ba,bb,c,\xf4\x8f\xbf\xbf,");
   request.descending = true;
   assert_keys(*state, &request, "\xf4\x8f\xbf\xbf,c,bb,ba,b,a,");

   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   request.range = &range;
   range.prefix = text("b");
   assert_keys(*state, &request, "bb,ba,b,");
   range.start = text("ba");
   assert_keys(*state, &request, "bb,ba,");
   range.end = text("bb");
   assert_keys(*state, &request, "ba,");
   request.descending = false;
   assert_keys(*state, &request, "ba,");
   range = (Kvstore__V1__KeyRange)KVSTORE__V1__KEY_RANGE__INIT;
   range.key = text("b");
   assert_keys(*state, &request, "b,");
   range.key = text("nothing");
   assert_keys(*state, &request, "");
}

static void an_empty_answer_has_a_version(void **state)
{
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   struct result result;
   scan(*state, &request, &result);
   assert_int_equal(result.count, 1);
   assert_int_equal(result.last->version, 0);
   release(&result);
   put(*state, kv_slice_of("expired"), 1, 1);
   publish(*state);
   scan(*state, &request, &result);
   assert_int_equal(result.count, 1);
   assert_int_equal(result.entries, 0);
   assert_int_equal(result.last->version, 1);
   release(&result);
}

static void no_answer_has_hidden_keys_or_those_whose_time_has_come(void **state)
{
   const int64_t later = kv_clock_unix_ms() + 3600000;
   put(*state, kv_slice("\0hidden", 7), 1, 0);
   put(*state, kv_slice_of("a"), 1, 1);
   put(*state, kv_slice_of("b"), 1, later);
   put(*state, kv_slice_of("c"), 1, later - 7200000);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   assert_keys(*state, &request, "b,");
   request.descending = true;
   assert_keys(*state, &request, "b,");
   request.projection = COUNT;
   assert_count(*state, &request, 1);
}

/* ---- Projections ---- */

static void an_entry_is_shown_with_its_version_and_expiry(void **state)
{
   const int64_t later = kv_clock_unix_ms() + 3600000;
   put(*state, kv_slice_of("a"), 3, 0);
   put(*state, kv_slice_of("b"), 5, later);
   put(*state, kv_slice_of("c"), 0, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   struct result result;
   scan(*state, &request, &result);
   const Kvstore__V1__Entry *entry = result.last->entries[1];
   assert_int_equal(entry->value.len, 5);
   assert_int_equal(entry->version, 2);
   assert_int_equal(entry->expire_time_ms, later);
   assert_int_equal(entry->omitted_value_size, 0);
   assert_int_equal(result.last->entries[0]->expire_time_ms, 0);
   assert_int_equal(result.last->version, 3);
   release(&result);

   request.projection = KEYS;
   scan(*state, &request, &result);
   entry = result.last->entries[1];
   assert_int_equal(entry->value.len, 0);
   assert_int_equal(entry->version, 2);
   assert_int_equal(entry->expire_time_ms, later);
   assert_int_equal(entry->omitted_value_size, 5);
   release(&result);

   request.projection = 0;
   request.value_size_max = 3;
   scan(*state, &request, &result);
   assert_int_equal(result.last->entries[0]->value.len, 3);
   assert_int_equal(result.last->entries[0]->omitted_value_size, 0);
   assert_int_equal(result.last->entries[1]->value.len, 0);
   assert_int_equal(result.last->entries[1]->omitted_value_size, 5);
   release(&result);
}

/* From 64 KiB on they are sent from where the store has them. */
static void large_values_are_shown_or_left_out_whole(void **state)
{
   put(*state, kv_slice_of("a"), 200000, 0);
   put(*state, kv_slice_of("b"), 70000, kv_clock_unix_ms() + 3600000);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   struct result result;
   scan(*state, &request, &result);
   assert_int_equal(result.count, 2);
   assert_int_equal(result.messages[0]->entries[0]->value.len, 200000);
   assert_int_equal(result.messages[0]->entries[0]->version, 1);
   assert_int_equal(result.messages[1]->entries[0]->value.len, 70000);
   assert_int_equal(result.messages[1]->entries[0]->version, 2);
   release(&result);
   request.value_size_max = 70000;
   scan(*state, &request, &result);
   assert_int_equal(result.count, 1);
   assert_int_equal(result.last->entries[0]->omitted_value_size, 200000);
   assert_int_equal(result.last->entries[1]->value.len, 70000);
   release(&result);
}

/* Small values and large ones, which are sent in place, in turn; each message within its limit. */
static void values_of_all_sizes_come_back_whole(void **state)
{
   static const size_t sizes[] = {0, KV_ENTRY_KEEP_MIN - 1, KV_ENTRY_KEEP_MIN, 150000};
   enum { ENTRIES = 24 };
   for (unsigned i = 0; i < ENTRIES; i++) {
      const char key[] = {(char)('a' + i), '\0'};
      put(*state, kv_slice_of(key), sizes[i % 4], 0);
   }
   publish(*state);
   const request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   struct result result;
   unsigned found = 0;
   scan(*state, &request, &result);
   for (size_t i = 0; i < result.count; i++) {
      const Kvstore__V1__ScanResponse *message = result.messages[i];
      const size_t size = kvstore__v1__scan_response__get_packed_size(message);
      assert_true(size <= MESSAGE_MAX || message->n_entries == 1);
      for (size_t j = 0; j < message->n_entries; j++, found++) {
         const ProtobufCBinaryData value = message->entries[j]->value;
         assert_int_equal(message->entries[j]->key.data[0], 'a' + found);
         assert_int_equal(value.len, sizes[found % 4]);
         for (size_t k = 0; k < value.len; k++)
            assert_int_equal(value.data[k], 'v');
      }
   }
   assert_int_equal(found, ENTRIES);
   release(&result);
}

static void keys_are_counted_however_many_there_are(void **state)
{
   struct fixture *fixture = *state;
   fill(*state, 100000, 1, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   request.projection = COUNT;
   assert_count(fixture, &request, 100000);
   request.descending = true;
   assert_count(fixture, &request, 100000);
   request.limit = 50000;
   struct result result;
   scan(fixture, &request, &result);
   assert_int_equal(result.last->count, 50000);
   request.page_token = result.last->next_page_token;
   assert_true(request.page_token.len > 0);
   request.limit = 0;
   assert_count(fixture, &request, 50000);
   release(&result);
}

static void a_long_run_of_expired_keys_is_passed_over(void **state)
{
   fill(*state, 100000, 1, 1);
   put(*state, kv_slice_of("000000"), 1, 0);
   put(*state, kv_slice_of("099999"), 1, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   assert_keys(*state, &request, "000000,099999,");
   request.descending = true;
   assert_keys(*state, &request, "099999,000000,");
   request.projection = COUNT;
   assert_count(*state, &request, 2);
}

/* ---- Pages ---- */

static void pages_join_without_gap_or_repetition(void **state)
{
   static const char *const keys[] = {"a", "ab", "b", "c", "d"};
   for (size_t i = 0; i < 5; i++)
      put(*state, kv_slice_of(keys[i]), 1, 0);
   publish(*state);
   for (int descending = 0; descending <= 1; descending++) {
      request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
      Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
      range.start = text("a");
      range.end = text("d");
      request.range = &range;
      request.descending = descending;
      request.limit = 2;
      struct result first, second;
      scan(*state, &request, &first);
      assert_string_equal(first.keys, descending ? "c,b," : "a,ab,");
      request.page_token = first.last->next_page_token;
      assert_true(request.page_token.len > 0);
      request.limit = 3;
      scan(*state, &request, &second);
      assert_string_equal(second.keys, descending ? "ab,a," : "b,c,");
      assert_int_equal(second.last->next_page_token.len, 0);
      release(&first);
      release(&second);
   }
}

static void there_is_no_next_page_where_nothing_can_be_shown_on_it(void **state)
{
   fill(*state, 5, 1, 0);
   put(*state, kv_slice_of("000004"), 1, 1);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   request.limit = 4;
   struct result result;
   scan(*state, &request, &result);
   assert_int_equal(result.entries, 4);
   assert_int_equal(result.last->next_page_token.len, 0);
   release(&result);
}

/* A full message, and a limit that ends with it. */
static void a_token_comes_with_the_last_entries(void **state)
{
   fill(*state, 10000, 1, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   request.limit = 8192;
   struct result result;
   scan(*state, &request, &result);
   assert_int_equal(result.count, 2);
   assert_int_equal(result.messages[0]->n_entries, 4096);
   assert_int_equal(result.messages[0]->next_page_token.len, 0);
   assert_int_equal(result.last->n_entries, 4096);
   assert_true(result.last->next_page_token.len > 0);
   release(&result);
}

static void a_token_of_another_request_is_refused(void **state)
{
   fill(*state, 5, 1, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   range.prefix = text("0");
   request.range = &range;
   request.limit = 2;
   struct result result;
   scan(*state, &request, &result);
   request.page_token = result.last->next_page_token;

   request.descending = true;
   assert_refused(*state, &request, "PAGE_TOKEN_INVALID", "page_token: ");
   request.descending = false;
   request.projection = KEYS;
   assert_refused(*state, &request, "PAGE_TOKEN_INVALID", "page_token: ");
   request.projection = 0;
   request.value_size_max = 1;
   assert_refused(*state, &request, "PAGE_TOKEN_INVALID", "page_token: ");
   request.value_size_max = 0;
   range.prefix = text("");
   range.start = text("0");
   assert_refused(*state, &request, "PAGE_TOKEN_INVALID", "page_token: ");
   range.start = text("");
   range.prefix = text("0");
   assert_keys(*state, &request, "000002,000003,");
   release(&result);
}

/* Cut at each place, and with each byte changed. */
static void a_token_that_was_changed_shows_nothing_but_the_range(void **state)
{
   put(*state, kv_slice("\0hidden", 7), 1, 0);
   put(*state, kv_slice_of("A"), 1, 0);
   fill(*state, 5, 1, 0);
   publish(*state);
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   range.prefix = text("0");
   request.range = &range;
   request.limit = 1;
   struct result result;
   scan(*state, &request, &result);
   char token[64];
   const size_t size = result.last->next_page_token.len;
   assert_true(size > 0 && size < sizeof token);
   memcpy(token, result.last->next_page_token.data, size);
   release(&result);
   for (size_t i = 1; i < size; i++) {
      request.page_token = (ProtobufCBinaryData){.len = i, .data = (uint8_t *)token};
      struct fake_answer answer;
      run(*state, &request, &answer);
      assert_true(answer.code == KV_INVALID_ARGUMENT || answer.code == KV_OK);
      fake_answer_deinit(&answer);
   }
   request.limit = 0;
   for (size_t i = 0; i < size; i++)
      for (int byte = 1; byte < 256; byte++) {
         char changed[64];
         memcpy(changed, token, size);
         changed[i] = (char)(changed[i] + byte);
         request.page_token = (ProtobufCBinaryData){.len = size, .data = (uint8_t *)changed};
         struct fake_answer answer;
         run(*state, &request, &answer);
         for (size_t m = 0; answer.code == KV_OK && m < answer.count; m++) {
            assert_null(memmem(answer.messages[m].data, answer.messages[m].size, "hidden", 6));
            assert_null(memmem(answer.messages[m].data, answer.messages[m].size,
                               "\x0a\x01"
                               "A",
                               3));
         }
         fake_answer_deinit(&answer);
      }
}

static void a_request_that_makes_no_sense_is_refused(void **state)
{
   request_type request = KVSTORE__V1__SCAN_REQUEST__INIT;
   Kvstore__V1__KeyRange range = KVSTORE__V1__KEY_RANGE__INIT;
   request.range = &range;
   range.start = text("b");
   range.end = text("a");
   assert_refused(*state, &request, "FIELD_INVALID", "range: ");
   range.end = text("\xff");
   assert_refused(*state, &request, "FIELD_INVALID", "range.end: ");
   range = (Kvstore__V1__KeyRange)KVSTORE__V1__KEY_RANGE__INIT;
   request.projection = 7;
   assert_refused(*state, &request, "FIELD_INVALID", "projection: ");
   request.projection = 0;
   request.page_token = text("no token");
   assert_refused(*state, &request, "PAGE_TOKEN_INVALID", "page_token: ");
}

/* ---- The stream ---- */

static void a_scan_that_is_cut_off_at_any_message_holds_no_view(void **state)
{
   struct fixture *fixture = *state;
   for (size_t size = 1; size <= 100; size += 99) { /* so many entries, or bytes, are a message */
      fill(*state, 10000, size, 0);
      publish(*state);
      struct fake_answer answer;
      size_t count = 0;
      do {
         const struct fake_client client = {.leaves_at = ++count};
         fake_call_run(fixture->scan, kv_slice(NULL, 0), &client, &answer);
         assert_int_equal(held_views, 0);
         fake_answer_deinit(&answer);
      } while (!answer.ended);
      assert_in_range(count, 3, 10);
   }
}

static void a_scan_that_finds_no_memory_fails_and_holds_no_view(void **state)
{
   struct fixture *fixture = *state;
   fill(*state, 3, 70000, 0);
   publish(*state);
   struct fake_answer answer;
   size_t grants = 0;
   do {
      struct fake_account account = {.grants = grants++};
      const struct fake_client client = {.account = &account};
      fake_call_run(fixture->scan, kv_slice(NULL, 0), &client, &answer);
      assert_true(answer.code == KV_OK || answer.code == KV_RESOURCE_EXHAUSTED);
      assert_int_equal(held_views, 0);
      fake_answer_deinit(&answer);
   } while (answer.code != KV_OK);
   assert_in_range(grants, 2, 20);
}

static void a_scan_that_is_ended_says_where_to_go_on(void **state)
{
   struct fixture *fixture = *state;
   fill(*state, 3, 1, 0);
   publish(*state);
   const struct {
      const char *request, *text;
   } cases[] = {{"", "; continue with range.start = \"000000\""},
                {"\x10\x01", "; continue with range.end = the last key received"},
                {"\x20\x02", "; count smaller ranges"}};
   for (size_t i = 0; i < 3; i++) {
      struct fake_answer answer;
      char words[200] = "";
      struct kv_call *call =
          fake_call_begin(fixture->scan, kv_slice_of(cases[i].request), NULL, &answer);
      assert_true(fixture->scan->kept(fixture->service, call) < 1000000);
      fixture->scan->resume(fixture->service, call, words, sizeof words);
      assert_string_equal(words, cases[i].text);
      fake_call_end(call);
      fake_answer_deinit(&answer);
   }
}

static void the_place_to_go_on_is_the_first_key_that_may_be_missing(void **state)
{
   struct fixture *fixture = *state;
   fill(*state, 10000, 1, 0);
   publish(*state);
   struct fake_answer answer;
   char words[64];
   struct kv_call *call = fake_call_begin(fixture->scan, kv_slice(NULL, 0), NULL, &answer);
   fixture->scan->resume(fixture->service, call, words, sizeof words);
   assert_string_equal(words, "; continue with range.start = \"000000\"");
   assert_true(fake_call_sent(call));
   fixture->scan->resume(fixture->service, call, words, sizeof words);
   assert_string_equal(words, "; continue with range.start = \"004096\"");
   fixture->scan->resume(fixture->service, call, words, 10); /* the key takes too much of it */
   assert_string_equal(words, "; continu");
   fake_call_end(call);
   fake_answer_deinit(&answer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
   const struct CMUnitTest tests[] = {
       TEST(a_range_is_scanned_either_way),
       TEST(an_empty_answer_has_a_version),
       TEST(no_answer_has_hidden_keys_or_those_whose_time_has_come),
       TEST(an_entry_is_shown_with_its_version_and_expiry),
       TEST(large_values_are_shown_or_left_out_whole),
       TEST(values_of_all_sizes_come_back_whole),
       TEST(keys_are_counted_however_many_there_are),
       TEST(a_long_run_of_expired_keys_is_passed_over),
       TEST(pages_join_without_gap_or_repetition),
       TEST(there_is_no_next_page_where_nothing_can_be_shown_on_it),
       TEST(a_token_comes_with_the_last_entries),
       TEST(a_token_of_another_request_is_refused),
       TEST(a_token_that_was_changed_shows_nothing_but_the_range),
       TEST(a_request_that_makes_no_sense_is_refused),
       TEST(a_scan_that_is_cut_off_at_any_message_holds_no_view),
       TEST(a_scan_that_finds_no_memory_fails_and_holds_no_view),
       TEST(a_scan_that_is_ended_says_where_to_go_on),
       TEST(the_place_to_go_on_is_the_first_key_that_may_be_missing),
   };
   return cmocka_run_group_tests(tests, NULL, NULL);
}
