/*
 * The kvstore service over a real store, commit pipeline, control plane and plug-ins; only the wire
 * is a stand-in (fake_rpc.h).
 *
 * Values may have SERVICE_VALUE_MAX bytes, and those in one answer together SERVICE_MESSAGE_MAX.
 *
 * Threads: the test's.
 */
#ifndef TESTS_SERVICE_FIXTURE_H
#define TESTS_SERVICE_FIXTURE_H

#include "core/service/service.h"
#include "tests/support/fake_rpc.h"
#include "tests/support/temporary.h"

#include "kvstore.pb-c.h"
#include "kvstore/v1/admin.pb-c.h"
#include "kvstore/v1/key_value.pb-c.h"

#define SERVICE_SLOW_MS 100
#define SERVICE_VALUE_MAX ((size_t)200 * 1024)
#define SERVICE_MESSAGE_MAX ((size_t)300 * 1024)

struct service_fixture {
   struct temporary folder; /* data/ */
   struct kv_data_directory *directory;
   struct kv_plugin_library *library;
   struct kv_store *store;
   struct kv_commit *commit;
   struct kv_history *history;
   struct kv_watchers *watchers;
   struct kv_control *control;
   bool control_started;
   struct kv_observers observers;
   struct kv_service *service;
   struct kv_rpc_method methods[KV_SERVICE_METHODS_MAX];
   size_t method_count;
   const char *private_paths[2];
};

struct service_setup { /* zeroed: mode "none", no limit of memory */
   const char *mode;
   const struct kv_mode_option *options;
   size_t option_count;
   uint64_t memory_max;
   bool not_loaded; /* the control plane has not been started */
};

struct service_fixture *service_fixture_create(const struct service_setup *setup);
void service_fixture_destroy(struct service_fixture *fixture);

/* For cmocka: the fixture is *state, as a zeroed setup has it. */
int service_fixture_set_up(void **state);
int service_fixture_tear_down(void **state);

/* ---- Calls: by the method's name, e.g. "Set" of the frozen service, "GetStatus" of the
 * AdminService, or KEYVALUE("Set") ---- */

#define KEYVALUE(method) "KeyValueService/" method

const struct kv_rpc_method *service_method(const struct service_fixture *fixture, const char *name);
/* Runs a call to its end; as fake_call_run. */
void service_run(const struct service_fixture *fixture, const char *name,
                 const ProtobufCMessage *request, const struct fake_client *client,
                 struct fake_answer *answer);
/* Begins one, as fake_call_begin. */
struct kv_call *service_begin(const struct service_fixture *fixture, const char *name,
                              const ProtobufCMessage *request, struct fake_answer *answer);
/* The reply of a call that must succeed; free it with protobuf_c_message_free_unpacked. */
void *service_reply(const struct service_fixture *fixture, const char *name,
                    const ProtobufCMessage *request, const ProtobufCMessageDescriptor *reply);
/* A call that must fail with this code, and with a text that contains each of the parts (NULL ends
 * them). */
void service_refused(const struct service_fixture *fixture, const char *name,
                     const ProtobufCMessage *request, enum kv_code code, ...)
    __attribute__((sentinel));

/* The same; the ErrorInfo must have the reason, and `metadata` ("name=value"; NULL: none). */
void service_refused_for(const struct service_fixture *fixture, const char *name,
                         const ProtobufCMessage *request, enum kv_code code, const char *reason,
                         const char *metadata, ...) __attribute__((sentinel));

ProtobufCBinaryData service_text(const char *text);
void service_assert_text(ProtobufCBinaryData field, const char *expected);

/* Set, Del and Get of one key, which must succeed. `expected` NULL: the key must not exist. */
void service_set(const struct service_fixture *fixture, const char *key, const char *value);
bool service_del(const struct service_fixture *fixture, const char *key);
void service_assert_value(const struct service_fixture *fixture, const char *key,
                          const char *expected);
/* The reply of GetStatus; free it with kvstore__v1__get_status_response__free_unpacked. */
Kvstore__V1__GetStatusResponse *service_status(const struct service_fixture *fixture);
/* What Configure has been asked for must be accepted. */
void service_configure(const struct service_fixture *fixture, const char *plugin,
                       const char *option, const char *value);
/* The value that Status shows for an option of the active plug-in. */
void service_assert_option(const struct service_fixture *fixture, const char *option,
                           const char *expected);

#endif
