#include "client/options.h"

#include "client/redis_words.h"
#include "client/words.h"

#include <stdarg.h>
#include <stdio.h>

#define BIT(option) (UINT64_C(1) << (option))

/* ---- The table ---- */

enum takes { NOTHING, ONE, TWO, ONE_IF_JOINED /* as --shadow=5 */ };

struct spec {
   const char *name;
   enum takes takes;
   const char *value; /* what it is, for messages */
};

static const struct spec specs[] = {
    [OPTION_TTL] = {"--ttl", ONE, "DURATION"},
    [OPTION_EXPIRE_AT] = {"--expire-at", ONE, "TIME"},
    [OPTION_KEEP_TTL] = {"--keep-ttl", NOTHING, NULL},
    [OPTION_IF_ABSENT] = {"--if-absent", NOTHING, NULL},
    [OPTION_IF_PRESENT] = {"--if-present", NOTHING, NULL},
    [OPTION_IF_VERSION] = {"--if-version", ONE, "version"},
    [OPTION_IF_VALUE] = {"--if-value", ONE, "VALUE"},
    [OPTION_PREVIOUS] = {"--previous", NOTHING, NULL},
    [OPTION_DURABILITY] = {"--durability", ONE, "LEVEL"},
    [OPTION_REQUEST_ID] = {"--request-id", ONE, "ID"},
    [OPTION_INITIAL_VALUE] = {"--initial", ONE, "number"},
    [OPTION_VERBOSE] = {"-v", NOTHING, NULL},
    [OPTION_PREFIX] = {"--prefix", ONE, "PREFIX"},
    [OPTION_RANGE] = {"--range", TWO, "START and END"},
    [OPTION_KEY] = {"--key", ONE, "KEY"},
    [OPTION_YES] = {"--yes", NOTHING, NULL},
    [OPTION_START] = {"--start", ONE, "KEY"},
    [OPTION_END] = {"--end", ONE, "KEY"},
    [OPTION_REVERSE] = {"--reverse", NOTHING, NULL},
    [OPTION_LIMIT] = {"--limit", ONE, "number"},
    [OPTION_KEYS_ONLY] = {"--keys-only", NOTHING, NULL},
    [OPTION_COUNT] = {"--count", NOTHING, NULL},
    [OPTION_VALUE_MAX] = {"--value-max", ONE, "SIZE"},
    [OPTION_PAGE] = {"--page", ONE, "TOKEN"},
    [OPTION_FROM] = {"--from", ONE, "VERSION"},
    [OPTION_INITIAL_STATE] = {"--initial", NOTHING, NULL},
    [OPTION_JSON] = {"--json", NOTHING, NULL},
    [OPTION_RATE] = {"--rate", ONE, "SIZE"},
    [OPTION_VALIDATE_ONLY] = {"--validate-only", NOTHING, NULL},
    [OPTION_REPLACE_EXISTING] = {"--replace-existing", NOTHING, NULL},
    [OPTION_SHADOW] = {"--shadow", ONE_IF_JOINED, "SECONDS"},
    [OPTION_ETAG] = {"--etag", ONE, "ETAG"},
    [OPTION_METHOD] = {"--method", ONE, "PREFIX"},
    [OPTION_FAILED] = {"--failed", NOTHING, NULL},
};
#define SPECS (sizeof specs / sizeof *specs)

#define EXPIRY (BIT(OPTION_TTL) | BIT(OPTION_EXPIRE_AT) | BIT(OPTION_KEEP_TTL))
/* Of commands for which a missing key is nothing to change. */
#define CONDITION (BIT(OPTION_IF_PRESENT) | BIT(OPTION_IF_VERSION) | BIT(OPTION_IF_VALUE))
#define RANGES (BIT(OPTION_PREFIX) | BIT(OPTION_RANGE))
#define DURABILITY BIT(OPTION_DURABILITY)
#define ONCE (DURABILITY | BIT(OPTION_REQUEST_ID))

/* Of each of these, one may be given. */
static const uint64_t exclusive[] = {
    EXPIRY,
    CONDITION | BIT(OPTION_IF_ABSENT),
    RANGES,
    BIT(OPTION_KEYS_ONLY) | BIT(OPTION_COUNT),
    BIT(OPTION_VERBOSE) | BIT(OPTION_JSON),
    BIT(OPTION_COUNT) | BIT(OPTION_JSON),
    BIT(OPTION_FROM) | BIT(OPTION_INITIAL_STATE),
    BIT(OPTION_VALIDATE_ONLY) | BIT(OPTION_SHADOW),
};

struct options_command {
   const char *name;
   uint64_t allowed, repeated;
   size_t free_words;    /* the first ones, which may look like options that are unknown */
   const char *too_many; /* what helps where there is a word too many; NULL: nothing */
   bool begins_with_key; /* even if it looks like one that is known */
};

#define SUM (EXPIRY | BIT(OPTION_INITIAL_VALUE) | ONCE)
#define SCAN                                                                                       \
   (BIT(OPTION_PREFIX) | BIT(OPTION_START) | BIT(OPTION_END) | BIT(OPTION_REVERSE) |               \
    BIT(OPTION_LIMIT) | BIT(OPTION_KEYS_ONLY) | BIT(OPTION_COUNT) | BIT(OPTION_VALUE_MAX) |        \
    BIT(OPTION_PAGE) | BIT(OPTION_JSON))
#define WATCH                                                                                      \
   (RANGES | BIT(OPTION_KEY) | BIT(OPTION_FROM) | BIT(OPTION_INITIAL_STATE) |                      \
    BIT(OPTION_PREVIOUS) | BIT(OPTION_KEYS_ONLY) | BIT(OPTION_JSON))

static const struct options_command commands[] = {
    {.name = "set",
     .allowed = EXPIRY | CONDITION | BIT(OPTION_IF_ABSENT) | BIT(OPTION_PREVIOUS) | ONCE,
     .free_words = 2,
     .begins_with_key = true,
     .too_many = "put a value with spaces into quotes"},
    {.name = "get",
     .allowed = BIT(OPTION_VERBOSE) | BIT(OPTION_JSON),
     .free_words = 1,
     .too_many = "mget gets several keys"},
    {.name = "mget", .allowed = BIT(OPTION_JSON), .free_words = SIZE_MAX},
    {.name = "del",
     .allowed = CONDITION | BIT(OPTION_PREVIOUS) | ONCE | RANGES | BIT(OPTION_YES),
     .too_many = "options of a write are for one key"},
    {.name = "incr", .allowed = SUM, .free_words = 1},
    {.name = "decr", .allowed = SUM, .free_words = 1},
    {.name = "expire", .allowed = CONDITION | DURABILITY, .free_words = 1},
    {.name = "persist", .allowed = CONDITION | DURABILITY, .free_words = 1},
    {.name = "ttl", .free_words = 1},
    {.name = "keys", .allowed = BIT(OPTION_PREFIX)},
    {.name = "scan", .allowed = SCAN},
    {.name = "watch", .allowed = WATCH, .repeated = RANGES | BIT(OPTION_KEY)},
    {.name = "txn", .allowed = ONCE},
    {.name = "wait", .allowed = DURABILITY},
    {.name = "configure",
     .allowed = BIT(OPTION_VALIDATE_ONLY) | BIT(OPTION_SHADOW) | BIT(OPTION_ETAG)},
    {.name = "backup", .allowed = BIT(OPTION_RATE)},
    {.name = "restore", .allowed = BIT(OPTION_VALIDATE_ONLY) | BIT(OPTION_REPLACE_EXISTING)},
    {.name = "monitor", .allowed = BIT(OPTION_METHOD) | BIT(OPTION_KEY) | BIT(OPTION_FAILED)},
};

static const struct options_command *find_command(const char *name)
{
   for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
      if (words_same(kv_slice_of(name), commands[i].name))
         return &commands[i];
   return NULL;
}

bool options_known(const char *command)
{
   return find_command(command) != NULL;
}

/* ---- Words ---- */

/* Which option of a command a word is, and what comes after its "="; -1: none. */
static int find_option(const struct options_command *command, struct kv_slice word,
                       struct kv_slice *joined)
{
   const char *equals = memchr(word.data, '=', word.size);
   const size_t size = equals ? (size_t)(equals - (const char *)word.data) : word.size;
   *joined = equals ? kv_slice(equals + 1, word.size - size - 1) : kv_slice(NULL, 0);
   for (size_t i = 0; i < SPECS; i++)
      if ((command->allowed & BIT(i)) && words_same(kv_slice(word.data, size), specs[i].name))
         return (int)i;
   return -1;
}

bool options_lacks_value(const char *name, struct kv_slice word)
{
   const struct options_command *command = find_command(name);
   struct kv_slice joined;
   const int option = command ? find_option(command, word, &joined) : -1;
   return option >= 0 && !joined.data && specs[option].takes == ONE;
}

void options_begin(struct options *options, const char *command, const struct kv_slice *arguments,
                   size_t count)
{
   *options =
       (struct options){.command = find_command(command), .words = arguments, .count = count};
}

int options_wrong(struct options *options, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(options->error, sizeof options->error, format, arguments);
   va_end(arguments);
   return OPTIONS_WRONG;
}

bool options_given(const struct options *options, enum command_option option)
{
   return options->taken & BIT(option);
}

bool options_claim(struct options *options, enum command_option option)
{
   const uint64_t repeated = options->command->repeated;
   if (!(repeated & BIT(option)) && options_given(options, option)) {
      options_wrong(options, "%s is given twice; give it once", specs[option].name);
      return false;
   }
   for (size_t i = 0; i < sizeof exclusive / sizeof *exclusive; i++) {
      uint64_t others =
          exclusive[i] & BIT(option) ? exclusive[i] & options->taken & ~BIT(option) : 0;
      others &= ~repeated;
      if (others) {
         options_wrong(options, "%s and %s: give one of them", specs[__builtin_ctzll(others)].name,
                       specs[option].name);
         return false;
      }
   }
   options->taken |= BIT(option);
   return true;
}

/* The next word as the value of an option; false where there is none, or what was forgotten. */
static bool take_value(struct options *options, const struct spec *spec, struct kv_slice *value)
{
   struct kv_slice joined;
   if (options->at == options->count) {
      options_wrong(options, "%s needs a %s, which is missing", spec->name, spec->value);
      return false;
   }
   *value = options->words[options->at++];
   if (find_option(options->command, *value, &joined) < 0)
      return true;
   options_wrong(options, "%s needs a %s, and \"%.*s\" is an option; where it is meant: %s=%.*s",
                 spec->name, spec->value, OPTIONS_SHOWN(*value), spec->name, OPTIONS_SHOWN(*value));
   return false;
}

static int take_option(struct options *options, enum command_option option, struct kv_slice joined)
{
   const struct spec *spec = &specs[option];
   options->value = joined;
   if (joined.data && (spec->takes == NOTHING || spec->takes == TWO))
      return options_wrong(options,
                           spec->takes == TWO ? "%s: write %s START END" : "%s: takes no value",
                           spec->name, spec->name);
   if (!options_claim(options, option))
      return OPTIONS_WRONG;
   if (spec->takes == TWO && options->count - options->at < 2)
      return options_wrong(options, "%s needs %s", spec->name, spec->value);
   if (!joined.data && (spec->takes == ONE || spec->takes == TWO) &&
       !take_value(options, spec, &options->value))
      return OPTIONS_WRONG;
   if (spec->takes == TWO && !take_value(options, spec, &options->second))
      return OPTIONS_WRONG;
   if (option == OPTION_REQUEST_ID && options->value.size == 0)
      return options_wrong(options, "%s: is empty, and would be none; give an ID", spec->name);
   return (int)option;
}

int options_next(struct options *options)
{
   if (!options->literal && options->at < options->count &&
       words_same(options->words[options->at], "--")) {
      options->literal = true;
      options->at++;
   }
   if (options->at == options->count)
      return OPTIONS_END;
   const struct options_command *command = options->command;
   const bool is_key = options->literal || (options->at == 0 && command->begins_with_key);
   const struct kv_slice word = options->words[options->at++];
   struct kv_slice joined;
   const int option = is_key ? -1 : find_option(command, word, &joined);
   if (option >= 0)
      return take_option(options, (enum command_option)option, joined);
   options->value = word;
   options->words_read++;
   if (!options->literal && options->words_read > command->free_words &&
       kv_slice_begins_with(word, kv_slice_of("--")))
      return options_refuse_word(options);
   return OPTIONS_WORD;
}

/* As etcdctl gets all keys with a prefix. */
static bool gets_prefix(const struct options *options)
{
   if (options->literal || strcmp(options->command->name, "get") != 0)
      return false;
   for (size_t i = 0; i < options->count; i++)
      if (words_same(options->words[i], "--prefix") ||
          kv_slice_begins_with(options->words[i], kv_slice_of("--prefix=")))
         return true;
   return false;
}

int options_refuse_word(struct options *options)
{
   const struct options_command *command = options->command;
   const struct kv_slice word = options->value;
   const struct kv_slice next =
       options->at < options->count ? options->words[options->at] : kv_slice(NULL, 0);
   char meant[REDIS_TEXT_SIZE];
   if (strcmp(command->name, "set") == 0 && redis_option(word, next, meant))
      return options_wrong(options, "\"%.*s\" is how Redis writes it; here: %s",
                           OPTIONS_SHOWN(word), meant);
   if (gets_prefix(options))
      return options_wrong(options, "get gets one key; here: scan --prefix PREFIX, for all that "
                                    "begin so");
   if (!options->literal && kv_slice_begins_with(word, kv_slice_of("-")))
      return options_wrong(options,
                           "unknown option %.*s of %s; see help %s, or write -- before words that "
                           "only look like options",
                           OPTIONS_SHOWN(word), command->name, command->name);
   return options_wrong(options, "\"%.*s\" is one word too many for %s; %s%ssee help %s",
                        OPTIONS_SHOWN(word), command->name,
                        command->too_many ? command->too_many : "",
                        command->too_many ? ", or " : "", command->name);
}
