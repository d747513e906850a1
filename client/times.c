#include "client/times.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS_PER_S INT64_C(1000)
#define WORD_MAX 63 /* longer ones are no times */

struct unit {
   const char *name;
   int64_t ms;
};

/* "ms" before "m". */
static const struct unit units[] = {{"d", 86400 * MS_PER_S},
                                    {"h", 3600 * MS_PER_S},
                                    {"ms", 1},
                                    {"m", 60 * MS_PER_S},
                                    {"s", MS_PER_S}};
#define UNITS (sizeof units / sizeof *units)

#define NO_DURATION "is not a duration; units are ms, s, m, h and d, as in 1h30m"
#define NO_TIME "is not a time; give 2026-01-31T12:00:00Z, 2026-01-31 or Unix milliseconds"
/* More seconds than this without a unit, 31 years, are meant as a point in time. */
#define BARE_SECONDS_MAX INT64_C(1000000000)
/* From 2001 on to 2286. */
#define UNIX_MS_DIGITS 13
/* The end of the year 9999. */
#define UNIX_MS_MAX INT64_C(253402300799999)
#define SECONDS_PER_YEAR 31556952
#define EXAMPLE_TIME "2027-01-01T00:00:00Z"

static bool fail(char reason[TIMES_REASON_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(char reason[TIMES_REASON_SIZE], const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(reason, TIMES_REASON_SIZE, format, arguments);
   va_end(arguments);
   return false;
}

/* As a person would have to write it; "" where the year has more than four digits. */
static void show_utc(int64_t unix_ms, char text[TIMES_TEXT_SIZE])
{
   struct tm parts;
   time_t seconds = (time_t)(unix_ms / MS_PER_S);
   if (unix_ms > UNIX_MS_MAX || !gmtime_r(&seconds, &parts) ||
       strftime(text, TIMES_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
      text[0] = '\0';
}

static bool copy_word(struct kv_slice word, char text[WORD_MAX + 1])
{
   if (word.size == 0 || word.size > WORD_MAX || memchr(word.data, '\0', word.size))
      return false;
   memcpy(text, word.data, word.size);
   text[word.size] = '\0';
   return true;
}

/* Digits, and moves on; false where there are none, or too many. */
static bool take_number(const char **at, int64_t *number)
{
   if (!isdigit((unsigned char)**at))
      return false;
   *number = 0;
   for (; isdigit((unsigned char)**at); ++*at)
      if (__builtin_mul_overflow(*number, 10, number) ||
          __builtin_add_overflow(*number, **at - '0', number))
         return false;
   return true;
}

static const struct unit *take_unit(const char **at)
{
   for (size_t i = 0; i < UNITS; i++) {
      size_t size = strlen(units[i].name);
      if (strncmp(*at, units[i].name, size) == 0) {
         *at += size;
         return &units[i];
      }
   }
   return NULL;
}

/* ".5" of a unit; 0 where there is none. Digits below a millionth count for nothing. */
static int64_t take_millionths(const char **at)
{
   int64_t millionths = 0, weight = 100000;
   if (**at != '.' || !isdigit((unsigned char)(*at)[1]))
      return 0;
   for (++*at; isdigit((unsigned char)**at); ++*at, weight /= 10)
      millionths += (**at - '0') * weight;
   return millionths;
}

/* "10m" or "1.5h"; a bare number is seconds. */
static bool take_span(const char **at, bool is_bare, int64_t *ms)
{
   int64_t number;
   if (!take_number(at, &number))
      return false;
   const int64_t millionths = take_millionths(at);
   const struct unit *unit = is_bare ? &units[UNITS - 1] : take_unit(at);
   return unit && !__builtin_mul_overflow(number, unit->ms, ms) &&
          !__builtin_add_overflow(*ms, millionths * unit->ms / 1000000, ms);
}

bool times_duration(struct kv_slice word, int64_t *ms, char reason[TIMES_REASON_SIZE])
{
   char text[WORD_MAX + 1], meant[TIMES_TEXT_SIZE];
   const char *at = text;
   int64_t part;
   if (!copy_word(word, text))
      return fail(reason, NO_DURATION);
   *ms = 0;
   const bool is_bare = text[strspn(text, "0123456789.")] == '\0';
   while (*at)
      if (!take_span(&at, is_bare, &part) || __builtin_add_overflow(*ms, part, ms))
         return fail(reason, NO_DURATION);
   if (*ms <= 0)
      return fail(reason, "must be a duration above 0, at least 1ms");
   if (is_bare && *ms > BARE_SECONDS_MAX * MS_PER_S) {
      show_utc(*ms, meant);
      return fail(reason, "is a duration, of %" PRId64 " years; give a time as %s",
                  *ms / MS_PER_S / SECONDS_PER_YEAR, meant[0] ? meant : EXAMPLE_TIME);
   }
   return true;
}

/* ".123456" into milliseconds; at the end of it, also where there is none. */
static int64_t take_fraction(const char **at)
{
   int64_t ms = 0, weight = 100;
   if (**at != '.')
      return 0;
   for (++*at; isdigit((unsigned char)**at); ++*at, weight /= 10)
      ms += (**at - '0') * weight;
   return ms;
}

static bool take_two_digits(const char **at, int64_t max, int64_t *number)
{
   if (!isdigit((unsigned char)(*at)[0]) || !isdigit((unsigned char)(*at)[1]))
      return false;
   *number = ((*at)[0] - '0') * 10 + ((*at)[1] - '0');
   *at += 2;
   return *number <= max;
}

/* "Z" or "+01:00" into seconds east. */
static bool take_offset(const char *at, int64_t *seconds)
{
   int64_t hours, minutes;
   *seconds = 0;
   if (strcmp(at, "Z") == 0 || strcmp(at, "z") == 0)
      return true;
   const char sign = *at++;
   if ((sign != '-' && sign != '+') || !take_two_digits(&at, 23, &hours) || *at++ != ':' ||
       !take_two_digits(&at, 59, &minutes) || *at != '\0')
      return false;
   *seconds = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
   return true;
}

/* Digits alone. A number of seconds is easily taken for milliseconds: it would be in 1970. */
static bool read_unix_ms(const char *text, int64_t *unix_ms, char reason[TIMES_REASON_SIZE])
{
   char is[TIMES_TEXT_SIZE], meant[TIMES_TEXT_SIZE];
   const char *at = text;
   if (!take_number(&at, unix_ms))
      return fail(reason, NO_TIME);
   if (at - text == UNIX_MS_DIGITS)
      return true;
   show_utc(*unix_ms, is);
   show_utc(at - text == UNIX_MS_DIGITS - 3 ? *unix_ms * MS_PER_S : INT64_MAX, meant);
   return fail(reason, "%s%.10s%sUnix milliseconds have %d digits, or give %s", is[0] ? "is " : "",
               is, is[0] ? "; " : "", UNIX_MS_DIGITS, meant[0] ? meant : EXAMPLE_TIME);
}

static bool read_time(const char *text, int64_t *unix_ms)
{
   struct tm parts = {0};
   const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
   int64_t fraction = 0, offset = 0;
   if (!at)
      at = strptime(text, "%Y-%m-%d %H:%M:%S", &parts);
   if (at) {
      fraction = take_fraction(&at);
      if (!take_offset(at, &offset))
         return false;
   } else {
      parts = (struct tm){0};
      at = strptime(text, "%Y-%m-%d", &parts);
      if (!at || *at != '\0')
         return false;
   }
   const int day = parts.tm_mday;
   *unix_ms = ((int64_t)timegm(&parts) - offset) * MS_PER_S + fraction;
   return parts.tm_mday == day; /* not the 30th of February, which timegm carries over */
}

bool times_point(struct kv_slice word, int64_t now_ms, int64_t *unix_ms,
                 char reason[TIMES_REASON_SIZE])
{
   char text[WORD_MAX + 1];
   if (!copy_word(word, text))
      return fail(reason, NO_TIME);
   if (text[strspn(text, "0123456789")] == '\0') {
      if (!read_unix_ms(text, unix_ms, reason))
         return false;
   } else if (!read_time(text, unix_ms)) {
      return fail(reason, NO_TIME);
   }
   if (*unix_ms > now_ms)
      return true;
   return fail(reason, "is in the past; to have a key gone at once, use del");
}

void times_show_duration(int64_t ms, char text[TIMES_TEXT_SIZE])
{
   static const struct unit shown[] = {{"d", 86400 * MS_PER_S},
                                       {"h", 3600 * MS_PER_S},
                                       {"m", 60 * MS_PER_S},
                                       {"s", MS_PER_S},
                                       {"ms", 1}};
   size_t i = 0;
   while (i + 1 < sizeof shown / sizeof *shown && ms < shown[i].ms)
      i++;
   int written = snprintf(text, TIMES_TEXT_SIZE, "%" PRId64 "%s", ms / shown[i].ms, shown[i].name);
   int64_t rest = ms % shown[i].ms;
   if (i + 1 < sizeof shown / sizeof *shown && rest >= shown[i + 1].ms)
      snprintf(text + written, TIMES_TEXT_SIZE - (size_t)written, "%" PRId64 "%s",
               rest / shown[i + 1].ms, shown[i + 1].name);
}

void times_show_utc(int64_t unix_ms, char text[TIMES_TEXT_SIZE])
{
   show_utc(unix_ms, text);
   const size_t size = strlen(text);
   if (size > 0) /* in place of the Z */
      snprintf(text + size - 1, TIMES_TEXT_SIZE - size + 1, ".%03dZ", (int)(unix_ms % MS_PER_S));
   else
      snprintf(text, TIMES_TEXT_SIZE, "%" PRId64, unix_ms);
}

void times_show_point(int64_t unix_ms, char text[TIMES_TEXT_SIZE])
{
   char day[40];
   struct tm local;
   time_t seconds = (time_t)(unix_ms / MS_PER_S);
   if (localtime_r(&seconds, &local) && strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &local) > 0)
      snprintf(text, TIMES_TEXT_SIZE, "%s.%03d", day, (int)(unix_ms % MS_PER_S));
   else
      snprintf(text, TIMES_TEXT_SIZE, "%" PRId64, unix_ms);
}
