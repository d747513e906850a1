/*
 * Text in the report: names of files, and messages that hold them, may be any bytes.
 *
 * There is one form for both kinds of report: what is not printable UTF-8 stands as \xNN, a byte
 * each, and a backslash as two. So a report is always text, no name steers a terminal or looks like
 * a line of the report, and each name can be told back from it.
 *
 * Threads: any.
 */
#ifndef CHECK_SHOWN_H
#define CHECK_SHOWN_H

#include <jansson.h>
#include <stdio.h>

/* NULL when memory is out. */
json_t *shown_text(const char *text);
void shown_print(FILE *out, const char *text);

#endif
