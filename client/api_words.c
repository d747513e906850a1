#include "client/api_words.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longer of two that begin alike comes first. */
static const struct {
   const char *field, *word;
} fields[] = {
    {"condition.exists: the key exists", "--if-absent: the key exists"},
    {"condition.exists: ", "--if-present: "},
    {"condition.version: ", "--if-version: "},
    {"condition.value: ", "--if-value: "},
    {"expiry.ttl_ms: ", "--ttl: "},
    {"expiry.expire_time_ms: ", "--expire-at: "},
    {"durability: ", "--durability: "},
    {"request_id: ", "--request-id: "},
    {"delta: ", "N: "},
    {"page_token: is none that this request was given; send it as it came, with the same range, "
     "descending, projection and value_size_max",
     "--page: is none that this scan has said; give it as it was, with the same other options"},
    {"page_token: ", "--page: "},
    {"range: no key can be in it: `end` must be above `start`, and both within the prefix",
     "no key can be in this range: its end must be above its start, and both within the prefix"},
    {"create.start_version: ", "--from: "},
    {"create.ranges", "the prefixes, keys and ranges"},
    {"version: ", "VERSION: "},
    {"etag: ", "--etag: "},
    {"shadow_seconds: ", "--shadow: "},
};

void api_words_translate(const char *text, char *out, size_t size)
{
   enum api_list list;
   size_t index;
   api_words_place(text, &list, &index, &text);
   for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
      const size_t length = strlen(fields[i].field);
      if (strncmp(text, fields[i].field, length) == 0) {
         snprintf(out, size, "%s%s", fields[i].word, text + length);
         return;
      }
   }
   snprintf(out, size, "%s", text);
}

bool api_words_place(const char *text, enum api_list *list, size_t *index, const char **rest)
{
   static const char *const lists[] = {"comparisons[", "success[", "failure["};
   for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
      const size_t length = strlen(lists[i]);
      if (strncmp(text, lists[i], length) != 0 || !isdigit((unsigned char)text[length]))
         continue;
      char *end;
      *list = (enum api_list)i;
      *index = strtoul(text + length, &end, 10);
      if (strncmp(end, "].", 2) != 0)
         return false;
      end += 2;
      /* The kind of the operation, which its line begins with. */
      const size_t kind = strspn(end, "abcdefghijklmnopqrstuvwxyz_");
      *rest = i != API_COMPARISONS && end[kind] == '.' ? end + kind + 1 : end;
      return true;
   }
   return false;
}
