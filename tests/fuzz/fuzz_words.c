/*
 * A line that a person types into the client. Words hold what the line held and no more, and come
 * back the same when each byte is written as an escape, and when the client's own printed form is
 * read.
 *
 * Input: the line.
 */
#include "client/print.h"
#include "client/words.h"
#include "tests/fuzz/support.h"

#include <stdio.h>
#include <stdlib.h>

static char *write_escaped(const struct words *words, size_t *size)
{
   char *line;
   FILE *out = open_memstream(&line, size);
   REQUIRE(out);
   for (size_t i = 0; i < words->count; i++) {
      const unsigned char *bytes = words->items[i].data;
      fputs(" \"", out);
      for (size_t j = 0; j < words->items[i].size; j++)
         fprintf(out, "\\x%02X", bytes[j]);
      fputs("\"", out);
   }
   REQUIRE(fclose(out) == 0);
   return line;
}

static char *write_printed(const struct words *words, size_t *size)
{
   char *line;
   FILE *out = open_memstream(&line, size);
   REQUIRE(out);
   for (size_t i = 0; i < words->count; i++) {
      fputc(' ', out);
      print_word(out, words->items[i]);
   }
   REQUIRE(fclose(out) == 0);
   return line;
}

static void check_number(struct kv_slice word)
{
   int64_t number;
   if (!words_integer(word, -1000000, 1000000, &number))
      return;
   char text[32];
   int64_t again;
   REQUIRE(number >= -1000000 && number <= 1000000);
   int size = snprintf(text, sizeof text, "%lld", (long long)number);
   REQUIRE(words_integer(kv_slice(text, (size_t)size), -1000000, 1000000, &again));
   REQUIRE(again == number);
}

/* Takes over the line. */
static void check_again(const struct words *words, char *line, size_t size)
{
   struct words again;
   struct words_error error;
   REQUIRE(words_split(line, size, &again, &error));
   REQUIRE(again.count == words->count);
   for (size_t i = 0; i < words->count; i++) {
      REQUIRE(again.items[i].size == words->items[i].size);
      REQUIRE(memcmp(again.items[i].data, words->items[i].data, again.items[i].size) == 0);
   }
   words_deinit(&again);
   free(line);
}

static void check_words(const struct words *words, size_t line_size)
{
   size_t size = 0;
   for (size_t i = 0; i < words->count; i++) {
      const char *word = words->items[i].data;
      REQUIRE(word[words->items[i].size] == '\0');
      size += words->items[i].size;
      check_number(words->items[i]);
   }
   REQUIRE(size <= line_size);

   char *line = write_escaped(words, &size);
   check_again(words, line, size);
   line = write_printed(words, &size);
   check_again(words, line, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   struct words words;
   struct words_error error;
   if (words_split((const char *)data, size, &words, &error)) {
      check_words(&words, size);
      words_deinit(&words);
   } else {
      /* A line that is not text as a whole has no column. */
      REQUIRE(error.reason && (error.all ? error.column == 0 : error.column >= 1));
      REQUIRE(error.column <= size);
   }
   return 0;
}
