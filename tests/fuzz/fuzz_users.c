/*
 * A users file. What is accepted has one user a line, is the same with an empty line and a comment
 * behind it, and is refused twice over, since no name belongs to two users. A refusal names the
 * line, and shows no token.
 *
 * Input: the file.
 */
#include "core/access/users.h"
#include "tests/fuzz/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a word with a token: shorter ones may happen to stand in a text. */
#define SECRET_MIN 40

static size_t count_lines(const char *text)
{
   size_t count = 0;
   while (*text != '\0') {
      text += strspn(text, " \t\r");
      count += *text != '#' && *text != '\n' && *text != '\0';
      text += strcspn(text, "\n");
      text += *text == '\n';
   }
   return count;
}

/* A token that stands in the file but once, so that it can be no part of what may be shown. */
static bool is_shown(const char *shown, const char *text, const char *token, size_t size)
{
   char *word = strndup(token, size);
   REQUIRE(word);
   const char *first = strstr(text, word);
   bool found = first && !strstr(first + 1, word) && strstr(shown, word);
   free(word);
   return found;
}

static void check_refusal(const struct kv_status *status, const char *text)
{
   REQUIRE(status->code == KV_INVALID_ARGUMENT);
   REQUIRE(strncmp(status->text, "line ", 5) == 0 || strstr(status->text, "zero byte"));
   for (const char *at = text; *at != '\0';) {
      size_t size = strcspn(at, " \t\r\n");
      if (strncmp(at, "token=", 6) == 0 && size >= SECRET_MIN)
         REQUIRE(!is_shown(status->text, text, at + 6, size - 6));
      at += size + (at[size] != '\0');
   }
}

/* Takes over the text, which has a zero byte behind it. */
static struct kv_users *parse(char *text, size_t size)
{
   struct kv_status status;
   struct kv_users *users = kv_users_parse(kv_slice(text, size), &status);
   if (!users)
      check_refusal(&status, text);
   free(text);
   return users;
}

static void check_again(const char *text, size_t count)
{
   char *longer, *twice;
   int longer_size = asprintf(&longer, "%s\n\n# end", text);
   int twice_size = asprintf(&twice, "%s\n%s", text, text);
   REQUIRE(longer_size > 0 && twice_size > 0);
   struct kv_users *users = parse(longer, (size_t)longer_size);
   REQUIRE(users && kv_users_count(users) == count);
   kv_users_destroy(users);
   users = parse(twice, (size_t)twice_size);
   REQUIRE(count == 0 ? users != NULL : users == NULL);
   kv_users_destroy(users);
}

static void check_user(const struct kv_user *user, struct kv_slice key)
{
   if (!user)
      return;
   size_t size = strlen(kv_user_name(user));
   REQUIRE(size > 0 && size <= KV_USER_NAME_MAX);
   for (int role = KV_ROLE_READ; role <= KV_ROLE_WRITE; role++) {
      bool may_all = kv_user_may(user, (enum kv_role)role, kv_slice(NULL, 0));
      REQUIRE(!kv_user_is_admin(user) || may_all);
      REQUIRE(!may_all || kv_user_may(user, (enum kv_role)role, key));
   }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
   const struct kv_slice bytes = kv_slice(data, size);
   char *copy = malloc(size + 1);
   REQUIRE(copy);
   if (size > 0)
      memcpy(copy, data, size);
   copy[size] = '\0';
   struct kv_users *users = parse(copy, size);
   if (!users)
      return 0;
   char *text = fuzz_text((kvs_bytes){data, size});
   REQUIRE(kv_users_count(users) == count_lines(text));
   check_again(text, kv_users_count(users));
   check_user(kv_users_of_token(users, bytes), bytes);
   check_user(kv_users_of_token(users, kv_slice_of("abc")), bytes);
   check_user(kv_users_of_certificate(users, kv_slice_of("a")), bytes);
   check_user(kv_users_of_uid(users, 0), bytes);
   kv_users_destroy(users);
   free(text);
   return 0;
}
