#include "core/service/keyvalue/operations.h"

#include "core/service/validate.h"
#include "core/support/invariant.h"

#include <inttypes.h>
#include <stdio.h>

/* As the proto says of them. */
#define TIME_MAX_MS KV_EXPIRES_AT_MAX
#define INVALID(...) kv_fail_reason(status, KV_INVALID_ARGUMENT, KV_FIELD_INVALID, __VA_ARGS__)

/* ---- From requests ---- */

/* Where a field is, is spelt out for a refusal alone. */
static enum kv_code take_key(const struct kv_taking *taking, ProtobufCBinaryData key,
                             struct kv_operation *operation, struct kv_status *status)
{
   operation->key = kv_service_bytes(key);
   if (kv_validate_key("key", operation->key, status) == KV_OK)
      return KV_OK;
   char field[KV_PLACE_SIZE + 8];
   snprintf(field, sizeof field, "%skey", taking->place);
   return kv_validate_key(field, operation->key, status);
}

static enum kv_code check_value(const struct kv_taking *taking, struct kv_slice value,
                                struct kv_status *status)
{
   const uint64_t size_max = taking->service->config.value_size_max;
   if (kv_validate_value("value", value, size_max, status) == KV_OK)
      return KV_OK;
   char field[KV_PLACE_SIZE + 8];
   snprintf(field, sizeof field, "%svalue", taking->place);
   return kv_validate_value(field, value, size_max, status);
}

/* The operation's own, with nothing asked; NULL with `status`. */
static struct kv_terms *add_terms(const struct kv_taking *taking, struct kv_operation *operation,
                                  struct kv_status *status)
{
   struct kv_terms *terms = kv_arena_alloc(taking->arena, sizeof *terms);
   if (!terms) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the request");
      return NULL;
   }
   *terms = (struct kv_terms){0};
   operation->terms = terms;
   return terms;
}

enum kv_code kv_take_condition(const struct kv_taking *taking,
                               const Kvstore__V1__Condition *message,
                               struct kv_condition *condition, struct kv_status *status)
{
   switch (message->kind_case) {
   case KVSTORE__V1__CONDITION__KIND_EXISTS:
      condition->kind = message->exists ? KV_CONDITION_EXISTS : KV_CONDITION_MISSING;
      return KV_OK;
   case KVSTORE__V1__CONDITION__KIND_VERSION:
      condition->kind = KV_CONDITION_VERSION;
      condition->version = message->version;
      return KV_OK;
   case KVSTORE__V1__CONDITION__KIND_VALUE:
      condition->kind = KV_CONDITION_VALUE;
      condition->value = kv_service_bytes(message->value);
      return KV_OK;
   default:
      return INVALID("%scondition: holds none; give exists, version or value", taking->place);
   }
}

static enum kv_code check_time(const struct kv_taking *taking, const char *field, int64_t given,
                               struct kv_status *status)
{
   if (given >= 1 && given <= TIME_MAX_MS)
      return KV_OK;
   return INVALID("%sexpiry.%s: %" PRId64 " given; 1 to %" PRId64 " milliseconds are allowed",
                  taking->place, field, given, TIME_MAX_MS);
}

static enum kv_code take_expiry(const struct kv_taking *taking, const Kvstore__V1__Expiry *message,
                                struct kv_expiry *expiry, struct kv_status *status)
{
   switch (message->time_case) {
   case KVSTORE__V1__EXPIRY__TIME_TTL_MS:
      if (check_time(taking, "ttl_ms", message->ttl_ms, status) != KV_OK)
         return status->code;
      expiry->kind = KV_EXPIRY_AT;
      expiry->at_ms = message->ttl_ms < TIME_MAX_MS - taking->now_ms
                          ? taking->now_ms + message->ttl_ms
                          : TIME_MAX_MS;
      return KV_OK;
   case KVSTORE__V1__EXPIRY__TIME_EXPIRE_TIME_MS:
      expiry->kind = KV_EXPIRY_AT;
      expiry->at_ms = message->expire_time_ms;
      return check_time(taking, "expire_time_ms", message->expire_time_ms, status);
   case KVSTORE__V1__EXPIRY__TIME_KEEP:
      expiry->kind = KV_EXPIRY_KEEP;
      if (message->keep)
         return KV_OK;
      return INVALID("%sexpiry.keep: is false; leave out the expiry for a key that never expires",
                     taking->place);
   default:
      return INVALID("%sexpiry: holds no time; give ttl_ms, expire_time_ms or keep, or leave it "
                     "out",
                     taking->place);
   }
}

/* The terms that several kinds have; each may be absent. */
static enum kv_code take_terms(const struct kv_taking *taking,
                               const Kvstore__V1__Condition *condition,
                               const Kvstore__V1__Expiry *expiry, struct kv_terms *terms,
                               struct kv_status *status)
{
   if (condition && kv_take_condition(taking, condition, &terms->condition, status) != KV_OK)
      return status->code;
   return expiry ? take_expiry(taking, expiry, &terms->expiry, status) : KV_OK;
}

enum kv_code kv_take_get(const struct kv_taking *taking, const Kvstore__V1__GetRequest *get,
                         struct kv_operation *operation, struct kv_status *status)
{
   *operation = (struct kv_operation){.kind = KV_OPERATION_GET};
   if (take_key(taking, get->key, operation, status) != KV_OK)
      return status->code;
   if (!get->omit_value)
      return KV_OK;
   struct kv_terms *terms = add_terms(taking, operation, status);
   if (!terms)
      return status->code;
   terms->omit_value = true;
   return KV_OK;
}

enum kv_code kv_take_set(const struct kv_taking *taking, const Kvstore__V1__SetRequest *set,
                         struct kv_operation *operation, struct kv_status *status)
{
   *operation =
       (struct kv_operation){.kind = KV_OPERATION_SET, .value = kv_service_bytes(set->value)};
   if (take_key(taking, set->key, operation, status) != KV_OK ||
       check_value(taking, operation->value, status) != KV_OK)
      return status->code;
   if (!set->condition && !set->expiry && !set->return_previous)
      return KV_OK;
   struct kv_terms *terms = add_terms(taking, operation, status);
   if (!terms)
      return status->code;
   terms->return_previous = set->return_previous;
   return take_terms(taking, set->condition, set->expiry, terms, status);
}

enum kv_code kv_take_delete(const struct kv_taking *taking,
                            const Kvstore__V1__DeleteRequest *delete,
                            struct kv_operation *operation, struct kv_status *status)
{
   *operation = (struct kv_operation){.kind = KV_OPERATION_DELETE};
   if (take_key(taking, delete->key, operation, status) != KV_OK)
      return status->code;
   if (!delete->condition && !delete->return_previous)
      return KV_OK;
   struct kv_terms *terms = add_terms(taking, operation, status);
   if (!terms)
      return status->code;
   terms->return_previous = delete->return_previous;
   return take_terms(taking, delete->condition, NULL, terms, status);
}

enum kv_code kv_take_increment(const struct kv_taking *taking,
                               const Kvstore__V1__IncrementRequest *increment,
                               struct kv_operation *operation, struct kv_status *status)
{
   *operation = (struct kv_operation){.kind = KV_OPERATION_INCREMENT};
   if (take_key(taking, increment->key, operation, status) != KV_OK)
      return status->code;
   struct kv_terms *terms = add_terms(taking, operation, status);
   if (!terms)
      return status->code;
   terms->delta = increment->delta;
   terms->initial = increment->initial;
   terms->expiry.kind = KV_EXPIRY_KEEP;
   return take_terms(taking, NULL, increment->expiry, terms, status);
}

enum kv_code kv_take_set_expiry(const struct kv_taking *taking,
                                const Kvstore__V1__SetExpiryRequest *set_expiry,
                                struct kv_operation *operation, struct kv_status *status)
{
   *operation = (struct kv_operation){.kind = KV_OPERATION_SET_EXPIRY};
   if (take_key(taking, set_expiry->key, operation, status) != KV_OK)
      return status->code;
   struct kv_terms *terms = add_terms(taking, operation, status);
   if (!terms)
      return status->code;
   return take_terms(taking, set_expiry->condition, set_expiry->expiry, terms, status);
}

/* What belongs to the whole list. */
static enum kv_code refuse_own(const struct kv_taking *taking, Kvstore__V1__Durability durability,
                               ProtobufCBinaryData request_id, struct kv_status *status)
{
   if (durability != KVSTORE__V1__DURABILITY__DURABILITY_UNSPECIFIED)
      return INVALID("%sdurability: belongs to the whole request; leave it out here",
                     taking->place);
   if (request_id.len > 0)
      return INVALID("%srequest_id: cannot be given to one of several operations; leave it out",
                     taking->place);
   return KV_OK;
}

/* Of which kind a message of a list is: the name of its field; NULL: of none. */
static const char *kind_of(const Kvstore__V1__Operation *message)
{
   switch (message->kind_case) {
   case KVSTORE__V1__OPERATION__KIND_GET:
      return "get";
   case KVSTORE__V1__OPERATION__KIND_SET:
      return "set";
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      return "delete";
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      return "increment";
   case KVSTORE__V1__OPERATION__KIND_SET_EXPIRY:
      return "set_expiry";
   default:
      return NULL;
   }
}

static enum kv_code take_kind(const struct kv_taking *taking, const Kvstore__V1__Operation *message,
                              struct kv_operation *operation, struct kv_status *status)
{
   const ProtobufCBinaryData none = {0};
   switch (message->kind_case) {
   case KVSTORE__V1__OPERATION__KIND_GET:
      return kv_take_get(taking, message->get, operation, status);
   case KVSTORE__V1__OPERATION__KIND_SET:
      if (refuse_own(taking, message->set->durability, message->set->request_id, status) != KV_OK)
         return status->code;
      return kv_take_set(taking, message->set, operation, status);
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      if (refuse_own(taking, message->delete_->durability, message->delete_->request_id, status) !=
          KV_OK)
         return status->code;
      return kv_take_delete(taking, message->delete_, operation, status);
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      if (refuse_own(taking, message->increment->durability, message->increment->request_id,
                     status) != KV_OK)
         return status->code;
      return kv_take_increment(taking, message->increment, operation, status);
   default:
      if (refuse_own(taking, message->set_expiry->durability, none, status) != KV_OK)
         return status->code;
      return kv_take_set_expiry(taking, message->set_expiry, operation, status);
   }
}

enum kv_code kv_take_operation(const struct kv_taking *taking, size_t index,
                               const Kvstore__V1__Operation *message,
                               struct kv_operation *operation, struct kv_status *status)
{
   char place[KV_PLACE_SIZE];
   const char *kind = kind_of(message);
   if (!kind)
      return INVALID("%s[%zu]: holds no operation; give get, set, delete, increment or set_expiry",
                     taking->place, index);
   struct kv_taking own = *taking;
   own.place = "";
   if (take_kind(&own, message, operation, status) == KV_OK)
      return KV_OK;
   snprintf(place, sizeof place, "%s[%zu].%s.", taking->place, index, kind);
   own.place = place;
   return take_kind(&own, message, operation, status); /* refused again, with its place */
}

enum kv_code kv_take_durability(Kvstore__V1__Durability asked, enum kv_durability *durability,
                                struct kv_status *status)
{
   if (asked > KVSTORE__V1__DURABILITY__DURABILITY_SYNCED)
      return INVALID("durability: %d given; 0 to %d are known", (int)asked,
                     (int)KVSTORE__V1__DURABILITY__DURABILITY_SYNCED);
   *durability = (enum kv_durability)asked; /* numbered alike */
   return KV_OK;
}

/* ---- Reading without the pipeline ---- */

void kv_read_operations(const struct kv_service *service, const struct kv_version *version,
                        int64_t now_ms, struct kv_operation *operations, size_t count,
                        const struct kv_entry **entries)
{
   size_t left = service->config.message_size_max;
   struct kv_slice keys[KV_PREFETCH_KEYS_MAX];
   for (size_t i = 0; i < count; i++) {
      struct kv_operation *get = &operations[i];
      if (i % KV_PREFETCH_KEYS_MAX == 0)
         kv_version_prefetch(version, keys, kv_operations_keys(get, count - i, keys));
      const struct kv_entry *entry = kv_version_find(version, get->key);
      entries[i] = kv_entry_is_live(entry, now_ms) ? entry : NULL;
      get->found = entries[i];
      const size_t size = entries[i] && !get->terms ? kv_entry_value(entry).size : 0;
      if (size > left) {
         get->code = KV_RESOURCE_EXHAUSTED;
         get->reason = KV_REASON_ANSWER_TOO_LARGE;
      } else {
         left -= size;
      }
   }
}

/* ---- To answers ---- */

/* Field numbers of key_value.proto. */
enum { ENTRY_VALUE = 2, ENTRY_VERSION = 3, ENTRY_EXPIRE_TIME = 4, ENTRY_OMITTED_SIZE = 5 };
enum { GET_ENTRY = 1 };
enum { SET_VERSION = 1, SET_PREVIOUS = 2, SET_DURABILITY = 3 };
enum { DELETE_DELETED = 1, DELETE_VERSION = 2, DELETE_PREVIOUS = 3, DELETE_DURABILITY = 4 };
enum { INCREMENT_VALUE = 1, INCREMENT_VERSION = 2, INCREMENT_DURABILITY = 3 };
enum { SET_EXPIRY_VERSION = 1, SET_EXPIRY_DURABILITY = 2 };
enum { ERROR_CODE = 1, ERROR_REASON = 2, ERROR_MESSAGE = 3, ERROR_CURRENT_VERSION = 4 };
enum { RESULT_ERROR = 6 };

/* An Entry without its key. */
struct shown {
   const struct kv_entry *entry; /* whose value is sent; NULL: it is `value` */
   struct kv_slice value;
   uint64_t version;
   int64_t expires_at;
   size_t omitted;
};

static size_t size_of_shown(const struct shown *shown)
{
   const size_t value = shown->entry ? kv_entry_value(shown->entry).size : shown->value.size;
   return kv_optional_field_size(value) + kv_number_field_size(shown->version) +
          kv_number_field_size((uint64_t)shown->expires_at) + kv_number_field_size(shown->omitted);
}

static void write_shown(struct kv_writer *writer, unsigned field, const struct shown *shown)
{
   kv_writer_message(writer, field, size_of_shown(shown));
   if (shown->entry)
      kv_writer_value(writer, ENTRY_VALUE, shown->entry);
   else
      kv_writer_bytes(writer, ENTRY_VALUE, shown->value);
   kv_writer_number(writer, ENTRY_VERSION, shown->version);
   kv_writer_number(writer, ENTRY_EXPIRE_TIME, (uint64_t)shown->expires_at);
   kv_writer_number(writer, ENTRY_OMITTED_SIZE, shown->omitted);
}

/* What a GET shows of its entry; it was found. */
static struct shown shown_of_get(const struct kv_result *result)
{
   const struct kv_operation *get = result->operation;
   const bool omits = get->terms && get->terms->omit_value;
   if (!result->entry)
      return (struct shown){.value = get->value,
                            .version = get->version,
                            .expires_at = get->expires_at,
                            .omitted = omits ? (size_t)get->number : 0};
   return (struct shown){.entry = omits ? NULL : result->entry,
                         .version = kv_entry_version(result->entry),
                         .expires_at = kv_entry_expires_at(result->entry),
                         .omitted = omits ? kv_entry_value(result->entry).size : 0};
}

static struct shown shown_of_previous(const struct kv_previous *previous)
{
   return (struct shown){
       .value = previous->value, .version = previous->version, .expires_at = previous->expires_at};
}

static size_t size_of_previous(const struct kv_operation *operation)
{
   if (!operation->previous)
      return 0;
   const struct shown shown = shown_of_previous(operation->previous);
   return kv_field_size(size_of_shown(&shown));
}

static void write_previous(struct kv_writer *writer, unsigned field,
                           const struct kv_operation *operation)
{
   if (!operation->previous)
      return;
   const struct shown shown = shown_of_previous(operation->previous);
   write_shown(writer, field, &shown);
}

size_t kv_response_size(const struct kv_result *result)
{
   const struct kv_operation *operation = result->operation;
   const size_t common =
       kv_number_field_size(operation->version) + kv_number_field_size(result->durability);
   switch (operation->kind) {
   case KV_OPERATION_GET: {
      if (!operation->found)
         return 0;
      const struct shown shown = shown_of_get(result);
      return kv_field_size(size_of_shown(&shown));
   }
   case KV_OPERATION_SET:
      return common + size_of_previous(operation);
   case KV_OPERATION_DELETE:
      return common + size_of_previous(operation) + kv_number_field_size(operation->found);
   case KV_OPERATION_INCREMENT:
      return common + kv_number_field_size((uint64_t)operation->number);
   default:
      KV_INVARIANT(operation->kind == KV_OPERATION_SET_EXPIRY);
      return common;
   }
}

unsigned kv_response_durability_field(enum kv_operation_kind kind)
{
   static const unsigned fields[] = {[KV_OPERATION_SET] = SET_DURABILITY,
                                     [KV_OPERATION_DELETE] = DELETE_DURABILITY,
                                     [KV_OPERATION_INCREMENT] = INCREMENT_DURABILITY,
                                     [KV_OPERATION_SET_EXPIRY] = SET_EXPIRY_DURABILITY};
   KV_INVARIANT(kind < sizeof fields / sizeof *fields && fields[kind] > 0);
   return fields[kind];
}

void kv_response_write(struct kv_writer *writer, const struct kv_result *result)
{
   const struct kv_operation *operation = result->operation;
   switch (operation->kind) {
   case KV_OPERATION_GET:
      if (operation->found) {
         const struct shown shown = shown_of_get(result);
         write_shown(writer, GET_ENTRY, &shown);
      }
      return;
   case KV_OPERATION_SET:
      kv_writer_number(writer, SET_VERSION, operation->version);
      write_previous(writer, SET_PREVIOUS, operation);
      break;
   case KV_OPERATION_DELETE:
      kv_writer_number(writer, DELETE_DELETED, operation->found);
      kv_writer_number(writer, DELETE_VERSION, operation->version);
      write_previous(writer, DELETE_PREVIOUS, operation);
      break;
   case KV_OPERATION_INCREMENT:
      kv_writer_number(writer, INCREMENT_VALUE, (uint64_t)operation->number);
      kv_writer_number(writer, INCREMENT_VERSION, operation->version);
      break;
   default:
      kv_writer_number(writer, SET_EXPIRY_VERSION, operation->version);
      break;
   }
   kv_writer_number(writer, kv_response_durability_field(operation->kind), result->durability);
}

/* ---- Results of lists ---- */

static uint64_t current_version(const struct kv_result *result)
{
   const char *reason = result->failure->reason;
   return reason && strcmp(reason, KV_REASON_CONDITION_NOT_MET) == 0 ? result->operation->version
                                                                     : 0;
}

static struct kv_slice reason_of(const struct kv_result *result)
{
   return result->failure->reason ? kv_slice_of(result->failure->reason) : kv_slice(NULL, 0);
}

static size_t size_of_kind(const struct kv_result *result)
{
   if (!result->failure)
      return kv_response_size(result);
   return kv_number_field_size((uint64_t)result->failure->code) +
          kv_optional_field_size(reason_of(result).size) +
          kv_optional_field_size(strlen(result->failure->text)) +
          kv_number_field_size(current_version(result));
}

size_t kv_result_size(const struct kv_result *result)
{
   return kv_field_size(size_of_kind(result));
}

size_t kv_result_in_place(const struct kv_result *result)
{
   const struct kv_operation *operation = result->operation;
   if (result->failure || !result->entry || (operation->terms && operation->terms->omit_value))
      return 0;
   return kv_in_place_size(result->entry);
}

void kv_result_write(struct kv_writer *writer, const struct kv_result *result)
{
   static const unsigned fields[] = {[KV_OPERATION_GET] = 1,
                                     [KV_OPERATION_SET] = 2,
                                     [KV_OPERATION_DELETE] = 3,
                                     [KV_OPERATION_INCREMENT] = 4,
                                     [KV_OPERATION_SET_EXPIRY] = 5};
   const size_t size = size_of_kind(result);
   if (!result->failure) {
      kv_writer_message(writer, fields[result->operation->kind], size);
      kv_response_write(writer, result);
      return;
   }
   kv_writer_message(writer, RESULT_ERROR, size);
   kv_writer_number(writer, ERROR_CODE, (uint64_t)result->failure->code);
   kv_writer_bytes(writer, ERROR_REASON, reason_of(result));
   kv_writer_bytes(writer, ERROR_MESSAGE, kv_slice_of(result->failure->text));
   kv_writer_number(writer, ERROR_CURRENT_VERSION, current_version(result));
}
