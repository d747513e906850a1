/* The commands that read and write keys. */
#include "client/commands.h"
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

/* What the frozen calls cannot say is said to kvstore.v1. */
static int run_operation(struct session *session, const char *name,
                         const struct kv_slice *arguments, size_t count, bool *plain)
{
   char error[OPERATION_TEXT_SIZE];
   struct operation operation;
   if (plain)
      *plain = false;
   struct kv_slice *words = calloc(count + 1, sizeof *words);
   if (!words)
      return session_local_failure("cannot read the command", ENOMEM);
   words[0] = kv_slice_of(name);
   memcpy(words + 1, arguments, count * sizeof *words);
   int result = EXIT_DONE;
   if (!operation_read(&operation, words, count + 1, error))
      result = session_misuse(session, "%s", error);
   else if (!plain || !operation.is_plain)
      result = operation_run(session, &operation);
   if (plain)
      *plain = result == EXIT_DONE && operation.is_plain;
   free(words);
   return result;
}

#define OPERATION_COMMAND(name)                                                                    \
   int command_##name(struct session *session, const struct kv_slice *arguments, size_t count)     \
   {                                                                                               \
      return run_operation(session, #name, arguments, count, NULL);                                \
   }
OPERATION_COMMAND(incr)
OPERATION_COMMAND(decr)
OPERATION_COMMAND(expire)
OPERATION_COMMAND(persist)
OPERATION_COMMAND(ttl)

int command_set(struct session *session, const struct kv_slice *arguments, size_t count)
{
   bool plain;
   int result = run_operation(session, "set", arguments, count, &plain);
   if (!plain)
      return result;
   Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   request.key = session_field(arguments[0]);
   request.value = session_field(arguments[1]);
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
   bool plain;
   int result = run_operation(session, "get", arguments, count, &plain);
   if (!plain)
      return result;
   Kvstore__GetRequest request = KVSTORE__GET_REQUEST__INIT;
   request.key = session_field(arguments[0]);
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Get", SESSION_QUICK, request,
                                       kvstore__get_response__descriptor),
                       show_get, arguments);
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
   show_deleted(session, deleted, result);
   return result;
}

/* Several keys, or one with options, or a range. */
int command_del(struct session *session, const struct kv_slice *arguments, size_t count)
{
   if (words_same(arguments[0], "--"))
      return count > 1 ? delete_each(session, arguments + 1, count - 1)
                       : session_misuse(session, "usage: del -- KEY [KEY...]");
   if (ranges_is_option(arguments[0]))
      return ranges_delete(session, arguments, count);
   if (count > 1 && kv_slice_begins_with(arguments[1], kv_slice_of("--")))
      return run_operation(session, "del", arguments, count, NULL);
   return delete_each(session, arguments, count);
}

/* ---- Several keys at one version ---- */

static int show_several(struct session *session, const ProtobufCMessage *message,
                        const void *context)
{
   const struct kv_slice *keys = context;
   const Kvstore__V1__TransactionResponse *answer =
       (const Kvstore__V1__TransactionResponse *)message;
   int result = EXIT_DONE;
   for (size_t i = 0; i < answer->n_results; i++) {
      const Kvstore__V1__GetResponse *got = answer->results[i]->get;
      if (answer->results[i]->kind_case != KVSTORE__V1__OPERATION_RESULT__KIND_GET || !got->entry) {
         session_not_found(session, keys[i]);
         result = EXIT_NOT_FOUND;
         continue;
      }
      print_word(session->out, keys[i]);
      fputc('\t', session->out);
      print_word(session->out, session_bytes(got->entry->value));
      fputc('\n', session->out);
   }
   return result;
}

int command_mget(struct session *session, const struct kv_slice *arguments, size_t count)
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
      several[i].get.key = session_field(arguments[i]);
      several[i].operation.kind_case = KVSTORE__V1__OPERATION__KIND_GET;
      several[i].operation.get = &several[i].get;
      operations[i] = &several[i].operation;
   }
   Kvstore__V1__TransactionRequest request = KVSTORE__V1__TRANSACTION_REQUEST__INIT;
   request.success = operations;
   request.n_success = count;
   result = session_call(session,
                         SESSION_REQUEST(SESSION_KEYS "Transaction", SESSION_QUICK, request,
                                         kvstore__v1__transaction_response__descriptor),
                         show_several, arguments);
out:
   free(several);
   free(operations);
   return result;
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

int command_wait(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__V1__WaitDurableRequest request = KVSTORE__V1__WAIT_DURABLE_REQUEST__INIT;
   for (size_t i = 0; i < count; i++) {
      struct kv_slice value;
      int64_t version;
      if (operation_option(arguments, count, &i, "--durability", &value)) {
         if (!operation_durability(value, &request.durability))
            return session_misuse(session, "--durability is one of memory, written, synced");
      } else if (words_integer(arguments[i], 0, INT64_MAX, &version)) {
         request.version = (uint64_t)version;
      } else {
         return session_misuse(session,
                               "usage: wait [VERSION] [--durability memory|written|synced]");
      }
   }
   return session_call(session,
                       SESSION_REQUEST(SESSION_KEYS "WaitDurable", SESSION_SLOW, request,
                                       kvstore__v1__wait_durable_response__descriptor),
                       show_durable, NULL);
}
