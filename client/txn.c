/* The command txn: a transaction from a file, from standard input, from a prompt, or from the lines
 * of a pipe that follow it. */
#include "client/commands.h"
#include "client/lines.h"
#include "client/operation.h"
#include "client/transaction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where it is read from. */
struct source {
   enum { TEXT, PERSON, PIPE } kind;
   FILE *file; /* of a TEXT */
   const char *name;
   size_t line;
   char *text;
   size_t capacity;
};

static int open_source(struct session *session, const char *path, struct source *source)
{
   const bool is_input = !path || strcmp(path, "-") == 0;
   *source = (struct source){.kind = TEXT, .name = is_input ? "standard input" : path};
   if (is_input && session->lines)
      source->kind = PIPE;
   else if (is_input && session_has_person(session))
      source->kind = PERSON;
   else if (!(source->file = is_input ? stdin : fopen(path, "re")))
      return session_fail_local(session, "cannot open %s: %s", path, strerror(errno));
   return EXIT_DONE;
}

static void close_source(struct source *source)
{
   if (source->file && source->file != stdin)
      fclose(source->file);
   free(source->text);
}

static const char *next_of_pipe(struct session *session, size_t *size)
{
   struct kv_slice line;
   fflush(session->out);
   if (lines_next(session->lines, true, &line) != LINES_LINE)
      return NULL;
   session->line = lines_count(session->lines);
   *size = line.size;
   return line.data;
}

/* The next line without its newline; NULL at the end. */
static const char *next_line(struct session *session, struct source *source,
                             const struct transaction *transaction, size_t *size)
{
   char prompt[16];
   source->line++;
   if (source->kind == PIPE) {
      const char *line = next_of_pipe(session, size);
      source->line = session->line;
      return line;
   }
   if (source->kind == PERSON) {
      snprintf(prompt, sizeof prompt, "%s> ", transaction_section(transaction));
      return session_ask(session, prompt, SESSION_REMEMBERED, size);
   }
   ssize_t length = getline(&source->text, &source->capacity, source->file);
   if (length < 0)
      return NULL;
   *size = (size_t)length;
   if (length > 0 && source->text[length - 1] == '\n')
      --*size;
   return source->text;
}

static int report_line(const struct session *session, const struct source *source,
                       const char *error)
{
   if (source->kind != TEXT)
      return session_misuse(session, "%s", error);
   return session_misuse(session, "%s: line %zu: %s", source->name, source->line, error);
}

/* `help` is for people; elsewhere it is a line that has no place. */
static void show_help(const struct session *session, const struct source *source,
                      struct transaction *transaction)
{
   if (source->kind == PERSON) {
      fputs(transaction_help, session->out);
      return;
   }
   report_line(session, source, "help is for a prompt; see help txn");
   transaction_spoil(transaction, source->line);
}

/* Where no line ended it. The end of a text is as good as `commit`, while a pipe may have been cut
 * off, and a person has left. */
static int finish(struct session *session, const struct source *source,
                  const struct transaction *transaction, bool *send)
{
   char error[TRANSACTION_TEXT_SIZE];
   if (source->kind == TEXT && ferror(source->file))
      return session_fail_local(session, "cannot read %s: %s", source->name, strerror(errno));
   if (source->kind == PERSON) {
      fputs("(nothing was sent; commit sends it)\n", stderr);
      return transaction_is_empty(transaction) ? EXIT_DONE : EXIT_USAGE;
   }
   if (source->kind == PIPE)
      return session_misuse(session, "nothing was sent: the input ended before commit");
   if (transaction_commit(transaction, error) != TRANSACTION_SEND)
      return session_misuse(session, "%s: %s", source->name, error);
   *send = true;
   return EXIT_DONE;
}

/* Reads to `commit`, `abort` or the end. After a line that is wrong the rest of a prompt's or a
 * pipe's transaction is still read, so that none of it is taken for commands, but not sent.
 * `known`: the command that began it was right. */
static int read_all(struct session *session, struct source *source, struct transaction *transaction,
                    bool known, bool *send)
{
   char error[TRANSACTION_TEXT_SIZE];
   size_t size;
   bool wrong = !known;
   *send = false;
   if (wrong)
      transaction_spoil(transaction, session->line);
   for (const char *line; (line = next_line(session, source, transaction, &size));) {
      switch (transaction_add(transaction, line, size, source->line, error)) {
      case TRANSACTION_SEND:
         *send = true;
         return EXIT_DONE;
      case TRANSACTION_DISCARD:
         return wrong ? EXIT_USAGE : EXIT_DONE;
      case TRANSACTION_REFUSED:
         return report_line(session, source, error);
      case TRANSACTION_WRONG:
         wrong = true;
         report_line(session, source, error);
         if (source->kind == TEXT)
            return EXIT_USAGE;
         break;
      case TRANSACTION_HELP:
         show_help(session, source, transaction);
         break;
      case TRANSACTION_MORE:
         break;
      }
   }
   return finish(session, source, transaction, send);
}

static int send_all(struct session *session, const struct transaction *transaction,
                    Kvstore__V1__TransactionRequest *request)
{
   struct kv_status status;
   ProtobufCMessage *answer;
   transaction_fill(transaction, request);
   enum kv_code code =
       session_try(session,
                   SESSION_REQUEST(SESSION_KEYS "Transaction", SESSION_QUICK, *request,
                                   kvstore__v1__transaction_response__descriptor),
                   &answer, &status);
   if (code != KV_OK) {
      transaction_explain(transaction, &status);
      return session_report(session, code, &status);
   }
   int result =
       transaction_show(session, transaction, (const Kvstore__V1__TransactionResponse *)answer);
   protobuf_c_message_free_unpacked(answer, NULL);
   return result;
}

static int run(struct session *session, struct source *source, bool known,
               Kvstore__V1__TransactionRequest *request)
{
   bool send;
   struct transaction *transaction = transaction_create();
   if (!transaction)
      return session_local_failure("cannot read the transaction", ENOMEM);
   int result = read_all(session, source, transaction, known, &send);
   if (send)
      result = send_all(session, transaction, request);
   transaction_destroy(transaction);
   return result;
}

static int read_options(struct options *options, const char **path,
                        Kvstore__V1__TransactionRequest *request)
{
   for (int option; (option = options_next(options)) != OPTIONS_END;) {
      if (option == OPTIONS_WRONG ||
          (option == OPTION_DURABILITY && !operation_durability(options, &request->durability)))
         return OPTIONS_WRONG;
      if (option == OPTION_REQUEST_ID)
         request->request_id = session_field(options->value);
      else if (option == OPTIONS_WORD && *path)
         return options_refuse_word(options);
      else if (option == OPTIONS_WORD)
         *path = options->value.data; /* words end with a NUL */
   }
   return OPTIONS_END;
}

int command_txn(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   const char *path = NULL;
   struct options options;
   options_begin(&options, "txn", arguments, count);
   const bool known = read_options(&options, &path, &request) == OPTIONS_END;
   if (!known)
      session_misuse(session, "%s", options.error);
   if (!known && (path || !session->lines))
      return EXIT_USAGE;
   struct source source;
   int result = open_source(session, path, &source);
   if (result == EXIT_DONE)
      result = run(session, &source, known, &request);
   close_source(&source);
   return result;
}
