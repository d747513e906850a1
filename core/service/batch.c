/* Batch: many operations in one message. */
#include "core/service/internal.h"
#include "core/service/validate.h"

/* ---- The answer ---- */

/* Field numbers of kvstore.proto. */
enum { RESPONSE_RESULTS = 1 };
enum { RESULT_SET = 1, RESULT_GET = 2, RESULT_DEL = 3, RESULT_ERROR = 4 };
enum { DEL_SUCCESS = 1 };
enum { ERROR_CODE = 1, ERROR_MESSAGE = 2 };

/* What is answered, and how those that were refused are explained. */
struct answer {
   const struct kv_operation *operations;
   size_t count;
   const struct kv_entry *const *entries; /* of the values got; NULL: they are copies */
   const struct kv_status *failure;       /* of the operations from `failed` on; or NULL */
   size_t failed;
};

static const char *text_of_refusal(const struct kv_operation *operation)
{
   return operation->kind == KV_OPERATION_GET
              ? "the values that this batch gets are too large for one reply; get fewer at once"
              : "the memory limit (server setting max-memory) leaves no space for it; delete keys "
                "or raise it";
}

static struct kv_slice refusal_of(const struct answer *answer, size_t index)
{
   return kv_slice_of(answer->failure && index >= answer->failed
                          ? answer->failure->text
                          : text_of_refusal(&answer->operations[index]));
}

static unsigned field_of(const struct kv_operation *operation)
{
   static const unsigned fields[] = {[KV_OPERATION_SET] = RESULT_SET,
                                     [KV_OPERATION_GET] = RESULT_GET,
                                     [KV_OPERATION_DELETE] = RESULT_DEL};
   return operation->code == KV_OK ? fields[operation->kind] : RESULT_ERROR;
}

/* Of the message in the result's field. */
static size_t size_of_result(const struct answer *answer, size_t index)
{
   const struct kv_operation *operation = &answer->operations[index];
   switch (field_of(operation)) {
   case RESULT_GET:
      return operation->found ? kv_get_response_size(operation->value.size) : 0;
   case RESULT_DEL:
      return kv_number_field_size(operation->found);
   case RESULT_ERROR:
      return kv_number_field_size(operation->code) +
             kv_optional_field_size(refusal_of(answer, index).size);
   default:
      return 0; /* google.protobuf.Empty */
   }
}

static void write_result(struct kv_writer *writer, const struct answer *answer, size_t index)
{
   const struct kv_operation *operation = &answer->operations[index];
   const size_t size = size_of_result(answer, index);
   const unsigned field = field_of(operation);
   kv_writer_message(writer, RESPONSE_RESULTS, kv_field_size(size));
   kv_writer_message(writer, field, size);
   if (field == RESULT_ERROR) {
      kv_writer_number(writer, ERROR_CODE, operation->code);
      kv_writer_bytes(writer, ERROR_MESSAGE, refusal_of(answer, index));
   } else if (field == RESULT_DEL) {
      kv_writer_number(writer, DEL_SUCCESS, operation->found);
   } else if (field == RESULT_GET && operation->found) {
      if (answer->entries)
         kv_writer_value(writer, KV_GET_RESPONSE_VALUE, answer->entries[index]);
      else
         kv_writer_bytes(writer, KV_GET_RESPONSE_VALUE, operation->value);
      kv_writer_number(writer, KV_GET_RESPONSE_FOUND, true);
   }
}

/* False when memory runs out: the call has been failed. */
static bool encode(struct kv_call *call, const struct answer *answer)
{
   struct kv_writer writer;
   size_t size = 0, in_place = 0;
   for (size_t i = 0; i < answer->count; i++) {
      size += kv_field_size(kv_field_size(size_of_result(answer, i)));
      if (answer->entries && field_of(&answer->operations[i]) == RESULT_GET && answer->entries[i])
         in_place += kv_in_place_size(answer->entries[i]);
   }
   if (!kv_writer_begin(&writer, call, size, in_place))
      return false;
   for (size_t i = 0; i < answer->count; i++)
      write_result(&writer, answer, i);
   return kv_writer_end(&writer);
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
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, "FIELD_INVALID",
                            "operations[%zu]: holds no operation; give set, get or del", index);
   }
   struct kv_status inner;
   if (kv_validate_key("key", operation->key, &inner) != KV_OK ||
       kv_validate_value("value", operation->value, service->config.value_size_max, &inner) !=
           KV_OK)
      return kv_fail_reason(status, inner.code, inner.reason, "operations[%zu].%s.%s", index, kind,
                            inner.text);
   return KV_OK;
}

/* ---- The two ways ---- */

/* `failure`: of the operations that were not committed, where others were; or NULL. */
static void reply(const struct kv_write *write, const struct kv_status *failure)
{
   const struct kv_submission *submission = &write->submission;
   const struct answer answer = {.operations = submission->operations,
                                 .count = submission->count,
                                 .failure = failure,
                                 .failed = submission->committed};
   kv_call_carried_out(write->call);
   for (size_t i = submission->committed; failure && i < submission->count; i++)
      submission->operations[i].code = failure->code;
   if (encode(write->call, &answer))
      kv_call_reply(write->call);
}

static void batch_done(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   if (status && submission->committed == 0)
      kv_message_fail(write->call, status);
   else if (!status && submission->refused)
      kv_service_fail_full(write, "operations", "leaves no space for them; nothing was changed");
   else
      reply(write, status);
}

static void submit(struct kv_service *service, struct kv_call *call,
                   struct kv_operation *operations, size_t count, bool atomic)
{
   const struct kv_submission submission = {.operations = operations,
                                            .count = count,
                                            .atomic = atomic,
                                            .arena = kv_call_arena(call),
                                            .result_max = service->config.message_size_max,
                                            .done = batch_done};
   kv_service_submit(service, call, &submission);
}

/* Gets alone need no commit: one version, pinned while the answer is encoded. */
static void read_all(struct kv_service *service, struct kv_call *call,
                     struct kv_operation *operations, size_t count)
{
   const struct kv_entry **entries = kv_message_alloc(call, count * sizeof(void *));
   if (!entries)
      return;
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_version *version = kv_reader_pin(reader);
   size_t left = service->config.message_size_max;
   struct kv_slice keys[KV_PREFETCH_KEYS_MAX];
   const int64_t now_ms = kv_clock_unix_ms();
   for (size_t i = 0; i < count; i++) {
      struct kv_operation *get = &operations[i];
      if (i % KV_PREFETCH_KEYS_MAX == 0)
         kv_version_prefetch(version, keys, kv_operations_keys(get, count - i, keys));
      const struct kv_entry *entry = kv_version_find(version, get->key);
      entries[i] = kv_entry_is_live(entry, now_ms) ? entry : NULL;
      get->found = entries[i];
      get->value = entries[i] ? kv_entry_value(entries[i]) : kv_slice(NULL, 0);
      if (get->value.size > left)
         get->code = KV_RESOURCE_EXHAUSTED;
      else
         left -= get->value.size;
   }
   const struct answer answer = {.operations = operations, .count = count, .entries = entries};
   bool encoded = encode(call, &answer);
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
       kv_message_alloc(call, batch->n_operations * sizeof *operations);
   if (!operations)
      return;
   bool writes = false;
   struct kv_status status;
   for (size_t i = 0; i < batch->n_operations; i++) {
      if (take_operation(service, batch->operations[i], i, &operations[i], &status) != KV_OK) {
         kv_message_fail(call, &status);
         return;
      }
      writes |= operations[i].kind != KV_OPERATION_GET;
   }
   if (batch->n_operations > 0)
      kv_call_set_subject(call, operations[0].key);
   if (writes)
      submit(service, call, operations, batch->n_operations, batch->atomic);
   else
      read_all(service, call, operations, batch->n_operations);
}
