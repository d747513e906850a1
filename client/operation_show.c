/* The results of operations, for people at a terminal and for programs behind a pipe. */
#include "client/operation.h"

#include "client/entry_json.h"
#include "client/print.h"
#include "client/times.h"

#include "core/support/clock.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- Entries ---- */

static void show_value(struct session *session, ProtobufCBinaryData value)
{
   if (session->terminal)
      print_text(session->out, session_bytes(value));
   else if (value.len > 0)
      fwrite(value.data, 1, value.len, session->out);
   if (!session->no_newline)
      fputc('\n', session->out);
}

static void show_expiry(FILE *out, int64_t expire_time_ms)
{
   char point[TIMES_TEXT_SIZE], left[TIMES_TEXT_SIZE];
   if (expire_time_ms == 0) {
      print_field(out, "expires", "never");
      return;
   }
   int64_t left_ms = expire_time_ms - kv_clock_unix_ms();
   times_show_point(expire_time_ms, point);
   times_show_duration(left_ms > 0 ? left_ms : 0, left);
   print_field(out, "expires", "%s, in %s (%" PRId64 ")", point, left, expire_time_ms);
}

static void show_details(FILE *out, const Kvstore__V1__Entry *entry)
{
   print_bytes_field(out, "value", session_bytes(entry->value));
   print_field(out, "version", "%" PRIu64, entry->version);
   show_expiry(out, entry->expire_time_ms);
   print_field(out, "size", "%zu byte%s", entry->value.len, print_plural(entry->value.len));
}

/* As redis says it: milliseconds for programs; -1: never. */
static void show_ttl(struct session *session, const Kvstore__V1__Entry *entry)
{
   char text[TIMES_TEXT_SIZE];
   int64_t left_ms = entry->expire_time_ms - kv_clock_unix_ms();
   if (left_ms < 0)
      left_ms = 0;
   if (entry->expire_time_ms == 0) {
      fputs(session->terminal ? "never expires\n" : "-1\n", session->out);
   } else if (session->terminal) {
      times_show_duration(left_ms, text);
      fprintf(session->out, "%s\n", text);
   } else {
      fprintf(session->out, "%" PRId64 "\n", left_ms);
   }
}

/* ---- Responses ---- */

static int show_get(struct session *session, const struct operation *operation,
                    const Kvstore__V1__GetResponse *answer)
{
   if (!answer->entry) {
      session_not_found(session, operation_key(operation));
      return EXIT_NOT_FOUND;
   }
   if (operation->is_ttl)
      show_ttl(session, answer->entry);
   else if (operation->json)
      entry_json_line(session->out, operation_key(operation), answer->entry, true);
   else if (operation->verbose)
      show_details(session->out, answer->entry);
   else
      show_value(session, answer->entry->value);
   return EXIT_DONE;
}

/* What was there before, where that was asked for, is the answer. */
static int show_previous(struct session *session, const struct operation *operation,
                         const Kvstore__V1__Entry *previous)
{
   if (previous)
      show_value(session, previous->value);
   else
      session_not_found(session, operation_key(operation));
   return EXIT_DONE;
}

static int show_set(struct session *session, const struct operation *operation,
                    const Kvstore__V1__SetResponse *answer)
{
   if (operation->set.return_previous)
      return show_previous(session, operation, answer->previous);
   fputs("OK\n", session->out);
   return EXIT_DONE;
}

static int show_delete(struct session *session, const struct operation *operation,
                       const Kvstore__V1__DeleteResponse *answer)
{
   if (!answer->deleted)
      session_not_found(session, operation_key(operation));
   else if (operation->delete.return_previous)
      return show_previous(session, operation, answer->previous);
   if (session->terminal && answer->deleted)
      fputs("(1 deleted)\n", session->out);
   else if (!session->terminal)
      fprintf(session->out, "%d\n", answer->deleted);
   return answer->deleted ? EXIT_DONE : EXIT_NOT_FOUND;
}

static int show_increment(struct session *session, const Kvstore__V1__IncrementResponse *answer)
{
   fprintf(session->out, "%" PRId64 "\n", answer->value);
   return EXIT_DONE;
}

static int show_ok(struct session *session)
{
   fputs("OK\n", session->out);
   return EXIT_DONE;
}

int operation_show(struct session *session, const struct operation *operation,
                   const Kvstore__V1__OperationResult *result)
{
   switch (result->kind_case) {
   case KVSTORE__V1__OPERATION_RESULT__KIND_GET:
      return show_get(session, operation, result->get);
   case KVSTORE__V1__OPERATION_RESULT__KIND_SET:
      return show_set(session, operation, result->set);
   case KVSTORE__V1__OPERATION_RESULT__KIND_DELETE:
      return show_delete(session, operation, result->delete_);
   case KVSTORE__V1__OPERATION_RESULT__KIND_INCREMENT:
      return show_increment(session, result->increment);
   case KVSTORE__V1__OPERATION_RESULT__KIND_SET_EXPIRY:
      return show_ok(session);
   case KVSTORE__V1__OPERATION_RESULT__KIND_ERROR:
      return session_fail(session, (enum kv_code)result->error->code, "%.*s",
                          (int)result->error->message.len,
                          (const char *)result->error->message.data);
   default:
      return session_fail(session, KV_INTERNAL, "the server gave no result for this operation");
   }
}

/* ---- Calls ---- */

/* The response of a call of its own, as a list has it. */
static int show_alone(struct session *session, const ProtobufCMessage *answer, const void *context)
{
   const struct operation *operation = context;
   Kvstore__V1__OperationResult result = KVSTORE__V1__OPERATION_RESULT__INIT;
   /* Both are numbered alike, and all members of the union are pointers. */
   result.kind_case = (Kvstore__V1__OperationResult__KindCase)operation->message.kind_case;
   result.get = (Kvstore__V1__GetResponse *)answer;
   return operation_show(session, operation, &result);
}

/* That the key is missing is an answer, as it is to get and del. */
static int set_expiry(struct session *session, const struct session_request *request,
                      const struct operation *operation)
{
   struct kv_status status;
   ProtobufCMessage *answer;
   enum kv_code code = session_try(session, request, &answer, &status);
   if (code == KV_NOT_FOUND) {
      session_not_found(session, operation_key(operation));
      return EXIT_NOT_FOUND;
   }
   if (code != KV_OK)
      return session_report(session, code, &status);
   protobuf_c_message_free_unpacked(answer, NULL);
   return show_ok(session);
}

int operation_run(struct session *session, const struct operation *operation)
{
   struct session_request request = {.pace = SESSION_QUICK};
   switch (operation->message.kind_case) {
   case KVSTORE__V1__OPERATION__KIND_SET:
      request.method = SESSION_KEYS "Set";
      request.answer = &kvstore__v1__set_response__descriptor;
      break;
   case KVSTORE__V1__OPERATION__KIND_DELETE:
      request.method = SESSION_KEYS "Delete";
      request.answer = &kvstore__v1__delete_response__descriptor;
      break;
   case KVSTORE__V1__OPERATION__KIND_INCREMENT:
      request.method = SESSION_KEYS "Increment";
      request.answer = &kvstore__v1__increment_response__descriptor;
      break;
   case KVSTORE__V1__OPERATION__KIND_SET_EXPIRY:
      request.method = SESSION_KEYS "SetExpiry";
      request.answer = &kvstore__v1__set_expiry_response__descriptor;
      request.message = &operation->message.set_expiry->base;
      return set_expiry(session, &request, operation);
   default:
      request.method = SESSION_KEYS "Get";
      request.answer = &kvstore__v1__get_response__descriptor;
      break;
   }
   request.message = &operation->message.set->base;
   return session_call(session, &request, show_alone, operation);
}
