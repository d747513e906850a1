/*
 * What a line of the log looks like.
 *
 *   text          2026-01-31T12:00:00.000Z warning disk full
 *   JSON          {"time":"2026-01-31T12:00:00.000Z","level":"warning","message":"disk full"}
 *   in the journal the same behind a priority, <4>, which systemd takes off again; text then has
 *                 neither time nor level, since the journal keeps both.
 *
 * The keys of JSON never change and never go; others may be added behind them. Each line is one
 * whole object, valid UTF-8, whatever the message holds.
 *
 * Threads: any.
 */
#ifndef KV_LOG_FORMAT_H
#define KV_LOG_FORMAT_H

#include "core/support/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define KV_LOG_MESSAGE_SIZE 2048
/* A control character takes six bytes in JSON; the rest is time, level and keys. */
#define KV_LOG_LINE_SIZE (6 * KV_LOG_MESSAGE_SIZE + 128)

struct kv_log_style {
   enum kv_log_format format;
   bool journal; /* the lines go to systemd's journal */
};

/* Writes the line with its end, without a terminating NUL; returns its size. */
size_t kv_log_format_line(struct kv_log_style style, enum kv_log_level level,
                          const struct timespec *time, const char *message,
                          char line[KV_LOG_LINE_SIZE]);

/* Whether systemd has connected the file to the journal: `stream` is the value of JOURNAL_STREAM,
 * device and inode, or NULL. A program that was started with the variable may have had its output
 * redirected since. */
bool kv_log_is_journal(int fd, const char *stream);

#endif
