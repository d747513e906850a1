/*
 * Durations and points in time as people write them.
 *
 * Pure functions, any thread.
 */
#ifndef CLIENT_TIMES_H
#define CLIENT_TIMES_H

#include "core/support/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define TIMES_UNITS "ms, s, m, h or d, as in 1h30m"

/* A duration such as 500ms, 10m, 1h30m or 2d, into milliseconds, at least one. A number without a
 * unit is seconds. */
bool times_duration(struct kv_slice word, int64_t *ms);
/* A point in time: RFC 3339 (2026-01-31T12:00:00Z, with fractions or an offset), or Unix
 * milliseconds. */
bool times_point(struct kv_slice word, int64_t *unix_ms);
/* Room for what the following writes. */
#define TIMES_TEXT_SIZE 64
/* As times_duration reads it: "1h30m", with at most two units. */
void times_show_duration(int64_t ms, char text[TIMES_TEXT_SIZE]);
/* Local time, to the millisecond. */
void times_show_point(int64_t unix_ms, char text[TIMES_TEXT_SIZE]);

#endif
