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

/* Room for a reason. */
#define TIMES_REASON_SIZE 128

/* A duration such as 500ms, 1.5s, 10m, 1h30m or 2d, into milliseconds, at least one. A number
 * without a unit is seconds. False with the reason, as what comes after the word. */
bool times_duration(struct kv_slice word, int64_t *ms, char reason[TIMES_REASON_SIZE]);
/* A point in time after `now_ms`: RFC 3339 (2026-01-31T12:00:00Z, with fractions or an offset), a
 * date (from 0:00 UTC), or Unix milliseconds, which have 13 digits. False with the reason. */
bool times_point(struct kv_slice word, int64_t now_ms, int64_t *unix_ms,
                 char reason[TIMES_REASON_SIZE]);
/* Room for what the following writes. */
#define TIMES_TEXT_SIZE 64
/* As times_duration reads it: "1h30m", with at most two units. */
void times_show_duration(int64_t ms, char text[TIMES_TEXT_SIZE]);
/* RFC 3339 in UTC, to the millisecond. */
void times_show_utc(int64_t unix_ms, char text[TIMES_TEXT_SIZE]);
/* Local time, to the millisecond. */
void times_show_point(int64_t unix_ms, char text[TIMES_TEXT_SIZE]);

#endif
