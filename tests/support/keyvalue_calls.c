#include "tests/support/keyvalue_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

/* ---- The clock ---- */

static _Atomic int64_t now_ms = KEYVALUE_NOW;

int64_t __wrap_kv_clock_unix_ms(void);
int64_t __wrap_kv_clock_unix_ms(void)
{
   return atomic_load(&now_ms);
}

void keyvalue_advance(int64_t ms)
{
   atomic_fetch_add(&now_ms, ms);
}

int keyvalue_set_up(void **state)
{
   atomic_store(&now_ms, KEYVALUE_NOW);
   return service_fixture_set_up(state);
}

/* ---- Requests ---- */

Kvstore__V1__GetRequest keyvalue_get_of(const char *key)
{
   Kvstore__V1__GetRequest request = KVSTORE__V1__GET_REQUEST__INIT;
   request.key = service_text(key);
   return request;
}

Kvstore__V1__SetRequest keyvalue_set_of(const char *key, const char *value)
{
   Kvstore__V1__SetRequest request = KVSTORE__V1__SET_REQUEST__INIT;
   request.key = service_text(key);
   request.value = service_text(value);
   return request;
}

Kvstore__V1__DeleteRequest keyvalue_delete_of(const char *key)
{
   Kvstore__V1__DeleteRequest request = KVSTORE__V1__DELETE_REQUEST__INIT;
   request.key = service_text(key);
   return request;
}

Kvstore__V1__IncrementRequest keyvalue_increment_of(const char *key, int64_t delta)
{
   Kvstore__V1__IncrementRequest request = KVSTORE__V1__INCREMENT_REQUEST__INIT;
   request.key = service_text(key);
   request.delta = delta;
   return request;
}

Kvstore__V1__SetExpiryRequest keyvalue_set_expiry_of(const char *key, Kvstore__V1__Expiry *expiry)
{
   Kvstore__V1__SetExpiryRequest request = KVSTORE__V1__SET_EXPIRY_REQUEST__INIT;
   request.key = service_text(key);
   request.expiry = expiry;
   return request;
}

Kvstore__V1__Condition keyvalue_exists(bool exists)
{
   Kvstore__V1__Condition condition = KVSTORE__V1__CONDITION__INIT;
   condition.kind_case = KVSTORE__V1__CONDITION__KIND_EXISTS;
   condition.exists = exists;
   return condition;
}

Kvstore__V1__Condition keyvalue_version(uint64_t version)
{
   Kvstore__V1__Condition condition = KVSTORE__V1__CONDITION__INIT;
   condition.kind_case = KVSTORE__V1__CONDITION__KIND_VERSION;
   condition.version = version;
   return condition;
}

Kvstore__V1__Condition keyvalue_value(const char *value)
{
   Kvstore__V1__Condition condition = KVSTORE__V1__CONDITION__INIT;
   condition.kind_case = KVSTORE__V1__CONDITION__KIND_VALUE;
   condition.value = service_text(value);
   return condition;
}

Kvstore__V1__Expiry keyvalue_ttl(int64_t ttl_ms)
{
   Kvstore__V1__Expiry expiry = KVSTORE__V1__EXPIRY__INIT;
   expiry.time_case = KVSTORE__V1__EXPIRY__TIME_TTL_MS;
   expiry.ttl_ms = ttl_ms;
   return expiry;
}

Kvstore__V1__Expiry keyvalue_expires_at(int64_t unix_ms)
{
   Kvstore__V1__Expiry expiry = KVSTORE__V1__EXPIRY__INIT;
   expiry.time_case = KVSTORE__V1__EXPIRY__TIME_EXPIRE_TIME_MS;
   expiry.expire_time_ms = unix_ms;
   return expiry;
}

Kvstore__V1__Expiry keyvalue_keep(bool keep)
{
   Kvstore__V1__Expiry expiry = KVSTORE__V1__EXPIRY__INIT;
   expiry.time_case = KVSTORE__V1__EXPIRY__TIME_KEEP;
   expiry.keep = keep;
   return expiry;
}

Kvstore__V1__Operation keyvalue_operation(ProtobufCMessage *request)
{
   Kvstore__V1__Operation operation = KVSTORE__V1__OPERATION__INIT;
   if (request->descriptor == &kvstore__v1__get_request__descriptor) {
      operation.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
      operation.get = (Kvstore__V1__GetRequest *)request;
   } else if (request->descriptor == &kvstore__v1__set_request__descriptor) {
      operation.kind_case = KVSTORE__V1__OPERATION__KIND_SET;
      operation.set = (Kvstore__V1__SetRequest *)request;
   } else if (request->descriptor == &kvstore__v1__delete_request__descriptor) {
      operation.kind_case = KVSTORE__V1__OPERATION__KIND_DELETE;
      operation.delete_ = (Kvstore__V1__DeleteRequest *)request;
   } else if (request->descriptor == &kvstore__v1__increment_request__descriptor) {
      operation.kind_case = KVSTORE__V1__OPERATION__KIND_INCREMENT;
      operation.increment = (Kvstore__V1__IncrementRequest *)request;
   } else {
      assert_ptr_equal(request->descriptor, &kvstore__v1__set_expiry_request__descriptor);
      operation.kind_case = KVSTORE__V1__OPERATION__KIND_SET_EXPIRY;
      operation.set_expiry = (Kvstore__V1__SetExpiryRequest *)request;
   }
   return operation;
}

/* ---- Calls ---- */

Kvstore__V1__GetResponse *keyvalue_get(const struct service_fixture *fixture,
                                       const Kvstore__V1__GetRequest *request)
{
   return service_reply(fixture, KEYVALUE("Get"), &request->base,
                        &kvstore__v1__get_response__descriptor);
}

Kvstore__V1__SetResponse *keyvalue_set(const struct service_fixture *fixture,
                                       const Kvstore__V1__SetRequest *request)
{
   return service_reply(fixture, KEYVALUE("Set"), &request->base,
                        &kvstore__v1__set_response__descriptor);
}

Kvstore__V1__DeleteResponse *keyvalue_delete(const struct service_fixture *fixture,
                                             const Kvstore__V1__DeleteRequest *request)
{
   return service_reply(fixture, KEYVALUE("Delete"), &request->base,
                        &kvstore__v1__delete_response__descriptor);
}

Kvstore__V1__IncrementResponse *keyvalue_increment(const struct service_fixture *fixture,
                                                   const Kvstore__V1__IncrementRequest *request)
{
   return service_reply(fixture, KEYVALUE("Increment"), &request->base,
                        &kvstore__v1__increment_response__descriptor);
}

Kvstore__V1__SetExpiryResponse *keyvalue_set_expiry(const struct service_fixture *fixture,
                                                    const Kvstore__V1__SetExpiryRequest *request)
{
   return service_reply(fixture, KEYVALUE("SetExpiry"), &request->base,
                        &kvstore__v1__set_expiry_response__descriptor);
}

uint64_t keyvalue_put(const struct service_fixture *fixture, const char *key, const char *value)
{
   const Kvstore__V1__SetRequest request = keyvalue_set_of(key, value);
   Kvstore__V1__SetResponse *reply = keyvalue_set(fixture, &request);
   const uint64_t version = reply->version;
   kvstore__v1__set_response__free_unpacked(reply, NULL);
   return version;
}

void keyvalue_assert_is(const Kvstore__V1__Entry *entry, const char *value, uint64_t version,
                        int64_t expire_time_ms)
{
   assert_non_null(entry);
   assert_int_equal(entry->key.len, 0);
   service_assert_text(entry->value, value);
   assert_int_equal(entry->version, version);
   assert_int_equal(entry->expire_time_ms, expire_time_ms);
   assert_int_equal(entry->omitted_value_size, 0);
}

void keyvalue_assert_entry(const struct service_fixture *fixture, const char *key,
                           const char *value, uint64_t version, int64_t expire_time_ms)
{
   const Kvstore__V1__GetRequest request = keyvalue_get_of(key);
   Kvstore__V1__GetResponse *reply = keyvalue_get(fixture, &request);
   if (value)
      keyvalue_assert_is(reply->entry, value, version, expire_time_ms);
   else
      assert_null(reply->entry);
   kvstore__v1__get_response__free_unpacked(reply, NULL);
}
