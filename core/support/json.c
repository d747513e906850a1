#include "core/support/json.h"

void kv_json_write(FILE *file, struct kv_slice text)
{
   const unsigned char *bytes = text.data;
   fputc('"', file);
   for (size_t i = 0; i < text.size; i++) {
      if (bytes[i] == '"' || bytes[i] == '\\')
         fprintf(file, "\\%c", bytes[i]);
      else if (bytes[i] < 0x20)
         fprintf(file, "\\u%04x", bytes[i]);
      else
         fputc(bytes[i], file);
   }
   fputc('"', file);
}

void kv_json_print_string(FILE *file, const char *text)
{
   kv_json_write(file, kv_slice_of(text));
}
