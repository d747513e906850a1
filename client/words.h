/*
 * What a person types, taken apart: a line becomes words, a word becomes a number.
 *
 * Words stand between spaces and tabs. Inside "double quotes" spaces count, and so do the escapes
 * \n \r \t \\ \" \xHH; inside 'single quotes' every byte stands for itself; outside of quotes a
 * backslash is a plain character. Quoted and bare parts that touch are one word; "" is an empty
 * one.
 *
 * Pure functions, any thread; nothing here reads input or prints.
 */
#ifndef CLIENT_WORDS_H
#define CLIENT_WORDS_H

#include "core/support/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct words {
   struct kv_bytes *items; /* each is followed by a NUL that its size does not count */
   size_t count;
   char *storage;
};

struct words_error {
   const char *reason;
   size_t column; /* in characters, from 1; 0: the line as a whole */
};

/* Splits `size` bytes, without the newline. On failure there is nothing to deinit. */
bool words_split(const char *line, size_t size, struct words *words, struct words_error *error);
void words_deinit(struct words *words);

/* The word as a whole number in decimal; false where it is none or out of bounds. */
bool words_integer(struct kv_bytes word, int64_t minimum, int64_t maximum, int64_t *number);

/* Whether the word is this text; capitals do not matter. */
bool words_same(struct kv_bytes word, const char *text);

#endif
