/*
 * The log: one line an event on standard error, as text or as JSON (log_format.h), with '?' for
 * whatever could steer a terminal or forge a line. Any thread.
 *
 * Between kv_log_start and kv_log_stop, which a server calls, nobody waits for the log: a thread of
 * its own writes it, what it cannot take is dropped and counted, and lines that repeat are limited
 * (log_writer.h). Otherwise each line is written at once by who logs it.
 *
 * It is the one thing of a process that is reached without being handed on, and so the one that has
 * state of its own.
 */
#ifndef KV_LOG_H
#define KV_LOG_H

#include "core/support/status.h"

#include <stdbool.h>
#include <stdint.h>

enum kv_log_level { KV_LOG_ERROR = 1, KV_LOG_WARNING = 2, KV_LOG_INFO = 3, KV_LOG_DEBUG = 4 };

enum kv_log_format { KV_LOG_TEXT, KV_LOG_JSON };

struct kv_log_events;

/* Before other threads start. */
void kv_log_set_level(enum kv_log_level level);
/* The same; priorities for systemd's journal are added where standard error goes to it. Text
 * without them before. */
void kv_log_set_format(enum kv_log_format format);
void kv_log(enum kv_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for what has become of the whole, and names no client, user or key: the last of them are
 * kept (log_events.h), whatever the level is, for pages that anybody may see. */
void kv_log_event(enum kv_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct kv_log_events *kv_log_events(void);

/* Once, by main. */
enum kv_code kv_log_start(struct kv_status *status);
/* Waits until what was logged is written, at most for `patience_ms`; false when it was not. What is
 * logged from now on is dropped. */
bool kv_log_stop(int64_t patience_ms);

#endif
