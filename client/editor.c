#include "client/editor.h"

#include "client/commands.h"
#include "client/history.h"
#include "client/restore_terminal.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HISTORY_LINES 1000

struct editor {
   EditLine *line;
   History *history;
   struct history_file *file; /* NULL: no history is kept */
   const char *prompt;
   bool asking;  /* for an answer to a command, which is no line of its own */
   bool dropped; /* by ^C */
};

static char *prompt_of(EditLine *line)
{
   struct editor *editor;
   el_get(line, EL_CLIENTDATA, &editor);
   return (char *)editor->prompt;
}

/* ---- Keys ---- */

static unsigned char drop_line(EditLine *line, int key)
{
   (void)key;
   struct editor *editor;
   el_get(line, EL_CLIENTDATA, &editor);
   const LineInfo *info = el_line(line);
   el_cursor(line, (int)(info->lastchar - info->cursor));
   fputs("^C\n", stdout);
   fflush(stdout);
   info = el_line(line);
   el_deletestr(line, (int)(info->lastchar - info->buffer));
   editor->dropped = true;
   return editor->asking ? CC_EOF : CC_REDISPLAY;
}

/* Stops all programs of the terminal's job, as ^Z does. */
static unsigned char stop(EditLine *line, int key)
{
   (void)line, (void)key;
   kill(0, SIGTSTP);
   return CC_REDISPLAY;
}

/* Drops the marks that a terminal puts around pasted text, if an earlier program has asked for
 * them.
 */
static unsigned char drop_mark(EditLine *line, int key)
{
   (void)line, (void)key;
   return CC_NORM;
}

/* The longest beginning that all commands starting with this prefix share. */
static size_t common_beginning(const char *prefix, size_t size, const char **name, size_t *matches)
{
   size_t common = 0;
   *matches = 0;
   for (const struct command *command = commands_all(); command->name; command++) {
      if (strncasecmp(command->name, prefix, size) != 0)
         continue;
      if ((*matches)++ == 0) {
         *name = command->name;
         common = strlen(command->name);
      }
      while (strncmp(command->name, *name, common) != 0)
         common--;
   }
   return common;
}

static void list_matches(const char *prefix, size_t size)
{
   fputc('\n', stdout);
   for (const struct command *command = commands_all(); command->name; command++)
      if (strncasecmp(command->name, prefix, size) == 0)
         printf("%s  ", command->name);
   fputc('\n', stdout);
   fflush(stdout);
}

/* Whether a TAB is text: pasted text has more after it, and behind the command's name there is
 * nothing to complete. */
static bool is_text(const char *before, size_t size)
{
   int waiting = 0;
   return memchr(before, ' ', size) || memchr(before, '\t', size) ||
          (ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting > 0);
}

static unsigned char complete(EditLine *line, int key)
{
   (void)key;
   struct editor *editor;
   el_get(line, EL_CLIENTDATA, &editor);
   if (editor->asking)
      return el_insertstr(line, "\t") == 0 ? CC_REFRESH : CC_ERROR;
   const LineInfo *info = el_line(line);
   const char *start = info->buffer;
   if (info->cursor - start >= 5 && strncasecmp(start, "help ", 5) == 0)
      start += 5;
   size_t size = (size_t)(info->cursor - start);
   if (is_text(start, size))
      return el_insertstr(line, "\t") == 0 ? CC_REFRESH : CC_ERROR;

   const char *name = NULL;
   size_t matches;
   size_t common = common_beginning(start, size, &name, &matches);
   if (matches == 0)
      return CC_ERROR;
   if (matches > 1 && common == size) {
      list_matches(start, size);
      return CC_REDISPLAY;
   }
   char rest[32];
   snprintf(rest, sizeof rest, "%.*s%s", (int)(common - size), name + size,
            matches == 1 ? " " : "");
   return el_insertstr(line, rest) == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- History ---- */

static bool open_history(struct editor *editor)
{
   HistEvent event;
   editor->history = history_init();
   if (!editor->history || history(editor->history, &event, H_SETSIZE, HISTORY_LINES) < 0 ||
       history(editor->history, &event, H_SETUNIQUE, 1) < 0 ||
       el_set(editor->line, EL_HIST, history, editor->history) != 0)
      return false;
   struct history_problem problem;
   editor->file = history_open(HISTORY_LINES, &problem);
   if (editor->file)
      history(editor->history, &event, H_LOAD, history_path(editor->file));
   else if (problem.text[0])
      fprintf(stderr, "No history is kept: %s\n", problem.text);
   return true;
}

static void remember(struct editor *editor, const char *line)
{
   HistEvent event;
   if (line[strspn(line, " \t\n")] == '\0')
      return;
   history(editor->history, &event, H_ENTER, line);
   if (editor->file && !history_append(editor->file, line)) {
      fprintf(stderr, "No history is kept from now on: cannot write %s\n",
              history_path(editor->file));
      history_close(editor->file);
      editor->file = NULL;
   }
}

/* ---- Interface ---- */

/* Lines are UTF-8 whatever the locale; without this, bytes above 127 cannot be typed. */
static void choose_locale(void)
{
   setlocale(LC_CTYPE, "");
   if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
      setlocale(LC_CTYPE, "C.UTF-8");
}

static bool set_up(struct editor *editor)
{
   EditLine *line = editor->line;
   /* The wide call keeps these texts; the narrow one would copy and leak them. */
   if (el_wset(line, EL_ADDFN, L"kv-complete", L"complete a command", complete) != 0 ||
       el_wset(line, EL_ADDFN, L"kv-drop", L"drop the line", drop_line) != 0 ||
       el_wset(line, EL_ADDFN, L"kv-stop", L"stop the program", stop) != 0 ||
       el_wset(line, EL_ADDFN, L"kv-pass", L"drop a mark of pasted text", drop_mark) != 0)
      return false;
   if (el_set(line, EL_CLIENTDATA, editor) != 0 || el_set(line, EL_PROMPT, prompt_of) != 0 ||
       el_set(line, EL_EDITOR, "emacs") != 0 || el_set(line, EL_SIGNAL, 1) != 0 ||
       !open_history(editor))
      return false;
   el_source(line, NULL); /* the user's ~/.editrc, if there is one */
   /* Text may be pasted while a command runs. In canonical mode, the terminal's default then, each
    * line would silently be cut at 4095 bytes. And ^C must not discard output: a write that waits
    * for the terminal would not notice the space, and ^C, which is blocked, does not end it. */
   if (!restore_terminal_on_signals() ||
       el_set(line, EL_SETTY, "-x", "-icanon", "-echo", "+noflsh", NULL) != 0)
      return false;
   /* At the prompt ^C and ^Z are keys, not signals. */
   return el_set(line, EL_SETTY, "-d", "-isig", NULL) == 0 &&
          el_set(line, EL_BIND, "^C", "kv-drop", NULL) == 0 &&
          el_set(line, EL_BIND, "^Z", "kv-stop", NULL) == 0 &&
          el_set(line, EL_BIND, "^I", "kv-complete", NULL) == 0 &&
          el_set(line, EL_BIND, "\\e[200~", "kv-pass", NULL) == 0 &&
          el_set(line, EL_BIND, "\\e[201~", "kv-pass", NULL) == 0;
}

struct editor *editor_create(const char *prompt)
{
   choose_locale();
   struct editor *editor = calloc(1, sizeof *editor);
   if (!editor)
      return NULL;
   editor->prompt = prompt;
   editor->line = el_init("kvstore-cli", stdin, stdout, stderr);
   if (editor->line && set_up(editor))
      return editor;
   editor_destroy(editor);
   return NULL;
}

void editor_destroy(struct editor *editor)
{
   if (editor->file)
      history_close(editor->file);
   if (editor->history)
      history_end(editor->history);
   if (editor->line)
      el_end(editor->line);
   free(editor);
}

/* A line with its newline. */
static const char *get_line(struct editor *editor, size_t *size)
{
   int length = 0;
   const char *line;
   editor->dropped = false;
   do
      line = el_gets(editor->line, &length);
   while (!line && length < 0 && errno == EINTR);
   if (line && length > 0) {
      *size = (size_t)length - (line[length - 1] == '\n');
      return line;
   }
   if (!editor->dropped)
      fputc('\n', stdout);
   return NULL;
}

const char *editor_read(struct editor *editor, size_t *size)
{
   const char *line = get_line(editor, size);
   if (line)
      remember(editor, line);
   return line;
}

const char *editor_ask(struct editor *editor, const char *question, bool remembered, size_t *size)
{
   const char *prompt = editor->prompt;
   editor->prompt = question;
   editor->asking = true;
   const char *line = get_line(editor, size);
   editor->asking = false;
   editor->prompt = prompt;
   if (line && remembered)
      remember(editor, line);
   return line;
}
