#include "core/support/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "", "B", "K", "KB", "KiB" and so on. */
static bool parse_unit(const char *text, unsigned *shift)
{
   static const char letters[] = "KMGT";
   *shift = 0;
   const char *letter = *text ? strchr(letters, toupper((unsigned char)*text)) : NULL;
   if (letter) {
      *shift = 10 * (unsigned)(letter - letters + 1);
      text++;
      if (toupper((unsigned char)text[0]) == 'I' && toupper((unsigned char)text[1]) == 'B')
         text++;
   }
   if (toupper((unsigned char)*text) == 'B')
      text++;
   return *text == '\0';
}

/* Reads the digits that `text` begins with, and returns what follows them; NULL when it begins with
 * none, or they do not fit. */
static const char *parse_digits(const char *text, uint64_t *number)
{
   if (!isdigit((unsigned char)text[0]))
      return NULL; /* strtoull would also take blanks and signs */
   char *end;
   errno = 0;
   *number = strtoull(text, &end, 10);
   return errno == 0 ? end : NULL;
}

bool kv_number_parse(const char *text, uint64_t *number)
{
   uint64_t parsed;
   const char *end = parse_digits(text, &parsed);
   if (!end || *end != '\0')
      return false;
   *number = parsed;
   return true;
}

bool kv_size_parse(const char *text, uint64_t *bytes)
{
   uint64_t number;
   unsigned shift;
   const char *end = parse_digits(text, &number);
   if (!end)
      return false;
   const char *unit = end + strspn(end, " \t");
   if (!parse_unit(unit, &shift) || (unit > end && *unit == '\0') || number > UINT64_MAX >> shift)
      return false;
   *bytes = number << shift;
   return true;
}
