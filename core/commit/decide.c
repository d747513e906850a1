#include "core/commit/decide.h"

#include "core/support/invariant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define INTEGER_SIZE_MAX 20 /* of -9223372036854775808 */

static const struct kv_decision nothing = {.change = KV_CHANGE_NONE};

struct kv_state kv_state_of(const struct kv_entry *entry)
{
   if (!entry)
      return (struct kv_state){0};
   return (struct kv_state){.exists = true,
                            .value = kv_entry_value(entry),
                            .version = kv_entry_version(entry),
                            .expires_at = kv_entry_expires_at(entry)};
}

bool kv_condition_holds(const struct kv_condition *condition, const struct kv_state *state)
{
   switch (condition->kind) {
   case KV_CONDITION_EXISTS:
      return state->exists;
   case KV_CONDITION_MISSING:
      return !state->exists;
   case KV_CONDITION_VERSION:
      return state->version == condition->version;
   case KV_CONDITION_VALUE:
      return state->exists && kv_slice_compare(state->value, condition->value) == 0;
   default:
      return true;
   }
}

bool kv_requirement_holds(const struct kv_requirement *requirement, const struct kv_entry *entry,
                          int64_t now_ms)
{
   const struct kv_state state = kv_state_of(kv_entry_is_live(entry, now_ms) ? entry : NULL);
   return kv_condition_holds(&requirement->condition, &state);
}

void kv_operation_refuse(struct kv_operation *operation, enum kv_code code, const char *reason)
{
   operation->code = code;
   operation->reason = reason;
}

/* A copy of a value for the answer; false when there is no space for it, which is nobody else's
 * failure. A later write of the same batch may free the original. */
static bool copy_for_answer(struct kv_slice value, struct kv_submission *submission,
                            struct kv_slice *copy)
{
   if (value.size > submission->result_max)
      return false;
   void *data = kv_arena_copy(submission->arena, value.size > 0 ? value.data : "", value.size);
   if (!data)
      return false;
   submission->result_max -= value.size;
   *copy = kv_slice(data, value.size);
   return true;
}

static void decide_get(struct kv_operation *get, const struct kv_state *state,
                       struct kv_submission *submission)
{
   get->value = kv_slice(NULL, 0);
   if (!state->exists)
      return;
   get->version = state->version;
   get->expires_at = state->expires_at;
   if (get->terms && get->terms->omit_value)
      get->number = (int64_t)state->value.size;
   else if (!copy_for_answer(state->value, submission, &get->value))
      kv_operation_refuse(get, KV_RESOURCE_EXHAUSTED, KV_REASON_ANSWER_TOO_LARGE);
}

static bool take_previous(struct kv_operation *operation, const struct kv_state *state,
                          struct kv_submission *submission)
{
   if (!operation->terms || !operation->terms->return_previous || !state->exists)
      return true;
   struct kv_previous *previous = kv_arena_alloc(submission->arena, sizeof *previous);
   if (!previous || !copy_for_answer(state->value, submission, &previous->value)) {
      kv_operation_refuse(operation, KV_RESOURCE_EXHAUSTED, KV_REASON_ANSWER_TOO_LARGE);
      return false;
   }
   previous->version = state->version;
   previous->expires_at = state->expires_at;
   operation->previous = previous;
   return true;
}

static int64_t expiry_of(const struct kv_terms *terms, const struct kv_state *state)
{
   if (!terms || terms->expiry.kind == KV_EXPIRY_NEVER)
      return 0;
   return terms->expiry.kind == KV_EXPIRY_KEEP ? state->expires_at : terms->expiry.at_ms;
}

/* As Increment itself writes it: no sign but a minus, no space, no leading zeroes. */
static bool read_integer(struct kv_slice text, int64_t *number)
{
   char copy[INTEGER_SIZE_MAX + 1], back[INTEGER_SIZE_MAX + 1];
   if (text.size == 0 || text.size > INTEGER_SIZE_MAX)
      return false;
   memcpy(copy, text.data, text.size);
   copy[text.size] = '\0';
   /* What does not fit is not the same when it is written back. */
   *number = strtoll(copy, NULL, 10);
   const int size = snprintf(back, sizeof back, "%" PRId64, *number);
   return (size_t)size == text.size && memcmp(copy, back, text.size) == 0;
}

static struct kv_decision decide_increment(struct kv_operation *operation,
                                           const struct kv_state *state,
                                           struct kv_submission *submission)
{
   const struct kv_terms *terms = operation->terms;
   KV_INVARIANT(terms);
   int64_t from = terms->initial;
   if (state->exists && !read_integer(state->value, &from)) {
      kv_operation_refuse(operation, KV_FAILED_PRECONDITION, KV_REASON_NOT_AN_INTEGER);
      return nothing;
   }
   if (__builtin_add_overflow(from, terms->delta, &operation->number)) {
      kv_operation_refuse(operation, KV_FAILED_PRECONDITION, KV_REASON_INTEGER_OVERFLOW);
      return nothing;
   }
   char *text = kv_arena_alloc(submission->arena, INTEGER_SIZE_MAX + 1);
   if (!text) {
      kv_operation_refuse(operation, KV_RESOURCE_EXHAUSTED, NULL);
      return nothing;
   }
   int size = snprintf(text, INTEGER_SIZE_MAX + 1, "%" PRId64, operation->number);
   return (struct kv_decision){.change = KV_CHANGE_PUT,
                               .value = kv_slice(text, (size_t)size),
                               .expires_at = expiry_of(terms, state)};
}

/* The value is written again, so a small request may ask for as much as a large one could bring. */
static struct kv_decision decide_set_expiry(struct kv_operation *operation,
                                            const struct kv_state *state,
                                            struct kv_submission *submission)
{
   if (!state->exists) {
      kv_operation_refuse(operation, KV_NOT_FOUND, KV_REASON_KEY_NOT_FOUND);
      return nothing;
   }
   if (state->value.size > submission->result_max) {
      kv_operation_refuse(operation, KV_RESOURCE_EXHAUSTED, KV_REASON_REQUEST_TOO_LARGE);
      return nothing;
   }
   submission->result_max -= state->value.size;
   return (struct kv_decision){.change = KV_CHANGE_PUT,
                               .value = state->value,
                               .expires_at = expiry_of(operation->terms, state),
                               .value_is_old = true};
}

struct kv_decision kv_decide(struct kv_operation *operation, const struct kv_state *state,
                             struct kv_submission *submission)
{
   operation->found = state->exists;
   if (operation->terms && !kv_condition_holds(&operation->terms->condition, state)) {
      kv_operation_refuse(operation, KV_FAILED_PRECONDITION, KV_REASON_CONDITION_NOT_MET);
      operation->version = state->version;
      return nothing;
   }
   switch (operation->kind) {
   case KV_OPERATION_GET:
      decide_get(operation, state, submission);
      return nothing;
   case KV_OPERATION_SET:
      if (!take_previous(operation, state, submission))
         return nothing;
      return (struct kv_decision){.change = KV_CHANGE_PUT,
                                  .value = operation->value,
                                  .expires_at = expiry_of(operation->terms, state)};
   case KV_OPERATION_DELETE:
      if (!state->exists || !take_previous(operation, state, submission))
         return nothing;
      return (struct kv_decision){.change = KV_CHANGE_REMOVE};
   case KV_OPERATION_INCREMENT:
      return decide_increment(operation, state, submission);
   case KV_OPERATION_SET_EXPIRY:
      return decide_set_expiry(operation, state, submission);
   default:
      KV_INVARIANT(false);
      return nothing;
   }
}
