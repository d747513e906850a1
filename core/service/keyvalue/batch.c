#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/operations.h"

#include "core/service/validate.h"
#include "core/support/clock.h"

#define OPERATIONS_MAX 100000

/* Field numbers of BatchResponse. */
enum { RESPONSE_RESULTS = 1, RESPONSE_DURABILITY = 2 };

/* ---- The answer ---- */

struct answer {
   const struct kv_service *service;
   struct kv_call *call;
   const struct kv_submission *submission;
   const struct kv_entry *const *entries; /* of gets that were read without the pipeline; or NULL */
   const struct kv_status *failure;       /* of what was not committed; or NULL */
   struct kv_status refusal;              /* of the result in hand */
};

static struct kv_result result_of(struct answer *answer, size_t index)
{
   const struct kv_submission *submission = answer->submission;
   const struct kv_operation *operation = &submission->operations[index];
   struct kv_result result = {.operation = operation,
                              .entry = answer->entries ? answer->entries[index] : NULL};
   if (answer->failure && index >= submission->committed) {
      result.failure = answer->failure;
   } else if (operation->code != KV_OK) {
      kv_operation_status(answer->service, operation, "", submission->durability, &answer->refusal);
      result.failure = &answer->refusal;
   }
   return result;
}

/* The durability of a call that writes; 0 of one that only reads. */
static void reply(struct answer *answer, enum kv_durability durability)
{
   struct kv_writer writer;
   size_t size = kv_number_field_size(durability), in_place = 0;
   for (size_t i = 0; i < answer->submission->count; i++) {
      const struct kv_result result = result_of(answer, i);
      size += kv_field_size(kv_result_size(&result));
      in_place += kv_result_in_place(&result);
   }
   if (!kv_writer_begin(&writer, answer->call, size, in_place))
      return;
   for (size_t i = 0; i < answer->submission->count; i++) {
      const struct kv_result result = result_of(answer, i);
      kv_writer_message(&writer, RESPONSE_RESULTS, kv_result_size(&result));
      kv_result_write(&writer, &result);
   }
   kv_writer_number(&writer, RESPONSE_DURABILITY, durability);
   if (kv_writer_end(&writer))
      kv_call_reply(answer->call);
}

/* ---- The two ways ---- */

/* The mode may be switched between two parts, to one that offers it for the later ones. */
static bool is_refused_as_a_whole(const struct kv_submission *submission)
{
   for (size_t i = 0; i < submission->committed; i++) {
      const char *reason = submission->operations[i].reason;
      if (!reason || strcmp(reason, KV_REASON_DURABILITY_NOT_OFFERED) != 0)
         return false;
   }
   return true;
}

static void done(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   struct answer answer = {
       .service = write->service, .call = write->call, .submission = submission, .failure = status};
   if (status && submission->committed == 0) {
      kv_message_fail(write->call, status);
   } else if (is_refused_as_a_whole(submission)) {
      kv_fail_operation(write->service, write->call, &submission->operations[0], "",
                        submission->durability);
   } else {
      kv_call_carried_out(write->call);
      reply(&answer, submission->reached);
   }
}

static void read_all(struct kv_service *service, struct kv_call *call,
                     struct kv_submission *submission)
{
   const struct kv_entry **entries =
       kv_message_alloc(call, submission->count * sizeof(struct kv_entry *) + 1);
   if (!entries)
      return;
   struct kv_reader *reader = kv_service_reader(service, call);
   const struct kv_version *version = kv_reader_pin(reader);
   kv_read_operations(service, version, kv_clock_unix_ms(), submission->operations,
                      submission->count, entries);
   struct answer answer = {
       .service = service, .call = call, .submission = submission, .entries = entries};
   reply(&answer, KV_DURABILITY_DEFAULT);
   kv_reader_unpin(reader);
}

/* ---- The request ---- */

/* *writes: there are others than gets. False: the call has been failed. */
static bool take_all(struct kv_service *service, struct kv_call *call,
                     const Kvstore__V1__BatchRequest *batch, struct kv_submission *submission,
                     bool *writes)
{
   struct kv_status status;
   const struct kv_taking taking = {.service = service,
                                    .arena = kv_call_arena(call),
                                    .place = "operations",
                                    .now_ms = kv_clock_unix_ms()};
   *writes = false;
   if (submission->count == 0 || submission->count > OPERATIONS_MAX) {
      kv_fail_reason(&status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                     "operations: %zu given; 1 to %d are allowed", submission->count,
                     OPERATIONS_MAX);
      goto refused;
   }
   if (kv_take_durability(batch->durability, &submission->durability, &status) != KV_OK)
      goto refused;
   submission->operations =
       kv_message_alloc(call, submission->count * sizeof *submission->operations);
   if (!submission->operations)
      return false;
   for (size_t i = 0; i < submission->count; i++) {
      struct kv_operation *operation = &submission->operations[i];
      if (kv_take_operation(&taking, i, batch->operations[i], operation, &status) != KV_OK)
         goto refused;
      *writes |= operation->kind != KV_OPERATION_GET;
   }
   return true;
refused:
   kv_message_fail(call, &status);
   return false;
}

void kv_keyvalue_batch(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__BatchRequest *batch =
       kv_service_request(service, call, &kvstore__v1__batch_request__descriptor, request);
   if (!batch)
      return;
   struct kv_submission submission = {.count = batch->n_operations,
                                      .arena = kv_call_arena(call),
                                      .result_max = service->config.message_size_max,
                                      .done = done};
   bool writes;
   if (!take_all(service, call, batch, &submission, &writes))
      return;
   kv_call_set_subject(call, submission.operations[0].key);
   if (writes)
      kv_service_submit(service, call, &submission);
   else
      read_all(service, call, &submission);
}
