/*
 * How bytes are shown. What a person reads never carries a control character to the terminal, and
 * what is shown in quotes can be typed back: words_split reads the same bytes from it.
 *
 * Writes to the stream given; the caller checks the stream for errors.
 */
#ifndef CLIENT_PRINT_H
#define CLIENT_PRINT_H

#include "core/support/slice.h"

#include <stdint.h>
#include <stdio.h>

/* As one word of a command line: bare where that is unambiguous, else in double quotes with
 * escapes. One line, whatever the bytes. */
void print_word(FILE *out, struct kv_slice bytes);

/* For reading: as print_word, but text with spaces inside needs no quotes. */
void print_text(FILE *out, struct kv_slice bytes);

/* As it is, control characters and bytes that are no UTF-8 as \xHH; never quotes. For messages. */
void print_plain(FILE *out, struct kv_slice bytes);

/* One line "name   text" of a table. */
void print_field(FILE *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for bytes, as print_text. */
void print_bytes_field(FILE *out, const char *name, struct kv_slice bytes);

/* What "key" ends in after a count of keys. */
const char *print_plural(uint64_t count);

/* The name part of print_field alone, for values that are printed some other way. */
void print_label(FILE *out, const char *name);

#endif
