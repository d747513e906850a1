#include "client/words.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

struct splitter {
   const char *line, *at, *end;
   char *out;
   struct words_error *error;
};

static bool is_space(char c)
{
   return c == ' ' || c == '\t';
}

static bool fail(struct splitter *splitter, const char *where, const char *reason)
{
   size_t column = 1;
   for (const char *c = splitter->line; c < where; c++)
      column += ((unsigned char)*c & 0xC0) != 0x80;
   *splitter->error = (struct words_error){reason, column};
   return false;
}

static int hex_digit(char c)
{
   if (c >= '0' && c <= '9')
      return c - '0';
   if (c >= 'a' && c <= 'f')
      return c - 'a' + 10;
   if (c >= 'A' && c <= 'F')
      return c - 'A' + 10;
   return -1;
}

/* The backslash is at `at`. */
static bool read_escape(struct splitter *splitter)
{
   static const char names[] = "nrt\\\"";
   static const char bytes[] = "\n\r\t\\\"";
   const char *start = splitter->at;
   size_t rest = (size_t)(splitter->end - start);
   const char *known = rest >= 2 && start[1] ? strchr(names, start[1]) : NULL;
   if (known) {
      *splitter->out++ = bytes[known - names];
      splitter->at += 2;
      return true;
   }
   int high = rest >= 4 && start[1] == 'x' ? hex_digit(start[2]) : -1;
   int low = high >= 0 ? hex_digit(start[3]) : -1;
   if (low < 0)
      return fail(splitter, start,
                  "unknown escape; there are \\n \\r \\t \\\\ \\\" \\xHH, and 'single quotes' "
                  "take a backslash as it is");
   *splitter->out++ = (char)(high << 4 | low);
   splitter->at += 4;
   return true;
}

/* The opening quote is at `at`. */
static bool read_quoted(struct splitter *splitter)
{
   const char *opening = splitter->at++;
   while (splitter->at < splitter->end && *splitter->at != *opening) {
      /* A backslash at the very end is left to the complaint about the quote. */
      bool escape = *opening == '"' && *splitter->at == '\\' && splitter->end - splitter->at > 1;
      if (!escape)
         *splitter->out++ = *splitter->at++;
      else if (!read_escape(splitter))
         return false;
   }
   if (splitter->at == splitter->end)
      return fail(splitter, opening, "the quote that opens here is never closed");
   splitter->at++;
   return true;
}

static bool read_word(struct splitter *splitter, struct kv_bytes *word)
{
   char *start = splitter->out;
   while (splitter->at < splitter->end && !is_space(*splitter->at)) {
      if (*splitter->at != '"' && *splitter->at != '\'')
         *splitter->out++ = *splitter->at++;
      else if (!read_quoted(splitter))
         return false;
   }
   *word = kv_bytes(start, (size_t)(splitter->out - start));
   *splitter->out++ = '\0';
   return true;
}

static struct kv_bytes *add_word(struct words *words, size_t *capacity)
{
   if (words->count == *capacity) {
      size_t wanted = *capacity ? 2 * *capacity : 8;
      struct kv_bytes *items = reallocarray(words->items, wanted, sizeof *items);
      if (!items)
         return NULL;
      words->items = items;
      *capacity = wanted;
   }
   return &words->items[words->count++];
}

bool words_split(const char *line, size_t size, struct words *words, struct words_error *error)
{
   /* A word is never longer than what it is read from, and the space after it makes room for its
    * NUL; the last one's needs a byte more. */
   *words = (struct words){.storage = malloc(size + 1)};
   *error = (struct words_error){"out of memory", 0};
   struct splitter splitter = {line, line, line + size, words->storage, error};
   size_t capacity = 0;
   bool good = words->storage != NULL;
   while (good) {
      while (splitter.at < splitter.end && is_space(*splitter.at))
         splitter.at++;
      if (splitter.at == splitter.end)
         return true;
      struct kv_bytes *word = add_word(words, &capacity);
      good = word && read_word(&splitter, word);
   }
   words_deinit(words);
   return false;
}

void words_deinit(struct words *words)
{
   free(words->items);
   free(words->storage);
   *words = (struct words){0};
}

bool words_integer(struct kv_bytes word, int64_t minimum, int64_t maximum, int64_t *number)
{
   char text[24];
   if (word.size == 0 || word.size >= sizeof text)
      return false;
   memcpy(text, word.data, word.size);
   text[word.size] = '\0';
   if (strspn(text, "-0123456789") != word.size)
      return false;
   char *end;
   errno = 0;
   long long value = strtoll(text, &end, 10);
   if (errno != 0 || *end != '\0' || value < minimum || value > maximum)
      return false;
   *number = value;
   return true;
}

bool words_same(struct kv_bytes word, const char *text)
{
   return word.size == strlen(text) && strncasecmp(word.data, text, word.size) == 0;
}
