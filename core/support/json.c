#include "core/support/json.h"

void kv_json_print_string(FILE *file, const char *text)
{
   fputc('"', file);
   for (; *text; text++) {
      unsigned char byte = (unsigned char)*text;
      if (byte == '"' || byte == '\\')
         fprintf(file, "\\%c", byte);
      else if (byte < 0x20)
         fprintf(file, "\\u%04x", byte);
      else
         fputc(byte, file);
   }
   fputc('"', file);
}
