/*
 * The table of commands: names, arguments and handlers. A command prints its answer, reports its
 * failure, and returns the exit code (client/session.h).
 */
#ifndef CLIENT_COMMANDS_H
#define CLIENT_COMMANDS_H

#include "client/session.h"

#include <kvstore.pb-c.h>
#include <stdio.h>

struct command {
   const char *name;
   const char *usage; /* name and arguments */
   const char *help;
   size_t least, most; /* number of arguments */
   int (*run)(struct session *session, const struct kv_slice *arguments, size_t count);
};

/* Runs a command, whose name is the first word. Without words it does nothing. */
int commands_run(struct session *session, const struct kv_slice *words, size_t count);

/* The commands in the order of the help, ended by one without a name. */
const struct command *commands_all(void);

/* The usage of every command, for --help and `help`. */
void commands_print_help(FILE *out);

/* ---- Show the answer to one operation; return the exit code ---- */

int data_show_set(struct session *session);
int data_show_get(struct session *session, struct kv_slice key, const Kvstore__GetResponse *answer);
int data_show_del(struct session *session, struct kv_slice key, bool existed);

/* ---- The handlers, in data.c and server.c ---- */

int command_set(struct session *session, const struct kv_slice *arguments, size_t count);
int command_get(struct session *session, const struct kv_slice *arguments, size_t count);
int command_del(struct session *session, const struct kv_slice *arguments, size_t count);
int command_keys(struct session *session, const struct kv_slice *arguments, size_t count);
int command_scan(struct session *session, const struct kv_slice *arguments, size_t count);
int command_config(struct session *session, const struct kv_slice *arguments, size_t count);
int command_configure(struct session *session, const struct kv_slice *arguments, size_t count);
int command_plugins(struct session *session, const struct kv_slice *arguments, size_t count);
int command_save(struct session *session, const struct kv_slice *arguments, size_t count);
int command_status(struct session *session, const struct kv_slice *arguments, size_t count);

#endif
