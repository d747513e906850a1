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

bool kv_size_parse(const char *text, uint64_t *bytes)
{
   if (!isdigit((unsigned char)text[0]))
      return false; /* strtoull would also take blanks and signs */
   char *end;
   unsigned shift;
   errno = 0;
   unsigned long long number = strtoull(text, &end, 10);
   if (errno != 0)
      return false;
   const char *unit = end + strspn(end, " \t");
   if (!parse_unit(unit, &shift) || (unit > end && *unit == '\0') || number > UINT64_MAX >> shift)
      return false;
   *bytes = (uint64_t)number << shift;
   return true;
}
