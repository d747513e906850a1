/*
 * Writes the lines of the log on a thread of its own, so that a log that is not read, or a disk
 * that hangs, stops nobody else.
 *
 * Promises
 *  - kv_log_writer_put never waits for the log: it copies the line into a queue of bounded length.
 *  - What finds the queue full is dropped and counted, and a line says so in the place of
 *    what was dropped.
 *  - Of lines like each other only some are written (log_limit.h); the number of the others is
 *    logged.
 *
 * Threads: put from any; the others on the thread that owns the writer.
 */
#ifndef KV_LOG_WRITER_H
#define KV_LOG_WRITER_H

#include "core/support/log_format.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define KV_LOG_QUEUE_LINES 256

struct kv_log_writer;

/* Writes one line. */
void kv_log_write_line(int fd, struct kv_log_style style, enum kv_log_level level,
                       const struct timespec *time, const char *message);

/* Starts the thread, which writes to `fd`. NULL with `status`. */
struct kv_log_writer *kv_log_writer_create(int fd, struct kv_log_style style,
                                           struct kv_status *status);

/* `message` is one line without its end, of less than KV_LOG_MESSAGE_SIZE bytes, and `origin`, not
 * 0, identifies who logs. Dropped without a word once the writer is closed. */
void kv_log_writer_put(struct kv_log_writer *writer, enum kv_log_level level, uint64_t origin,
                       const char *message);

/* Takes no more lines, and waits until those that wait are written, at most for `patience_ms`.
 * False: they are not; then the thread is left behind in its write, and the writer must not be
 * destroyed. */
bool kv_log_writer_close(struct kv_log_writer *writer, int64_t patience_ms);
/* After kv_log_writer_close has returned true. */
void kv_log_writer_destroy(struct kv_log_writer *writer);

#endif
