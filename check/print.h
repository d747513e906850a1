/* The report of a survey in words: a block a generation, a line a file, a verdict at the end. */
#ifndef CHECK_PRINT_H
#define CHECK_PRINT_H

#include <jansson.h>
#include <stdio.h>

void print_report(FILE *out, const json_t *report);

#endif
