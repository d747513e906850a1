/* The commands that read and write keys. */
#include "client/commands.h"
#include "client/print.h"
#include "client/words.h"

#include <kvstore.pb-c.h>
#include <stdlib.h>

int data_show_set(struct session *session, const ProtobufCMessage *answer, const void *context)
{
   (void)answer, (void)context;
   fputs("OK\n", session->out);
   return EXIT_DONE;
}

int command_set(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)count;
   Kvstore__SetRequest request = KVSTORE__SET_REQUEST__INIT;
   request.key = session_field(arguments[0]);
   request.value = session_field(arguments[1]);
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Set", SESSION_QUICK, request,
                                       google__protobuf__empty__descriptor),
                       data_show_set, NULL);
}

int data_show_get(struct session *session, struct kv_slice key, const Kvstore__GetResponse *answer)
{
   /* A server that knows only the five frozen calls does not send `found`. */
   if (!answer->found && answer->value.len == 0) {
      session_not_found(session, key);
      return EXIT_NOT_FOUND;
   }
   if (session->terminal)
      print_text(session->out, session_bytes(answer->value));
   else if (answer->value.len > 0)
      fwrite(answer->value.data, 1, answer->value.len, session->out);
   if (!session->no_newline)
      fputc('\n', session->out);
   return EXIT_DONE;
}

static int show_get(struct session *session, const ProtobufCMessage *answer, const void *key)
{
   return data_show_get(session, *(const struct kv_slice *)key,
                        (const Kvstore__GetResponse *)answer);
}

int command_get(struct session *session, const struct kv_slice *arguments, size_t count)
{
   (void)count;
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

int command_del(struct session *session, const struct kv_slice *arguments, size_t count)
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

/* ---- Many keys ---- */

static void print_key(const struct session *session, struct kv_slice key)
{
   if (session->terminal)
      print_text(session->out, key);
   else
      fwrite(key.data, 1, key.size, session->out);
   fputc('\n', session->out);
}

static enum kv_code print_keys(void *context, const ProtobufCMessage *answer,
                               struct kv_status *status)
{
   (void)status;
   const Kvstore__ScanResponse *part = (const Kvstore__ScanResponse *)answer;
   for (size_t i = 0; i < part->n_entries; i++)
      print_key(context, session_bytes(part->entries[i]->key));
   return KV_OK;
}

static enum kv_code print_entries(void *context, const ProtobufCMessage *answer,
                                  struct kv_status *status)
{
   (void)status;
   FILE *out = ((struct session *)context)->out;
   const Kvstore__ScanResponse *part = (const Kvstore__ScanResponse *)answer;
   for (size_t i = 0; i < part->n_entries; i++) {
      print_word(out, session_bytes(part->entries[i]->key));
      fputc('\t', out);
      print_word(out, session_bytes(part->entries[i]->value));
      fputc('\n', out);
   }
   return KV_OK;
}

static enum kv_code scan(struct session *session, const Kvstore__ScanRequest *request,
                         session_answer_fn *on_answer, struct kv_status *status)
{
   return session_stream(session,
                         SESSION_REQUEST(SESSION_DATA "Scan", SESSION_SLOW, *request,
                                         kvstore__scan_response__descriptor),
                         on_answer, session, status);
}

static int by_bytes(const void *left, const void *right)
{
   const ProtobufCBinaryData *a = left, *b = right;
   int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
   return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int show_keys(struct session *session, const ProtobufCMessage *message, const void *context)
{
   const struct kv_slice *prefix = context;
   const Kvstore__KeysResponse *answer = (const Kvstore__KeysResponse *)message;
   if (answer->n_keys > 0)
      qsort(answer->keys, answer->n_keys, sizeof *answer->keys, by_bytes);
   for (size_t i = 0; i < answer->n_keys; i++) {
      struct kv_slice key = session_bytes(answer->keys[i]);
      if (key.size >= prefix->size && memcmp(key.data, prefix->data, prefix->size) == 0)
         print_key(session, key);
   }
   return EXIT_DONE;
}

/* For a server that knows only the five frozen calls. */
static int list_without_scan(struct session *session, struct kv_slice prefix)
{
   Kvstore__KeysRequest request = KVSTORE__KEYS_REQUEST__INIT;
   return session_call(session,
                       SESSION_REQUEST(SESSION_DATA "Keys", SESSION_SLOW, request,
                                       kvstore__keys_response__descriptor),
                       show_keys, &prefix);
}

int command_keys(struct session *session, const struct kv_slice *arguments, size_t count)
{
   struct kv_slice prefix = count > 0 ? arguments[0] : kv_slice("", 0);
   Kvstore__ScanRequest request = KVSTORE__SCAN_REQUEST__INIT;
   request.prefix = session_field(prefix);
   request.keys_only = true;
   struct kv_status status;
   enum kv_code code = scan(session, &request, print_keys, &status);
   if (code == KV_UNIMPLEMENTED)
      return list_without_scan(session, prefix);
   return session_report(session, code, &status);
}

int command_scan(struct session *session, const struct kv_slice *arguments, size_t count)
{
   Kvstore__ScanRequest request = KVSTORE__SCAN_REQUEST__INIT;
   if (count > 0)
      request.prefix = session_field(arguments[0]);
   int64_t limit = 0;
   if (count > 1 && !words_integer(arguments[1], 0, INT64_MAX, &limit))
      return session_misuse(session, "LIMIT must be a whole number, 0 for no limit");
   request.limit = (uint64_t)limit;
   struct kv_status status;
   return session_report(session, scan(session, &request, print_entries, &status), &status);
}
