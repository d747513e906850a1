/*
 * What each call must do to a store: runs it and compares answer and store with a model.
 */
#ifndef FUZZ_REQUEST_CHECK_H
#define FUZZ_REQUEST_CHECK_H

#include "core/service/service.h"
#include "tests/support/fake_rpc.h"

/* The limits of the server under test: small, so that short inputs meet them. */
#define CHECK_MEMORY_MAX 600
#define CHECK_VALUE_MAX 256
#define CHECK_MESSAGE_MAX 300

/* Deletes every key. `methods` is the table with the service's own methods. */
void check_empty_store(const struct kv_rpc_method *methods, struct kv_store *store);

/* Sorts the methods by the numbers that they have in the corpus. */
void check_order(struct kv_rpc_method *methods, size_t count);

/* Makes one call and checks it. `methods` as above. */
void check_call(const struct kv_rpc_method *methods, const struct kv_rpc_method *method,
                struct kv_store *store, struct kv_slice request);

#endif
