/* kvstore-cli: reads the options, then runs one command, the lines of a pipe, or a prompt. */
#include "client/address.h"
#include "client/commands.h"
#include "client/credentials.h"
#include "client/editor.h"
#include "client/options.h"
#include "client/pipe.h"
#include "client/words.h"
#include "core/support/standard_files.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#ifndef KVSTORE_VERSION
#error "KVSTORE_VERSION must be the version as a string"
#endif

#define PROMPT "kvstore> "

struct settings {
   const char *addresses;
   struct credentials_options credentials;
   int64_t timeout_ms; /* negative: not given */
   bool value_from_input, no_newline;
   bool help, version;
   char **words;
   size_t word_count;
};

/* ---- Options ---- */

static void print_help(void)
{
   fputs("kvstore-cli: reads and writes the keys of a kvstore server, and controls it\n\n"
         "Usage: kvstore-cli [OPTIONS] [COMMAND ARGUMENT...]\n\n"
         "Without a command, reads commands from standard input, one per line.\n\n"
         "  -a, --address ADDR    HOST:PORT or unix:PATH of the server; of several,\n"
         "                        separated by commas, the first that answers (default:\n"
         "                        $KVSTORE_SERVER_ADDR, else " ADDRESS_DEFAULT ")\n"
         "  -x                    read the last argument from standard input\n"
         "  -n, --no-newline      print no newline after the value of get\n"
         "  --timeout SECONDS     limit of each call, including connecting; 0: none\n"
         "                        (default: 30, none if it may read or write the whole\n"
         "                        store, 5 to connect)\n"
         "  -h, --help            print this help and exit\n"
         "  --version             print the version and exit\n\n" CREDENTIALS_HELP "\n"
         "Commands:\n",
         stdout);
   commands_print_help(stdout);
   fputs("\nAt the prompt and in a pipe, quote words with spaces: \"...\" knows the escapes\n"
         "\\n \\r \\t \\\\ \\\" \\xHH, '...' takes every character literally. A word that begins\n"
         "with # starts a comment. After -- no word of a command is an option.\n\n"
         "Exit codes: 0 success, 1 key or user not found, 2 usage error, 3 input, output\n"
         "or memory failed, 4 shadow run failed or differed, 5 what a txn says must hold\n"
         "does not, 64 + code gRPC error (73: a condition was not met, 78: cannot\n"
         "connect).\n",
         stdout);
}

static int refuse(const char *what, const char *value, const char *remedy)
{
   fprintf(stderr, "error: %s \"%s\" %s; see --help\n", what, value, remedy);
   return EXIT_USAGE;
}

/* Of several letters after one dash, optopt is the unknown one. */
static int refuse_unknown(char **argv, int index)
{
   if (optopt)
      fprintf(stderr, "error: unknown option -%c; see --help\n", optopt);
   else
      fprintf(stderr, "error: unknown option \"%s\"; see --help\n", argv[index - 1]);
   return EXIT_USAGE;
}

static bool parse_seconds(const char *text, int64_t *ms)
{
   char *end;
   double seconds = strtod(text, &end);
   if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 1e6))
      return false;
   *ms = (int64_t)(seconds * 1000);
   if (*ms == 0 && seconds > 0)
      *ms = 1;
   return true;
}

static int read_flags(struct settings *settings, int argc, char **argv)
{
   static const struct option flags[] = {
       {"address", required_argument, NULL, 'a'},
       {"no-newline", no_argument, NULL, 'n'},
       {"timeout", required_argument, NULL, 't'},
       {"help", no_argument, NULL, 'h'},
       {"version", no_argument, NULL, 'v'},
       CREDENTIALS_OPTIONS,
       {0},
   };
   opterr = 0;
   /* "+": what follows the command belongs to it, even if it looks like an option. */
   for (int flag; (flag = getopt_long(argc, argv, "+:a:hxn", flags, NULL)) != -1;) {
      switch (flag) {
      case 'a':
         settings->addresses = optarg;
         break;
      case 'x':
         settings->value_from_input = true;
         break;
      case 'n':
         settings->no_newline = true;
         break;
      case 't':
         if (!parse_seconds(optarg, &settings->timeout_ms))
            return refuse("--timeout", optarg, "is not a number of seconds from 0 to 1000000");
         break;
      case 'h':
         settings->help = true;
         break;
      case 'v':
         settings->version = true;
         break;
      case ':':
         return refuse("option", argv[optind - 1], "needs a value");
      default:
         if (!credentials_take_option(&settings->credentials, flag, optarg))
            return refuse_unknown(argv, optind);
      }
   }
   settings->words = argv + optind;
   settings->word_count = (size_t)(argc - optind);
   return EXIT_DONE;
}

static int check_flags(const struct settings *settings)
{
   if (settings->value_from_input && settings->word_count == 0)
      return refuse("option", "-x", "needs a command, such as kvstore-cli -x set KEY");
   return EXIT_DONE;
}

/* ---- One command ---- */

/* Appends standard input, to its end, and a NUL that *size does not count. The caller frees *data.
 */
static bool read_input(char **data, size_t *size)
{
   size_t capacity = *size;
   while (!feof(stdin)) {
      if (*size == capacity) {
         capacity = capacity ? 2 * capacity : 64 * 1024;
         char *grown = realloc(*data, capacity);
         if (!grown)
            return false;
         *data = grown;
      }
      *size += fread(*data + *size, 1, capacity - *size, stdin);
      if (ferror(stdin))
         return false;
   }
   char *ended = realloc(*data, *size + 1);
   if (!ended)
      return false;
   *data = ended;
   ended[*size] = '\0';
   return true;
}

/* Makes standard input the last word, which is never taken for an option. Where one waits for its
 * value, it is that. The caller frees *input. */
static bool add_input(struct kv_slice *words, size_t *count, char **input)
{
   size_t size = 0;
   const char *command = words[0].data;
   const struct kv_slice last = words[*count - 1];
   const bool is_value = options_lacks_value(command, last);
   if (is_value) {
      int written = asprintf(input, "%s=", (const char *)last.data);
      if (written < 0) {
         *input = NULL;
         return false;
      }
      size = (size_t)written;
      --*count;
   }
   if (!read_input(input, &size))
      return false;
   if (!is_value && (*input)[0] == '-' && options_known(command))
      words[(*count)++] = kv_slice_of("--");
   words[(*count)++] = kv_slice(*input, size);
   return true;
}

static int run_once(struct session *session, const struct settings *settings)
{
   size_t count = settings->word_count;
   char *input = NULL;
   int result;
   struct kv_slice *words = calloc(count + 2, sizeof *words);
   if (!words) {
      result = session_local_failure("cannot read the command", errno);
      goto out;
   }
   for (size_t i = 0; i < count; i++)
      words[i] = kv_slice_of(settings->words[i]);
   if (settings->value_from_input && !add_input(words, &count, &input)) {
      result = session_local_failure("cannot read standard input", errno);
      goto out;
   }
   result = commands_run(session, words, count);
out:
   free(input);
   free(words);
   return result;
}

/* ---- The prompt ---- */

static int run_line(struct session *session, const char *line, size_t size)
{
   struct words words;
   struct words_error error;
   if (!words_split(line, size, &words, &error))
      return session_misread(session, &error);
   int result = commands_run(session, words.items, words.count);
   words_deinit(&words);
   return result;
}

static int run_prompt(struct session *session)
{
   struct editor *editor = editor_create(PROMPT);
   if (!editor)
      return pipe_run(session);
   session->editor = editor;
   size_t size;
   for (const char *line; !session->ended && (line = editor_read(editor, &size)) != NULL;) {
      session->cut = false;
      connection_forget_interrupt(session->connection);
      int result = run_line(session, line, size);
      fflush(session->out);
      if (connection_interrupted(session->connection))
         tcflush(STDIN_FILENO, TCIFLUSH); /* what was typed ahead is dropped, too */
      if (session->cut && result == EXIT_DONE)
         fputs("\nerror: interrupted; the rest of the answer is not shown\n", stderr);
   }
   session->editor = NULL;
   editor_destroy(editor);
   return EXIT_DONE;
}

/* ---- main ---- */

/* From now on ^C does not end the process: calls look for it (client/connection.h). Called before
 * gRPC starts its threads, which inherit the mask. */
static void keep_interrupts(void)
{
   sigset_t interrupt;
   sigemptyset(&interrupt);
   sigaddset(&interrupt, SIGINT);
   sigprocmask(SIG_BLOCK, &interrupt, NULL);
}

static int run_with(const struct settings *settings, const struct credentials *credentials)
{
   bool prompt = settings->word_count == 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
   if (prompt)
      keep_interrupts();
   struct kv_status status;
   struct session session = {
       .connection = connection_create(settings->addresses, credentials, prompt, &status),
       .out = stdout,
       .terminal = isatty(STDOUT_FILENO),
       .no_newline = settings->no_newline,
       .timeout_ms = settings->timeout_ms,
   };
   if (!session.connection)
      return status.code == KV_INVALID_ARGUMENT ? session_misuse(&session, "%s", status.text)
                                                : session_report(&session, status.code, &status);
   int result;
   if (prompt && !(session.out = session_open_output(&session)))
      result = session_local_failure("cannot open the output", errno);
   else
      result = prompt                      ? run_prompt(&session)
               : settings->word_count == 0 ? pipe_run(&session)
                                           : run_once(&session, settings);
   if (prompt && session.out)
      fclose(session.out);
   free(session.asked);
   connection_destroy(session.connection);
   return result;
}

static int run(const struct settings *settings)
{
   static const struct credentials_options none = {.token_file = ""};
   struct kv_slice words[2];
   const size_t count = settings->word_count < 2 ? settings->word_count : 2;
   for (size_t i = 0; i < count; i++)
      words[i] = kv_slice_of(settings->words[i]);
   bool local = count > 0 && commands_need_no_server(words, count);
   struct kv_status status;
   struct credentials *credentials =
       credentials_create(local ? &none : &settings->credentials, &status);
   if (!credentials) {
      fprintf(stderr, "error: %s\n", status.text);
      return EXIT_USAGE;
   }
   int result = run_with(settings, credentials);
   credentials_destroy(credentials);
   return result;
}

int main(int argc, char **argv)
{
   if (!kv_standard_files_occupy())
      return EXIT_LOCAL;
   const char *address = getenv("KVSTORE_SERVER_ADDR");
   struct settings settings = {
       .addresses = address && address[0] ? address : ADDRESS_DEFAULT,
       .timeout_ms = -1,
   };
   credentials_read_environment(&settings.credentials);
   int result = read_flags(&settings, argc, argv);
   if (result == EXIT_DONE && settings.help)
      print_help();
   else if (result == EXIT_DONE && settings.version)
      puts("kvstore-cli " KVSTORE_VERSION);
   else if (result == EXIT_DONE && (result = check_flags(&settings)) == EXIT_DONE)
      result = run(&settings);
   if (fflush(stdout) != 0 || ferror(stdout)) {
      fputs("error: cannot write the answer to standard output\n", stderr);
      result = EXIT_LOCAL;
   }
   return result;
}
