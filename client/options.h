/*
 * The options of all commands, in one table: how many words each takes, which exclude each other,
 * and which may be repeated. Everything else may be given once.
 *
 * The words of a command are read one after the other; options may stand anywhere among them. After
 * "--" no word is an option.
 *
 * One thread.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_option {
   OPTION_TTL,
   OPTION_EXPIRE_AT,
   OPTION_KEEP_TTL,
   OPTION_IF_ABSENT,
   OPTION_IF_PRESENT,
   OPTION_IF_VERSION,
   OPTION_IF_VALUE,
   OPTION_PREVIOUS,
   OPTION_DURABILITY,
   OPTION_REQUEST_ID,
   OPTION_INITIAL_VALUE,
   OPTION_VERBOSE,
   OPTION_PREFIX,
   OPTION_RANGE,
   OPTION_KEY,
   OPTION_YES,
   OPTION_START,
   OPTION_END,
   OPTION_REVERSE,
   OPTION_LIMIT,
   OPTION_KEYS_ONLY,
   OPTION_COUNT,
   OPTION_VALUE_MAX,
   OPTION_PAGE,
   OPTION_FROM,
   OPTION_INITIAL_STATE,
   OPTION_JSON,
   OPTION_RATE,
   OPTION_VALIDATE_ONLY,
   OPTION_REPLACE_EXISTING,
   OPTION_SHADOW,
   OPTION_ETAG,
   OPTION_METHOD,
   OPTION_FAILED,
};

#define OPTIONS_ERROR_SIZE 256

struct options {
   const struct options_command *command;
   const struct kv_slice *words;
   size_t count, at, words_read;
   uint64_t taken;                /* a bit for each option that was given */
   bool literal;                  /* "--" was read */
   struct kv_slice value, second; /* of the option, without data where it has none; or the word */
   char error[OPTIONS_ERROR_SIZE];
};

/* What options_next returns beside an enum command_option. */
enum {
   OPTIONS_END = -1,
   OPTIONS_WORD = -2,  /* no option: `value` */
   OPTIONS_WRONG = -3, /* `error` says why, for a person */
};

/* The arguments of a command that has options; they must outlive it. */
void options_begin(struct options *options, const char *command, const struct kv_slice *arguments,
                   size_t count);
int options_next(struct options *options);

bool options_given(const struct options *options, enum command_option option);
/* Takes an option that was given in another form; false with `error` where it was given before. */
bool options_claim(struct options *options, enum command_option option);
/* Fills in `error` (printf style) and returns OPTIONS_WRONG. */
int options_wrong(struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The last word has no place in the command: says so. */
int options_refuse_word(struct options *options);

/* Whether a command has options, and knows "--". */
bool options_known(const char *command);
/* Whether this word, of a command, is an option that needs the next word. */
bool options_lacks_value(const char *command, struct kv_slice word);

/* For "%.*s": a word, shortened. */
#define OPTIONS_SHOWN(word) (int)((word).size < 60 ? (word).size : 60), (const char *)(word).data

#endif
