#include "client/transaction.h"

#include "client/api_words.h"
#include "client/operation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char transaction_help[] =
    "   FILE, - or what is typed has one part a line:\n"
    "      version KEY N | exists KEY | missing KEY | value KEY VALUE\n"
    "                                what must hold\n"
    "      then                      and is done if it does:\n"
    "      set, get, del, incr, decr, expire, persist, ttl\n"
    "                                as these commands\n"
    "      else                      and if it does not:\n"
    "      ...\n"
    "      commit | abort            at a prompt, or in a pipe\n"
    "   All of it happens at once, or nothing. Once a line is wrong nothing is sent.\n"
    "   Exit code 5: what must hold does not.\n";

struct part {
   struct part *next;
   size_t line;
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
   size_t wrong_line; /* the first one; 0: none */
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

static bool fail(char error[TRANSACTION_TEXT_SIZE], const char *text)
{
   snprintf(error, TRANSACTION_TEXT_SIZE, "%s", text);
   return false;
}

/* Why a word that begins no command cannot stand here. */
static bool refuse_name(enum section section, struct kv_slice name,
                        char error[TRANSACTION_TEXT_SIZE])
{
   static const char *const expected[SECTIONS] = {
       "version, exists, missing, value, then, set, get, del, incr, decr, expire, persist, ttl",
       "set, get, del, incr, decr, expire, persist, ttl, else",
       "set, get, del, incr, decr, expire, persist, ttl",
   };
   snprintf(error, TRANSACTION_TEXT_SIZE, "\"%.*s\" is none of %s%s", OPTIONS_SHOWN(name),
            expected[section],
            section != COMPARISONS && is_comparison(name)
                ? "; what must hold comes first, before `then`"
                : "");
   return false;
}

/* A command, which the first one makes the section of commands where nothing must hold. */
static bool take_operation(struct transaction *transaction, struct part *part,
                           char error[TRANSACTION_TEXT_SIZE])
{
   const struct kv_slice *words = part->words.items;
   if (!operation_is(words[0]))
      return refuse_name(transaction->section, words[0], error);
   if (transaction->section == COMPARISONS && transaction->lists[COMPARISONS].count > 0)
      return fail(error, "write `then` before the first command, or one more of version, exists, "
                         "missing, value");
   if (!operation_read(&part->operation, words, part->words.count, error))
      return false;
   if (part->operation.is_alone)
      return fail(error, "--durability and --request-id are of all of it: write them after txn");
   if (transaction->section == COMPARISONS)
      transaction->section = SUCCESS;
   return true;
}

static enum transaction_line take_part(struct transaction *transaction, struct part *part,
                                       char error[TRANSACTION_TEXT_SIZE])
{
   const bool compares = transaction->section == COMPARISONS && is_comparison(part->words.items[0]);
   if (compares ? !read_comparison(part, error) : !take_operation(transaction, part, error))
      return TRANSACTION_WRONG;
   void *message = compares ? (void *)&part->comparison : (void *)&part->operation.message;
   if (append(&transaction->lists[transaction->section], part, message))
      return TRANSACTION_MORE;
   fail(error, "out of memory");
   return TRANSACTION_WRONG;
}

static bool is_line(const struct words *words, const char *text)
{
   return words->count == 1 && words_same(words->items[0], text);
}

/* What a line asks for. The transaction keeps the part only where the line is one that is right. */
static enum transaction_line take_line(struct transaction *transaction, struct part *part,
                                       char error[TRANSACTION_TEXT_SIZE])
{
   const struct words *words = &part->words;
   if (is_line(words, "commit"))
      return transaction_commit(transaction, error);
   if (is_line(words, "abort"))
      return TRANSACTION_DISCARD;
   if (is_line(words, "then") || is_line(words, "else"))
      return change_section(transaction, is_line(words, "then"), error);
   if (words_same(words->items[0], "help"))
      return TRANSACTION_HELP;
   return take_part(transaction, part, error);
}

static bool has_part(const struct transaction *transaction, const struct part *part)
{
   const struct list *list = &transaction->lists[transaction->section];
   return list->end == &part->next;
}

enum transaction_line transaction_add(struct transaction *transaction, const char *line,
                                      size_t size, size_t number, char error[TRANSACTION_TEXT_SIZE])
{
   struct words_error reason;
   struct part *part = calloc(1, sizeof *part);
   enum transaction_line taken = TRANSACTION_WRONG;
   if (!part) {
      fail(error, "out of memory");
   } else if (!words_split(line, size, &part->words, &reason)) {
      snprintf(error, TRANSACTION_TEXT_SIZE, "column %zu: %s", reason.column, reason.reason);
   } else {
      part->line = number;
      taken = part->words.count == 0 ? TRANSACTION_MORE : take_line(transaction, part, error);
      if (has_part(transaction, part))
         return taken;
      words_deinit(&part->words);
   }
   free(part);
   if (taken == TRANSACTION_WRONG)
      transaction_spoil(transaction, number);
   return taken;
}

void transaction_spoil(struct transaction *transaction, size_t number)
{
   if (transaction->wrong_line == 0)
      transaction->wrong_line = number;
}

enum transaction_line transaction_commit(const struct transaction *transaction,
                                         char error[TRANSACTION_TEXT_SIZE])
{
   if (transaction->wrong_line > 0)
      snprintf(error, TRANSACTION_TEXT_SIZE,
               "nothing was sent: line %zu was wrong; begin again with txn",
               transaction->wrong_line);
   else if (transaction->lists[SUCCESS].count + transaction->lists[FAILURE].count == 0)
      fail(error, "nothing was sent: the transaction has no commands");
   else
      return TRANSACTION_SEND;
   return TRANSACTION_REFUSED;
}

bool transaction_is_empty(const struct transaction *transaction)
{
   size_t count = transaction->wrong_line;
   for (size_t i = 0; i < SECTIONS; i++)
      count += transaction->lists[i].count;
   return count == 0;
}

const char *transaction_section(const struct transaction *transaction)
{
   static const char *const names[SECTIONS] = {"if", "then", "else"};
   return names[transaction->section];
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

void transaction_explain(const struct transaction *transaction, struct kv_status *status)
{
   static const enum section sections[] = {
       [API_COMPARISONS] = COMPARISONS, [API_SUCCESS] = SUCCESS, [API_FAILURE] = FAILURE};
   enum api_list list;
   size_t index;
   const char *rest;
   char text[KV_STATUS_TEXT_SIZE / 2];
   if (!api_words_place(status->text, &list, &index, &rest))
      return;
   const struct part *part = transaction->lists[sections[list]].first;
   while (part && index-- > 0)
      part = part->next;
   if (!part)
      return;
   api_words_translate(rest, text, sizeof text);
   const struct kv_slice name = part->words.items[0];
   kv_fail(status, status->code, "line %zu: %.*s: %s", part->line, OPTIONS_SHOWN(name), text);
}

/* Which list was carried out: what its answers are to. */
static const char *outcome(const struct transaction *transaction, bool succeeded)
{
   if (succeeded)
      return "(what must hold does: `then` was done)\n";
   return transaction->lists[FAILURE].count > 0 ? "(what must hold does not: `else` was done)\n"
                                                : "(what must hold does not: nothing was done)\n";
}

int transaction_show(struct session *session, const struct transaction *transaction,
                     const Kvstore__V1__TransactionResponse *answer)
{
   static const Kvstore__V1__OperationResult none = KVSTORE__V1__OPERATION_RESULT__INIT;
   const struct part *part = transaction->lists[answer->succeeded ? SUCCESS : FAILURE].first;
   int result = EXIT_DONE;
   if (session->terminal && transaction->lists[COMPARISONS].count > 0)
      fputs(outcome(transaction, answer->succeeded), session->out);
   session->several = true;
   for (size_t i = 0; part; part = part->next, i++) {
      int one = operation_show(session, &part->operation,
                               i < answer->n_results ? answer->results[i] : &none);
      if (one >= EXIT_GRPC_BASE)
         result = one;
   }
   session->several = false;
   if (result != EXIT_DONE || answer->succeeded)
      return result;
   fflush(session->out);
   if (!session->terminal)
      fputs(outcome(transaction, false), stderr);
   return EXIT_NOT_MET;
}
