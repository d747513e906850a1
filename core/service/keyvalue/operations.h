/*
 * The operations on one key, between their messages and the pipeline: the same alone, in a Batch
 * and in a Transaction.
 *
 * Threads: as for the call.
 */
#ifndef KV_KEYVALUE_OPERATIONS_H
#define KV_KEYVALUE_OPERATIONS_H

#include "core/service/internal.h"

#include "kvstore/v1/key_value.pb-c.h"

/* ---- From requests ---- */

/* Where an operation is in its request, for texts: "" or "operations[3].set.". */
#define KV_PLACE_SIZE 64

/* What operations are taken with. */
struct kv_taking {
   const struct kv_service *service;
   struct kv_arena *arena; /* of the call */
   const char *place;
   int64_t now_ms; /* Unix time, from which a ttl counts */
};

/* Check a request and fill in what it asks for. INVALID_ARGUMENT or RESOURCE_EXHAUSTED. */
enum kv_code kv_take_get(const struct kv_taking *taking, const Kvstore__V1__GetRequest *get,
                         struct kv_operation *operation, struct kv_status *status);
enum kv_code kv_take_set(const struct kv_taking *taking, const Kvstore__V1__SetRequest *set,
                         struct kv_operation *operation, struct kv_status *status);
enum kv_code kv_take_delete(const struct kv_taking *taking,
                            const Kvstore__V1__DeleteRequest *delete,
                            struct kv_operation *operation, struct kv_status *status);
enum kv_code kv_take_increment(const struct kv_taking *taking,
                               const Kvstore__V1__IncrementRequest *increment,
                               struct kv_operation *operation, struct kv_status *status);
enum kv_code kv_take_set_expiry(const struct kv_taking *taking,
                                const Kvstore__V1__SetExpiryRequest *set_expiry,
                                struct kv_operation *operation, struct kv_status *status);
/* One of a list, which must ask for neither a durability nor a request_id of its own; the list's
 * name is the place. */
enum kv_code kv_take_operation(const struct kv_taking *taking, size_t index,
                               const Kvstore__V1__Operation *message,
                               struct kv_operation *operation, struct kv_status *status);
enum kv_code kv_take_condition(const struct kv_taking *taking,
                               const Kvstore__V1__Condition *message,
                               struct kv_condition *condition, struct kv_status *status);
enum kv_code kv_take_durability(Kvstore__V1__Durability asked, enum kv_durability *durability,
                                struct kv_status *status);

/* ---- Reading without the pipeline ---- */

/* Answers gets of one version at Unix time, whose entries are valid as long as it; NULL: the key is
 * missing. One whose value does not fit into one answer with the others is refused. */
void kv_read_operations(const struct kv_service *service, const struct kv_version *version,
                        int64_t now_ms, struct kv_operation *operations, size_t count,
                        const struct kv_entry **entries);

/* ---- To answers ---- */

/* A result, and how it is encoded. */
struct kv_result {
   const struct kv_operation *operation;
   const struct kv_entry *entry;    /* of a GET that was read without the pipeline; or NULL */
   enum kv_durability durability;   /* of a write that is answered alone; else 0 */
   const struct kv_status *failure; /* why the operation was refused; NULL: it was not */
};

/* Bytes of the response message of its kind, without a failure. */
size_t kv_response_size(const struct kv_result *result);
void kv_response_write(struct kv_writer *writer, const struct kv_result *result);
/* Bytes of an OperationResult, and of what in it is sent in place. */
size_t kv_result_size(const struct kv_result *result);
size_t kv_result_in_place(const struct kv_result *result);
void kv_result_write(struct kv_writer *writer, const struct kv_result *result);
/* The number of the field `durability` in the response of that kind. */
unsigned kv_response_durability_field(enum kv_operation_kind kind);

/* Why an operation was refused, from its code and reason. `place` as above; `durability` is what
 * was asked for. */
void kv_operation_status(const struct kv_service *service, const struct kv_operation *operation,
                         const char *place, enum kv_durability durability,
                         struct kv_status *status);
/* The same of a reason that is no operation's own. */
void kv_refusal_status(const struct kv_service *service, enum kv_code code, const char *reason,
                       enum kv_durability durability, struct kv_status *status);
/* Fails the call because of an operation, which was answered alone or made the whole fail. */
void kv_fail_operation(const struct kv_service *service, struct kv_call *call,
                       const struct kv_operation *operation, const char *place,
                       enum kv_durability durability);

#endif
