/* DeleteRange: a submission that the pipeline carries out in steps; with validate_only, a walk that
 * counts. */
#include "core/service/keyvalue/keyvalue.h"
#include "core/service/keyvalue/operations.h"
#include "core/service/keyvalue/range.h"
#include "core/service/validate.h"
#include "core/service/walk.h"

#include <inttypes.h>

static void reply(struct kv_call *call, uint64_t count, uint64_t version,
                  enum kv_durability durability)
{
   Kvstore__V1__DeleteRangeResponse response = KVSTORE__V1__DELETE_RANGE_RESPONSE__INIT;
   response.count = count;
   response.version = version;
   response.durability = (Kvstore__V1__Durability)durability; /* numbered alike */
   kv_message_reply(call, &response.base);
}

/* ---- Deleting ---- */

/* After a failure: what has happened all the same. */
static void fail_in_part(struct kv_call *call, const struct kv_operation *range, enum kv_code code,
                         const char *reason, const char *text)
{
   struct kv_status status;
   kv_fail_reason(&status, code, reason,
                  "%s; %" PRId64 " keys of the range have been deleted, and repeating the call "
                  "deletes the others",
                  text, range->number);
   kv_message_fail(call, &status);
}

/* Why the rest of the range was not deleted. */
static void refuse_rest(const struct kv_write *write, const struct kv_operation *range)
{
   struct kv_status reason;
   if (range->reason)
      kv_refusal_status(write->service, range->code, range->reason, write->submission.durability,
                        &reason);
   else
      kv_fail(&reason, range->code, "the call's memory is used up");
   fail_in_part(write->call, range, reason.code, reason.reason, reason.text);
}

static void done(struct kv_submission *submission, const struct kv_status *status)
{
   const struct kv_write *write = (struct kv_write *)submission;
   const struct kv_operation *range = submission->operations;
   if (status && range->number > 0) {
      fail_in_part(write->call, range, status->code, status->reason, status->text);
   } else if (status) {
      kv_message_fail(write->call, status);
   } else if (range->code == KV_CANCELLED) {
      fail_in_part(write->call, range, KV_CANCELLED, NULL, "the call has been cancelled");
   } else if (range->code != KV_OK && range->number > 0) {
      refuse_rest(write, range);
   } else if (range->code != KV_OK) {
      kv_fail_operation(write->service, write->call, range, "", submission->durability);
   } else {
      kv_call_carried_out(write->call);
      reply(write->call, (uint64_t)range->number, range->version, submission->reached);
   }
}

static bool is_cancelled(const struct kv_submission *submission)
{
   return kv_call_is_cancelled(((const struct kv_write *)submission)->call);
}

static void submit(struct kv_service *service, struct kv_call *call,
                   const struct kv_key_range *range, enum kv_durability durability)
{
   struct kv_operation *operation = kv_message_alloc(call, sizeof *operation);
   if (!operation)
      return;
   *operation = (struct kv_operation){
       .kind = KV_OPERATION_DELETE_RANGE, .key = range->start, .value = range->end};
   kv_service_submit(service, call,
                     &(struct kv_submission){.operations = operation,
                                             .count = 1,
                                             .durability = durability,
                                             .arena = kv_call_arena(call),
                                             .cancelled = is_cancelled,
                                             .done = done});
}

/* ---- Counting ---- */

struct counting {
   struct kv_walk walk;
   uint64_t count;
};

static void go_on(void *context, struct kv_call *call)
{
   struct counting *counting = *kv_call_state(call);
   enum kv_walk_found found;
   const struct kv_entry *entry;
   (void)context;
   kv_walk_rest(&counting->walk);
   while ((found = kv_walk_next(&counting->walk, &entry)) == KV_WALK_ENTRY)
      counting->count++;
   const bool cancelled = kv_call_is_cancelled(call);
   if (found != KV_WALK_END && !cancelled) {
      kv_call_yield(call, go_on);
      return;
   }
   const uint64_t version = kv_version_sequence(kv_store_view_version(counting->walk.view));
   kv_walk_end(&counting->walk);
   if (cancelled)
      kv_call_fail(call, KV_CANCELLED, "the call has been cancelled");
   else
      reply(call, counting->count, version, KV_DURABILITY_DEFAULT);
}

static void count(struct kv_service *service, struct kv_call *call,
                  const struct kv_key_range *range)
{
   struct counting *counting = kv_message_alloc(call, sizeof *counting);
   if (!counting)
      return;
   counting->count = 0;
   if (!kv_walk_begin(&counting->walk, service->config.store, range, false)) {
      kv_message_out_of_memory(call);
      return;
   }
   *kv_call_state(call) = counting;
   go_on(service, call);
}

/* ---- The call ---- */

static enum kv_code check(const Kvstore__V1__DeleteRangeRequest *wanted, struct kv_arena *arena,
                          struct kv_key_range *range, enum kv_durability *durability,
                          struct kv_status *status)
{
   if (!wanted->range)
      return kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID,
                            "range: is missing; give an empty one to delete all keys");
   if (kv_range_resolve("range", wanted->range, arena, range, status) != KV_OK)
      return status->code;
   return kv_take_durability(wanted->durability, durability, status);
}

void kv_keyvalue_delete_range(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   const Kvstore__V1__DeleteRangeRequest *wanted =
       kv_service_request(service, call, &kvstore__v1__delete_range_request__descriptor, request);
   if (!wanted)
      return;
   struct kv_key_range range;
   struct kv_status status;
   enum kv_durability durability = KV_DURABILITY_DEFAULT;
   if (check(wanted, kv_call_arena(call), &range, &durability, &status) != KV_OK) {
      kv_message_fail(call, &status);
      return;
   }
   kv_call_set_subject(call, kv_keyvalue_subject(wanted->range));
   if (wanted->validate_only)
      count(service, call, &range);
   else
      submit(service, call, &range, durability);
}
