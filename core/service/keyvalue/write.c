/* Set, Delete, Increment, SetExpiry: one key a call. */
#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/operations.h"
#include "core/service/keyvalue/request_id.h"

#include "core/support/clock.h"

/* What a call asks for beside its operation. */
struct asked {
   Kvstore__V1__Durability durability;
   ProtobufCBinaryData request_id;
   const ProtobufCMessage *request;
};

static void reply(const struct kv_write *write)
{
   const struct kv_result result = {.operation = write->submission.operations,
                                    .durability = write->submission.reached};
   struct kv_writer writer;
   kv_call_carried_out(write->call);
   if (!kv_writer_begin(&writer, write->call, kv_response_size(&result), 0))
      return;
   kv_response_write(&writer, &result);
   if (kv_writer_end(&writer))
      kv_call_reply(write->call);
}

/* Without the durability, which is not reached yet. */
static struct kv_slice encode(const struct kv_submission *submission)
{
   const struct kv_result result = {.operation = submission->operations};
   const size_t size = kv_response_size(&result);
   struct kv_writer writer = {.space = kv_arena_alloc(submission->arena, size + 1)};
   if (writer.space)
      kv_response_write(&writer, &result);
   return kv_slice(writer.space, writer.filled);
}

static void fail_remembered(const struct kv_write *write)
{
   const struct kv_submission *submission = &write->submission;
   const struct kv_compound *compound = submission->compound;
   struct kv_status status;
   if (compound->failed == 0) {
      kv_fail_operation(write->service, write->call, submission->operations, "",
                        submission->durability);
      return;
   }
   kv_refusal_status(write->service, compound->code, compound->reason, submission->durability,
                     &status);
   kv_message_fail(write->call, &status);
}

static void done(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   const struct kv_operation *operation = submission->operations;
   const struct kv_compound *compound = submission->compound;
   if (compound && compound->repeated)
      kv_request_answer_again(write->call, compound->answer,
                              kv_response_durability_field(operation->kind), submission->reached);
   else if (status)
      kv_message_fail(write->call, status);
   else if (compound && compound->code != KV_OK)
      fail_remembered(write);
   else if (operation->code != KV_OK)
      kv_fail_operation(write->service, write->call, operation, "", submission->durability);
   else
      reply(write);
}

/* NULL: the call has been failed. */
static struct kv_compound *remember(struct kv_service *service, struct kv_call *call,
                                    const struct asked *asked)
{
   struct kv_status status;
   const struct kv_remembered *remembered = kv_request_remember(
       service, call, kv_service_bytes(asked->request_id), asked->request, encode, &status);
   if (!remembered) {
      kv_message_fail(call, &status);
      return NULL;
   }
   struct kv_compound *compound = kv_message_alloc(call, sizeof *compound);
   if (compound)
      *compound = (struct kv_compound){.otherwise = 1, .request = remembered};
   return compound;
}

static void submit(struct kv_service *service, struct kv_call *call,
                   const struct kv_operation *operation, const struct asked *asked)
{
   struct kv_status status;
   struct kv_submission submission = {.count = 1,
                                      .arena = kv_call_arena(call),
                                      .result_max = service->config.message_size_max,
                                      .done = done};
   if (kv_take_durability(asked->durability, &submission.durability, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   submission.operations = kv_message_alloc(call, sizeof *operation);
   if (!submission.operations)
      return;
   submission.operations[0] = *operation;
   kv_call_set_subject(call, operation->key);
   if (operation->kind == KV_OPERATION_SET_EXPIRY)
      submission.result_max = SIZE_MAX; /* what one key has may always be written again */
   if (asked->request_id.len > 0) {
      submission.compound = remember(service, call, asked);
      if (!submission.compound)
         return;
   }
   kv_service_submit(service, call, &submission);
}

static struct kv_taking taking_of(const struct kv_service *service, struct kv_call *call)
{
   return (struct kv_taking){
       .service = service, .arena = kv_call_arena(call), .place = "", .now_ms = 0};
}

void kv_keyvalue_set(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__SetRequest *message =
       kv_service_request(service, call, &kvstore__v1__set_request__descriptor, request);
   if (!message)
      return;
   struct kv_taking taking = taking_of(service, call);
   if (message->expiry)
      taking.now_ms = kv_clock_unix_ms();
   struct kv_operation set;
   struct kv_status status;
   if (kv_take_set(&taking, message, &set, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      submit(service, call, &set,
             &(struct asked){message->durability, message->request_id, &message->base});
}

void kv_keyvalue_delete(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__DeleteRequest *message =
       kv_service_request(service, call, &kvstore__v1__delete_request__descriptor, request);
   if (!message)
      return;
   const struct kv_taking taking = taking_of(service, call);
   struct kv_operation operation;
   struct kv_status status;
   if (kv_take_delete(&taking, message, &operation, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      submit(service, call, &operation,
             &(struct asked){message->durability, message->request_id, &message->base});
}

void kv_keyvalue_increment(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__IncrementRequest *message =
       kv_service_request(service, call, &kvstore__v1__increment_request__descriptor, request);
   if (!message)
      return;
   struct kv_taking taking = taking_of(service, call);
   if (message->expiry)
      taking.now_ms = kv_clock_unix_ms();
   struct kv_operation operation;
   struct kv_status status;
   if (kv_take_increment(&taking, message, &operation, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      submit(service, call, &operation,
             &(struct asked){message->durability, message->request_id, &message->base});
}

void kv_keyvalue_set_expiry(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__SetExpiryRequest *message =
       kv_service_request(service, call, &kvstore__v1__set_expiry_request__descriptor, request);
   if (!message)
      return;
   struct kv_taking taking = taking_of(service, call);
   taking.now_ms = kv_clock_unix_ms();
   struct kv_operation operation;
   struct kv_status status;
   if (kv_take_set_expiry(&taking, message, &operation, &status) != KV_OK)
      kv_message_fail(call, &status);
   else
      submit(service, call, &operation, &(struct asked){.durability = message->durability});
}
