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
   *splitter->error = (struct words_error){.reason = reason, .column = column};
   return false;
}

static bool begins_with(const char *text, size_t size, const char *beginning)
{
   return size >= strlen(beginning) && memcmp(text, beginning, strlen(beginning)) == 0;
}

/* ---- What looks like something else ---- */

struct lookalike {
   const char *character, *reason;
};

#define SPACE_REASON "this character only looks like a space; type a space, or put it into quotes"
#define NOTHING_REASON "there is an invisible character here; remove it, or put it into quotes"
#define QUOTE_REASON "this is a typographic quote; type \" or ', or put it into such quotes"

static const struct lookalike lookalikes[] = {
    {"\xC2\xA0", SPACE_REASON},       /* U+00A0 no-break space */
    {"\xE2\x80\xAF", SPACE_REASON},   /* U+202F narrow no-break space */
    {"\xE2\x80\x8B", NOTHING_REASON}, /* U+200B zero width space */
    {"\xEF\xBB\xBF", NOTHING_REASON}, /* U+FEFF byte order mark */
    {"\xE2\x80\x9C", QUOTE_REASON},   /* U+201C to U+201F double quotes */
    {"\xE2\x80\x9D", QUOTE_REASON},
    {"\xE2\x80\x9E", QUOTE_REASON},
    {"\xE2\x80\x9F", QUOTE_REASON},
    {"\xE2\x80\x98", QUOTE_REASON}, /* U+2018 to U+201B single quotes */
    {"\xE2\x80\x99", QUOTE_REASON},
    {"\xE2\x80\x9A", QUOTE_REASON},
    {"\xE2\x80\x9B", QUOTE_REASON},
};

static const struct lookalike *find_lookalike(const char *text, size_t size)
{
   if (size < 2 || (text[0] != '\xC2' && text[0] != '\xE2' && text[0] != '\xEF'))
      return NULL;
   for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++)
      if (begins_with(text, size, lookalikes[i].character))
         return &lookalikes[i];
   return NULL;
}

size_t words_lookalike(const char *text, size_t size)
{
   const struct lookalike *found = find_lookalike(text, size);
   return found ? strlen(found->character) : 0;
}

/* Why the bare byte at `at` is refused; NULL if it is not. A single typographic quote inside a word
 * is an apostrophe. */
static const char *reason_against(const struct splitter *splitter, bool inside)
{
   const char *at = splitter->at;
   if (*at == '\r')
      return "there is a carriage return here; lines end with LF or CRLF, and \"\\r\" writes one";
   const struct lookalike *found = find_lookalike(at, (size_t)(splitter->end - at));
   bool apostrophe = found && inside && begins_with(found->character, 3, "\xE2\x80") &&
                     found->character[2] >= '\x98' && found->character[2] <= '\x9B';
   return found && !apostrophe ? found->reason : NULL;
}

/* ---- Words ---- */

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
      return fail(
          splitter, start,
          "unknown escape; the escapes are \\n \\r \\t \\\\ \\\" \\xHH, and 'single quotes' "
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
      /* A backslash at the very end is reported as an unclosed quote. */
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

static bool read_word(struct splitter *splitter, struct kv_slice *word)
{
   char *start = splitter->out;
   const char *first = splitter->at;
   while (splitter->at < splitter->end && !is_space(*splitter->at)) {
      if (*splitter->at == '"' || *splitter->at == '\'') {
         if (!read_quoted(splitter))
            return false;
         continue;
      }
      const char *reason = reason_against(splitter, splitter->at > first);
      if (reason)
         return fail(splitter, splitter->at, reason);
      *splitter->out++ = *splitter->at++;
   }
   *word = kv_slice(start, (size_t)(splitter->out - start));
   *splitter->out++ = '\0';
   return true;
}

static struct kv_slice *add_word(struct words *words, size_t *capacity)
{
   if (words->count == *capacity) {
      size_t wanted = *capacity ? 2 * *capacity : 8;
      struct kv_slice *items = reallocarray(words->items, wanted, sizeof *items);
      if (!items)
         return NULL;
      words->items = items;
      *capacity = wanted;
   }
   return &words->items[words->count++];
}

/* Steps to the next word; false at the end of the line. */
static bool skip_to_word(struct splitter *splitter)
{
   while (splitter->at < splitter->end && is_space(*splitter->at))
      splitter->at++;
   return splitter->at < splitter->end && *splitter->at != '#';
}

/* Removes what is not part of the line's text. */
static void trim(const char **line, size_t *size)
{
   static const char mark[] = "\xEF\xBB\xBF";
   if (begins_with(*line, *size, mark)) {
      *line += strlen(mark);
      *size -= strlen(mark);
   }
   while (*size > 0 && (*line)[*size - 1] == '\r')
      --*size;
}

bool words_split(const char *line, size_t size, struct words *words, struct words_error *error)
{
   *words = (struct words){0};
   if (begins_with(line, size, "\xFF\xFE") || begins_with(line, size, "\xFE\xFF")) {
      *error = (struct words_error){"this is UTF-16; save it as UTF-8, or convert it with iconv -f "
                                    "UTF-16 -t UTF-8",
                                    .all = true};
      return false;
   }
   trim(&line, &size);
   /* A word is never longer than what it is read from, and its NUL takes the place of the space
    * after it; the last one needs a byte more. */
   words->storage = malloc(size + 1);
   *error = (struct words_error){.reason = "out of memory"};
   struct splitter splitter = {line, line, line + size, words->storage, error};
   size_t capacity = 0;
   bool good = words->storage != NULL;
   while (good) {
      if (!skip_to_word(&splitter))
         return true;
      struct kv_slice *word = add_word(words, &capacity);
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

bool words_integer(struct kv_slice word, int64_t minimum, int64_t maximum, int64_t *number)
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

bool words_same(struct kv_slice word, const char *text)
{
   return word.size == strlen(text) && strncasecmp(word.data, text, word.size) == 0;
}
