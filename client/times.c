#include "client/times.h"

#include <ctype.h>
#include <inttypes.h>
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

bool times_duration(struct kv_slice word, int64_t *ms)
{
   char text[WORD_MAX + 1];
   const char *at = text;
   int64_t number, part;
   if (!copy_word(word, text))
      return false;
   *ms = 0;
   bool is_bare = text[strspn(text, "0123456789")] == '\0';
   while (*at) {
      if (!take_number(&at, &number))
         return false;
      const struct unit *unit = is_bare ? &units[UNITS - 1] : take_unit(&at);
      if (!unit || __builtin_mul_overflow(number, unit->ms, &part) ||
          __builtin_add_overflow(*ms, part, ms))
         return false;
   }
   return *ms > 0;
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

bool times_point(struct kv_slice word, int64_t *unix_ms)
{
   char text[WORD_MAX + 1];
   const char *at = text;
   if (!copy_word(word, text))
      return false;
   if (take_number(&at, unix_ms) && *at == '\0')
      return *unix_ms > 0;
   struct tm parts = {0};
   at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
   if (!at)
      at = strptime(text, "%Y-%m-%d %H:%M:%S", &parts);
   if (!at)
      return false;
   const int day = parts.tm_mday;
   int64_t fraction = take_fraction(&at), offset;
   if (!take_offset(at, &offset))
      return false;
   *unix_ms = ((int64_t)timegm(&parts) - offset) * MS_PER_S + fraction;
   if (parts.tm_mday != day)
      return false; /* such as the 30th of February, which timegm carries over */
   return *unix_ms > 0;
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
