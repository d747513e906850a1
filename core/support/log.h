/*
 * The server's log: one line an event on standard error, "time level message", control characters
 * escaped. Any thread. The level is set once, before other threads start.
 */
#ifndef KV_LOG_H
#define KV_LOG_H

enum kv_log_level { KV_LOG_ERROR = 1, KV_LOG_WARNING = 2, KV_LOG_INFO = 3, KV_LOG_DEBUG = 4 };

void kv_log_set_level(enum kv_log_level level);
void kv_log(enum kv_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
