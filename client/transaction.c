#include "client/transaction.h"

#include "client/operation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char transaction_help[] =
    "   FILE, - or what is typed has one part a line:\n"
    "      version KEY N | exists KEY | missing KEY | value KEY VALUE    what must hold\n"
    "      then                                                          and is done if it does:\n"
    "      set, get, del, incr, decr, expire, persist                    as these commands\n"
    "      else                                                          and if it does not:\n"
    "      ...\n"
    "      commit | abort                                                at a prompt\n"
    "   All of it happens at once, or nothing. Exit code 5: what must hold does not.\n";

struct part {
   struct part *next;
   struct words words;
   struct operation operation;
   Kvstore__V1__Comparison comparison;
   Kvstore__V1__Condition condition;
};

/* Parts of one kind, and their messages side by side as protobuf-c has them. */
struct list {
   struct part *first, **end;
   void **messages;
   size_t count;
};

enum section { COMPARISONS, SUCCESS, FAILURE, SECTIONS };

struct transaction {
   enum section section;
   struct list lists[SECTIONS];
};

struct transaction *transaction_create(void)
{
   struct transaction *transaction = calloc(1, sizeof *transaction);
   for (size_t i = 0; transaction && i < SECTIONS; i++)
      transaction->lists[i].end = &transaction->lists[i].first;
   return transaction;
}

void transaction_destroy(struct transaction *transaction)
{
   struct part *next;
   for (size_t i = 0; i < SECTIONS; i++) {
      for (struct part *part = transaction->lists[i].first; part; part = next) {
         next = part->next;
         words_deinit(&part->words);
         free(part);
      }
      free(transaction->lists[i].messages);
   }
   free(transaction);
}

/* ---- Lines ---- */

static bool append(struct list *list, struct part *part, void *message)
{
   void **messages = reallocarray(list->messages, list->count + 1, sizeof *messages);
   if (!messages)
      return false;
   list->messages = messages;
   list->messages[list->count++] = message;
   *list->end = part;
   list->end = &part->next;
   return true;
}

static bool is_comparison(struct kv_slice word)
{
   return words_same(word, "version") || words_same(word, "exists") ||
          words_same(word, "missing") || words_same(word, "value");
}

static bool read_comparison(struct part *part, char error[TRANSACTION_TEXT_SIZE])
{
   const struct kv_slice *words = part->words.items;
   const bool takes_two = words_same(words[0], "version") || words_same(words[0], "value");
   int64_t version;
   if (part->words.count != (takes_two ? 3U : 2U)) {
      snprintf(error, TRANSACTION_TEXT_SIZE,
               "write version KEY N, exists KEY, missing KEY or value KEY VALUE");
      return false;
   }
   kvstore__v1__comparison__init(&part->comparison);
   kvstore__v1__condition__init(&part->condition);
   part->comparison.key = session_field(words[1]);
   part->comparison.condition = &part->condition;
   if (words_same(words[0], "value")) {
      part->condition.kind_case = KVSTORE__V1__CONDITION__KIND_VALUE;
      part->condition.value = session_field(words[2]);
   } else if (words_same(words[0], "version")) {
      if (!words_integer(words[2], 0, INT64_MAX, &version)) {
         snprintf(error, TRANSACTION_TEXT_SIZE, "a version is a whole number; get -v shows it");
         return false;
      }
      part->condition.kind_case = KVSTORE__V1__CONDITION__KIND_VERSION;
      part->condition.version = (uint64_t)version;
   } else {
      part->condition.kind_case = KVSTORE__V1__CONDITION__KIND_EXISTS;
      part->condition.exists = words_same(words[0], "exists");
   }
   return true;
}

/* `then` and `else`, each once and in this order. */
static enum transaction_line change_section(struct transaction *transaction, bool success,
                                            char error[TRANSACTION_TEXT_SIZE])
{
   if (transaction->section >= (success ? SUCCESS : FAILURE)) {
      snprintf(error, TRANSACTION_TEXT_SIZE, "\"%s\" comes once, and `then` before `else`",
               success ? "then" : "else");
      return TRANSACTION_WRONG;
   }
   transaction->section = success ? SUCCESS : FAILURE;
   return TRANSACTION_MORE;
}

static enum transaction_line take_part(struct transaction *transaction, struct part *part,
                                       char error[TRANSACTION_TEXT_SIZE])
{
   const struct kv_slice name = part->words.items[0];
   void *message;
   if (transaction->section == COMPARISONS && is_comparison(name)) {
      if (!read_comparison(part, error))
         return TRANSACTION_WRONG;
      message = &part->comparison;
   } else {
      if (transaction->section == COMPARISONS && transaction->lists[COMPARISONS].count == 0)
         transaction->section = SUCCESS; /* nothing must hold */
      if (transaction->section == COMPARISONS) {
         snprintf(error, TRANSACTION_TEXT_SIZE,
                  "write `then` before the first command, or one more of version, exists, missing, "
                  "value");
         return TRANSACTION_WRONG;
      }
      if (!operation_read(&part->operation, part->words.items, part->words.count, error))
         return TRANSACTION_WRONG;
      message = &part->operation.message;
   }
   if (append(&transaction->lists[transaction->section], part, message))
      return TRANSACTION_MORE;
   snprintf(error, TRANSACTION_TEXT_SIZE, "out of memory");
   return TRANSACTION_WRONG;
}

enum transaction_line transaction_add(struct transaction *transaction, const char *line,
                                      size_t size, char error[TRANSACTION_TEXT_SIZE])
{
   struct words_error reason;
   struct part *part = calloc(1, sizeof *part);
   enum transaction_line taken = TRANSACTION_WRONG;
   if (!part) {
      snprintf(error, TRANSACTION_TEXT_SIZE, "out of memory");
      return TRANSACTION_WRONG;
   }
   if (!words_split(line, size, &part->words, &reason)) {
      snprintf(error, TRANSACTION_TEXT_SIZE, "column %zu: %s", reason.column, reason.reason);
      free(part);
      return TRANSACTION_WRONG;
   }
   const struct kv_slice *words = part->words.items;
   if (part->words.count == 0)
      taken = TRANSACTION_MORE;
   else if (part->words.count == 1 && words_same(words[0], "commit"))
      taken = TRANSACTION_SEND;
   else if (part->words.count == 1 && words_same(words[0], "abort"))
      taken = TRANSACTION_DISCARD;
   else if (part->words.count == 1 &&
            (words_same(words[0], "then") || words_same(words[0], "else")))
      taken = change_section(transaction, words_same(words[0], "then"), error);
   else if ((taken = take_part(transaction, part, error)) == TRANSACTION_MORE)
      return TRANSACTION_MORE; /* the list has it */
   words_deinit(&part->words);
   free(part);
   return taken;
}

/* ---- Message and answer ---- */

void transaction_fill(const struct transaction *transaction,
                      Kvstore__V1__TransactionRequest *request)
{
   const struct list *lists = transaction->lists;
   request->n_comparisons = lists[COMPARISONS].count;
   request->comparisons = (Kvstore__V1__Comparison **)lists[COMPARISONS].messages;
   request->n_success = lists[SUCCESS].count;
   request->success = (Kvstore__V1__Operation **)lists[SUCCESS].messages;
   request->n_failure = lists[FAILURE].count;
   request->failure = (Kvstore__V1__Operation **)lists[FAILURE].messages;
}

int transaction_show(struct session *session, const struct transaction *transaction,
                     const Kvstore__V1__TransactionResponse *answer)
{
   static const Kvstore__V1__OperationResult none = KVSTORE__V1__OPERATION_RESULT__INIT;
   const struct part *part = transaction->lists[answer->succeeded ? SUCCESS : FAILURE].first;
   int result = EXIT_DONE;
   for (size_t i = 0; part; part = part->next, i++) {
      int one = operation_show(session, &part->operation,
                               i < answer->n_results ? answer->results[i] : &none);
      if (one >= EXIT_GRPC_BASE)
         result = one;
   }
   if (result != EXIT_DONE || answer->succeeded)
      return result;
   fflush(session->out);
   fputs(transaction->lists[FAILURE].count > 0 ? "(what must hold does not: `else` was done)\n"
                                               : "(what must hold does not: nothing was done)\n",
         stderr);
   return EXIT_NOT_MET;
}
