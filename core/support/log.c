#include "core/support/log.h"

#include "core/support/log_writer.h"
#include "core/support/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum kv_log_level log_level = KV_LOG_INFO;
/* Set once; never destroyed, since a thread that hangs may log when everything else is over. */
static _Atomic(struct kv_log_writer *) log_writer;

void kv_log_set_level(enum kv_log_level level)
{
   log_level = level;
}

size_t kv_log_stamp(enum kv_log_level level, const struct timespec *time,
                    char stamp[KV_LOG_STAMP_SIZE])
{
   static const char *const names[] = {"", "error", "warning", "info", "debug"};
   struct tm utc;
   gmtime_r(&time->tv_sec, &utc);
   int size = snprintf(stamp, KV_LOG_STAMP_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s ",
                       utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                       utc.tm_sec, time->tv_nsec / 1000000, names[level]);
   return size < KV_LOG_STAMP_SIZE ? (size_t)size : KV_LOG_STAMP_SIZE - 1;
}

static void write_directly(enum kv_log_level level, const char *message)
{
   struct timespec now;
   clock_gettime(CLOCK_REALTIME, &now);
   char line[KV_LOG_STAMP_SIZE + KV_LOG_MESSAGE_SIZE + 1];
   size_t size = kv_log_stamp(level, &now, line);
   size += (size_t)snprintf(line + size, sizeof line - size, "%s\n", message);
   ssize_t written;
   do
      written = write(STDERR_FILENO, line, size);
   while (written < 0 && errno == EINTR);
}

void kv_log(enum kv_log_level level, const char *format, ...)
{
   if (level > log_level)
      return;
   char message[KV_LOG_MESSAGE_SIZE];
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(message, sizeof message, format, arguments);
   va_end(arguments);
   /* It may quote what a client sent, which must neither forge a line nor steer a terminal. */
   kv_text_clean(message);
   struct kv_log_writer *writer = atomic_load_explicit(&log_writer, memory_order_acquire);
   if (writer)
      kv_log_writer_put(writer, level, (uint64_t)(uintptr_t)format, message);
   else
      write_directly(level, message);
}

enum kv_code kv_log_start(struct kv_status *status)
{
   struct kv_log_writer *writer = kv_log_writer_create(STDERR_FILENO, status);
   if (!writer)
      return status->code;
   atomic_store_explicit(&log_writer, writer, memory_order_release);
   return KV_OK;
}

bool kv_log_stop(int64_t patience_ms)
{
   struct kv_log_writer *writer = atomic_load_explicit(&log_writer, memory_order_acquire);
   return !writer || kv_log_writer_close(writer, patience_ms);
}
