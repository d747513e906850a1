/*
 * The table of commands: names, arguments and handlers. A command prints its answer, reports its
 * failure, and returns the exit code (client/session.h).
 */
#ifndef CLIENT_COMMANDS_H
#define CLIENT_COMMANDS_H

#include "client/session.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

typedef int command_fn(struct session *session, const struct kv_slice *arguments, size_t count);

struct command {
   const char *name;
   const char *usage; /* name and arguments */
   const char *help;
   size_t least, most; /* number of arguments */
   command_fn *run;
};

/* Runs a command, whose name is the first word. Without words it does nothing. */
int commands_run(struct session *session, const struct kv_slice *words, size_t count);

/* Whether these words, one at least, are a command that makes no call. */
bool commands_need_no_server(const struct kv_slice *words, size_t count);

/* Whether they ask for the usage of the command that is the first of them. */
bool commands_asks_help(const struct kv_slice *words, size_t count);

/* The commands in the order of the help, ended by one without a name. */
const struct command *commands_all(void);

/* The usage of every command, for --help and `help`. */
void commands_print_help(FILE *out);

/* ---- Show the answer to one operation; return the exit code ---- */

session_show_fn data_show_set;
/* `value` is NULL when the key is missing. */
int data_show_get(struct session *session, struct kv_slice key, const ProtobufCBinaryData *value);
int data_show_del(struct session *session, struct kv_slice key, bool existed);

/* ---- The handlers, in data.c and server.c ---- */

command_fn command_set, command_get, command_del, command_mget, command_exists, command_incr,
    command_decr;
command_fn command_expire, command_persist, command_ttl, command_wait;
/* ranges.c, transaction.c and watch.c */
command_fn command_keys, command_scan, command_txn, command_watch;
command_fn command_config, command_configure, command_plugins, command_save, command_status;
command_fn command_health;
/* backup.c, calls.c, restore.c and user.c */
command_fn command_backup, command_hot, command_monitor, command_restore, command_slowlog;
command_fn command_user;

#endif
