#include "check/shown.h"

#include "core/support/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Allocated. */
static char *escape(const char *text)
{
   size_t capacity = KV_TEXT_ESCAPED_MAX * strlen(text) + 1;
   char *escaped = malloc(capacity);
   if (escaped)
      kv_text_escape(text, escaped, capacity);
   return escaped;
}

json_t *shown_text(const char *text)
{
   char *escaped = escape(text);
   json_t *string = escaped ? json_string(escaped) : NULL;
   free(escaped);
   return string;
}

void shown_print(FILE *out, const char *format, ...)
{
   va_list arguments;
   char *text;
   va_start(arguments, format);
   if (vasprintf(&text, format, arguments) < 0)
      text = NULL;
   va_end(arguments);
   char *escaped = text ? escape(text) : NULL;
   fputs(escaped ? escaped : "(out of memory)", out);
   free(escaped);
   free(text);
}
