#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/operations.h"
#include "core/service/keyvalue/request_id.h"

#include "core/service/validate.h"
#include "core/support/clock.h"

#include <stdio.h>

#define PARTS_MAX 10000

/* Field numbers of TransactionResponse. */
enum {
   RESPONSE_SUCCEEDED = 1,
   RESPONSE_RESULTS = 2,
   RESPONSE_VERSION = 3,
   RESPONSE_DURABILITY = 4
};

/* ---- The answer ---- */

/* Of what was carried out. */
struct answer {
   const struct kv_operation *operations;
   size_t count;
   const struct kv_entry *const *entries; /* of gets that were read without the pipeline; or NULL */
   bool succeeded;
   uint64_t version;
   enum kv_durability durability;
};

static struct kv_result result_of(const struct answer *answer, size_t index)
{
   return (struct kv_result){.operation = &answer->operations[index],
                             .entry = answer->entries ? answer->entries[index] : NULL};
}

static size_t size_of(const struct answer *answer, size_t *in_place)
{
   size_t size = kv_number_field_size(answer->succeeded) + kv_number_field_size(answer->version) +
                 kv_number_field_size(answer->durability);
   *in_place = 0;
   for (size_t i = 0; i < answer->count; i++) {
      const struct kv_result result = result_of(answer, i);
      size += kv_field_size(kv_result_size(&result));
      *in_place += kv_result_in_place(&result);
   }
   return size;
}

static void write(struct kv_writer *writer, const struct answer *answer)
{
   kv_writer_number(writer, RESPONSE_SUCCEEDED, answer->succeeded);
   for (size_t i = 0; i < answer->count; i++) {
      const struct kv_result result = result_of(answer, i);
      kv_writer_message(writer, RESPONSE_RESULTS, kv_result_size(&result));
      kv_result_write(writer, &result);
   }
   kv_writer_number(writer, RESPONSE_VERSION, answer->version);
   kv_writer_number(writer, RESPONSE_DURABILITY, answer->durability);
}

static void reply(struct kv_call *call, const struct answer *answer)
{
   struct kv_writer writer;
   size_t in_place, size = size_of(answer, &in_place);
   if (!kv_writer_begin(&writer, call, size, in_place))
      return;
   write(&writer, answer);
   if (kv_writer_end(&writer))
      kv_call_reply(call);
}

/* Where an operation is in the request. */
static void name_place(const struct kv_submission *submission, size_t index,
                       char place[KV_PLACE_SIZE])
{
   static const char *const kinds[] = {"set", "delete", "get", "increment", "set_expiry"};
   const size_t otherwise = submission->compound->otherwise;
   const bool failure = index >= otherwise;
   snprintf(place, KV_PLACE_SIZE, "%s[%zu].%s.", failure ? "failure" : "success",
            index - (failure ? otherwise : 0), kinds[submission->operations[index].kind]);
}

static struct answer answer_of(const struct kv_submission *submission)
{
   const struct kv_compound *compound = submission->compound;
   const size_t from = compound->succeeded ? 0 : compound->otherwise;
   return (struct answer){.operations = submission->operations + from,
                          .count = (compound->succeeded ? compound->otherwise : submission->count) -
                                   from,
                          .succeeded = compound->succeeded,
                          .version = compound->version};
}

/* Without the durability, which is not reached yet. */
static struct kv_slice encode(const struct kv_submission *submission)
{
   const struct answer answer = answer_of(submission);
   size_t in_place, size = size_of(&answer, &in_place);
   struct kv_writer writer = {.space = kv_arena_alloc(submission->arena, size + 1)};
   if (writer.space)
      write(&writer, &answer);
   return kv_slice(writer.space, writer.filled);
}

/* ---- With the pipeline ---- */

static void fail(const struct kv_write *write)
{
   const struct kv_submission *submission = &write->submission;
   const struct kv_compound *compound = submission->compound;
   char place[KV_PLACE_SIZE];
   struct kv_status status;
   if (compound->failed == SIZE_MAX) {
      kv_refusal_status(write->service, compound->code, compound->reason, submission->durability,
                        &status);
      kv_message_fail(write->call, &status);
      return;
   }
   name_place(submission, compound->failed, place);
   kv_fail_operation(write->service, write->call, &submission->operations[compound->failed], place,
                     submission->durability);
}

static void done(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   const struct kv_compound *compound = submission->compound;
   if (compound->repeated) {
      kv_request_answer_again(write->call, compound->answer, RESPONSE_DURABILITY,
                              submission->reached);
   } else if (status) {
      kv_message_fail(write->call, status);
   } else if (compound->code != KV_OK) {
      fail(write);
   } else {
      struct answer answer = answer_of(submission);
      answer.durability = submission->reached;
      kv_call_carried_out(write->call);
      reply(write->call, &answer);
   }
}

/* ---- Without it: reads of one version ---- */

static bool comparisons_hold(const struct kv_compound *compound, const struct kv_version *version,
                             int64_t now_ms)
{
   for (size_t i = 0; i < compound->comparison_count; i++) {
      const struct kv_requirement *comparison = &compound->comparisons[i];
      if (!kv_requirement_holds(comparison, kv_version_find(version, comparison->key), now_ms))
         return false;
   }
   return true;
}

/* Answers the call, of a version that is pinned. */
static void read(struct kv_service *service, struct kv_call *call,
                 const struct kv_submission *submission, const struct kv_version *version,
                 const struct kv_entry **entries)
{
   struct kv_compound *compound = submission->compound;
   const int64_t now_ms = kv_clock_unix_ms();
   compound->succeeded = comparisons_hold(compound, version, now_ms);
   compound->version = kv_version_sequence(version);
   const size_t from = compound->succeeded ? 0 : compound->otherwise;
   const size_t end = compound->succeeded ? compound->otherwise : submission->count;
   kv_read_operations(service, version, now_ms, submission->operations + from, end - from, entries);
   size_t refused = from;
   while (refused < end && submission->operations[refused].code == KV_OK)
      refused++;
   if (refused < end) {
      char place[KV_PLACE_SIZE];
      name_place(submission, refused, place);
      kv_fail_operation(service, call, &submission->operations[refused], place,
                        submission->durability);
      return;
   }
   struct answer answer = answer_of(submission);
   answer.entries = entries;
   answer.durability = submission->durability;
   reply(call, &answer);
}

static void read_all(struct kv_service *service, struct kv_call *call,
                     const struct kv_submission *submission)
{
   const struct kv_entry **entries =
       kv_message_alloc(call, submission->count * sizeof(struct kv_entry *) + 1);
   if (!entries)
      return;
   struct kv_reader *reader = kv_service_reader(service, call);
   read(service, call, submission, kv_reader_pin(reader), entries);
   kv_reader_unpin(reader);
}

/* ---- The request ---- */

static enum kv_code take_comparison(const struct kv_taking *taking,
                                    const Kvstore__V1__Comparison *comparison,
                                    struct kv_requirement *requirement, struct kv_status *status)
{
   char field[KV_PLACE_SIZE + 8];
   snprintf(field, sizeof field, "%skey", taking->place);
   *requirement = (struct kv_requirement){.key = kv_service_bytes(comparison->key)};
   if (kv_validate_key(field, requirement->key, status) != KV_OK)
      return status->code;
   if (!comparison->condition)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "%scondition: is missing; give exists, version or value",
                            taking->place);
   return kv_take_condition(taking, comparison->condition, &requirement->condition, status);
}

static enum kv_code take_comparisons(const struct kv_taking *taking,
                                     const Kvstore__V1__TransactionRequest *message,
                                     struct kv_requirement *requirements, struct kv_status *status)
{
   for (size_t i = 0; i < message->n_comparisons; i++) {
      char place[KV_PLACE_SIZE];
      snprintf(place, sizeof place, "comparisons[%zu].", i);
      struct kv_taking own = *taking;
      own.place = place;
      if (take_comparison(&own, message->comparisons[i], &requirements[i], status) != KV_OK)
         return status->code;
   }
   return KV_OK;
}

static enum kv_code take_list(const struct kv_taking *taking, const char *list,
                              Kvstore__V1__Operation **messages, size_t count,
                              struct kv_operation *operations, struct kv_status *status)
{
   struct kv_taking own = *taking;
   own.place = list;
   for (size_t i = 0; i < count; i++)
      if (kv_take_operation(&own, i, messages[i], &operations[i], status) != KV_OK)
         return status->code;
   return KV_OK;
}

static bool has_gets_alone(const struct kv_submission *submission)
{
   for (size_t i = 0; i < submission->count; i++)
      if (submission->operations[i].kind != KV_OPERATION_GET)
         return false;
   return true;
}

/* Gets alone may be repeated anyway; and to remember them would be a write of a user who may have
 * the role read alone. */
static enum kv_code take_request_id(const struct kv_service *service, struct kv_call *call,
                                    const Kvstore__V1__TransactionRequest *message,
                                    const struct kv_submission *submission,
                                    struct kv_status *status)
{
   if (message->request_id.len == 0)
      return KV_OK;
   const struct kv_remembered *request = kv_request_remember(
       service, call, kv_service_bytes(message->request_id), &message->base, encode, status);
   if (!request)
      return status->code;
   if (!has_gets_alone(submission))
      submission->compound->request = request;
   return KV_OK;
}

/* False: the call has been failed. */
static bool take_all(struct kv_service *service, struct kv_call *call,
                     const Kvstore__V1__TransactionRequest *message,
                     struct kv_submission *submission)
{
   struct kv_status status;
   const size_t parts = message->n_comparisons + message->n_success + message->n_failure;
   if (parts == 0 || parts > PARTS_MAX) {
      kv_fail_reason(&status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                     "comparisons, success and failure: %zu given together; 1 to %d are allowed",
                     parts, PARTS_MAX);
      kv_message_fail(call, &status);
      return false;
   }
   struct kv_compound *compound = kv_message_alloc(call, sizeof *compound);
   struct kv_requirement *requirements =
       compound ? kv_message_alloc(call, message->n_comparisons * sizeof *requirements + 1) : NULL;
   submission->operations =
       requirements ? kv_message_alloc(call, submission->count * sizeof *submission->operations + 1)
                    : NULL;
   if (!submission->operations)
      return false;
   *compound = (struct kv_compound){.comparisons = requirements,
                                    .comparison_count = message->n_comparisons,
                                    .otherwise = message->n_success};
   submission->compound = compound;
   const struct kv_taking taking = {
       .service = service, .arena = kv_call_arena(call), .now_ms = kv_clock_unix_ms()};
   if (kv_take_durability(message->durability, &submission->durability, &status) != KV_OK ||
       take_comparisons(&taking, message, requirements, &status) != KV_OK ||
       take_list(&taking, "success", message->success, message->n_success, submission->operations,
                 &status) != KV_OK ||
       take_list(&taking, "failure", message->failure, message->n_failure,
                 submission->operations + message->n_success, &status) != KV_OK)
      goto refused;
   if (take_request_id(service, call, message, submission, &status) != KV_OK)
      goto refused;
   return true;
refused:
   kv_message_fail(call, &status);
   return false;
}

/* Whether it is nothing but reading, which has nothing to wait for: not whether what it reads is
 * durable, as all that can be read is in memory. */
static bool only_reads(const struct kv_submission *submission)
{
   return submission->durability <= KV_DURABILITY_MEMORY && has_gets_alone(submission);
}

void kv_keyvalue_transaction(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__TransactionRequest *message =
       kv_service_request(service, call, &kvstore__v1__transaction_request__descriptor, request);
   if (!message)
      return;
   struct kv_submission submission = {.count = message->n_success + message->n_failure,
                                      .arena = kv_call_arena(call),
                                      .result_max = service->config.message_size_max,
                                      .done = done};
   if (!take_all(service, call, message, &submission))
      return;
   if (submission.count > 0)
      kv_call_set_subject(call, submission.operations[0].key);
   else
      kv_call_set_subject(call, submission.compound->comparisons[0].key);
   if (only_reads(&submission))
      read_all(service, call, &submission);
   else
      kv_service_submit(service, call, &submission);
}
