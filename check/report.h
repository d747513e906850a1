/*
 * Prints what was found, as text for people or as one JSON object. docs/kvstore-check.md describes
 * both.
 *
 * Threads: one.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "check/recover.h"

#include <stdio.h>

/* A block a generation, a line a file, a verdict at the end. `recovery`: NULL when there is no
 * copy, which `output` is the path of. */
void report_text(FILE *out, const struct survey *survey, const struct recovery *recovery,
                 const char *output);
/* Returns false when memory runs out. */
bool report_json(FILE *out, const struct survey *survey, const struct recovery *recovery,
                 const char *output);

#endif
