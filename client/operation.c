#include "client/operation.h"

#include "client/times.h"
#include "client/words.h"

#include "core/support/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define VERSION_MAX INT64_MAX
#define WORDS_MAX 2 /* key, and value, number or time */

/* ---- Words ---- */

bool operation_durability(struct options *options, Kvstore__V1__Durability *durability)
{
   static const char *const names[] = {"default", "memory", "written", "synced"};
   for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      if (words_same(options->value, names[i])) {
         *durability = (Kvstore__V1__Durability)i;
         return true;
      }
   options_wrong(options, "--durability %.*s: is none of memory, written, synced",
                 OPTIONS_SHOWN(options->value));
   return false;
}

/* What the words of a command say. */
struct asked {
   struct options options;
   struct kv_slice words[WORDS_MAX]; /* that are no options */
   size_t count;
   Kvstore__V1__Expiry *expiry;       /* of the operation */
   Kvstore__V1__Condition *condition; /* of the operation */
   Kvstore__V1__Durability durability;
   struct kv_slice request_id;
   int64_t initial;
};

static bool take_duration(struct asked *asked, const char *option, struct kv_slice word)
{
   char reason[TIMES_REASON_SIZE];
   asked->expiry->time_case = KVSTORE__V1__EXPIRY__TIME_TTL_MS;
   if (times_duration(word, &asked->expiry->ttl_ms, reason))
      return true;
   options_wrong(&asked->options, "%s %.*s: %s", option, OPTIONS_SHOWN(word), reason);
   return false;
}

static bool take_point(struct asked *asked, const char *option, struct kv_slice word)
{
   char reason[TIMES_REASON_SIZE];
   asked->expiry->time_case = KVSTORE__V1__EXPIRY__TIME_EXPIRE_TIME_MS;
   if (times_point(word, kv_clock_unix_ms(), &asked->expiry->expire_time_ms, reason))
      return true;
   options_wrong(&asked->options, "%s %.*s: %s", option, OPTIONS_SHOWN(word), reason);
   return false;
}

static bool take_integer(struct asked *asked, const char *option, int64_t minimum, int64_t *number)
{
   if (words_integer(asked->options.value, minimum, INT64_MAX, number))
      return true;
   options_wrong(&asked->options, "%s %.*s: is no whole number%s", option,
                 OPTIONS_SHOWN(asked->options.value), minimum < 0 ? " of 64 bits" : " from 0 on");
   return false;
}

static bool take_option(struct asked *asked, int option)
{
   const struct kv_slice value = asked->options.value;
   Kvstore__V1__Condition *condition = asked->condition;
   int64_t version = 0;
   switch (option) {
   case OPTION_TTL:
      return take_duration(asked, "--ttl", value);
   case OPTION_EXPIRE_AT:
      return take_point(asked, "--expire-at", value);
   case OPTION_KEEP_TTL:
      asked->expiry->time_case = KVSTORE__V1__EXPIRY__TIME_KEEP;
      asked->expiry->keep = true;
      return true;
   case OPTION_IF_ABSENT:
   case OPTION_IF_PRESENT:
      condition->kind_case = KVSTORE__V1__CONDITION__KIND_EXISTS;
      condition->exists = option == OPTION_IF_PRESENT;
      return true;
   case OPTION_IF_VERSION:
      condition->kind_case = KVSTORE__V1__CONDITION__KIND_VERSION;
      if (!take_integer(asked, "--if-version", 0, &version))
         return false;
      condition->version = (uint64_t)version;
      return true;
   case OPTION_IF_VALUE:
      condition->kind_case = KVSTORE__V1__CONDITION__KIND_VALUE;
      condition->value = session_field(value);
      return true;
   case OPTION_DURABILITY:
      return operation_durability(&asked->options, &asked->durability);
   case OPTION_REQUEST_ID:
      asked->request_id = value;
      return true;
   case OPTION_INITIAL_VALUE:
      return take_integer(asked, "--initial", INT64_MIN, &asked->initial);
   default:
      return true; /* whether it was given is all there is to know */
   }
}

/* Reads all words of a command that takes at most `most` beside its options. */
static bool read_words(struct asked *asked, size_t most)
{
   for (int option; (option = options_next(&asked->options)) != OPTIONS_END;) {
      if (option == OPTIONS_WRONG)
         return false;
      if (option == OPTIONS_WORD && asked->count == most) {
         options_refuse_word(&asked->options);
         return false;
      }
      if (option == OPTIONS_WORD)
         asked->words[asked->count++] = asked->options.value;
      else if (!take_option(asked, option))
         return false;
   }
   return true;
}

static Kvstore__V1__Expiry *expiry_of(const struct asked *asked)
{
   return asked->expiry->time_case != KVSTORE__V1__EXPIRY__TIME__NOT_SET ? asked->expiry : NULL;
}

static Kvstore__V1__Condition *condition_of(const struct asked *asked)
{
   return asked->condition->kind_case != KVSTORE__V1__CONDITION__KIND__NOT_SET ? asked->condition
                                                                               : NULL;
}

/* ---- Messages ---- */

/* Fills in the message from what was asked; false with the options' `error`. */
typedef bool build_fn(struct operation *operation, struct asked *asked);

static bool build_set(struct operation *operation, struct asked *asked)
{
   Kvstore__V1__SetRequest *set = &operation->set;
   kvstore__v1__set_request__init(set);
   set->key = session_field(asked->words[0]);
   set->value = session_field(asked->words[1]);
   set->expiry = expiry_of(asked);
   set->condition = condition_of(asked);
   set->return_previous = options_given(&asked->options, OPTION_PREVIOUS);
   set->durability = asked->durability;
   set->request_id = session_field(asked->request_id);
   operation->is_plain = asked->options.taken == 0;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_SET;
   operation->message.set = set;
   return true;
}

static bool build_get(struct operation *operation, struct asked *asked)
{
   kvstore__v1__get_request__init(&operation->get);
   operation->get.key = session_field(asked->words[0]);
   operation->verbose = options_given(&asked->options, OPTION_VERBOSE);
   operation->json = options_given(&asked->options, OPTION_JSON);
   operation->is_plain = asked->options.taken == 0;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
   operation->message.get = &operation->get;
   return true;
}

static bool build_ttl(struct operation *operation, struct asked *asked)
{
   build_get(operation, asked);
   operation->get.omit_value = true;
   operation->is_ttl = true;
   operation->is_plain = false;
   return true;
}

static bool build_delete(struct operation *operation, struct asked *asked)
{
   Kvstore__V1__DeleteRequest *request = &operation->delete;
   kvstore__v1__delete_request__init(request);
   request->key = session_field(asked->words[0]);
   request->condition = condition_of(asked);
   request->return_previous = options_given(&asked->options, OPTION_PREVIOUS);
   request->durability = asked->durability;
   request->request_id = session_field(asked->request_id);
   operation->is_plain = asked->options.taken == 0;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_DELETE;
   operation->message.delete_ = request;
   if (!options_given(&asked->options, OPTION_PREFIX) &&
       !options_given(&asked->options, OPTION_RANGE) && !options_given(&asked->options, OPTION_YES))
      return true;
   options_wrong(&asked->options, "del takes either keys, or a range with --prefix or --range, and "
                                  "--yes");
   return false;
}

static bool build_sum(struct operation *operation, struct asked *asked, bool down)
{
   Kvstore__V1__IncrementRequest *request = &operation->increment;
   int64_t delta = 1;
   if (asked->count > 1 &&
       !words_integer(asked->words[1], down ? -INT64_MAX : INT64_MIN, INT64_MAX, &delta)) {
      options_wrong(&asked->options, "%s: \"%.*s\" is no whole number of 64 bits",
                    down ? "decr" : "incr", OPTIONS_SHOWN(asked->words[1]));
      return false;
   }
   kvstore__v1__increment_request__init(request);
   request->key = session_field(asked->words[0]);
   request->delta = down ? -delta : delta;
   request->initial = asked->initial;
   request->expiry = expiry_of(asked);
   request->durability = asked->durability;
   request->request_id = session_field(asked->request_id);
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_INCREMENT;
   operation->message.increment = request;
   return true;
}

static bool build_increment(struct operation *operation, struct asked *asked)
{
   return build_sum(operation, asked, false);
}

static bool build_decrement(struct operation *operation, struct asked *asked)
{
   return build_sum(operation, asked, true);
}

static bool build_persist(struct operation *operation, struct asked *asked)
{
   Kvstore__V1__SetExpiryRequest *request = &operation->set_expiry;
   kvstore__v1__set_expiry_request__init(request);
   request->key = session_field(asked->words[0]);
   request->condition = condition_of(asked);
   request->durability = asked->durability;
   operation->message.kind_case = KVSTORE__V1__OPERATION__KIND_SET_EXPIRY;
   operation->message.set_expiry = request;
   return true;
}

static bool build_expire(struct operation *operation, struct asked *asked)
{
   const struct kv_slice time = asked->words[1];
   /* Dates have it before any sign, and durations nowhere. */
   const bool is_point = memchr(time.data, '-', time.size) != NULL;
   build_persist(operation, asked);
   operation->set_expiry.expiry = &operation->expiry;
   return is_point ? take_point(asked, "expire", time) : take_duration(asked, "expire", time);
}

static const struct reader {
   const char *name;
   size_t least, most; /* words that are no options */
   build_fn *build;
   const char *usage;
   const char *options; /* whose options it has; NULL: its own */
} readers[] = {
    {"set", 2, 2, build_set, "set KEY VALUE [OPTIONS]", NULL},
    {"get", 1, 1, build_get, "get KEY [-v | --json]", NULL},
    {"del", 1, 1, build_delete, "del KEY [OPTIONS]", NULL},
    {"incr", 1, 2, build_increment, "incr KEY [N] [OPTIONS]", NULL},
    {"incrby", 1, 2, build_increment, "incr KEY [N] [OPTIONS]", "incr"},
    {"decr", 1, 2, build_decrement, "decr KEY [N] [OPTIONS]", NULL},
    {"decrby", 1, 2, build_decrement, "decr KEY [N] [OPTIONS]", "decr"},
    {"expire", 2, 2, build_expire, "expire KEY DURATION|TIME [OPTIONS]", NULL},
    {"persist", 1, 1, build_persist, "persist KEY [OPTIONS]", NULL},
    {"ttl", 1, 1, build_ttl, "ttl KEY", NULL},
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
   if (!reader) {
      snprintf(error, OPERATION_TEXT_SIZE,
               "\"%.*s\" is none of set, get, del, incr, decr, expire, persist, ttl",
               OPTIONS_SHOWN(words[0]));
      return false;
   }
   *operation = (struct operation){0};
   kvstore__v1__operation__init(&operation->message);
   kvstore__v1__condition__init(&operation->condition);
   kvstore__v1__expiry__init(&operation->expiry);
   struct asked asked = {.expiry = &operation->expiry, .condition = &operation->condition};
   options_begin(&asked.options, reader->options ? reader->options : reader->name, words + 1,
                 count - 1);
   /* A key alone is one, also "-v". */
   asked.options.literal = reader->build == build_get && count == 2;
   bool good = read_words(&asked, reader->most);
   if (good && asked.count < reader->least) {
      options_wrong(&asked.options, "usage: %s", reader->usage);
      good = false;
   }
   good = good && reader->build(operation, &asked);
   operation->is_alone = options_given(&asked.options, OPTION_DURABILITY) ||
                         options_given(&asked.options, OPTION_REQUEST_ID);
   if (!good)
      snprintf(error, OPERATION_TEXT_SIZE, "%s", asked.options.error);
   return good;
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
