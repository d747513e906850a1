/* Why operations were refused, in words. */
#include "core/service/keyvalue/operations.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const durability_names[] = {"the mode's own", "MEMORY", "WRITTEN", "SYNCED"};

/* What is told of a key is as it stands. Where the condition holds for that, it is an operation
 * before it in its transaction that would have made it untrue. */
static bool is_undone_by_own(const struct kv_operation *operation)
{
   const struct kv_condition *condition = &operation->terms->condition;
   return (condition->kind == KV_CONDITION_EXISTS && operation->found) ||
          (condition->kind == KV_CONDITION_MISSING && !operation->found) ||
          (condition->kind == KV_CONDITION_VERSION && condition->version == operation->version);
}

static void tell_condition(const struct kv_operation *operation, const char *place,
                           struct kv_status *status)
{
   const struct kv_condition *condition = &operation->terms->condition;
   if (is_undone_by_own(operation)) {
      kv_fail_reason(status, operation->code, operation->reason,
                     "%scondition: would hold, but for what an operation before it in the same "
                     "transaction does to the key; give the condition to the first one alone",
                     place);
      return;
   }
   char current[64] = "the key is missing";
   if (operation->found)
      snprintf(current, sizeof current, "the key has version %" PRIu64, operation->version);
   switch (condition->kind) {
   case KV_CONDITION_EXISTS:
      kv_fail_reason(status, operation->code, operation->reason,
                     "%scondition.exists: the key is missing", place);
      return;
   case KV_CONDITION_MISSING:
      kv_fail_reason(status, operation->code, operation->reason,
                     "%scondition.exists: the key exists, with version %" PRIu64, place,
                     operation->version);
      return;
   case KV_CONDITION_VERSION:
      kv_fail_reason(status, operation->code, operation->reason,
                     "%scondition.version: %" PRIu64 " was asked for, and %s; read it again", place,
                     condition->version, current);
      return;
   default:
      kv_fail_reason(status, operation->code, operation->reason,
                     "%scondition.value: is another one, and %s; read it again", place, current);
   }
}

/* Of a reason that says all there is to say. */
static const char *text_of(const char *reason)
{
   static const struct {
      const char *reason, *text;
   } texts[] = {
       {KV_REASON_ANSWER_TOO_LARGE,
        "the values that this call returns are too large for one answer, or above the 64 KiB that "
        "are remembered with a request_id; ask for fewer at once"},
       {KV_REASON_REQUEST_TOO_LARGE, "the values of the keys whose expiry this call sets are too "
                                     "large together, as they are written again; set it for fewer "
                                     "keys at once"},
       {KV_REASON_REQUEST_ID_REUSED, "request_id: belongs to another request that was carried out "
                                     "already; give each request one of its own"},
   };
   for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
      if (strcmp(texts[i].reason, reason) == 0)
         return texts[i].text;
   return reason;
}

void kv_refusal_status(const struct kv_service *service, enum kv_code code, const char *reason,
                       enum kv_durability durability, struct kv_status *status)
{
   if (!reason)
      kv_fail(status, code, "the call's memory is used up; send fewer operations at once");
   else if (strcmp(reason, KV_REASON_MEMORY_FULL) == 0)
      kv_fail_reason(status, code, KV_REASON_MEMORY_FULL,
                     "the memory limit of %" PRIu64 " bytes (server setting max-memory) leaves no "
                     "space for it; delete keys or raise it",
                     service->config.memory_max);
   else if (strcmp(reason, KV_REASON_DURABILITY_NOT_OFFERED) == 0)
      kv_fail_reason(
          status, code, KV_REASON_DURABILITY_NOT_OFFERED,
          "durability: %s was asked for, and the active mode keeps writes in memory until "
          "its next checkpoint, if at all; ask for MEMORY, or have the server switch to a "
          "mode with a log",
          durability_names[durability]);
   else
      kv_fail_reason(status, code, reason, "%s", text_of(reason));
}

void kv_operation_status(const struct kv_service *service, const struct kv_operation *operation,
                         const char *place, enum kv_durability durability, struct kv_status *status)
{
   const char *reason = operation->reason ? operation->reason : "";
   if (strcmp(reason, KV_REASON_CONDITION_NOT_MET) == 0)
      tell_condition(operation, place, status);
   else if (strcmp(reason, KV_REASON_NOT_AN_INTEGER) == 0)
      kv_fail_reason(status, operation->code, KV_REASON_NOT_AN_INTEGER,
                     "%skey: its value is no decimal integer of 64 bits; set it to one, or use "
                     "another key",
                     place);
   else if (strcmp(reason, KV_REASON_INTEGER_OVERFLOW) == 0)
      kv_fail_reason(status, operation->code, KV_REASON_INTEGER_OVERFLOW,
                     "%sdelta: %" PRId64 " more would leave the range of 64 bits", place,
                     operation->terms->delta);
   else if (strcmp(reason, KV_REASON_KEY_NOT_FOUND) == 0)
      kv_fail_reason(status, operation->code, KV_REASON_KEY_NOT_FOUND,
                     "%skey: is missing; an expiry belongs to a key that exists", place);
   else
      kv_refusal_status(service, operation->code, operation->reason, durability, status);
}

void kv_fail_operation(const struct kv_service *service, struct kv_call *call,
                       const struct kv_operation *operation, const char *place,
                       enum kv_durability durability)
{
   struct kv_status status;
   kv_operation_status(service, operation, place, durability, &status);
   if (status.reason && strcmp(status.reason, KV_REASON_CONDITION_NOT_MET) == 0)
      kv_message_fail_numbered(call, &status, "current_version", operation->version);
   else
      kv_message_fail(call, &status);
}
