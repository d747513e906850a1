/*
 * Text in the report: names of files, and messages that hold them, may be any bytes.
 *
 * Both kinds of report show them alike: each byte that is not printable UTF-8 as \xNN, and a
 * backslash as two. So a report is always text, no name controls a terminal or looks like a line of
 * the report, and each name can be read back from it.
 *
 * Threads: any.
 */
#ifndef CHECK_SHOWN_H
#define CHECK_SHOWN_H

#include <jansson.h>
#include <stdio.h>

/* NULL when memory runs out. */
json_t *shown_text(const char *text);
/* Prints, printf style; shown_line also ends the line. */
void shown_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define shown_line(out, ...) (shown_print(out, __VA_ARGS__), (void)fputc('\n', out))

#endif
