#include "client/operation.h"

#include "client/commands.h"
#include "client/print.h"
#include "client/times.h"
#include "client/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#define VERSION_MAX INT64_MAX
#define MS_PER_S 1000

/* ---- Options ---- */

static bool fail(char error[OPERATION_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(char error[OPERATION_TEXT_SIZE], const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(error, OPERATION_TEXT_SIZE, format, arguments);
   va_end(arguments);
   return false;
}

/* For "%.*s". */
#define SHOWN(word) (int)((word).size < 60 ? (word).size : 60), (const char *)(word).data

bool operation_option(const struct kv_slice *words, size_t count, size_t *at, const char *name,
                      struct kv_slice *value)
{
   const struct kv_slice word = words[*at];
   const size_t size = strlen(name);
   if (!kv_slice_begins_with(word, kv_slice_of(name)))
      return false;
   if (word.size > size && ((const char *)word.data)[size] == '=') {
      *value = kv_slice((const char *)word.data + size + 1, word.size - size - 1);
      return true;
   }
   if (word.size != size || *at + 1 >= count)
      return false;
   *value = words[++*at];
   return true;
}

bool operation_durability(struct kv_slice word, Kvstore__V1__Durability *durability)
{
   static const char *const names[] = {"default", "memory", "written", "synced"};
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (words_same(word, names[i])) {
         *durability = (Kvstore__V1__Durability)i;
         return true;
      }
   return false;
}

const char *operation_durability_name(Kvstore__V1__Durability durability)
{
   static const char *const names[] = {"unknown", "memory", "written", "synced"};
   return durability < sizeof names / sizeof *names ? names[durability] : "unknown";
}

/* What of its options a command takes. */
enum { EXPIRY = 1, CONDITION = 2, PREVIOUS = 4, DURABILITY = 8, REQUEST_ID = 16, INITIAL = 32 };

/* What they say. */
struct asked {
   Kvstore__V1__Expiry *expiry;
   Kvstore__V1__Condition *condition;
   bool has_expiry, has_condition, previous;
   Kvstore__V1__Durability durability;
   struct kv_slice request_id;
   int64_t initial;
};

static bool take_expiry(const struct kv_slice *words, size_t count, size_t *at, struct asked *asked,
                        bool *taken, char error[OPERATION_TEXT_SIZE])
{
   struct kv_slice value;
   *taken = true;
   asked->has_expiry = true;
   if (words_same(words[*at], "--keep-ttl")) {
      asked->expiry->time_case = KVSTORE__V1__EXPIRY__TIME_KEEP;
      asked->expiry->keep = true;
   } else if (operation_option(words, count, at, "--ttl", &value)) {
      asked->expiry->time_case = KVSTORE__V1__EXPIRY__TIME_TTL_MS;
      if (!times_duration(value, &asked->expiry->ttl_ms))
         return fail(error, "--ttl %.*s: is no duration; units are " TIMES_UNITS, SHOWN(value));
   } else if (operation_option(words, count, at, "--expire-at", &value)) {
      asked->expiry->time_case = KVSTORE__V1__EXPIRY__TIME_EXPIRE_TIME_MS;
      if (!times_point(value, &asked->expiry->expire_time_ms))
         return fail(error,
                     "--expire-at %.*s: is no time; give 2026-01-31T12:00:00Z or Unix milliseconds",
                     SHOWN(value));
   } else {
      asked->has_expiry = asked->expiry->time_case != KVSTORE__V1__EXPIRY__TIME__NOT_SET;
      *taken = false;
   }
   return true;
}

static bool take_condition(const struct kv_slice *words, size_t count, size_t *at,
                           struct asked *asked, bool *taken, char error[OPERATION_TEXT_SIZE])
{
   struct kv_slice value;
   int64_t version;
   *taken = true;
   asked->has_condition = true;
   if (words_same(words[*at], "--if-absent") || words_same(words[*at], "--if-present")) {
      asked->condition->kind_case = KVSTORE__V1__CONDITION__KIND_EXISTS;
      asked->condition->exists = words_same(words[*at], "--if-present");
   } else if (operation_option(words, count, at, "--if-version", &value)) {
      asked->condition->kind_case = KVSTORE__V1__CONDITION__KIND_VERSION;
      if (!words_integer(value, 0, VERSION_MAX, &version))
         return fail(error, "--if-version %.*s: is no version; get -v shows it", SHOWN(value));
      asked->condition->version = (uint64_t)version;
   } else if (operation_option(words, count, at, "--if-value", &value)) {
      asked->condition->kind_case = KVSTORE__V1__CONDITION__KIND_VALUE;
      asked->condition->value = session_field(value);
   } else {
      asked->has_condition = asked->condition->kind_case != KVSTORE__V1__CONDITION__KIND__NOT_SET;
      *taken = false;
   }
   return true;
}

static bool take_other(const struct kv_slice *words, size_t count, size_t *at, unsigned allowed,
                       struct asked *asked, bool *taken, char error[OPERATION_TEXT_SIZE])
{
   struct kv_slice value;
   *taken = true;
   if ((allowed & PREVIOUS) && words_same(words[*at], "--previous")) {
      asked->previous = true;
   } else if ((allowed & DURABILITY) &&
              operation_option(words, count, at, "--durability", &value)) {
      if (!operation_durability(value, &asked->durability))
         return fail(error, "--durability %.*s: is none of memory, written, synced", SHOWN(value));
   } else if ((allowed & REQUEST_ID) &&
              operation_option(words, count, at, "--request-id", &value)) {
      asked->request_id = value;
   } else if ((allowed & INITIAL) && operation_option(words, count, at, "--initial", &value)) {
      if (!words_integer(value, INT64_MIN, INT64_MAX, &asked->initial))
         return fail(error, "--initial %.*s: is no whole number", SHOWN(value));
   } else {
      *taken = false;
   }
   return true;
}

/* The words from `at` on, all of which must be options. */
static bool take_options(const struct kv_slice *words, size_t count, size_t at, unsigned allowed,
                         struct asked *asked, char error[OPERATION_TEXT_SIZE])
{
   for (; at < count; at++) {
      bool taken = false;
      if ((allowed & EXPIRY) && !take_expiry(words, count, &at, asked, &taken, error))
         return false;
      if (!taken && (allowed & CONDITION) &&
          !take_condition(words, count, &at, asked, &taken, error))
         return false;
      if (!taken && !take_other(words, count, &at, allowed, asked, &taken, error))
         return false;
      if (!taken)
         return fail(error, "\"%.*s\" is no option of %.*s, or lacks its value; see help %.*s",
                     SHOWN(words[at]), SHOWN(words[0]), SHOWN(words[0]));
   }
   return true;
}

/* ---- Commands ---- */

typedef bool read_fn(struct operation *operation, const struct kv_slice *words, size_t count,
                     char error[OPERATION_TEXT_SIZE]);

static struct asked ask(struct operation *operation)
{
   kvstore__v1__condition__init(&operation->condition);
   kvstore__v1__expiry__init(&operation->expiry);
   return (struct asked){.expiry = &operation->expiry, .condition = &operation->condition};
}

static bool read_set(struct operation *operation, const struct kv_slice *words, size_t count,
                     char error[OPERATION_TEXT_SIZE])
{
   Kvstore__V1__SetRequest *set = &operation->set;
   struct asked asked = ask(operation);
   if (!take_options(words, count, 3, EXPIRY | CONDITION | PREVIOUS | DURABILITY | REQUEST_ID,
                     &asked, error))
      return false;
   kvstore__v1__set_request__init(set);
   set->key = session_field(words[1]);
   set->value = session_field(words[2]);
   set->expiry = asked.has_expiry ? asked.expiry : NULL;
   set->condition = asked.has_condition ? asked.condition : NULL;
   set->return_previous = asked.previous;
   set->durability = asked.durability;
   set->request_id = session_field(asked.request_id);
   operation->is_plain = count == 3;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_SET;
   operation->message.set = set;
   return true;
}

/* "get KEY -v", and "get -v KEY", as people write both. */
static bool read_get(struct operation *operation, const struct kv_slice *words, size_t count,
                     char error[OPERATION_TEXT_SIZE])
{
   const size_t key = count == 3 && words_same(words[1], "-v") ? 2 : 1;
   if (count == 3 && key == 1 && !words_same(words[2], "-v"))
      return fail(error,
                  "\"%.*s\" is no option of get; -v shows version and expiry, mget gets "
                  "several keys",
                  SHOWN(words[2]));
   kvstore__v1__get_request__init(&operation->get);
   operation->get.key = session_field(words[key]);
   operation->verbose = count == 3;
   operation->is_plain = count == 2;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
   operation->message.get = &operation->get;
   return true;
}

static bool read_ttl(struct operation *operation, const struct kv_slice *words, size_t count,
                     char error[OPERATION_TEXT_SIZE])
{
   (void)count, (void)error;
   kvstore__v1__get_request__init(&operation->get);
   operation->get.key = session_field(words[1]);
   operation->get.omit_value = true;
   operation->is_ttl = true;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
   operation->message.get = &operation->get;
   return true;
}

static bool read_delete(struct operation *operation, const struct kv_slice *words, size_t count,
                        char error[OPERATION_TEXT_SIZE])
{
   Kvstore__V1__DeleteRequest *request = &operation->delete;
   struct asked asked = ask(operation);
   if (!take_options(words, count, 2, CONDITION | PREVIOUS | DURABILITY | REQUEST_ID, &asked,
                     error))
      return false;
   kvstore__v1__delete_request__init(request);
   request->key = session_field(words[1]);
   request->condition = asked.has_condition ? asked.condition : NULL;
   request->return_previous = asked.previous;
   request->durability = asked.durability;
   request->request_id = session_field(asked.request_id);
   operation->is_plain = count == 2;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_DELETE;
   operation->message.delete_ = request;
   return true;
}

static bool read_increment(struct operation *operation, const struct kv_slice *words, size_t count,
                           char error[OPERATION_TEXT_SIZE])
{
   Kvstore__V1__IncrementRequest *request = &operation->increment;
   struct asked asked = ask(operation);
   const bool down = words_same(words[0], "decr");
   bool has_delta = count > 2 && !kv_slice_begins_with(words[2], kv_slice_of("--"));
   int64_t delta = 1;
   if (has_delta && !words_integer(words[2], down ? -INT64_MAX : INT64_MIN, INT64_MAX, &delta))
      return fail(error, "%.*s: \"%.*s\" is no whole number of 64 bits", SHOWN(words[0]),
                  SHOWN(words[2]));
   if (!take_options(words, count, has_delta ? 3 : 2, EXPIRY | DURABILITY | REQUEST_ID | INITIAL,
                     &asked, error))
      return false;
   kvstore__v1__increment_request__init(request);
   request->key = session_field(words[1]);
   request->delta = down ? -delta : delta;
   request->initial = asked.initial;
   request->expiry = asked.has_expiry ? asked.expiry : NULL;
   request->durability = asked.durability;
   request->request_id = session_field(asked.request_id);
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_INCREMENT;
   operation->message.increment = request;
   return true;
}

static bool read_expire(struct operation *operation, const struct kv_slice *words, size_t count,
                        char error[OPERATION_TEXT_SIZE])
{
   Kvstore__V1__SetExpiryRequest *request = &operation->set_expiry;
   const bool persists = words_same(words[0], "persist");
   struct asked asked = ask(operation);
   if (!take_options(words, count, persists ? 2 : 3, CONDITION | DURABILITY, &asked, error))
      return false;
   kvstore__v1__set_expiry_request__init(request);
   request->key = session_field(words[1]);
   request->condition = asked.has_condition ? asked.condition : NULL;
   request->durability = asked.durability;
   if (!persists) {
      request->expiry = &operation->expiry;
      if (times_duration(words[2], &operation->expiry.ttl_ms)) {
         operation->expiry.time_case = KVSTORE__V1__EXPIRY__TIME_TTL_MS;
      } else if (times_point(words[2], &operation->expiry.expire_time_ms)) {
         operation->expiry.time_case = KVSTORE__V1__EXPIRY__TIME_EXPIRE_TIME_MS;
      } else {
         return fail(error,
                     "expire: \"%.*s\" is no duration (units are " TIMES_UNITS
                     ") and no time (2026-01-31T12:00:00Z)",
                     SHOWN(words[2]));
      }
   }
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_SET_EXPIRY;
   operation->message.set_expiry = request;
   return true;
}

static const struct reader {
   const char *name;
   size_t least; /* words, the name included */
   read_fn *read;
   const char *usage;
} readers[] = {
    {"set", 3, read_set, "set KEY VALUE [OPTIONS]"},
    {"get", 2, read_get, "get KEY [-v]"},
    {"del", 2, read_delete, "del KEY [OPTIONS]"},
    {"incr", 2, read_increment, "incr KEY [N] [OPTIONS]"},
    {"decr", 2, read_increment, "decr KEY [N] [OPTIONS]"},
    {"expire", 3, read_expire, "expire KEY DURATION|TIME [OPTIONS]"},
    {"persist", 2, read_expire, "persist KEY [OPTIONS]"},
    {"ttl", 2, read_ttl, "ttl KEY"},
};

static const struct reader *find(struct kv_slice name)
{
   for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
      if (words_same(name, readers[i].name))
         return &readers[i];
   return NULL;
}

bool operation_is(struct kv_slice name)
{
   return find(name);
}

bool operation_read(struct operation *operation, const struct kv_slice *words, size_t count,
                    char error[OPERATION_TEXT_SIZE])
{
   const struct reader *reader = find(words[0]);
   if (!reader)
      return fail(error, "\"%.*s\" is none of set, get, del, incr, decr, expire, persist, ttl",
                  SHOWN(words[0]));
   if (count < reader->least)
      return fail(error, "usage: %s", reader->usage);
   if ((reader->read == read_get && count > 3) || (reader->read == read_ttl && count > 2))
      return fail(error, "usage: %s", reader->usage);
   *operation = (struct operation){0};
   kvstore__v1__operation__init(&operation->message);
   return reader->read(operation, words, count, error);
}

struct kv_slice operation_key(const struct operation *operation)
{
   switch (operation->message.kind_case) {
   case KVSTORE__V1__OPERATION__KIND_SET:
      return session_bytes(operation->set.key);
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      return session_bytes(operation->delete.key);
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      return session_bytes(operation->increment.key);
   case KVSTORE__V1__OPERATION__KIND_SET_EXPIRY:
      return session_bytes(operation->set_expiry.key);
   default:
      return session_bytes(operation->get.key);
   }
}
