/* user: edits a users file, with which a server is started (--users). No server is needed. */
#include "client/commands.h"
#include "client/print.h"
#include "client/words.h"
#include "core/access/users.h"
#include "core/access/users_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a line, in bytes. */
#define LINE_SIZE ((size_t)8192)

static int report(const struct session *session, const struct kv_status *status)
{
   if (status->code == KV_INVALID_ARGUMENT)
      return session_misuse(session, "%s", status->text);
   int result = session_fail_local(session, "%s", status->text);
   return status->code == KV_NOT_FOUND ? EXIT_NOT_FOUND : result;
}

/* A path or a name is a text without zero bytes. */
static bool copy(struct kv_slice word, char *text, size_t size)
{
   if (word.size == 0 || word.size >= size || memchr(word.data, '\0', word.size))
      return false;
   memcpy(text, word.data, word.size);
   text[word.size] = '\0';
   return true;
}

static bool begins(const char *word, const char *start)
{
   return strncmp(word, start, strlen(start)) == 0;
}

/* ---- add ---- */

struct addition {
   char line[LINE_SIZE];
   size_t size;
   bool has_token, has_other; /* proofs */
};

static bool append(struct addition *addition, const char *word)
{
   int put = snprintf(addition->line + addition->size, LINE_SIZE - addition->size, "%s%s",
                      addition->size > 0 ? " " : "", word);
   addition->size += put > 0 ? (size_t)put : 0;
   return put > 0 && addition->size < LINE_SIZE;
}

/* The words are those of the file, but a token, which is made here. */
static int add_word(const struct session *session, struct addition *addition, struct kv_slice word)
{
   char text[PATH_MAX];
   if (words_same(word, "--token")) {
      addition->has_token = true;
      return EXIT_DONE;
   }
   if (!copy(word, text, sizeof text) || strpbrk(text, " \t\r\n") || text[0] == '#')
      return session_misuse(session,
                            "a word is empty, too long, or has a space; in PREFIX and NAME, %%20 "
                            "stands for one");
   if (begins(text, "token="))
      return session_misuse(session, "a token is never given, but made: use --token");
   addition->has_other |= begins(text, "cert=") || begins(text, "uid=");
   return append(addition, text) ? EXIT_DONE : session_misuse(session, "the line is too long");
}

static int show_token(struct session *session, const char *name, const char *token)
{
   fprintf(session->out, "%s\n", token);
   fprintf(stderr,
           "This is the token of %s, shown only now. Keep it in a file that others cannot read\n"
           "(mode 0600), and name that to the client with --token-file.\n",
           name);
   return EXIT_DONE;
}

static int add(struct session *session, const char *path, const struct kv_slice *words,
               size_t count)
{
   struct kv_status status;
   struct addition addition = {0};
   char token[KV_TOKEN_SIZE], proof[KV_TOKEN_WORD_SIZE], name[KV_USER_NAME_MAX + 1];
   if (count == 0)
      return session_misuse(session, "the name of the user is missing; see help user");
   if (!copy(words[0], name, sizeof name))
      return session_misuse(session, "the name of the user is empty or longer than %zu bytes",
                            KV_USER_NAME_MAX);
   for (size_t i = 0; i < count; i++) {
      int result = add_word(session, &addition, words[i]);
      if (result != EXIT_DONE)
         return result;
   }
   addition.has_token |= !addition.has_other;
   if (addition.has_token && !kv_token_create(token, proof))
      return session_local_failure("cannot make a token", errno);
   if (addition.has_token && !append(&addition, proof))
      return session_misuse(session, "the line is too long");
   if (kv_users_file_add(path, addition.line, &status) != KV_OK)
      return report(session, &status);
   return addition.has_token ? show_token(session, name, token) : EXIT_DONE;
}

/* ---- list and remove ---- */

/* One line a user, without what tells hashes apart but for their start. */
static void show_line(struct session *session, char *line)
{
   char *rest = line, *word;
   bool first = true;
   while ((word = strsep(&rest, " \t\r"))) {
      if (*word == '\0')
         continue;
      size_t shown = begins(word, "token=") ? strlen("token=sha256:") + 8 : strlen(word);
      fprintf(session->out, "%s%.*s%s", first ? "" : " ", (int)shown, word,
              shown < strlen(word) ? "..." : "");
      first = false;
   }
   if (!first)
      fputc('\n', session->out);
}

static int list(struct session *session, const char *path)
{
   struct kv_status status;
   char *text = NULL, *rest, *line;
   size_t size = 0;
   int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
   if (fd < 0)
      return session_local_failure(path, errno);
   struct kv_users *users = NULL;
   if (kv_users_file_read(fd, path, &text, &size, &status) == KV_OK)
      users = kv_users_parse(kv_slice(text, size), &status);
   int result = users ? EXIT_DONE : report(session, &status);
   for (rest = users ? text : NULL; (line = strsep(&rest, "\n"));)
      if (line[strspn(line, " \t\r")] != '#')
         show_line(session, line);
   kv_users_destroy(users);
   free(text);
   close(fd);
   return result;
}

static int drop(const struct session *session, const char *path, struct kv_slice word)
{
   char name[KV_USER_NAME_MAX + 1];
   struct kv_status status;
   if (!copy(word, name, sizeof name))
      return session_misuse(session, "the name of the user is empty or longer than %zu bytes",
                            KV_USER_NAME_MAX);
   return kv_users_file_remove(path, name, &status) == KV_OK ? EXIT_DONE : report(session, &status);
}

int command_user(struct session *session, const struct kv_slice *arguments, size_t count)
{
   char path[PATH_MAX];
   if (!copy(arguments[1], path, sizeof path))
      return session_misuse(session, "the path of the users file is empty or too long");
   if (words_same(arguments[0], "add"))
      return add(session, path, arguments + 2, count - 2);
   if (words_same(arguments[0], "list") && count == 2)
      return list(session, path);
   if (words_same(arguments[0], "remove") && count == 3)
      return drop(session, path, arguments[2]);
   return session_misuse(session, "usage: user add FILE NAME [GRANT...] | list FILE | remove FILE "
                                  "NAME; see help user");
}
