#include "bench/load/option_values.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool option_refuse(const char *what, const char *value, const char *why)
{
   fprintf(stderr, "error: %s \"%s\"%s%s; see --help\n", what, value, why ? " " : "",
           why ? why : "");
   return false;
}

bool option_read_integer(const char *text, size_t size, uint64_t minimum, uint64_t maximum,
                         uint64_t *number)
{
   char copy[24], *end;
   if (size == 0 || size >= sizeof copy || strspn(text, "0123456789") < size)
      return false;
   memcpy(copy, text, size);
   copy[size] = '\0';
   errno = 0;
   *number = strtoull(copy, &end, 10);
   return errno == 0 && *number >= minimum && *number <= maximum;
}

bool option_integer(const char *flag, uint64_t minimum, uint64_t maximum, uint64_t *number)
{
   if (option_read_integer(optarg, strlen(optarg), minimum, maximum, number))
      return true;
   fprintf(stderr, "error: %s \"%s\" is not a whole number from %ju to %ju; see --help\n", flag,
           optarg, (uintmax_t)minimum, (uintmax_t)maximum);
   return false;
}

bool option_count(const char *flag, unsigned maximum, unsigned *number)
{
   uint64_t value = 0;
   bool good = option_integer(flag, 1, maximum, &value);
   *number = (unsigned)value;
   return good;
}

bool option_real(const char *flag, double minimum, double maximum, double *number)
{
   char *end;
   *number = strtod(optarg, &end);
   if (end != optarg && *end == '\0' && *number >= minimum && *number <= maximum)
      return true;
   fprintf(stderr, "error: %s \"%s\" is not a number from %g to %g; see --help\n", flag, optarg,
           minimum, maximum);
   return false;
}

bool option_nanoseconds(const char *flag, double minimum, uint64_t *ns)
{
   double seconds = 0;
   bool good = option_real(flag, minimum, OPTION_SECONDS_MAX, &seconds);
   *ns = (uint64_t)(seconds * 1e9);
   return good;
}
