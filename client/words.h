/*
 * Parses what a person types or an editor has saved: a line into words, a word into a number.
 *
 * Spaces and tabs separate words. Inside "double quotes" spaces count, and so do the escapes
 * \n \r \t \\ \" \xHH; inside 'single quotes' every byte stands for itself; outside of quotes a
 * backslash is a plain character. Quoted and bare parts that touch are one word; "" is an empty
 * one. A # at the beginning of a word starts a comment.
 *
 * A byte order mark before the line and carriage returns after it, which editors and Windows add,
 * are left out. A character that only looks like a space or a quote is refused outside of quotes,
 * with its column, because the line would not mean what it seems to.
 *
 * Pure functions, any thread.
 */
#ifndef CLIENT_WORDS_H
#define CLIENT_WORDS_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct words {
   struct kv_slice *items; /* each is followed by a NUL that its size does not count */
   size_t count;
   char *storage;
};

struct words_error {
   const char *reason;
   size_t column; /* in characters, from 1; 0: the line as a whole */
   bool all;      /* no later line can be read either */
};

/* Splits `size` bytes, without the newline. On failure there is nothing to deinit. */
bool words_split(const char *line, size_t size, struct words *words, struct words_error *error);
void words_deinit(struct words *words);

/* The length of a character at `text` that is easily taken for a space or a quote: a no-break or
 * zero-width space, a typographic quote. 0 if there is none. */
size_t words_lookalike(const char *text, size_t size);

/* The word as a whole decimal number; false if it is not one, or out of range. */
bool words_integer(struct kv_slice word, int64_t minimum, int64_t maximum, int64_t *number);

/* Whether the word is this text, ignoring case. */
bool words_same(struct kv_slice word, const char *text);

#endif
