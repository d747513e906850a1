#include "core/support/log.h"

#include "core/support/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048

static enum kv_log_level log_level = KV_LOG_INFO;

void kv_log_set_level(enum kv_log_level level)
{
   log_level = level;
}

void kv_log(enum kv_log_level level, const char *format, ...)
{
   static const char *const names[] = {"", "error", "warning", "info", "debug"};
   if (level > log_level)
      return;

   char message[LINE_SIZE];
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(message, sizeof message, format, arguments);
   va_end(arguments);
   /* It may quote what a client sent, which must neither forge a line nor steer a terminal. */
   kv_text_clean(message);

   struct timespec now;
   struct tm utc;
   clock_gettime(CLOCK_REALTIME, &now);
   gmtime_r(&now.tv_sec, &utc);
   char line[LINE_SIZE + 64];
   int size = snprintf(line, sizeof line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s\n",
                       utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                       utc.tm_sec, now.tv_nsec / 1000000, names[level], message);
   if (size < 0)
      return;
   if ((size_t)size >= sizeof line)
      size = sizeof line - 1;
   /* One write(2) a line keeps lines of different threads whole. A log that cannot be written has
    * nowhere left to complain to. */
   ssize_t written;
   do
      written = write(STDERR_FILENO, line, (size_t)size);
   while (written < 0 && errno == EINTR);
}
