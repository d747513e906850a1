/* The command txn: a transaction from a file, from standard input or from a prompt. */
#include "client/commands.h"
#include "client/operation.h"
#include "client/transaction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT "txn> "

/* Where it is read from. */
struct source {
   FILE *file; /* NULL: a person is asked */
   const char *name;
   size_t line;
   char *text;
   size_t capacity;
};

static int open_source(struct session *session, const char *path, struct source *source)
{
   const bool is_input = !path || strcmp(path, "-") == 0;
   *source = (struct source){.name = is_input ? "standard input" : path};
   if (is_input && session->line > 0)
      return session_misuse(session, "txn: give a FILE; standard input has the commands");
   if (is_input && session_has_person(session))
      return EXIT_DONE;
   source->file = is_input ? stdin : fopen(path, "re");
   if (!source->file)
      return session_fail_local(session, "cannot open %s: %s", path, strerror(errno));
   return EXIT_DONE;
}

static void close_source(struct source *source)
{
   if (source->file && source->file != stdin)
      fclose(source->file);
   free(source->text);
}

/* The next line without its newline; NULL at the end. */
static const char *next_line(struct session *session, struct source *source, size_t *size)
{
   source->line++;
   if (!source->file)
      return session_ask(session, PROMPT, size);
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
   if (!source->file)
      return session_misuse(session, "%s", error);
   return session_misuse(session, "%s: line %zu: %s", source->name, source->line, error);
}

/* Reads to `commit`, `abort` or the end, which is as good as `commit` but for a person. A line that
 * is wrong ends it, unless a person can type it again. */
static int read_all(struct session *session, struct source *source, struct transaction *transaction,
                    bool *discarded)
{
   char error[TRANSACTION_TEXT_SIZE];
   size_t size;
   *discarded = false;
   for (const char *line; (line = next_line(session, source, &size));) {
      switch (transaction_add(transaction, line, size, error)) {
      case TRANSACTION_SEND:
         return EXIT_DONE;
      case TRANSACTION_DISCARD:
         *discarded = true;
         return EXIT_DONE;
      case TRANSACTION_WRONG:
         if (report_line(session, source, error) != EXIT_DONE && source->file)
            return EXIT_USAGE;
         break;
      case TRANSACTION_MORE:
         break;
      }
   }
   *discarded = !source->file;
   if (*discarded)
      fputs("(nothing was sent; commit sends it)\n", stderr);
   else if (ferror(source->file))
      return session_fail_local(session, "cannot read %s: %s", source->name, strerror(errno));
   return EXIT_DONE;
}

static int show(struct session *session, const ProtobufCMessage *answer, const void *transaction)
{
   return transaction_show(session, transaction, (const Kvstore__V1__TransactionResponse *)answer);
}

static int run(struct session *session, struct source *source,
               Kvstore__V1__TransactionRequest *request)
{
   bool discarded;
   struct transaction *transaction = transaction_create();
   if (!transaction)
      return session_local_failure("cannot read the transaction", ENOMEM);
   int result = read_all(session, source, transaction, &discarded);
   if (result == EXIT_DONE && !discarded) {
      transaction_fill(transaction, request);
      result = session_call(session,
                            SESSION_REQUEST(SESSION_KEYS "Transaction", SESSION_QUICK, *request,
                                            kvstore__v1__transaction_response__descriptor),
                            show, transaction);
   }
   transaction_destroy(transaction);
   return result;
}

int command_txn(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   const char *path = NULL;
   for (size_t i = 0; i < count; i++) {
      struct kv_slice value;
      if (operation_option(arguments, count, &i, "--durability", &value)) {
         if (!operation_durability(value, &request.durability))
            return session_misuse(session, "--durability is one of memory, written, synced");
      } else if (operation_option(arguments, count, &i, "--request-id", &value)) {
         request.request_id = session_field(value);
      } else if (!path && !kv_slice_begins_with(arguments[i], kv_slice_of("--"))) {
         path = arguments[i].data; /* words end with a NUL */
      } else {
         return session_misuse(session, "usage: txn [FILE] [--durability LEVEL] [--request-id ID]");
      }
   }
   struct source source;
   int result = open_source(session, path, &source);
   if (result == EXIT_DONE)
      result = run(session, &source, &request);
   close_source(&source);
   return result;
}
