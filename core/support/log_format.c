#include "core/support/log_format.h"

#include "core/support/utf8.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STAMP_SIZE 64

static const char *const names[] = {"", "error", "warning", "info", "debug"};
/* https://man7.org/linux/man-pages/man3/sd-daemon.3.html: SD_ERR, SD_WARNING, SD_INFO, SD_DEBUG. */
static const char *const priorities[] = {"", "<3>", "<4>", "<6>", "<7>"};

static const char *stamp(const struct timespec *time, char text[STAMP_SIZE])
{
   struct tm utc;
   gmtime_r(&time->tv_sec, &utc);
   snprintf(text, STAMP_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900,
            utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
            time->tv_nsec / 1000000);
   return text;
}

/* As the inside of a JSON string, RFC 8259; a byte that is no UTF-8 becomes '?'. The line has space
 * for the largest message. */
static size_t escape(const char *text, char *to)
{
   size_t used = 0;
   for (size_t left = strnlen(text, KV_LOG_MESSAGE_SIZE - 1); left > 0;) {
      uint32_t point = 0;
      size_t size = kv_utf8_decode(text, left, &point);
      if (size == 0) {
         to[used++] = '?';
         size = 1;
      } else if (point < 0x20) {
         used += (size_t)sprintf(to + used, "\\u%04" PRIx32, point);
      } else {
         if (point == '"' || point == '\\')
            to[used++] = '\\';
         memcpy(to + used, text, size);
         used += size;
      }
      text += size;
      left -= size;
   }
   return used;
}

static size_t format_json(enum kv_log_level level, const struct timespec *time, const char *message,
                          char *line)
{
   static const char end[] = "\"}\n";
   char text[STAMP_SIZE];
   size_t used = (size_t)sprintf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"",
                                 stamp(time, text), names[level]);
   used += escape(message, line + used);
   memcpy(line + used, end, strlen(end));
   return used + strlen(end);
}

size_t kv_log_format_line(struct kv_log_style style, enum kv_log_level level,
                          const struct timespec *time, const char *message,
                          char line[KV_LOG_LINE_SIZE])
{
   char text[STAMP_SIZE];
   const char *priority = style.journal ? priorities[level] : "";
   size_t used = (size_t)sprintf(line, "%s", priority);
   if (style.format == KV_LOG_JSON)
      return used + format_json(level, time, message, line + used);
   if (!style.journal)
      used += (size_t)sprintf(line + used, "%s %s ", stamp(time, text), names[level]);
   return used + (size_t)sprintf(line + used, "%.*s\n", KV_LOG_MESSAGE_SIZE - 1, message);
}

bool kv_log_is_journal(int fd, const char *stream)
{
   char own[48];
   struct stat status;
   if (!stream || fstat(fd, &status) != 0)
      return false;
   snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
   return strcmp(stream, own) == 0;
}
