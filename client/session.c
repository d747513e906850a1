#include "client/session.h"

#include "client/api_words.h"
#include "client/editor.h"
#include "client/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How long connecting may take when the user sets no limit. */
#define CONNECT_TIMEOUT_MS 5000

/* ---- Calls ---- */

static ProtobufCMessage *unpack(const struct session_request *request, struct kv_slice reply,
                                struct kv_status *status)
{
   ProtobufCMessage *answer =
       protobuf_c_message_unpack(request->answer, NULL, reply.size, reply.data);
   if (!answer)
      kv_fail(status, KV_INTERNAL,
              "the answer to %s is not a valid %s message, or memory ran out; is this a kvstore "
              "server?",
              strrchr(request->method, '/') + 1, request->answer->short_name);
   return answer;
}

static int64_t timeout_of(const struct session *session, enum session_pace pace)
{
   if (session->timeout_ms >= 0)
      return session->timeout_ms;
   return pace == SESSION_QUICK ? SESSION_TIMEOUT_MS : 0;
}

static struct connection_call call_of(const struct session *session, const char *method,
                                      enum session_pace pace)
{
   return (struct connection_call){
       .method = method,
       .timeout_ms = timeout_of(session, pace),
       .connect_timeout_ms = session->timeout_ms > 0 ? session->timeout_ms : CONNECT_TIMEOUT_MS,
   };
}

static uint8_t *pack(const ProtobufCMessage *message, size_t *size, struct kv_status *status)
{
   *size = protobuf_c_message_get_packed_size(message);
   uint8_t *packed = malloc(*size + 1); /* an empty message is not out of memory */
   if (packed)
      protobuf_c_message_pack(message, packed);
   else
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for a request of %zu bytes", *size);
   return packed;
}

static enum kv_code call(struct session *session, const struct session_request *request,
                         connection_reply_fn *on_reply, void *context, struct kv_status *status)
{
   struct connection_call what = call_of(session, request->method, request->pace);
   size_t size;
   uint8_t *packed = pack(request->message, &size, status);
   if (!packed)
      return status->code;
   what.request = kv_slice(packed, size);
   enum kv_code code = connection_call(session->connection, &what, on_reply, context, status);
   free(packed);
   return code;
}

/* One call while it runs. */
struct pending {
   const struct session_request *request;
   session_answer_fn *on_answer; /* of a streamed answer */
   void *context;
   ProtobufCMessage *answer; /* of a unary call */
};

static enum kv_code pass_on(void *context, struct kv_slice reply, struct kv_status *status)
{
   const struct pending *pending = context;
   ProtobufCMessage *answer = unpack(pending->request, reply, status);
   if (!answer)
      return status->code;
   enum kv_code code = pending->on_answer(pending->context, answer, status);
   protobuf_c_message_free_unpacked(answer, NULL);
   return code;
}

enum kv_code session_stream(struct session *session, const struct session_request *request,
                            session_answer_fn *on_answer, void *context, struct kv_status *status)
{
   struct pending pending = {.request = request, .on_answer = on_answer, .context = context};
   return call(session, request, pass_on, &pending, status);
}

static enum kv_code keep(void *context, struct kv_slice reply, struct kv_status *status)
{
   struct pending *pending = context;
   if (pending->answer)
      return kv_fail(status, KV_INTERNAL, "%s was answered twice", pending->request->method);
   pending->answer = unpack(pending->request, reply, status);
   return pending->answer ? KV_OK : status->code;
}

/* The end of a call that has one answer. */
static enum kv_code settle(struct pending *pending, enum kv_code code, ProtobufCMessage **answer,
                           struct kv_status *status)
{
   if (code == KV_OK && !pending->answer)
      code = kv_fail(status, KV_INTERNAL, "%s ended without an answer", pending->request->method);
   if (code != KV_OK && pending->answer) {
      protobuf_c_message_free_unpacked(pending->answer, NULL);
      pending->answer = NULL;
   }
   *answer = pending->answer;
   return code;
}

enum kv_code session_try(struct session *session, const struct session_request *request,
                         ProtobufCMessage **answer, struct kv_status *status)
{
   struct pending pending = {.request = request};
   enum kv_code code = call(session, request, keep, &pending, status);
   return settle(&pending, code, answer, status);
}

struct uploading {
   const struct session_upload *upload;
   uint8_t *packed; /* the message being sent */
};

static enum kv_code pack_next(void *context, struct kv_slice *message, bool *last,
                              struct kv_status *status)
{
   struct uploading *uploading = context;
   const struct session_upload *upload = uploading->upload;
   size_t size;
   enum kv_code code = upload->next(upload->context, last, status);
   if (code != KV_OK || *last)
      return code;
   free(uploading->packed);
   uploading->packed = pack(upload->message, &size, status);
   if (!uploading->packed)
      return status->code;
   *message = kv_slice(uploading->packed, size);
   return KV_OK;
}

enum kv_code session_upload(struct session *session, const struct session_upload *upload,
                            ProtobufCMessage **answer, struct kv_status *status)
{
   const struct session_request request = {upload->method, SESSION_SLOW, NULL, upload->answer};
   struct pending pending = {.request = &request};
   struct uploading uploading = {.upload = upload};
   struct connection_call what = call_of(session, upload->method, SESSION_SLOW);
   what.next = pack_next;
   what.next_context = &uploading;
   enum kv_code code = connection_call(session->connection, &what, keep, &pending, status);
   free(uploading.packed);
   return settle(&pending, code, answer, status);
}

int session_call(struct session *session, const struct session_request *request,
                 session_show_fn *show, const void *context)
{
   struct kv_status status;
   ProtobufCMessage *answer;
   enum kv_code code = session_try(session, request, &answer, &status);
   if (code != KV_OK)
      return session_report(session, code, &status);
   int result = show(session, answer, context);
   protobuf_c_message_free_unpacked(answer, NULL);
   return result;
}

/* ---- Output ---- */

/* In pieces, so that ^C stops the output of a large value. */
#define PIECE_SIZE 4096

static ssize_t write_answer(void *cookie, const char *data, size_t size)
{
   struct session *session = cookie;
   size_t done = 0;
   while (done < size) {
      if (connection_interrupted(session->connection)) {
         session->cut = true;
         break;
      }
      size_t left = size - done;
      ssize_t written = write(STDOUT_FILENO, data + done, left < PIECE_SIZE ? left : PIECE_SIZE);
      if (written < 0)
         return 0;
      done += (size_t)written;
   }
   return (ssize_t)size;
}

FILE *session_open_output(struct session *session)
{
   return fopencookie(session, "w", (cookie_io_functions_t){.write = write_answer});
}

/* ---- Reports ---- */

/* Begins a line on standard error, after the answers before it. */
static void begin_message(const struct session *session)
{
   fflush(session->out);
   if (session->line)
      fprintf(stderr, "line %zu: ", session->line);
}

int session_report(const struct session *session, enum kv_code code, const struct kv_status *status)
{
   if (code == KV_OK)
      return EXIT_DONE;
   begin_message(session);
   if (code == KV_CANCELLED && session->terminal)
      fputc('\n', stderr); /* the terminal has shown ^C on this line */
   char text[KV_STATUS_TEXT_SIZE];
   api_words_translate(status->text, text, sizeof text);
   fputs("error: ", stderr);
   print_plain(stderr, kv_slice_of(text));
   fprintf(stderr, " (%s)\n", kv_code_name(code));
   return EXIT_GRPC_BASE + (int)code;
}

int session_fail(const struct session *session, enum kv_code code, const char *format, ...)
{
   struct kv_status status = {.code = code};
   va_list arguments;
   va_start(arguments, format);
   vsnprintf(status.text, sizeof status.text, format, arguments);
   va_end(arguments);
   return session_report(session, code, &status);
}

__attribute__((format(printf, 2, 0))) static void report_text(const struct session *session,
                                                              const char *format, va_list arguments)
{
   char text[512];
   vsnprintf(text, sizeof text, format, arguments);
   begin_message(session);
   fputs("error: ", stderr);
   print_plain(stderr, kv_slice_of(text));
   fputc('\n', stderr);
}

int session_misuse(const struct session *session, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   report_text(session, format, arguments);
   va_end(arguments);
   return EXIT_USAGE;
}

int session_fail_local(const struct session *session, const char *format, ...)
{
   va_list arguments;
   va_start(arguments, format);
   report_text(session, format, arguments);
   va_end(arguments);
   return EXIT_LOCAL;
}

int session_misread(const struct session *session, const struct words_error *error)
{
   if (error->column)
      return session_misuse(session, "column %zu: %s", error->column, error->reason);
   return session_misuse(session, "%s", error->reason);
}

int session_local_failure(const char *what, int reason)
{
   fprintf(stderr, "error: %s: %s\n", what, strerror(reason));
   return EXIT_LOCAL;
}

void session_not_found(const struct session *session, struct kv_slice key)
{
   if (session->terminal && !session->several) {
      fputs("(not found)\n", session->out);
      return;
   }
   if (session->terminal) {
      fputs("(not found) ", session->out);
      print_text(session->out, key);
      fputc('\n', session->out);
      return;
   }
   begin_message(session);
   fputs("(not found) ", stderr);
   print_text(stderr, key);
   fputc('\n', stderr);
}

/* ---- Questions ---- */

bool session_has_person(const struct session *session)
{
   return isatty(STDIN_FILENO) && session->line == 0;
}

const char *session_ask(struct session *session, const char *question, enum session_answer answer,
                        size_t *size)
{
   fflush(session->out);
   if (session->editor)
      return editor_ask(session->editor, question, answer == SESSION_REMEMBERED, size);
   fputs(question, stderr);
   fflush(stderr);
   ssize_t length = getline(&session->asked, &session->asked_capacity, stdin);
   if (length < 0)
      return NULL;
   *size = (size_t)length;
   if (length > 0 && session->asked[length - 1] == '\n')
      --*size;
   return session->asked;
}

/* ---- Message fields ---- */

struct kv_slice session_bytes(ProtobufCBinaryData field)
{
   return kv_slice(field.data, field.len);
}

ProtobufCBinaryData session_field(struct kv_slice bytes)
{
   return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)bytes.data};
}
