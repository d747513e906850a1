/* The commands that read and write keys. */
#include "client/commands.h"
#include "client/entry_json.h"
#include "client/operation.h"
#include "client/print.h"
#include "client/ranges.h"
#include "client/words.h"

#include <errno.h>
#include <inttypes.h>
#include <kvstore.pb-c.h>
#include <stdlib.h>

int data_show_set(struct session *session, const ProtobufCMessage *answer, const void *context)
{
   (void)answer, (void)context;
   fputs("OK\n", session->out);
   return EXIT_DONE;
}

/* Reads a command into *operation; EXIT_DONE, or the exit code of what was reported. */
static int read_operation(struct session *session, struct operation *operation, const char *name,
                          const struct kv_slice *arguments, size_t count)
{
   char error[OPERATION_TEXT_SIZE];
   struct kv_slice *words = calloc(count + 1, sizeof *words);
   if (!words)
      return session_local_failure("cannot read the command", ENOMEM);
   words[0] = kv_slice_of(name);
   memcpy(words + 1, arguments, count * sizeof *words);
   int result = operation_read(operation, words, count + 1, error)
                    ? EXIT_DONE
                    : session_misuse(session, "%s", error);
   free(words);
   return result;
}

static int run_operation(struct session *session, const char *name,
                         const struct kv_slice *arguments, size_t count)
{
   struct operation operation = {0};
   int result = read_operation(session, &operation, name, arguments, count);
   return result == EXIT_DONE ? operation_run(session, &operation) : result;
}

#define OPERATION_COMMAND(name)                                                                    \
   int command_##name(struct session *session, const struct kv_slice *arguments, size_t count)     \
   {                                                                                               \
      return run_operation(session, #name, arguments, count);                                      \
   }
OPERATION_COMMAND(incr)
OPERATION_COMMAND(decr)
OPERATION_COMMAND(expire)
OPERATION_COMMAND(persist)
OPERATION_COMMAND(ttl)

/* What the frozen calls cannot say is said to kvstore.v1. */
int command_set(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct operation operation = {0};
   int result = read_operation(session, &operation, "set", arguments, count);
   if (result != EXIT_DONE)
      return result;
   if (!operation.is_plain)
      return operation_run(session, &operation);
   Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   request.key = operation.set.key;
   request.value = operation.set.value;
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Set", SESSION_QUICK, request,
                                       google__protobuf__empty__descriptor),
                       data_show_set, NULL);
}

int data_show_get(struct session *session, struct kv_slice key, const ProtobufCBinaryData *value)
{
   if (!value) {
      session_not_found(session, key);
      return EXIT_NOT_FOUND;
   }
   if (session->terminal)
      print_text(session->out, session_bytes(*value));
   else if (value->len > 0)
      fwrite(value->data, 1, value->len, session->out);
   if (!session->no_newline)
      fputc('\n', session->out);
   return EXIT_DONE;
}

static int show_get(struct session *session, const ProtobufCMessage *message, const void *key)
{
   const Kvstore__GetResponse *answer = (const Kvstore__GetResponse *)message;
   /* The first servers did not send `found`. */
   const bool found = answer->found || answer->value.len > 0;
   return data_show_get(session, *(const struct kv_slice *)key, found ? &answer->value : NULL);
}

int command_get(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct operation operation = {0};
   int result = read_operation(session, &operation, "get", arguments, count);
   if (result != EXIT_DONE)
      return result;
   if (!operation.is_plain)
      return operation_run(session, &operation);
   Kvstore__GetRequest request = KVSTORE__GET_REQUEST__INIT;
   const struct kv_slice key = operation_key(&operation);
   request.key = operation.get.key;
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Get", SESSION_QUICK, request,
                                       kvstore__get_response__descriptor),
                       show_get, &key);
}

static int show_one_deleted(struct session *session, const ProtobufCMessage *answer,
                            const void *key)
{
   if (((const Kvstore__DelResponse *)answer)->success)
      return EXIT_DONE;
   session_not_found(session, *(const struct kv_slice *)key);
   return EXIT_NOT_FOUND;
}

static void show_deleted(struct session *session, size_t deleted, int result)
{
   if (session->terminal && deleted > 0)
      fprintf(session->out, "(%zu deleted)\n", deleted);
   else if (!session->terminal && (deleted > 0 || result < EXIT_GRPC_BASE))
      fprintf(session->out, "%zu\n", deleted);
}

int data_show_del(struct session *session, struct kv_slice key, bool existed)
{
   if (!existed)
      session_not_found(session, key);
   int result = existed ? EXIT_DONE : EXIT_NOT_FOUND;
   show_deleted(session, existed, result);
   return result;
}

static int delete_each(struct session *session, const struct kv_slice *arguments, size_t count)
{
   size_t deleted = 0;
   int result = EXIT_DONE;
   session->several = count > 1;
   for (size_t i = 0; i < count && result < EXIT_GRPC_BASE; i++) {
      Kvstore__DelRequest request = KVSTORE__DEL_REQUEST__INIT;
      request.key = session_field(arguments[i]);
      int one = session_call(session,
                             SESSION_REQUEST(SESSION_DATA "Del", SESSION_QUICK, request,
                                             kvstore__del_response__descriptor),
                             show_one_deleted, &arguments[i]);
      if (one == EXIT_DONE)
         deleted++;
      else
         result = one;
   }
   session->several = false;
   show_deleted(session, deleted, result);
   return result;
}

/* Several keys, or one with options, or a range. */
int command_del(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct options options;
   size_t keys = 0;
   struct kv_slice *list = calloc(count, sizeof *list);
   if (!list)
      return session_local_failure("cannot read the command", ENOMEM);
   options_begin(&options, "del", arguments, count);
   int option, result;
   while ((option = options_next(&options)) >= 0 || option == OPTIONS_WORD)
      if (option == OPTIONS_WORD)
         list[keys++] = options.value;
   if (option == OPTIONS_WRONG)
      result = session_misuse(session, "%s", options.error);
   else if (keys == 0 &&
            (options_given(&options, OPTION_PREFIX) || options_given(&options, OPTION_RANGE)))
      result = ranges_delete(session, arguments, count);
   else if (options.taken != 0 || keys == 0)
      result = run_operation(session, "del", arguments, count);
   else
      result = delete_each(session, list, keys);
   free(list);
   return result;
}

/* ---- Several keys at one version ---- */

/* The entry of a key; NULL, and said: it is missing. */
static const Kvstore__V1__Entry *entry_of(const struct session *session, struct kv_slice key,
                                          const Kvstore__V1__OperationResult *result)
{
   if (result->kind_case == KVSTORE__V1__OPERATION_RESULT__KIND_GET && result->get->entry)
      return result->get->entry;
   session_not_found(session, key);
   return NULL;
}

static void print_entry(struct session *session, struct kv_slice key,
                        const Kvstore__V1__Entry *entry)
{
   print_word(session->out, key);
   fputc('\t', session->out);
   print_word(session->out, session_bytes(entry->value));
   fputc('\n', session->out);
}

static int show_entries(struct session *session, const ProtobufCMessage *message,
                        const struct kv_slice *keys, bool as_json)
{
   const Kvstore__V1__TransactionResponse *answer =
       (const Kvstore__V1__TransactionResponse *)message;
   int result = EXIT_DONE;
   for (size_t i = 0; i < answer->n_results; i++) {
      const Kvstore__V1__Entry *entry = entry_of(session, keys[i], answer->results[i]);
      if (!entry)
         result = EXIT_NOT_FOUND;
      else if (as_json)
         entry_json_line(session->out, keys[i], entry, true);
      else
         print_entry(session, keys[i], entry);
   }
   return result;
}

static int show_several(struct session *session, const ProtobufCMessage *message,
                        const void *context)
{
   return show_entries(session, message, context, false);
}

static int show_json(struct session *session, const ProtobufCMessage *message, const void *context)
{
   return show_entries(session, message, context, true);
}

static int show_count(struct session *session, const ProtobufCMessage *message, const void *context)
{
   const struct kv_slice *keys = context;
   const Kvstore__V1__TransactionResponse *answer =
       (const Kvstore__V1__TransactionResponse *)message;
   size_t found = 0;
   for (size_t i = 0; i < answer->n_results; i++)
      found += entry_of(session, keys[i], answer->results[i]) != NULL;
   fprintf(session->out, "%zu\n", found);
   return found == answer->n_results ? EXIT_DONE : EXIT_NOT_FOUND;
}

static int get_several(struct session *session, const struct kv_slice *keys, size_t count,
                       bool omit_values, session_show_fn *show)
{
   struct several {
      Kvstore__V1__Operation operation;
      Kvstore__V1__GetRequest get;
   } *several = calloc(count, sizeof *several);
   Kvstore__V1__Operation **operations = calloc(count, sizeof(Kvstore__V1__Operation *));
   int result = EXIT_LOCAL;
   if (!several || !operations) {
      result = session_local_failure("cannot ask for so many keys", ENOMEM);
      goto out;
   }
   for (size_t i = 0; i < count; i++) {
      kvstore__v1__operation__init(&several[i].operation);
      kvstore__v1__get_request__init(&several[i].get);
      several[i].get.key = session_field(keys[i]);
      several[i].get.omit_value = omit_values;
      several[i].operation.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
      several[i].operation.get = &several[i].get;
      operations[i] = &several[i].operation;
   }
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   request.success = operations;
   request.n_success = count;
   session->several = count > 1;
   result = session_call(session,
                         SESSION_REQUEST(SESSION_KEYS "Transaction", SESSION_QUICK, request,
                                         kvstore__v1__transaction_response__descriptor),
                         show, keys);
   session->several = false;
out:
   free(several);
   free(operations);
   return result;
}

int command_mget(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct options options;
   struct kv_slice *keys = calloc(count, sizeof *keys);
   if (!keys)
      return session_local_failure("cannot ask for so many keys", ENOMEM);
   size_t asked = 0;
   int option, result;
   options_begin(&options, "mget", arguments, count);
   while ((option = options_next(&options)) >= 0 || option == OPTIONS_WORD)
      if (option == OPTIONS_WORD)
         keys[asked++] = options.value;
   if (option == OPTIONS_WRONG)
      result = session_misuse(session, "%s", options.error);
   else if (asked == 0)
      result = session_misuse(session, "usage: mget KEY [KEY...] [--json]");
   else
      result = get_several(session, keys, asked, false,
                           options_given(&options, OPTION_JSON) ? show_json : show_several);
   free(keys);
   return result;
}

int command_exists(struct session *session, const struct kv_slice *arguments, size_t count)
{
   return get_several(session, arguments, count, true, show_count);
}

/* ---- Durability ---- */

static int show_durable(struct session *session, const ProtobufCMessage *message,
                        const void *context)
{
   const Kvstore__V1__WaitDurableResponse *answer =
       (const Kvstore__V1__WaitDurableResponse *)message;
   (void)context;
   fprintf(session->out, "%" PRIu64 "\n", answer->version);
   return EXIT_DONE;
}

static int read_wait(struct options *options, Kvstore__V1__WaitDurableRequest *request)
{
   int64_t version;
   bool has_version = false;
   for (int option; (option = options_next(options)) != OPTIONS_END;) {
      if (option == OPTION_DURABILITY) {
         if (!operation_durability(options, &request->durability))
            return OPTIONS_WRONG;
      } else if (option != OPTIONS_WORD) {
         return option;
      } else if (has_version) {
         return options_refuse_word(options);
      } else if (!words_integer(options->value, 0, INT64_MAX, &version)) {
         return options_wrong(options, "wait: \"%.*s\" is no version; get -v shows it",
                              OPTIONS_SHOWN(options->value));
      } else {
         has_version = true;
         request->version = (uint64_t)version;
      }
   }
   return OPTIONS_END;
}

int command_wait(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct options options;
   Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   options_begin(&options, "wait", arguments, count);
   if (read_wait(&options, &request) == OPTIONS_WRONG)
      return session_misuse(session, "%s", options.error);
   return session_call(session,
                       SESSION_REQUEST(SESSION_KEYS "WaitDurable", SESSION_SLOW, request,
                                       kvstore__v1__wait_durable_response__descriptor),
                       show_durable, NULL);
}
