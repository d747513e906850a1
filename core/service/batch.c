/* Batch: many operations in one message. */
#include "core/service/internal.h"
#include "core/service/validate.h"
#include "core/service/values.h"

#include <inttypes.h>
#include <stdio.h>

struct batch {
   struct kv_submission submission; /* first: done gets back from it to the whole */
   struct kv_service *service;
   struct kv_call *call;
};

/* ---- The answer ---- */

/* One result with room for whatever kind it is. */
struct result {
   Kvstore__OperationResult base;
   union {
      Google__Protobuf__Empty set;
      Kvstore__GetResponse get;
      Kvstore__DelResponse del;
      Kvstore__OperationError error;
   };
};

static const char *text_of_refusal(const struct kv_operation *operation)
{
   return operation->kind == KV_OPERATION_GET
              ? "the values that this batch gets are too large for one reply; get fewer at once"
              : "the memory limit (server setting max-memory) leaves no room for it; delete keys "
                "or "
                "raise it";
}

/* `refusal`: the text for one with a code; `stored`: where the values are still in the store. */
static void fill_result(struct result *result, const struct kv_operation *operation,
                        const char *refusal, struct kv_call *call, struct kv_values *stored)
{
   kvstore__operation_result__init(&result->base);
   if (operation->code != KV_OK) {
      kvstore__operation_error__init(&result->error);
      result->error.code = (int32_t)operation->code;
      result->error.message = kv_message_text(refusal);
      result->base.result_case = KVSTORE__OPERATION_RESULT__RESULT_ERROR;
      result->base.error = &result->error;
      return;
   }
   switch (operation->kind) {
   case KV_OPERATION_SET:
      google__protobuf__empty__init(&result->set);
      result->base.result_case = KVSTORE__OPERATION_RESULT__RESULT_SET;
      result->base.set = &result->set;
      break;
   case KV_OPERATION_GET:
      kvstore__get_response__init(&result->get);
      result->get.found = operation->found;
      if (operation->found)
         result->get.value = stored ? kv_values_add(stored, call, operation->key, operation->value)
                                    : kv_message_bytes(operation->value);
      result->base.result_case = KVSTORE__OPERATION_RESULT__RESULT_GET;
      result->base.get = &result->get;
      break;
   case KV_OPERATION_DELETE:
      kvstore__del_response__init(&result->del);
      result->del.success = operation->found;
      result->base.result_case = KVSTORE__OPERATION_RESULT__RESULT_DEL;
      result->base.del = &result->del;
      break;
   }
}

/* `failure`: of the operations from `failed` on, or NULL; `stored` as above. */
static bool encode_answer(struct kv_call *call, const struct kv_operation *operations, size_t count,
                          size_t failed, const struct kv_status *failure, bool stored)
{
   struct kv_values values = {0};
   struct kv_arena *arena = kv_call_arena(call);
   struct result *results = kv_arena_alloc(arena, count * sizeof *results);
   Kvstore__OperationResult **pointers = kv_arena_alloc(arena, count * sizeof(void *));
   if (!results || !pointers) {
      kv_message_out_of_memory(call);
      return false;
   }
   for (size_t i = 0; i < count; i++) {
      const char *refusal =
          failure && i >= failed ? failure->text : text_of_refusal(&operations[i]);
      fill_result(&results[i], &operations[i], refusal, call, stored ? &values : NULL);
      pointers[i] = &results[i].base;
   }
   Kvstore__BatchResponse response = KVSTORE__BATCH_RESPONSE__INIT;
   response.n_results = count;
   response.results = pointers;
   return kv_values_encode(&values, call, &response.base);
}

/* ---- The request ---- */

static enum kv_code take_operation(const struct kv_service *service,
                                   const Kvstore__Operation *request, size_t index,
                                   struct kv_operation *operation, struct kv_status *status)
{
   const char *kind;
   *operation = (struct kv_operation){0};
   switch (request->operation_case) {
   case KVSTORE__OPERATION__OPERATION_SET:
      kind = "set";
      operation->kind = KV_OPERATION_SET;
      operation->key = kv_service_bytes(request->set->key);
      operation->value = kv_service_bytes(request->set->value);
      break;
   case KVSTORE__OPERATION__OPERATION_GET:
      kind = "get";
      operation->kind = KV_OPERATION_GET;
      operation->key = kv_service_bytes(request->get->key);
      break;
   case KVSTORE__OPERATION__OPERATION_DEL:
      kind = "del";
      operation->kind = KV_OPERATION_DELETE;
      operation->key = kv_service_bytes(request->del->key);
      break;
   default:
      return kv_fail(status, KV_INVALID_ARGUMENT,
                     "operations[%zu]: holds no operation; give set, get or del", index);
   }
   struct kv_status inner;
   if (kv_validate_key("key", operation->key, &inner) != KV_OK ||
       kv_validate_value("value", operation->value, service->config.value_size_max, &inner) !=
           KV_OK)
      return kv_fail(status, inner.code, "operations[%zu].%s.%s", index, kind, inner.text);
   return KV_OK;
}

static enum kv_code take_operations(const struct kv_service *service,
                                    const Kvstore__BatchRequest *request,
                                    struct kv_operation *operations, bool *writes,
                                    struct kv_status *status)
{
   *writes = false;
   for (size_t i = 0; i < request->n_operations; i++) {
      if (take_operation(service, request->operations[i], i, &operations[i], status) != KV_OK)
         return status->code;
      *writes |= operations[i].kind != KV_OPERATION_GET;
   }
   return KV_OK;
}

/* ---- The two ways ---- */

/* Some operations were committed before the failure: it is that of the others. */
static void reply_in_part(struct batch *batch, const struct kv_status *status)
{
   struct kv_submission *submission = &batch->submission;
   kv_call_carried_out(batch->call);
   for (size_t i = submission->committed; i < submission->count; i++)
      submission->operations[i].code = status->code;
   if (encode_answer(batch->call, submission->operations, submission->count, submission->committed,
                     status, false))
      kv_call_reply(batch->call);
}

static void batch_done(struct kv_submission *submission, const struct kv_status *status)
{
   struct batch *batch = (struct batch *)submission;
   if (status && submission->committed > 0) {
      reply_in_part(batch, status);
      return;
   }
   if (status) {
      kv_message_fail(batch->call, status);
      return;
   }
   if (submission->refused) {
      struct kv_status full;
      kv_fail(&full, KV_RESOURCE_EXHAUSTED,
              "operations: the memory limit of %" PRIu64
              " bytes (server setting max-memory) leaves no room for them; nothing was changed",
              batch->service->config.memory_max);
      kv_message_fail(batch->call, &full);
      return;
   }
   kv_call_carried_out(batch->call);
   if (encode_answer(batch->call, submission->operations, submission->count, 0, NULL, false))
      kv_call_reply(batch->call);
}

static void submit(struct kv_service *service, struct kv_call *call,
                   struct kv_operation *operations, size_t count, bool atomic)
{
   struct batch *batch = kv_arena_alloc(kv_call_arena(call), sizeof *batch);
   if (!batch) {
      kv_message_out_of_memory(call);
      return;
   }
   *batch = (struct batch){
       .submission = {.operations = operations,
                      .count = count,
                      .atomic = atomic,
                      .arena = kv_call_arena(call),
                      .result_max = service->config.message_size_max,
                      .done = batch_done},
       .service = service,
       .call = call,
   };
   kv_service_submit(service, call, &batch->submission);
}

/* Gets alone need no commit: one version, pinned while the answer is encoded. */
static void read_all(struct kv_service *service, struct kv_call *call,
                     struct kv_operation *operations, size_t count)
{
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_version *version = kv_reader_pin(reader);
   size_t left = service->config.message_size_max;
   struct kv_slice keys[KV_PREFETCH_KEYS_MAX];
   for (size_t i = 0; i < count; i++) {
      struct kv_operation *get = &operations[i];
      if (i % KV_PREFETCH_KEYS_MAX == 0)
         kv_version_prefetch(version, keys, kv_operations_keys(get, count - i, keys));
      get->found = kv_version_get(version, get->key, &get->value);
      if (get->found && get->value.size > left)
         get->code = KV_RESOURCE_EXHAUSTED;
      else if (get->found)
         left -= get->value.size;
   }
   bool encoded = encode_answer(call, operations, count, 0, NULL, true);
   kv_reader_unpin(reader);
   if (encoded)
      kv_call_reply(call);
}

void kv_service_batch(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__BatchRequest *batch =
       kv_service_request(service, call, &kvstore__batch_request__descriptor, request);
   if (!batch)
      return;
   struct kv_operation *operations =
       kv_arena_alloc(kv_call_arena(call), batch->n_operations * sizeof *operations);
   if (!operations) {
      kv_message_out_of_memory(call);
      return;
   }
   bool writes;
   struct kv_status status;
   if (take_operations(service, batch, operations, &writes, &status) != KV_OK)
      kv_message_fail(call, &status);
   else if (writes)
      submit(service, call, operations, batch->n_operations, batch->atomic);
   else
      read_all(service, call, operations, batch->n_operations);
}
