/*
 * Every method of every service x every field that holds a key x every role: what the table of
 * grants lets through. The services are walked as the protos describe them: a method that the table
 * lacks fails, and so does a field that may hold a key and that no request here fills in.
 *
 * For a new service: add its descriptor to `services`, and to `requests` one for each field that
 * holds a key.
 */
#include "core/service/grants.h"

#include "health.pb-c.h"
#include "kvstore.pb-c.h"
#include "kvstore/v1/admin.pb-c.h"
#include "kvstore/v1/key_value.pb-c.h"
#include "reflection.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const ProtobufCServiceDescriptor *const services[] = {
    &kvstore__key_value_store__descriptor,
    &kvstore__v1__key_value_service__descriptor,
    &kvstore__v1__admin_service__descriptor,
    &grpc__health__v1__health__descriptor,
    &grpc__reflection__v1__server_reflection__descriptor,
};

/* ---- Requests: each with the key in one field ---- */

union request {
   ProtobufCMessage base;
   Kvstore__SetRequest set;
   Kvstore__GetRequest get;
   Kvstore__DelRequest del;
   Kvstore__V1__GetRequest v1_get;
   Kvstore__V1__SetRequest v1_set;
   Kvstore__V1__DeleteRequest v1_delete;
   Kvstore__V1__IncrementRequest v1_increment;
   Kvstore__V1__SetExpiryRequest v1_set_expiry;
   Kvstore__V1__DeleteRangeRequest v1_delete_range;
   Kvstore__V1__BatchRequest v1_batch;
   Kvstore__V1__TransactionRequest v1_transaction;
   Kvstore__V1__ScanRequest v1_scan;
   Kvstore__V1__WatchRequest v1_watch;
};

/* Behind an operation that everybody may do. */
struct made {
   union request request;
   union request part;
   Kvstore__V1__Operation v1_harmless, v1_operation, *v1_operations[2];
   Kvstore__V1__Condition condition;
   Kvstore__V1__Comparison comparison, *comparisons[1];
   Kvstore__V1__KeyRange range, all, *ranges[2];
   Kvstore__V1__WatchRequest__Create create;
};

static void make_set(struct made *made, ProtobufCBinaryData key)
{
   made->request.set = (Kvstore__SetRequest)KVSTORE__SET_REQUEST__INIT;
   made->request.set.key = key;
}

static void make_get(struct made *made, ProtobufCBinaryData key)
{
   made->request.get = (Kvstore__GetRequest)KVSTORE__GET_REQUEST__INIT;
   made->request.get.key = key;
}

static void make_del(struct made *made, ProtobufCBinaryData key)
{
   made->request.del = (Kvstore__DelRequest)KVSTORE__DEL_REQUEST__INIT;
   made->request.del.key = key;
}

/* ---- kvstore.v1.KeyValueService ---- */

static void make_v1_get(struct made *made, ProtobufCBinaryData key)
{
   made->request.v1_get = (Kvstore__V1__GetRequest)KVSTORE__V1__GET_REQUEST__INIT;
   made->request.v1_get.key = key;
}

static void make_v1_set(struct made *made, ProtobufCBinaryData key)
{
   made->request.v1_set = (Kvstore__V1__SetRequest)KVSTORE__V1__SET_REQUEST__INIT;
   made->request.v1_set.key = key;
}

static void make_v1_set_previous(struct made *made, ProtobufCBinaryData key)
{
   make_v1_set(made, key);
   made->request.v1_set.return_previous = true;
}

static Kvstore__V1__Condition *compare_value(struct made *made)
{
   made->condition = (Kvstore__V1__Condition)KVSTORE__V1__CONDITION__INIT;
   made->condition.kind_case = KVSTORE__V1__CONDITION__KIND_VALUE;
   return &made->condition;
}

static void make_v1_set_compared(struct made *made, ProtobufCBinaryData key)
{
   make_v1_set(made, key);
   made->request.v1_set.condition = compare_value(made);
}

/* Of the version alone: the value stays unknown. */
static void make_v1_set_versioned(struct made *made, ProtobufCBinaryData key)
{
   make_v1_set_compared(made, key);
   made->condition.kind_case = KVSTORE__V1__CONDITION__KIND_VERSION;
}

static void make_v1_delete(struct made *made, ProtobufCBinaryData key)
{
   made->request.v1_delete = (Kvstore__V1__DeleteRequest)KVSTORE__V1__DELETE_REQUEST__INIT;
   made->request.v1_delete.key = key;
}

static void make_v1_delete_previous(struct made *made, ProtobufCBinaryData key)
{
   make_v1_delete(made, key);
   made->request.v1_delete.return_previous = true;
}

static void make_v1_delete_compared(struct made *made, ProtobufCBinaryData key)
{
   make_v1_delete(made, key);
   made->request.v1_delete.condition = compare_value(made);
}

static void make_v1_increment(struct made *made, ProtobufCBinaryData key)
{
   made->request.v1_increment = (Kvstore__V1__IncrementRequest)KVSTORE__V1__INCREMENT_REQUEST__INIT;
   made->request.v1_increment.key = key;
}

static void make_v1_set_expiry(struct made *made, ProtobufCBinaryData key)
{
   made->request.v1_set_expiry =
       (Kvstore__V1__SetExpiryRequest)KVSTORE__V1__SET_EXPIRY_REQUEST__INIT;
   made->request.v1_set_expiry.key = key;
}

static void make_v1_set_expiry_compared(struct made *made, ProtobufCBinaryData key)
{
   make_v1_set_expiry(made, key);
   made->request.v1_set_expiry.condition = compare_value(made);
}

/* What range of keys the field makes; what ranges hold in full is tests/unit/test_key_range.c's. */
static Kvstore__V1__KeyRange *make_range(struct made *made, const char *field,
                                         ProtobufCBinaryData key)
{
   made->range = (Kvstore__V1__KeyRange)KVSTORE__V1__KEY_RANGE__INIT;
   if (strcmp(field, "prefix") == 0)
      made->range.prefix = key;
   else
      made->range.key = key;
   return &made->range;
}

#define MAKE_RANGE(field)                                                                          \
   static void make_v1_delete_range_##field(struct made *made, ProtobufCBinaryData key)            \
   {                                                                                               \
      made->request.v1_delete_range =                                                              \
          (Kvstore__V1__DeleteRangeRequest)KVSTORE__V1__DELETE_RANGE_REQUEST__INIT;                \
      made->request.v1_delete_range.range = make_range(made, #field, key);                         \
   }                                                                                               \
   static void make_v1_scan_##field(struct made *made, ProtobufCBinaryData key)                    \
   {                                                                                               \
      made->request.v1_scan = (Kvstore__V1__ScanRequest)KVSTORE__V1__SCAN_REQUEST__INIT;           \
      made->request.v1_scan.range = make_range(made, #field, key);                                 \
   }                                                                                               \
   static void make_v1_watch_##field(struct made *made, ProtobufCBinaryData key)                   \
   {                                                                                               \
      made->request.v1_watch = (Kvstore__V1__WatchRequest)KVSTORE__V1__WATCH_REQUEST__INIT;        \
      made->create = (Kvstore__V1__WatchRequest__Create)KVSTORE__V1__WATCH_REQUEST__CREATE__INIT;  \
      made->request.v1_watch.kind_case = KVSTORE__V1__WATCH_REQUEST__KIND_CREATE;                  \
      made->request.v1_watch.create = &made->create;                                               \
      made->ranges[0] = make_range(made, #field, key);                                             \
      made->create.ranges = made->ranges;                                                          \
      made->create.n_ranges = 1;                                                                   \
   }
MAKE_RANGE(prefix)
MAKE_RANGE(key)

/* Puts the request made so far behind a harmless one of a list. */
static void make_v1_list(struct made *made, Kvstore__V1__Operation__KindCase kind)
{
   made->part = made->request;
   made->v1_harmless = made->v1_operation = (Kvstore__V1__Operation)KVSTORE__V1__OPERATION__INIT;
   made->v1_operation.kind_case = kind;
   made->v1_operation.set = &made->part.v1_set; /* all members of the union are pointers */
   made->v1_operations[0] = &made->v1_harmless;
   made->v1_operations[1] = &made->v1_operation;
}

static void make_v1_batch(struct made *made)
{
   made->request.v1_batch = (Kvstore__V1__BatchRequest)KVSTORE__V1__BATCH_REQUEST__INIT;
   made->request.v1_batch.n_operations = 2;
   made->request.v1_batch.operations = made->v1_operations;
}

static void make_v1_transaction(struct made *made, bool success)
{
   Kvstore__V1__TransactionRequest *request = &made->request.v1_transaction;
   *request = (Kvstore__V1__TransactionRequest)KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   *(success ? &request->n_success : &request->n_failure) = 2;
   *(success ? &request->success : &request->failure) = made->v1_operations;
}

#define MAKE_LISTED(name, kind)                                                                    \
   static void make_v1_batch_##name(struct made *made, ProtobufCBinaryData key)                    \
   {                                                                                               \
      make_v1_##name(made, key);                                                                   \
      make_v1_list(made, KVSTORE__V1__OPERATION__KIND_##kind);                                     \
      make_v1_batch(made);                                                                         \
   }                                                                                               \
   static void make_v1_success_##name(struct made *made, ProtobufCBinaryData key)                  \
   {                                                                                               \
      make_v1_##name(made, key);                                                                   \
      make_v1_list(made, KVSTORE__V1__OPERATION__KIND_##kind);                                     \
      make_v1_transaction(made, true);                                                             \
   }                                                                                               \
   static void make_v1_failure_##name(struct made *made, ProtobufCBinaryData key)                  \
   {                                                                                               \
      make_v1_##name(made, key);                                                                   \
      make_v1_list(made, KVSTORE__V1__OPERATION__KIND_##kind);                                     \
      make_v1_transaction(made, false);                                                            \
   }
MAKE_LISTED(get, GET)
MAKE_LISTED(set, SET)
MAKE_LISTED(set_previous, SET)
MAKE_LISTED(set_compared, SET)
MAKE_LISTED(delete, DELETE)
MAKE_LISTED(delete_previous, DELETE)
MAKE_LISTED(increment, INCREMENT)
MAKE_LISTED(set_expiry, SET_EXPIRY)
MAKE_LISTED(set_expiry_compared, SET_EXPIRY)

static void make_v1_comparison(struct made *made, ProtobufCBinaryData key)
{
   Kvstore__V1__TransactionRequest *request = &made->request.v1_transaction;
   *request = (Kvstore__V1__TransactionRequest)KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   made->comparison = (Kvstore__V1__Comparison)KVSTORE__V1__COMPARISON__INIT;
   made->comparison.key = key;
   made->comparisons[0] = &made->comparison;
   request->comparisons = made->comparisons;
   request->n_comparisons = 1;
}

#define BOTH (KV_ROLE_READ | KV_ROLE_WRITE)
#define LISTED(field, role, name)                                                                  \
   {"kvstore.v1.BatchRequest.operations." field, role, make_v1_batch_##name},                      \
       {"kvstore.v1.TransactionRequest.success." field, role, make_v1_success_##name},             \
   {                                                                                               \
      "kvstore.v1.TransactionRequest.failure." field, role, make_v1_failure_##name                 \
   }

static const struct {
   const char *field; /* from the request down */
   unsigned role;     /* all of these */
   void (*make)(struct made *made, ProtobufCBinaryData key);
} requests[] = {
    {"kvstore.SetRequest.key", KV_ROLE_WRITE, make_set},
    {"kvstore.GetRequest.key", KV_ROLE_READ, make_get},
    {"kvstore.DelRequest.key", KV_ROLE_WRITE, make_del},
    {"kvstore.v1.GetRequest.key", KV_ROLE_READ, make_v1_get},
    {"kvstore.v1.SetRequest.key", KV_ROLE_WRITE, make_v1_set},
    {"kvstore.v1.SetRequest.key", BOTH, make_v1_set_previous},
    {"kvstore.v1.SetRequest.key", BOTH, make_v1_set_compared},
    {"kvstore.v1.SetRequest.key", KV_ROLE_WRITE, make_v1_set_versioned},
    {"kvstore.v1.DeleteRequest.key", KV_ROLE_WRITE, make_v1_delete},
    {"kvstore.v1.DeleteRequest.key", BOTH, make_v1_delete_previous},
    {"kvstore.v1.DeleteRequest.key", BOTH, make_v1_delete_compared},
    {"kvstore.v1.IncrementRequest.key", BOTH, make_v1_increment},
    {"kvstore.v1.SetExpiryRequest.key", KV_ROLE_WRITE, make_v1_set_expiry},
    {"kvstore.v1.SetExpiryRequest.key", BOTH, make_v1_set_expiry_compared},
    {"kvstore.v1.DeleteRangeRequest.range.prefix", KV_ROLE_WRITE, make_v1_delete_range_prefix},
    {"kvstore.v1.DeleteRangeRequest.range.key", KV_ROLE_WRITE, make_v1_delete_range_key},
    {"kvstore.v1.ScanRequest.range.prefix", KV_ROLE_READ, make_v1_scan_prefix},
    {"kvstore.v1.ScanRequest.range.key", KV_ROLE_READ, make_v1_scan_key},
    {"kvstore.v1.WatchRequest.create.ranges.prefix", KV_ROLE_READ, make_v1_watch_prefix},
    {"kvstore.v1.WatchRequest.create.ranges.key", KV_ROLE_READ, make_v1_watch_key},
    LISTED("get.key", KV_ROLE_READ, get),
    LISTED("set.key", KV_ROLE_WRITE, set),
    LISTED("set.key", BOTH, set_previous),
    LISTED("set.key", BOTH, set_compared),
    LISTED("delete.key", KV_ROLE_WRITE, delete),
    LISTED("delete.key", BOTH, delete_previous),
    LISTED("increment.key", BOTH, increment),
    LISTED("set_expiry.key", KV_ROLE_WRITE, set_expiry),
    LISTED("set_expiry.key", BOTH, set_expiry_compared),
    {"kvstore.v1.TransactionRequest.comparisons.key", KV_ROLE_READ, make_v1_comparison},
};

/* Only leaves out some of the keys that another field names. */
static const char *const harmless_fields[] = {
    /* Alone or together they widen no range beyond what a grant must cover: test_key_range.c. */
    "kvstore.v1.DeleteRangeRequest.range.start",   "kvstore.v1.DeleteRangeRequest.range.end",
    "kvstore.v1.ScanRequest.range.start",          "kvstore.v1.ScanRequest.range.end",
    "kvstore.v1.WatchRequest.create.ranges.start", "kvstore.v1.WatchRequest.create.ranges.end",
};

/* ---- Users ---- */

static const struct {
   const char *grants;
   unsigned roles;
   bool all, admin;
} kinds[] = {
    {"", 0, false, false},
    {"read:app/", KV_ROLE_READ, false, false},
    {"write:app/", KV_ROLE_WRITE, false, false},
    {"readwrite:app/", KV_ROLE_READ | KV_ROLE_WRITE, false, false},
    {"read:*", KV_ROLE_READ, true, false},
    {"write:*", KV_ROLE_WRITE, true, false},
    {"readwrite:*", KV_ROLE_READ | KV_ROLE_WRITE, true, false},
    {"admin", KV_ROLE_READ | KV_ROLE_WRITE, true, true},
};

static const struct {
   const char *key;
   bool inside; /* of app/ */
} keys[] = {{"app/", true},  {"app/x", true}, {"app", false}, {"app0", false},
            {"app.", false}, {"b", false},    {"", false},    {"APP/x", false}};

static unsigned cases_count;

/* ---- The matrix ---- */

static void assert_answer(const struct kv_user *user, const ProtobufCMessage *message,
                          enum kv_code expected, const char *what, const char *grants,
                          const char *key)
{
   struct kv_status status;
   enum kv_code code = kv_grants_check(user, message, &status);
   cases_count++;
   if (code != expected)
      fail_msg("%s by \"%s\" with key \"%s\": code %d, not %d", what, grants, key, code, expected);
   if (code == KV_OK)
      return;
   assert_string_equal(status.reason,
                       code == KV_UNAUTHENTICATED ? "UNAUTHENTICATED" : "PERMISSION_DENIED");
   assert_null(strstr(status.text, "app"));
}

static struct kv_users *user_with(const char *grants)
{
   char text[128];
   struct kv_status status;
   snprintf(text, sizeof text, "ann uid=1 %s\n", grants);
   struct kv_users *users = kv_users_parse(kv_slice_of(text), &status);
   assert_non_null(users);
   return users;
}

static void every_field_with_a_key_needs_a_grant_of_its_role_that_covers_it(void **state)
{
   (void)state;
   for (size_t kind = 0; kind < COUNT(kinds); kind++) {
      struct kv_users *users = user_with(kinds[kind].grants);
      const struct kv_user *user = kv_users_of_uid(users, 1);
      for (size_t i = 0; i < COUNT(requests); i++)
         for (size_t k = 0; k < COUNT(keys); k++) {
            struct made made;
            const char *key = keys[k].key;
            memset(&made, 0, sizeof made);
            requests[i].make(&made, (ProtobufCBinaryData){strlen(key), (uint8_t *)key});
            bool may = (kinds[kind].roles & requests[i].role) == requests[i].role &&
                       (kinds[kind].all || keys[k].inside);
            assert_answer(user, &made.request.base, may ? KV_OK : KV_PERMISSION_DENIED,
                          requests[i].field, kinds[kind].grants, key);
            assert_answer(NULL, &made.request.base, KV_UNAUTHENTICATED, requests[i].field, "nobody",
                          key);
         }
      kv_users_destroy(users);
   }
}

/* With no field filled in, what names no key is decided by the method alone; what names one names
 * the empty one, or all. */
static const struct {
   const char *request;
   unsigned roles;
} empty_requests[] = {
    {"kvstore.SetRequest", KV_ROLE_WRITE},
    {"kvstore.GetRequest", KV_ROLE_READ},
    {"kvstore.DelRequest", KV_ROLE_WRITE},
    {"kvstore.KeysRequest", KV_ROLE_READ},
    {"kvstore.v1.GetRequest", KV_ROLE_READ},
    {"kvstore.v1.SetRequest", KV_ROLE_WRITE},
    {"kvstore.v1.DeleteRequest", KV_ROLE_WRITE},
    {"kvstore.v1.IncrementRequest", BOTH},
    {"kvstore.v1.SetExpiryRequest", KV_ROLE_WRITE},
    {"kvstore.v1.DeleteRangeRequest", KV_ROLE_WRITE},
    {"kvstore.v1.BatchRequest", 0},
    {"kvstore.v1.TransactionRequest", 0},
    {"kvstore.v1.ScanRequest", KV_ROLE_READ},
    {"kvstore.v1.WatchRequest", 0},
};

static bool may_call(size_t kind, enum kv_need need, const char *request)
{
   if (need == KV_NEED_ADMIN)
      return kinds[kind].admin;
   if (need != KV_NEED_KEYS)
      return true;
   for (size_t i = 0; i < COUNT(empty_requests); i++) {
      const unsigned roles = empty_requests[i].roles;
      if (strcmp(empty_requests[i].request, request) == 0)
         return roles == 0 || (kinds[kind].all && (kinds[kind].roles & roles) == roles);
   }
   fail_msg("say what an empty %s names", request);
   return false;
}

static void check_method(const ProtobufCMethodDescriptor *method)
{
   enum kv_need need;
   if (!kv_grants_find(method->input, &need))
      fail_msg("nobody has classified %s: add its request to core/service/grants.c", method->name);
   for (size_t kind = 0; kind < COUNT(kinds); kind++) {
      _Alignas(max_align_t) uint8_t request[1024];
      assert_true(method->input->sizeof_message <= sizeof request);
      protobuf_c_message_init(method->input, request);
      struct kv_users *users = user_with(kinds[kind].grants);
      bool may = may_call(kind, need, method->input->name);
      assert_answer(kv_users_of_uid(users, 1), (const ProtobufCMessage *)request,
                    may ? KV_OK : KV_PERMISSION_DENIED, method->name, kinds[kind].grants, "");
      assert_answer(NULL, (const ProtobufCMessage *)request,
                    need == KV_NEED_NOTHING ? KV_OK : KV_UNAUTHENTICATED, method->name, "nobody",
                    "");
      kv_users_destroy(users);
   }
}

static void every_method_is_classified_and_keeps_out_who_lacks_its_role(void **state)
{
   (void)state;
   for (size_t i = 0; i < COUNT(services); i++)
      for (unsigned m = 0; m < services[i]->n_methods; m++)
         check_method(&services[i]->methods[m]);
}

static void what_admins_do_is_for_admins(void **state)
{
   const ProtobufCServiceDescriptor *admin = &kvstore__v1__admin_service__descriptor;
   enum kv_need need;
   (void)state;
   for (unsigned m = 0; m < admin->n_methods; m++)
      assert_true(kv_grants_find(admin->methods[m].input, &need) && need == KV_NEED_ADMIN);
   assert_true(kv_grants_find(&kvstore__config_request__descriptor, &need));
   assert_int_equal(need, KV_NEED_ADMIN);
}

/* ---- Fields ---- */

static bool may_hold_key(const char *name)
{
   static const char *const names[] = {"key", "keys", "prefix", "prefixes", "start", "end"};
   for (size_t i = 0; i < COUNT(names); i++)
      if (strcmp(name, names[i]) == 0)
         return true;
   return false;
}

static bool is_known(const char *field)
{
   for (size_t i = 0; i < COUNT(requests); i++)
      if (strcmp(requests[i].field, field) == 0)
         return true;
   for (size_t i = 0; i < COUNT(harmless_fields); i++)
      if (strcmp(harmless_fields[i], field) == 0)
         return true;
   return false;
}

static void walk_fields(const ProtobufCMessageDescriptor *message, const char *path, int depth)
{
   for (unsigned i = 0; i < message->n_fields; i++) {
      const ProtobufCFieldDescriptor *field = &message->fields[i];
      char name[256];
      snprintf(name, sizeof name, "%s.%s", path, field->name);
      if (field->type == PROTOBUF_C_TYPE_MESSAGE && depth < 4)
         walk_fields(field->descriptor, name, depth + 1);
      else if (may_hold_key(field->name) && !is_known(name))
         fail_msg("%s may hold a key: add a request with it, or say why it is harmless", name);
   }
}

static void every_field_that_may_hold_a_key_is_tried_or_known_to_be_harmless(void **state)
{
   enum kv_need need;
   (void)state;
   for (size_t i = 0; i < COUNT(services); i++)
      for (unsigned m = 0; m < services[i]->n_methods; m++) {
         const ProtobufCMessageDescriptor *input = services[i]->methods[m].input;
         if (kv_grants_find(input, &need) && need == KV_NEED_KEYS)
            walk_fields(input, input->name, 0);
      }
}

static void a_start_does_not_widen_a_prefix_and_no_other_operation_excuses_one(void **state)
{
   struct made made;
   struct kv_users *users = user_with("readwrite:app/");
   const struct kv_user *user = kv_users_of_uid(users, 1);
   (void)state;
   make_v1_scan_prefix(&made, (ProtobufCBinaryData){0});
   made.range.start = (ProtobufCBinaryData){5, (uint8_t *)"app/x"};
   assert_answer(user, &made.request.base, KV_PERMISSION_DENIED, "start", "app/", "app/x");
   made.range.prefix = (ProtobufCBinaryData){4, (uint8_t *)"app/"};
   made.range.start = (ProtobufCBinaryData){1, (uint8_t *)"a"};
   assert_answer(user, &made.request.base, KV_OK, "start", "app/", "a");

   struct made foreign;
   memset(&foreign, 0, sizeof foreign);
   make_v1_batch_get(&foreign, (ProtobufCBinaryData){1, (uint8_t *)"b"});
   memset(&made, 0, sizeof made);
   make_v1_batch_get(&made, (ProtobufCBinaryData){5, (uint8_t *)"app/x"});
   assert_answer(user, &made.request.base, KV_OK, "batch", "app/", "app/x");
   made.v1_operations[0] = &foreign.v1_operation;
   assert_answer(user, &made.request.base, KV_PERMISSION_DENIED, "batch", "app/", "b, app/x");
   kv_users_destroy(users);
}

static int print_count(void **state)
{
   (void)state;
   print_message("%u cases of methods, fields and roles\n", cases_count);
   return 0;
}

int main(void)
{
   const struct CMUnitTest tests[] = {
       cmocka_unit_test(every_method_is_classified_and_keeps_out_who_lacks_its_role),
       cmocka_unit_test(what_admins_do_is_for_admins),
       cmocka_unit_test(every_field_with_a_key_needs_a_grant_of_its_role_that_covers_it),
       cmocka_unit_test(every_field_that_may_hold_a_key_is_tried_or_known_to_be_harmless),
       cmocka_unit_test(a_start_does_not_widen_a_prefix_and_no_other_operation_excuses_one),
   };
   return cmocka_run_group_tests(tests, NULL, print_count);
}
