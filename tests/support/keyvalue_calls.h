/*
 * Calls of kvstore.v1.KeyValueService on a service fixture, with a clock of the test's own: link
 * with --wrap=kv_clock_unix_ms.
 *
 * Threads: the test's.
 */
#ifndef TESTS_KEYVALUE_CALLS_H
#define TESTS_KEYVALUE_CALLS_H

#include "tests/support/service_fixture.h"

/* What the clock of the service and the pipeline says. Threads wait by the true passing of time, so
 * that a key whose time has come by this clock alone is not deleted meanwhile. */
#define KEYVALUE_NOW INT64_C(1900000000000)
#define KEYVALUE_HOUR INT64_C(3600000)
void keyvalue_advance(int64_t ms);

/* For cmocka: sets the clock to KEYVALUE_NOW; the fixture is *state. */
int keyvalue_set_up(void **state);

/* ---- Requests ---- */

Kvstore__V1__GetRequest keyvalue_get_of(const char *key);
Kvstore__V1__SetRequest keyvalue_set_of(const char *key, const char *value);
Kvstore__V1__DeleteRequest keyvalue_delete_of(const char *key);
Kvstore__V1__IncrementRequest keyvalue_increment_of(const char *key, int64_t delta);
Kvstore__V1__SetExpiryRequest keyvalue_set_expiry_of(const char *key, Kvstore__V1__Expiry *expiry);
Kvstore__V1__Condition keyvalue_exists(bool exists);
Kvstore__V1__Condition keyvalue_version(uint64_t version);
Kvstore__V1__Condition keyvalue_value(const char *value);
Kvstore__V1__Expiry keyvalue_ttl(int64_t ttl_ms);
Kvstore__V1__Expiry keyvalue_expires_at(int64_t unix_ms);
Kvstore__V1__Expiry keyvalue_keep(bool keep);
Kvstore__V1__Operation keyvalue_operation(ProtobufCMessage *request);

/* ---- Calls that must succeed; free the replies with protobuf_c_message_free_unpacked ---- */

Kvstore__V1__GetResponse *keyvalue_get(const struct service_fixture *fixture,
                                       const Kvstore__V1__GetRequest *request);
Kvstore__V1__SetResponse *keyvalue_set(const struct service_fixture *fixture,
                                       const Kvstore__V1__SetRequest *request);
Kvstore__V1__DeleteResponse *keyvalue_delete(const struct service_fixture *fixture,
                                             const Kvstore__V1__DeleteRequest *request);
Kvstore__V1__IncrementResponse *keyvalue_increment(const struct service_fixture *fixture,
                                                   const Kvstore__V1__IncrementRequest *request);
Kvstore__V1__SetExpiryResponse *keyvalue_set_expiry(const struct service_fixture *fixture,
                                                    const Kvstore__V1__SetExpiryRequest *request);

/* Sets and returns the version. */
uint64_t keyvalue_put(const struct service_fixture *fixture, const char *key, const char *value);
/* What the store has under the key; NULL value: nothing. */
void keyvalue_assert_entry(const struct service_fixture *fixture, const char *key,
                           const char *value, uint64_t version, int64_t expire_time_ms);
void keyvalue_assert_is(const Kvstore__V1__Entry *entry, const char *value, uint64_t version,
                        int64_t expire_time_ms);

#endif
