/*
 * Shows bytes so that no control character reaches the terminal. What is shown in quotes can be
 * typed back: words_split reads the same bytes from it.
 *
 * The caller checks the stream for errors.
 */
#ifndef CLIENT_PRINT_H
#define CLIENT_PRINT_H

#include "core/support/slice.h"

#include <stdint.h>
#include <stdio.h>

/* As one word of a command line: bare if that is unambiguous, else in double quotes with escapes.
 * Always one line. */
void print_word(FILE *out, struct kv_slice bytes);

/* For reading: as print_word, but text with spaces inside is not quoted. */
void print_text(FILE *out, struct kv_slice bytes);

/* For messages: never quoted; control characters and bytes that are not UTF-8 as \xHH. */
void print_plain(FILE *out, struct kv_slice bytes);

/* One line "name   text" of a table. */
void print_field(FILE *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for bytes, as print_text. */
void print_bytes_field(FILE *out, const char *name, struct kv_slice bytes);

/* Text from a column on, in lines of at most 80 columns that break at spaces, all but the first one
 * indented to `indent`. */
void print_wrapped(FILE *out, const char *text, size_t column, size_t indent);

/* What "key" ends in after a count of keys. */
const char *print_plural(uint64_t count);

/* The name alone, for values that are printed some other way. */
void print_label(FILE *out, const char *name);

#endif
