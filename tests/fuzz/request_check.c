#include "tests/fuzz/request_check.h"

#include "core/service/validate.h"
#include "core/support/clock.h"
#include "tests/fuzz/keyvalue_check.h"
#include "tests/fuzz/support.h"

#include "health.pb-c.h"
#include "kvstore/v1/admin.pb-c.h"
#include "kvstore/v1/key_value.pb-c.h"
#include "reflection.pb-c.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ---- The clock ---- */

/* Keys expire when the fuzzer says so. */
static _Atomic int64_t now_ms = MODEL_NOW_MS;
/* Added to the clock that the pauses between deletions of expired keys are measured with. */
static _Atomic uint64_t skipped_ms;

int64_t __wrap_kv_clock_unix_ms(void);
int64_t __wrap_kv_clock_unix_ms(void)
{
   return atomic_load(&now_ms);
}

uint64_t __real_kv_clock_monotonic_ms(void);
uint64_t __wrap_kv_clock_monotonic_ms(void);
uint64_t __wrap_kv_clock_monotonic_ms(void)
{
   return __real_kv_clock_monotonic_ms() + atomic_load(&skipped_ms);
}

static bool valid_key(ProtobufCBinaryData key)
{
   struct kv_status status;
   return kv_validate_key("key", bytes_of(key), &status) == KV_OK;
}

/* The code that a write of valid or invalid content must have. */
static void require_code(const struct check *check, bool valid, bool has_room)
{
   enum kv_code expected = !valid ? KV_INVALID_ARGUMENT : !has_room ? KV_RESOURCE_EXHAUSTED : KV_OK;
   REQUIRE(check->answer->code == expected);
}

/* ---- One key ---- */

static void check_set(const struct check *check)
{
   const Kvstore__SetRequest *set = check->request;
   bool valid = valid_key(set->key) && set->value.len <= CHECK_VALUE_MAX;
   bool has_room = valid && model_set(check->before, bytes_of(set->key), bytes_of(set->value));
   require_code(check, valid, has_room);
}

static void check_del(const struct check *check)
{
   const Kvstore__DelRequest *del = check->request;
   bool valid = valid_key(del->key);
   require_code(check, valid, true);
   if (valid) {
      const Kvstore__DelResponse *reply = check->reply;
      REQUIRE(reply->success == model_delete(check->before, bytes_of(del->key)));
   }
}

static void require_got(const Kvstore__GetResponse *reply, const struct model_pair *pair)
{
   REQUIRE(reply->found == (pair != NULL));
   REQUIRE(pair ? same(bytes_of(reply->value), pair->value) : reply->value.len == 0);
}

static void check_get(const struct check *check)
{
   const Kvstore__GetRequest *get = check->request;
   bool valid = valid_key(get->key);
   require_code(check, valid, true);
   if (valid)
      require_got(check->reply, model_find(check->before, bytes_of(get->key)));
}

/* ---- All keys ---- */

static void check_keys(const struct check *check)
{
   const Kvstore__KeysResponse *reply = check->reply;
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   size_t count = 0;
   REQUIRE(check->answer->code == KV_OK);
   kv_cursor_seek(&cursor, check->now, kv_slice_of("\x01")); /* behind the server's own keys */
   while ((entry = kv_cursor_next(&cursor))) {
      REQUIRE(count < reply->n_keys && same(bytes_of(reply->keys[count]), kv_entry_key(entry)));
      count++;
   }
   REQUIRE(count == reply->n_keys);
}

/* ---- The others ---- */

static void check_configure(const struct check *check)
{
   const Kvstore__V1__ConfigureRequest *configure = check->request;
   bool none = same(bytes_of(configure->plugin), kv_slice_of("none"));
   if (check->answer->code == KV_OK) {
      const Kvstore__V1__ConfigureResponse *reply = check->reply;
      REQUIRE(none && configure->n_options == 0 && !configure->shadow);
      REQUIRE(same(bytes_of(reply->plugin), bytes_of(configure->plugin)));
      REQUIRE(reply->version == check->before->sequence);
   } else {
      bool timed =
          configure->shadow_time_case != KVSTORE__V1__CONFIGURE_REQUEST__SHADOW_TIME__NOT_SET;
      REQUIRE(!none || configure->n_options > 0 || configure->shadow || timed ||
              configure->etag.len > 0);
   }
}

static void check_status(const struct check *check)
{
   const Kvstore__V1__GetStatusResponse *reply = check->reply;
   REQUIRE(check->answer->code == KV_OK);
   REQUIRE(same(bytes_of(reply->plugin), kv_slice_of("none")) && !reply->read_only);
   REQUIRE(reply->version == check->before->sequence);
   REQUIRE(reply->keys == kv_version_client_count(check->now) &&
           reply->bytes == check->before->bytes);
}

static void check_save(const struct check *check)
{
   REQUIRE(check->answer->code == KV_FAILED_PRECONDITION);
}

static void check_plugins(const struct check *check)
{
   const Kvstore__V1__ListPluginsResponse *reply = check->reply;
   REQUIRE(check->answer->code == KV_OK && reply->n_plugins == 1);
}

static void check_reflection(const struct check *check)
{
   const Grpc__Reflection__V1__ServerReflectionRequest *request = check->request;
   REQUIRE(check->answer->code == KV_OK && check->answer->count == 1);
   Grpc__Reflection__V1__ServerReflectionResponse *reply =
       grpc__reflection__v1__server_reflection_response__unpack(
           NULL, check->answer->messages[0].size, check->answer->messages[0].data);
   REQUIRE(reply && reply->original_request);
   REQUIRE(same(bytes_of(reply->valid_host), bytes_of(request->host)));
   REQUIRE(reply->message_response_case != 0);
   grpc__reflection__v1__server_reflection_response__free_unpacked(reply, NULL);
}

/* No observer is told of the fuzzer's calls. */
static void check_slow_calls(const struct check *check)
{
   const Kvstore__V1__ListSlowCallsResponse *reply = check->reply;
   REQUIRE(check->answer->code == KV_OK && reply->n_calls == 0 && reply->count == 0);
}

static void check_hot_prefixes(const struct check *check)
{
   const Kvstore__V1__ListHotPrefixesResponse *reply = check->reply;
   REQUIRE(check->answer->code == KV_OK && reply->n_prefixes == 0 && reply->sampled_calls == 0);
}

static void check_monitor(const struct check *check)
{
   const Kvstore__V1__MonitorRequest *monitor = check->request;
   struct kv_status status;
   bool valid = kv_validate_prefix("prefix", bytes_of(monitor->method_prefix), &status) == KV_OK &&
                kv_validate_prefix("prefix", bytes_of(monitor->key_prefix), &status) == KV_OK;
   REQUIRE(check->answer->code == (valid ? KV_OK : KV_INVALID_ARGUMENT));
   REQUIRE(check->answer->count == valid);
}

static void check_moved(const struct check *check)
{
   REQUIRE(check->answer->code == KV_UNIMPLEMENTED);
}

static void check_nothing(const struct check *check)
{
   (void)check;
}

#define SERVICE "/kvstore.KeyValueStore/"
#define ADMIN "/kvstore.v1.AdminService/"
#define HEALTH "/grpc.health.v1.Health/"
#define DATA "/kvstore.v1.KeyValueService/"
#define KEYVALUE(name, type, checks)                                                               \
   {                                                                                               \
      DATA name, &kvstore__v1__##type##_request__descriptor,                                       \
          &kvstore__v1__##type##_response__descriptor, checks                                      \
   }

static const struct {
   const char *path;
   const ProtobufCMessageDescriptor *request, *reply; /* of what is decoded; of unary calls */
   void (*check)(const struct check *check);
} kinds[] = {
    /* in the order of the numbers in the corpus: add new ones at the end */
    {SERVICE "Set", &kvstore__set_request__descriptor, &google__protobuf__empty__descriptor,
     check_set},
    {SERVICE "Get", &kvstore__get_request__descriptor, &kvstore__get_response__descriptor,
     check_get},
    {SERVICE "Del", &kvstore__del_request__descriptor, &kvstore__del_response__descriptor,
     check_del},
    {SERVICE "Keys", &kvstore__keys_request__descriptor, &kvstore__keys_response__descriptor,
     check_keys},
    {SERVICE "Config", &kvstore__config_request__descriptor, &kvstore__config_response__descriptor,
     check_nothing},
    {ADMIN "Configure", &kvstore__v1__configure_request__descriptor,
     &kvstore__v1__configure_response__descriptor, check_configure},
    {ADMIN "ListPlugins", &kvstore__v1__list_plugins_request__descriptor,
     &kvstore__v1__list_plugins_response__descriptor, check_plugins},
    {SERVICE "Batch", NULL, NULL, check_moved},
    {SERVICE "Scan", NULL, NULL, check_moved},
    {ADMIN "Save", &kvstore__v1__save_request__descriptor, &kvstore__v1__save_response__descriptor,
     check_save},
    {ADMIN "GetStatus", &kvstore__v1__get_status_request__descriptor,
     &kvstore__v1__get_status_response__descriptor, check_status},
    {HEALTH "Check", &grpc__health__v1__health_check_request__descriptor,
     &grpc__health__v1__health_check_response__descriptor, check_nothing},
    {HEALTH "Watch", &grpc__health__v1__health_check_request__descriptor, NULL, check_nothing},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
     &grpc__reflection__v1__server_reflection_request__descriptor, NULL, check_reflection},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
     &grpc__reflection__v1__server_reflection_request__descriptor, NULL, check_reflection},
    {SERVICE "Configure", NULL, NULL, check_moved},
    {SERVICE "ListPlugins", NULL, NULL, check_moved},
    {SERVICE "Save", NULL, NULL, check_moved},
    {SERVICE "Status", NULL, NULL, check_moved},
    {ADMIN "Backup", &kvstore__v1__backup_request__descriptor, NULL, check_nothing},
    {ADMIN "Restore", &kvstore__v1__restore_request__descriptor, NULL, check_nothing},
    {ADMIN "ListSlowCalls", &kvstore__v1__list_slow_calls_request__descriptor,
     &kvstore__v1__list_slow_calls_response__descriptor, check_slow_calls},
    {ADMIN "Monitor", &kvstore__v1__monitor_request__descriptor, NULL, check_monitor},
    {ADMIN "ListHotPrefixes", &kvstore__v1__list_hot_prefixes_request__descriptor,
     &kvstore__v1__list_hot_prefixes_response__descriptor, check_hot_prefixes},
    KEYVALUE("Get", get, check_keyvalue_get),
    KEYVALUE("Set", set, check_keyvalue_set),
    KEYVALUE("Delete", delete, check_keyvalue_delete),
    KEYVALUE("Increment", increment, check_keyvalue_increment),
    KEYVALUE("SetExpiry", set_expiry, check_keyvalue_set_expiry),
    KEYVALUE("Batch", batch, check_keyvalue_batch),
    KEYVALUE("Transaction", transaction, check_keyvalue_transaction),
    {DATA "Scan", &kvstore__v1__scan_request__descriptor, NULL, check_keyvalue_scan},
    KEYVALUE("DeleteRange", delete_range, check_keyvalue_delete_range),
    KEYVALUE("WaitDurable", wait_durable, check_nothing),
    {DATA "Watch", &kvstore__v1__watch_request__descriptor, NULL, check_nothing},
};

/* The first of kvstore.v1.KeyValueService. */
enum { KIND_KEYVALUE = 24 };

static size_t kind_of(const struct kv_rpc_method *method)
{
   size_t kind = 0;
   while (kind < sizeof kinds / sizeof *kinds && strcmp(kinds[kind].path, method->path) != 0)
      kind++;
   REQUIRE(kind < sizeof kinds / sizeof *kinds); /* a new method: say here what it must do */
   return kind;
}

static int compare_kinds(const void *a, const void *b)
{
   const size_t first = kind_of(a), second = kind_of(b);
   return (first > second) - (first < second);
}

void check_order(struct kv_rpc_method *methods, size_t count)
{
   qsort(methods, count, sizeof *methods, compare_kinds);
}

/* Its answer may come later than the fuzzer's client goes away. */
static bool may_stay_open(const struct kv_rpc_method *method)
{
   return strcmp(method->path, HEALTH "Watch") == 0 || strcmp(method->path, ADMIN "Backup") == 0 ||
          strcmp(method->path, ADMIN "Restore") == 0 ||
          strcmp(method->path, ADMIN "Monitor") == 0 || strcmp(method->path, DATA "Watch") == 0;
}

static void check_answer(const struct kv_rpc_method *method, const struct fake_answer *answer)
{
   bool unary = method->kind == KV_RPC_UNARY;
   REQUIRE(answer->ended || may_stay_open(method));
   if (unary)
      REQUIRE(answer->count == (answer->code == KV_OK ? 1 : 0));
   if (answer->code != KV_OK)
      REQUIRE(answer->text[0] != '\0' && answer->count == 0);
   struct kv_slice text = kv_slice_of(answer->text);
   REQUIRE(kv_validate_text(text) == text.size);
}

/* ---- Keys that are due ---- */

static const struct kv_rpc_method *find_del(const struct kv_rpc_method *methods)
{
   while (strcmp(methods->path, SERVICE "Del") != 0)
      methods++;
   return methods;
}

static bool has_due(struct kv_store *store)
{
   struct kv_store_view *view = kv_store_view_create(store);
   REQUIRE(view);
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   do
      entry = kv_cursor_next(&cursor);
   while (entry && kv_entry_is_live(entry, atomic_load(&now_ms)));
   kv_store_view_destroy(view);
   return entry;
}

/* Until the server has deleted them. Any write has it look for them, also that of a missing key. */
static void await_deletions(const struct kv_rpc_method *del, struct kv_store *store)
{
   static const char deletes_nothing[] = "\x0a\x13"
                                         "a key of the fuzzer";
   while (has_due(store)) {
      struct fake_answer answer;
      atomic_fetch_add(&skipped_ms, 1000);
      fake_call_run(del, kv_slice_of(deletes_nothing), NULL, &answer);
      fake_answer_deinit(&answer);
   }
}

static void finish(struct model *model, const struct kv_version *now)
{
   model_expire(model);
   model_take_hidden(model, now);
   REQUIRE(kv_version_sequence(now) >= model->sequence);
   model->sequence = kv_version_sequence(now);
}

void check_call(const struct kv_rpc_method *methods, const struct kv_rpc_method *method,
                struct kv_store *store, struct kv_slice request)
{
   static struct model model; /* large */
   size_t kind = kind_of(method);
   const struct fake_client client = {.impatient = true}; /* a shadow run would take long */
   struct fake_answer answer;
   struct kv_store_view *before = kv_store_view_create(store);
   REQUIRE(before);
   model_load(&model, kv_store_view_version(before));
   ProtobufCMessage *decoded =
       kinds[kind].request
           ? protobuf_c_message_unpack(kinds[kind].request, NULL, request.size, request.data)
           : NULL;
   fake_call_run(method, request, &client, &answer);
   await_deletions(find_del(methods), store);
   struct kv_store_view *after = kv_store_view_create(store);
   REQUIRE(after);
   check_answer(method, &answer);

   struct check check = {.answer = &answer,
                         .request = decoded,
                         .before = &model,
                         .now = kv_store_view_version(after)};
   ProtobufCMessage *reply = NULL;
   if (kinds[kind].reply && answer.code == KV_OK) {
      reply = protobuf_c_message_unpack(kinds[kind].reply, NULL, answer.messages[0].size,
                                        answer.messages[0].data);
      REQUIRE(reply);
      check.reply = reply;
   }
   if (decoded || !kinds[kind].request)
      kinds[kind].check(&check);
   else
      REQUIRE(answer.code == KV_INVALID_ARGUMENT);
   /* `model` has become what the store must be now; unchanged where the call was refused. What is
    * due is deleted, and what is remembered, in changes of their own. */
   if (kind >= KIND_KEYVALUE)
      finish(&model, check.now);
   REQUIRE(model_matches(&model, check.now));

   if (reply)
      protobuf_c_message_free_unpacked(reply, NULL);
   if (decoded)
      protobuf_c_message_free_unpacked(decoded, NULL);
   fake_answer_deinit(&answer);
   kv_store_view_destroy(after);
   kv_store_view_destroy(before);
}

void check_empty_store(const struct kv_rpc_method *methods, struct kv_store *store)
{
   const struct kv_rpc_method *del = find_del(methods);
   /* The server's own keys can only expire. */
   atomic_store(&now_ms, KV_EXPIRES_AT_MAX + 1);
   await_deletions(del, store);
   atomic_store(&now_ms, MODEL_NOW_MS);
   struct kv_store_view *view = kv_store_view_create(store);
   REQUIRE(view);
   struct kv_cursor cursor;
   const struct kv_entry *entry;
   kv_cursor_seek(&cursor, kv_store_view_version(view), kv_slice(NULL, 0));
   while ((entry = kv_cursor_next(&cursor))) {
      const struct kv_slice key = kv_entry_key(entry);
      uint8_t request[KV_KEY_SIZE_MAX + 16];
      Kvstore__DelRequest message = KVSTORE__DEL_REQUEST__INIT;
      message.key = (ProtobufCBinaryData){key.size, (uint8_t *)(uintptr_t)key.data};
      size_t size = kvstore__del_request__pack(&message, request);
      check_call(methods, del, store, kv_slice(request, size));
   }
   kv_store_view_destroy(view);
}
