#include "client/print.h"

#include "client/words.h"
#include "core/support/utf8.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define LINE_COLUMNS 80

/* Whether a terminal shows this character without side effects: no controls, no line separators,
 * and nothing that changes the direction of the text around it. */
static bool is_harmless(uint32_t character)
{
   bool control = character < 0x20 || (character >= 0x7F && character < 0xA0);
   bool separator = character == 0x2028 || character == 0x2029;
   bool direction = (character >= 0x202A && character <= 0x202E) ||
                    (character >= 0x2066 && character <= 0x2069) || character == 0x200E ||
                    character == 0x200F || character == 0x061C;
   return !control && !separator && !direction;
}

/* The length of the printable UTF-8 character at `text`; 0 if there is none. */
static size_t printable(const unsigned char *text, size_t size)
{
   uint32_t character;
   size_t length = kv_utf8_decode(text, size, &character);
   return is_harmless(character) ? length : 0;
}

static bool needs_quotes(const unsigned char *text, size_t size, bool one_word)
{
   if (size == 0 || text[0] == '"' || text[0] == '\'' || text[0] == ' ' || text[size - 1] == ' ' ||
       (one_word && text[0] == '#'))
      return true;
   for (size_t i = 0, length; i < size; i += length) {
      length = printable(text + i, size - i);
      if (length == 0)
         return true;
      if (one_word && (strchr(" \"'", text[i]) || words_lookalike((const char *)text + i, length)))
         return true;
   }
   return false;
}

static void print_escape(FILE *out, unsigned char byte)
{
   static const char bytes[] = "\n\r\t";
   static const char names[] = "nrt";
   const char *known = byte ? strchr(bytes, byte) : NULL;
   if (known)
      fprintf(out, "\\%c", names[known - bytes]);
   else
      fprintf(out, "\\x%02x", byte);
}

static void print_escaped(FILE *out, const unsigned char *text, size_t size, bool in_quotes)
{
   for (size_t i = 0, length; i < size; i += length) {
      length = printable(text + i, size - i);
      if (length == 0) {
         print_escape(out, text[i]);
         length = 1;
         continue;
      }
      if (in_quotes && (text[i] == '"' || text[i] == '\\'))
         fputc('\\', out);
      fwrite(text + i, 1, length, out);
   }
}

static void print_quoted_if(FILE *out, struct kv_slice bytes, bool one_word)
{
   bool quotes = needs_quotes(bytes.data, bytes.size, one_word);
   if (quotes)
      fputc('"', out);
   print_escaped(out, bytes.data, bytes.size, quotes);
   if (quotes)
      fputc('"', out);
}

void print_word(FILE *out, struct kv_slice bytes)
{
   print_quoted_if(out, bytes, true);
}

void print_text(FILE *out, struct kv_slice bytes)
{
   print_quoted_if(out, bytes, false);
}

void print_plain(FILE *out, struct kv_slice bytes)
{
   print_escaped(out, bytes.data, bytes.size, false);
}

void print_label(FILE *out, const char *name)
{
   fprintf(out, "%-12s ", name);
}

void print_field(FILE *out, const char *name, const char *format, ...)
{
   print_label(out, name);
   va_list arguments;
   va_start(arguments, format);
   vfprintf(out, format, arguments);
   va_end(arguments);
   fputc('\n', out);
}

void print_bytes_field(FILE *out, const char *name, struct kv_slice bytes)
{
   print_label(out, name);
   print_text(out, bytes);
   fputc('\n', out);
}

void print_wrapped(FILE *out, const char *text, size_t column, size_t indent)
{
   for (bool first = true; *text; first = false) {
      const size_t size = strcspn(text, " ");
      if (!first && column + 1 + size > LINE_COLUMNS) {
         fprintf(out, "\n%*s", (int)indent, "");
         column = indent;
      } else if (!first) {
         fputc(' ', out);
         column++;
      }
      fwrite(text, 1, size, out);
      column += size;
      text += size + (text[size] == ' ');
   }
}

const char *print_plural(uint64_t count)
{
   return count == 1 ? "" : "s";
}
