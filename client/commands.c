#include "client/commands.h"

#include "client/options.h"
#include "client/print.h"
#include "client/redis_words.h"
#include "client/transaction.h"
#include "client/words.h"

#include <string.h>

#define ANY SIZE_MAX

/* Columns of the help: of a usage and its further lines, and of what it does. */
#define HELP_USAGE 2
#define HELP_USAGE_MORE 6
#define HELP_USAGE_TEXT 3
#define HELP_TEXT 26

static command_fn command_help;

static int command_exit(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)arguments, (void)count;
   session->ended = true;
   return EXIT_DONE;
}

static const struct command commands[] = {
    {"set",
     "set KEY VALUE [--ttl DURATION | --expire-at TIME | --keep-ttl] [--if-absent | --if-present | "
     "--if-version N | --if-value VALUE] [--previous] [--durability LEVEL] [--request-id ID]",
     "store a value; with --previous, print the one that it replaces", 2, ANY, command_set},
    {"get", "get KEY [-v | --json]",
     "print a value; with -v or --json also version, expiry and size", 1, ANY, command_get},
    {"mget", "mget KEY [KEY...] [--json]", "print keys and values, all at one version", 1, 10000,
     command_mget},
    {"exists", "exists KEY [KEY...]", "print how many of the keys are there", 1, 10000,
     command_exists},
    {"del",
     "del KEY [KEY...] | KEY [--if-present | --if-version N | --if-value VALUE] [--previous] "
     "[--durability LEVEL] "
     "[--request-id ID] | --prefix PREFIX [--yes] | --range START END [--yes]",
     "delete keys, or after a question all keys of a range", 1, ANY, command_del},
    {"incr",
     "incr KEY [N] [--initial N] [--ttl DURATION | --expire-at TIME | --keep-ttl] "
     "[--durability LEVEL] [--request-id ID]",
     "add 1 or N to a whole number, and print the sum", 1, ANY, command_incr},
    {"decr", "decr KEY [N] [as incr]", "subtract 1 or N", 1, ANY, command_decr},
    {"expire",
     "expire KEY DURATION | TIME [--if-present | --if-version N | --if-value VALUE] "
     "[--durability LEVEL]",
     "have a key expire after a time, as 90s or 1h30m, or at one", 2, ANY, command_expire},
    {"persist",
     "persist KEY [--if-present | --if-version N | --if-value VALUE] [--durability LEVEL]",
     "have a key never expire", 1, ANY, command_persist},
    {"ttl", "ttl KEY", "print how long a key has left; in a pipe in milliseconds, or -1 for never",
     1, ANY, command_ttl},
    {"keys", "keys [PREFIX | --prefix PREFIX]", "list keys in byte order", 0, ANY, command_keys},
    {"scan",
     "scan [PREFIX | --prefix PREFIX] [LIMIT | --limit N] [--start KEY] [--end KEY] [--reverse] "
     "[--keys-only | --count] [--value-max SIZE] [--page TOKEN] [--json]",
     "list keys and values, separated by tabs", 0, ANY, command_scan},
    {"watch",
     "watch [PREFIX...] [--prefix PREFIX] [--key KEY] [--range START END] [--from VERSION | "
     "--initial] [--previous] "
     "[--keys-only] [--json]",
     "show changes as they happen, until ^C; goes on by itself after a break", 0, ANY,
     command_watch},
    {"txn", "txn [FILE] [--durability LEVEL] [--request-id ID]",
     "carry out several commands at once, on conditions", 0, ANY, command_txn},
    {"wait", "wait [VERSION] [--durability LEVEL]",
     "wait until all changes up to now, or to a version, are on stable storage, or as LEVEL says: "
     "memory, written, synced",
     0, ANY, command_wait},
    {"config",
     "config NON_PERSISTENT | SNAPSHOT <interval> <max> | AOF <max_size> | "
     "HYBRID <interval> <max> <max_size>",
     "switch the mode; 0 or no number is the default (300 s, 5 kept, 10 MiB)", 1, 4,
     command_config},
    {"configure",
     "configure PLUGIN [NAME=VALUE...] [--validate-only | --shadow[=SECONDS]] [--etag=ETAG]",
     "switch to a plug-in or change its options, or only check or try that; with the etag of "
     "status, "
     "only if the configuration is still that one",
     1, ANY, command_configure},
    {"plugins", "plugins", "list plug-ins and their options", 0, 0, command_plugins},
    {"save", "save", "write a checkpoint now", 0, 0, command_save},
    {"backup", "backup FILE [--rate=SIZE]",
     "write all data to a file, or with - to standard output; SIZE: bytes a second", 1, ANY,
     command_backup},
    {"restore", "restore FILE [--validate-only] [--replace-existing]",
     "put a backup in place of all data, or only check it; - is standard input", 1, ANY,
     command_restore},
    {"status", "status", "show mode, counts, last error and times of the server", 0, 0,
     command_status},
    {"health", "health [SERVICE]",
     "whether the server serves calls, or with kvstore.v1.KeyValueService: accepts writes; asks "
     "for "
     "no user",
     0, 1, command_health},
    {"slowlog", "slowlog [N]", "show the latest calls that took long, the newest first", 0, 1,
     command_slowlog},
    {"monitor", "monitor [--method=PREFIX] [--key=PREFIX] [--failed]",
     "show calls as they are answered, until ^C; --failed: only those that fail", 0, ANY,
     command_monitor},
    {"hot", "hot [N]", "show the key prefixes that were used most within the last minute", 0, 1,
     command_hot},
    {"user",
     "user add FILE NAME [GRANT...] [cert=NAME] [uid=NUMBER] [--token] | list FILE | remove FILE "
     "NAME",
     "edit the users file of a server; a new token is shown once. GRANT: read:PREFIX, "
     "write:PREFIX, readwrite:PREFIX or admin; PREFIX * is all keys",
     2, ANY, command_user},
    {"help", "help [COMMAND]",
     "list the commands, or show the usage of one, as COMMAND --help does", 0, 1, command_help},
    {"exit", "exit", "leave, as do quit and the end of input", 0, 0, command_exit},
    {"quit", "quit", "leave", 0, 0, command_exit},
    {0},
};

/* As Redis has them, for the fingers. */
static struct kv_slice alias_of(struct kv_slice name)
{
   if (words_same(name, "incrby"))
      return kv_slice_of("incr");
   return words_same(name, "decrby") ? kv_slice_of("decr") : name;
}

static const struct command *find(struct kv_slice name)
{
   name = alias_of(name);
   for (const struct command *command = commands; command->name; command++)
      if (words_same(name, command->name))
         return command;
   return NULL;
}

/* What is sent by people who know another store is answered with what it is called here. */
static int unknown(struct session *session, struct kv_slice name)
{
   const char *here = redis_command(name);
   if (here)
      return session_misuse(session, "unknown command \"%.*s\"; here: %s", OPTIONS_SHOWN(name),
                            here);
   return session_misuse(session, "unknown command \"%.*s\"; see help", OPTIONS_SHOWN(name));
}

static int show_usage(struct session *session, const struct command *command)
{
   print_wrapped(session->out, command->usage, 0, HELP_USAGE_MORE);
   fputs("\n   ", session->out);
   print_wrapped(session->out, command->help, HELP_USAGE_TEXT, HELP_USAGE_TEXT);
   fputc('\n', session->out);
   if (command->run == command_txn)
      fputs(transaction_help, session->out);
   return EXIT_DONE;
}

static int command_help(struct session *session, const struct kv_slice *arguments, size_t count)
{
   if (count == 0) {
      commands_print_help(session->out);
      return EXIT_DONE;
   }
   const struct command *command = find(arguments[0]);
   return command ? show_usage(session, command) : unknown(session, arguments[0]);
}

bool commands_asks_help(const struct kv_slice *words, size_t count)
{
   return count > 1 && (words_same(words[1], "--help") || words_same(words[1], "-h"));
}

int commands_run(struct session *session, const struct kv_slice *words, size_t count)
{
   if (count == 0)
      return EXIT_DONE;
   const struct command *command = find(words[0]);
   if (!command)
      return unknown(session, words[0]);
   if (commands_asks_help(words, count)) {
      if (count == 2)
         return show_usage(session, command);
      return session_misuse(session,
                            "%s %.*s shows the usage, and takes no more words; before a key "
                            "of that name write --",
                            command->name, OPTIONS_SHOWN(words[1]));
   }
   const struct kv_slice *arguments = words + 1;
   count--;
   if (count > 0 && words_same(arguments[0], "--") && !options_known(command->name)) {
      arguments++;
      count--;
   }
   if (count < command->least || count > command->most)
      return session_misuse(session, "usage: %s", command->usage);
   return command->run(session, arguments, count);
}

bool commands_need_no_server(const struct kv_slice *words, size_t count)
{
   const struct command *command = find(words[0]);
   return command && (command->run == command_user || command->run == command_help ||
                      command->run == command_exit || commands_asks_help(words, count));
}

const struct command *commands_all(void)
{
   return commands;
}

void commands_print_help(FILE *out)
{
   for (const struct command *command = commands; command->name; command++) {
      fputs("  ", out);
      const size_t column = HELP_USAGE + strlen(command->usage);
      const bool fits = column < HELP_TEXT;
      print_wrapped(out, command->usage, HELP_USAGE, HELP_USAGE_MORE);
      fprintf(out, "%s%*s", fits ? "" : "\n", (int)(HELP_TEXT - (fits ? column : 0)), "");
      print_wrapped(out, command->help, HELP_TEXT, HELP_TEXT);
      fputc('\n', out);
   }
}
