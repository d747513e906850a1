#include "tests/fuzz/keyvalue_check.h"

#include "core/service/keyvalue/range.h"
#include "core/service/validate.h"
#include "tests/fuzz/support.h"

#include "kvstore/v1/key_value.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TIME_MAX_MS INT64_C(100000000000000)

typedef Kvstore__V1__Operation Operation;
typedef Kvstore__V1__OperationResult Result;

/* ---- What is there ---- */

static const struct model_pair *live(const struct model *model, struct kv_slice key)
{
   const struct model_pair *pair = model_find(model, key);
   bool is_due = pair && pair->expires_at != 0 && pair->expires_at <= MODEL_NOW_MS;
   return is_due ? NULL : pair;
}

static bool holds(const Kvstore__V1__Condition *condition, const struct model_pair *pair)
{
   if (!condition)
      return true;
   switch (condition->kind_case) {
   case KVSTORE__V1__CONDITION__KIND_EXISTS:
      return condition->exists == (pair != NULL);
   case KVSTORE__V1__CONDITION__KIND_VERSION:
      return condition->version == (pair ? pair->version : 0);
   default:
      return pair && same(bytes_of(condition->value), pair->value);
   }
}

/* `otherwise`: where the request has no expiry. */
static int64_t expiry_of(const Kvstore__V1__Expiry *expiry, const struct model_pair *pair,
                         int64_t otherwise)
{
   if (!expiry)
      return otherwise;
   switch (expiry->time_case) {
   case KVSTORE__V1__EXPIRY__TIME_TTL_MS:
      return expiry->ttl_ms < TIME_MAX_MS - MODEL_NOW_MS ? MODEL_NOW_MS + expiry->ttl_ms
                                                         : TIME_MAX_MS;
   case KVSTORE__V1__EXPIRY__TIME_EXPIRE_TIME_MS:
      return expiry->expire_time_ms;
   default:
      return pair ? pair->expires_at : 0;
   }
}

static void require_entry(const Kvstore__V1__Entry *entry, const struct model_pair *pair,
                          bool omits)
{
   REQUIRE((entry != NULL) == (pair != NULL));
   if (!pair)
      return;
   REQUIRE(entry->key.len == 0 && entry->version == pair->version);
   REQUIRE(entry->expire_time_ms == pair->expires_at);
   REQUIRE(entry->omitted_value_size == (omits ? pair->value.size : 0));
   REQUIRE(same(bytes_of(entry->value), omits ? kv_slice(NULL, 0) : pair->value));
}

/* ---- One operation ---- */

/* Of an operation and its result, what all kinds have. */
struct step {
   struct kv_slice key;
   const Kvstore__V1__Condition *condition;
   const struct model_pair *old;
};

static struct step step_of(const struct model *model, const Operation *operation)
{
   struct step step = {0};
   switch (operation->kind_case) {
   case KVSTORE__V1__OPERATION__KIND_GET:
      step.key = bytes_of(operation->get->key);
      break;
   case KVSTORE__V1__OPERATION__KIND_SET:
      step.key = bytes_of(operation->set->key);
      step.condition = operation->set->condition;
      break;
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      step.key = bytes_of(operation->delete_->key);
      step.condition = operation->delete_->condition;
      break;
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      step.key = bytes_of(operation->increment->key);
      break;
   default:
      REQUIRE(operation->kind_case == KVSTORE__V1__OPERATION__KIND_SET_EXPIRY);
      step.key = bytes_of(operation->set_expiry->key);
      step.condition = operation->set_expiry->condition;
   }
   struct kv_status status;
   REQUIRE(kv_validate_key("key", step.key, &status) == KV_OK);
   step.old = live(model, step.key);
   return step;
}

static bool sum(const Kvstore__V1__IncrementRequest *increment, const struct model_pair *old,
                char text[MODEL_TEXT_SIZE], int64_t *number)
{
   int64_t from = increment->initial;
   if (old) {
      if (old->value.size == 0 || old->value.size >= MODEL_TEXT_SIZE)
         return false;
      memcpy(text, old->value.data, old->value.size);
      text[old->value.size] = '\0';
      char back[MODEL_TEXT_SIZE];
      from = strtoll(text, NULL, 10);
      snprintf(back, sizeof back, "%" PRId64, from);
      if (strlen(back) != old->value.size || memcmp(back, text, old->value.size) != 0)
         return false;
   }
   if (__builtin_add_overflow(from, increment->delta, number))
      return false;
   snprintf(text, MODEL_TEXT_SIZE, "%" PRId64, *number);
   return true;
}

static enum kv_code expected_code(const Operation *operation, const struct step *step)
{
   char text[MODEL_TEXT_SIZE];
   int64_t number;
   if (!holds(step->condition, step->old))
      return KV_FAILED_PRECONDITION;
   if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_INCREMENT)
      return sum(operation->increment, step->old, text, &number) ? KV_OK : KV_FAILED_PRECONDITION;
   if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_SET_EXPIRY && !step->old)
      return KV_NOT_FOUND;
   return KV_OK;
}

static void apply_set(struct model *model, const struct step *step,
                      const Kvstore__V1__SetRequest *set, const Kvstore__V1__SetResponse *reply)
{
   require_entry(reply->previous, set->return_previous ? step->old : NULL, false);
   model_put(model, step->key, bytes_of(set->value), expiry_of(set->expiry, step->old, 0),
             reply->version);
}

static void apply_delete(struct model *model, const struct step *step,
                         const Kvstore__V1__DeleteRequest *request,
                         const Kvstore__V1__DeleteResponse *reply)
{
   REQUIRE(reply->deleted == (step->old != NULL));
   require_entry(reply->previous, request->return_previous ? step->old : NULL, false);
   REQUIRE(step->old ? reply->version > model->sequence : reply->version == 0);
   if (!step->old)
      return;
   model_delete(model, step->key);
   model->sequence = reply->version;
}

static void apply_increment(struct model *model, const struct step *step,
                            const Kvstore__V1__IncrementRequest *increment,
                            const Kvstore__V1__IncrementResponse *reply)
{
   char *text = model_text(model);
   int64_t number;
   REQUIRE(sum(increment, step->old, text, &number) && reply->value == number);
   int64_t kept = step->old ? step->old->expires_at : 0;
   model_put(model, step->key, kv_slice_of(text), expiry_of(increment->expiry, step->old, kept),
             reply->version);
}

static void apply(struct model *model, const Operation *operation, const struct step *step,
                  const Result *result)
{
   REQUIRE((int)result->kind_case == (int)operation->kind_case); /* numbered alike */
   switch (operation->kind_case) {
   case KVSTORE__V1__OPERATION__KIND_GET:
      require_entry(result->get->entry, step->old, operation->get->omit_value);
      break;
   case KVSTORE__V1__OPERATION__KIND_SET:
      apply_set(model, step, operation->set, result->set);
      break;
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      apply_delete(model, step, operation->delete_, result->delete_);
      break;
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      apply_increment(model, step, operation->increment, result->increment);
      break;
   default: {
      const struct kv_slice value = step->old->value;
      model_put(model, step->key, value, expiry_of(operation->set_expiry->expiry, step->old, 0),
                result->set_expiry->version);
   }
   }
}

/* `code` is how it was answered; `result` then counts if that is KV_OK. */
static void judge(struct model *model, const Operation *operation, enum kv_code code,
                  const Result *result)
{
   if (code == KV_INVALID_ARGUMENT || code == KV_RESOURCE_EXHAUSTED)
      return;
   const struct step step = step_of(model, operation);
   REQUIRE(code == expected_code(operation, &step));
   if (code == KV_OK)
      apply(model, operation, &step, result);
}

/* ---- Calls of one operation ---- */

/* The repetition of a request that was carried out: it changes nothing, not even what is
 * remembered. */
static bool is_repetition(const struct check *check, ProtobufCBinaryData request_id)
{
   return request_id.len > 0 && check->answer->code == KV_OK &&
          kv_version_sequence(check->now) == check->before->sequence;
}

static bool must_fail(const struct check *check, Kvstore__V1__Durability durability)
{
   if (durability <= KVSTORE__V1__DURABILITY__DURABILITY_MEMORY)
      return false;
   REQUIRE(check->answer->code != KV_OK); /* the mode keeps nothing */
   return true;
}

void check_keyvalue_get(const struct check *check)
{
   Kvstore__V1__GetRequest *get = (Kvstore__V1__GetRequest *)check->request;
   const Operation operation = {.kind_case = KVSTORE__V1__OPERATION__KIND_GET, .get = get};
   const Result result = {.kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_GET,
                          .get = check->reply};
   judge(check->before, &operation, check->answer->code, &result);
}

void check_keyvalue_set(const struct check *check)
{
   Kvstore__V1__SetRequest *set = (Kvstore__V1__SetRequest *)check->request;
   const Operation operation = {.kind_case = KVSTORE__V1__OPERATION__KIND_SET, .set = set};
   const Result result = {.kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_SET,
                          .set = check->reply};
   if (!must_fail(check, set->durability) && !is_repetition(check, set->request_id))
      judge(check->before, &operation, check->answer->code, &result);
}

void check_keyvalue_delete(const struct check *check)
{
   Kvstore__V1__DeleteRequest *request = (Kvstore__V1__DeleteRequest *)check->request;
   const Operation operation = {.kind_case = KVSTORE__V1__OPERATION__KIND_DELETE,
                                .delete_ = request};
   const Result result = {.kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_DELETE,
                          .delete_ = check->reply};
   if (!must_fail(check, request->durability) && !is_repetition(check, request->request_id))
      judge(check->before, &operation, check->answer->code, &result);
}

void check_keyvalue_increment(const struct check *check)
{
   Kvstore__V1__IncrementRequest *increment = (Kvstore__V1__IncrementRequest *)check->request;
   const Operation operation = {.kind_case = KVSTORE__V1__OPERATION__KIND_INCREMENT,
                                .increment = increment};
   const Result result = {.kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_INCREMENT,
                          .increment = check->reply};
   if (!must_fail(check, increment->durability) && !is_repetition(check, increment->request_id))
      judge(check->before, &operation, check->answer->code, &result);
}

void check_keyvalue_set_expiry(const struct check *check)
{
   Kvstore__V1__SetExpiryRequest *set_expiry = (Kvstore__V1__SetExpiryRequest *)check->request;
   const Operation operation = {.kind_case = KVSTORE__V1__OPERATION__KIND_SET_EXPIRY,
                                .set_expiry = set_expiry};
   const Result result = {.kind_case = KVSTORE__V1__OPERATION_RESULT__KIND_SET_EXPIRY,
                          .set_expiry = check->reply};
   if (!must_fail(check, set_expiry->durability))
      judge(check->before, &operation, check->answer->code, &result);
}

/* ---- Lists ---- */

/* Of the value that is there: what an operation takes of the limit on all of a Batch. */
static size_t charge_of(const Operation *operation, const struct step *step)
{
   bool charged = true; /* SET_EXPIRY writes it again */
   if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_GET)
      charged = !operation->get->omit_value;
   else if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_SET)
      charged = operation->set->return_previous;
   else if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_DELETE)
      charged = operation->delete_->return_previous;
   else if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_INCREMENT)
      charged = false;
   return charged && step->old ? step->old->value.size : 0;
}

static bool has_room(struct model *model, const Operation *operation, const struct step *step)
{
   char text[MODEL_TEXT_SIZE];
   int64_t number;
   if (operation->kind_case == KVSTORE__V1__OPERATION__KIND_SET)
      return model_has_room(model, step->key, bytes_of(operation->set->value));
   return operation->kind_case != KVSTORE__V1__OPERATION__KIND_INCREMENT ||
          !sum(operation->increment, step->old, text, &number) ||
          model_has_room(model, step->key, kv_slice_of(text));
}

/* What would be carried out otherwise is refused where it exceeds a limit, and only there. */
static void check_limits(struct model *model, const Operation *operation, bool failed)
{
   const struct step step = step_of(model, operation);
   if (expected_code(operation, &step) != KV_OK)
      return;
   const size_t charge = charge_of(operation, &step);
   const bool fits = charge <= model->result_left;
   if (fits)
      model->result_left -= charge;
   REQUIRE(failed == (!fits || !has_room(model, operation, &step)));
}

void check_keyvalue_batch(const struct check *check)
{
   const Kvstore__V1__BatchRequest *batch = check->request;
   const Kvstore__V1__BatchResponse *reply = check->reply;
   if (check->answer->code != KV_OK)
      return;
   REQUIRE(reply->n_results == batch->n_operations && batch->n_operations > 0);
   for (size_t i = 0; i < batch->n_operations; i++) {
      const Result *result = reply->results[i];
      bool failed = result->kind_case == KVSTORE__V1__OPERATION_RESULT__KIND_ERROR;
      REQUIRE(!failed || (result->error->message.len > 0 && result->error->code != KV_OK &&
                          result->error->code != KV_INVALID_ARGUMENT));
      /* Of a mode that keeps nothing. */
      if (batch->durability > KVSTORE__V1__DURABILITY__DURABILITY_MEMORY && failed)
         continue;
      check_limits(check->before, batch->operations[i], failed);
      judge(check->before, batch->operations[i], failed ? (enum kv_code)result->error->code : KV_OK,
            result);
   }
}

void check_keyvalue_transaction(const struct check *check)
{
   const Kvstore__V1__TransactionRequest *request = check->request;
   const Kvstore__V1__TransactionResponse *reply = check->reply;
   if (check->answer->code != KV_OK || is_repetition(check, request->request_id))
      return;
   bool succeeded = true;
   for (size_t i = 0; i < request->n_comparisons; i++) {
      const Kvstore__V1__Comparison *comparison = request->comparisons[i];
      succeeded &= holds(comparison->condition, live(check->before, bytes_of(comparison->key)));
   }
   REQUIRE(reply->succeeded == succeeded);
   Operation *const *operations = succeeded ? request->success : request->failure;
   REQUIRE(reply->n_results == (succeeded ? request->n_success : request->n_failure));
   for (size_t i = 0; i < reply->n_results; i++)
      judge(check->before, operations[i], KV_OK, reply->results[i]);
   REQUIRE(reply->version == check->before->sequence);
}

/* ---- Ranges ---- */

static bool is_in(struct kv_slice key, const struct kv_key_range *range)
{
   return kv_slice_compare(key, range->start) >= 0 &&
          (range->end.size == 0 || kv_slice_compare(key, range->end) < 0);
}

/* Live keys of a range, all of which are in `before`. */
static size_t count_range(const struct model *model, const struct kv_key_range *range)
{
   size_t count = 0;
   for (size_t i = 0; i < model->count; i++)
      count += is_in(model->pairs[i].key, range);
   return count;
}

static void drop_range(struct model *model, const struct kv_key_range *range)
{
   for (size_t i = model->count; i > 0; i--)
      if (is_in(model->pairs[i - 1].key, range))
         model_delete(model, model->pairs[i - 1].key);
}

/* Its memory lasts until the next call. */
static bool resolve(const Kvstore__V1__KeyRange *message, struct kv_key_range *range)
{
   static struct kv_arena arena;
   struct kv_status status;
   if (arena.next)
      kv_arena_reset(&arena);
   else
      kv_arena_init(&arena);
   return kv_range_resolve("range", message, &arena, range, &status) == KV_OK;
}

void check_keyvalue_delete_range(const struct check *check)
{
   const Kvstore__V1__DeleteRangeRequest *request = check->request;
   const Kvstore__V1__DeleteRangeResponse *reply = check->reply;
   struct kv_key_range range;
   if (check->answer->code != KV_OK)
      return;
   REQUIRE(request->range && resolve(request->range, &range));
   REQUIRE(reply->count == count_range(check->before, &range));
   if (!request->validate_only)
      drop_range(check->before, &range);
   REQUIRE(reply->version == check->before->sequence || reply->count == 0);
}

struct walk {
   const Kvstore__V1__ScanRequest *scan;
   struct kv_key_range range;
   struct kv_cursor cursor;
   uint64_t count;
};

static const struct kv_entry *walk_on(struct walk *walk)
{
   const struct kv_entry *entry =
       walk->scan->descending ? kv_cursor_previous(&walk->cursor) : kv_cursor_next(&walk->cursor);
   return entry && is_in(kv_entry_key(entry), &walk->range) ? entry : NULL;
}

static void check_shown(const struct walk *walk, const Kvstore__V1__Entry *shown,
                        const struct kv_entry *entry)
{
   const Kvstore__V1__ScanRequest *scan = walk->scan;
   const struct kv_slice value = kv_entry_value(entry);
   bool keys = scan->projection == KVSTORE__V1__SCAN_REQUEST__PROJECTION__PROJECTION_KEYS;
   bool omits = keys || (scan->value_size_max > 0 && value.size > scan->value_size_max);
   REQUIRE(same(bytes_of(shown->key), kv_entry_key(entry)));
   REQUIRE(same(bytes_of(shown->value), omits ? kv_slice(NULL, 0) : value));
   REQUIRE(shown->version == kv_entry_version(entry));
   REQUIRE(shown->expire_time_ms == kv_entry_expires_at(entry));
}

static void check_message(struct walk *walk, const struct check *check, size_t index)
{
   const struct kv_slice bytes = check->answer->messages[index];
   Kvstore__V1__ScanResponse *part =
       kvstore__v1__scan_response__unpack(NULL, bytes.size, bytes.data);
   REQUIRE(part && part->version == check->before->sequence);
   for (size_t i = 0; i < part->n_entries; i++) {
      const struct kv_entry *entry = walk_on(walk);
      REQUIRE(entry);
      check_shown(walk, part->entries[i], entry);
   }
   walk->count += part->n_entries + part->count;
   kvstore__v1__scan_response__free_unpacked(part, NULL);
}

void check_keyvalue_scan(const struct check *check)
{
   struct walk walk = {.scan = check->request};
   if (check->answer->code != KV_OK || walk.scan->page_token.len > 0 ||
       check->answer->count > FAKE_MESSAGES_MAX)
      return;
   REQUIRE(resolve(walk.scan->range, &walk.range));
   if (walk.scan->descending)
      kv_cursor_seek_before(&walk.cursor, check->now, walk.range.end);
   else
      kv_cursor_seek(&walk.cursor, check->now, walk.range.start);
   for (size_t i = 0; i < check->answer->count; i++)
      check_message(&walk, check, i);
   const uint64_t all = count_range(check->before, &walk.range), limit = walk.scan->limit;
   REQUIRE(walk.count == (limit > 0 && limit < all ? limit : all));
}
