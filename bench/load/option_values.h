/*
 * The values of options on a command line. All but option_read_integer read getopt's `optarg`, and
 * say on standard error what is wrong with it when they return false. On the main thread.
 */
#ifndef BENCH_OPTION_VALUES_H
#define BENCH_OPTION_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTION_SECONDS_MAX 1e6

/* Prints `error: WHAT "VALUE" WHY`; returns false. `why` may be NULL. */
bool option_refuse(const char *what, const char *value, const char *why);
bool option_read_integer(const char *text, size_t size, uint64_t minimum, uint64_t maximum,
                         uint64_t *number);
bool option_integer(const char *flag, uint64_t minimum, uint64_t maximum, uint64_t *number);
/* From 1 on. */
bool option_count(const char *flag, unsigned maximum, unsigned *number);
bool option_real(const char *flag, double minimum, double maximum, double *number);
/* A number of seconds. */
bool option_nanoseconds(const char *flag, double minimum, uint64_t *ns);

#endif
