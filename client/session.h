/*
 * What a command works with: the connection, how to answer, and calls that take and give protobuf
 * messages. Failures are reported on standard error here, once, so that a command only returns the
 * exit code.
 *
 * One thread. Answers go to the session's output, everything else to standard error.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/connection.h"
#include "client/words.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

/* What a command returns and the program exits with. */
enum exit_code {
   EXIT_DONE = 0,
   EXIT_NOT_FOUND = 1,
   EXIT_USAGE = 2,
   EXIT_LOCAL = 3,      /* the client itself failed: memory, input, output */
   EXIT_DIFFERENT = 4,  /* a shadow run failed, or gave back other data */
   EXIT_NOT_MET = 5,    /* a transaction's comparisons did not all hold */
   EXIT_GRPC_BASE = 64, /* + the gRPC status code */
};

#define SESSION_TIMEOUT_MS 30000

struct session {
   struct connection *connection;
   FILE *out;           /* for answers */
   bool cut;            /* an interrupt has dropped part of the answer */
   bool terminal;       /* a person reads standard output */
   bool several;        /* keys are asked for, so that one that is missing is named */
   bool no_newline;     /* `get` adds none */
   int64_t timeout_ms;  /* of every call, 0: none; negative: the default of each command */
   size_t line;         /* number of the line in a pipe, for messages; 0: none */
   struct lines *lines; /* of a pipe, from which a command may take the next ones; NULL: none */
   bool ended;          /* by the `exit` command */

   struct editor *editor; /* of the prompt; NULL: there is none */
   char *asked;           /* the answer to the last question; the session's */
   size_t asked_capacity;
};

/* Quick calls have a default deadline; those that may write or send the whole store have one only
 * if the user sets it. */
enum session_pace { SESSION_QUICK, SESSION_SLOW };

/* The services; the frozen one is what plain commands use, so that they work with every server. */
#define SESSION_DATA "/kvstore.KeyValueStore/"
#define SESSION_KEYS "/kvstore.v1.KeyValueService/"
#define SESSION_ADMIN "/kvstore.v1.AdminService/"

struct session_request {
   const char *method; /* SESSION_DATA "Get" */
   enum session_pace pace;
   const ProtobufCMessage *message;
   const ProtobufCMessageDescriptor *answer;
};

/* One of these from a generated request message and the descriptor of its answer. */
#define SESSION_REQUEST(method, pace, message, answer)                                             \
   (&(struct session_request){method, pace, &(message).base, &(answer)})

/* A stream to standard output that drops the rest of an answer once ^C was pressed; for `out`. NULL
 * when memory runs out. The caller closes it. */
FILE *session_open_output(struct session *session);

/* Takes each message of a streamed answer. Anything but KV_OK, with the status filled in, ends the
 * call. */
typedef enum kv_code session_answer_fn(void *context, const ProtobufCMessage *answer,
                                       struct kv_status *status);

/* Makes a call and hands over each message of the answer. Reports no failure. */
enum kv_code session_stream(struct session *session, const struct session_request *request,
                            session_answer_fn *on_answer, void *context, struct kv_status *status);

/* Makes a unary call. KV_OK: the caller frees *answer with protobuf_c_message_free_unpacked; else
 * *answer is NULL. Reports no failure. */
enum kv_code session_try(struct session *session, const struct session_request *request,
                         ProtobufCMessage **answer, struct kv_status *status);

/* Shows the answer of a call that has succeeded; returns the exit code. `context` is the
 * command's. */
typedef int session_show_fn(struct session *session, const ProtobufCMessage *answer,
                            const void *context);

/* Makes a call with a stream of messages, which `next` gives one after the other in its own
 * `message`; as session_try. */
struct session_upload {
   const char *method;
   const ProtobufCMessageDescriptor *answer;
   const ProtobufCMessage *message;
   enum kv_code (*next)(void *context, bool *last, struct kv_status *status);
   void *context;
};
enum kv_code session_upload(struct session *session, const struct session_upload *upload,
                            ProtobufCMessage **answer, struct kv_status *status);

/* Makes a unary call and shows its answer. The exit code, of a failure that has been reported or of
 * `show`. */
int session_call(struct session *session, const struct session_request *request,
                 session_show_fn *show, const void *context);

/* Reports a failed call and returns its exit code; EXIT_DONE for KV_OK. */
int session_report(const struct session *session, enum kv_code code,
                   const struct kv_status *status);

/* Reports a failure that the client itself has found (printf style) and returns its exit code. */
int session_fail(const struct session *session, enum kv_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reports what the client itself could not do, a file that it cannot open for example (printf
 * style), and returns EXIT_LOCAL. */
int session_fail_local(const struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reports a usage error (printf style) and returns EXIT_USAGE. */
int session_misuse(const struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reports a line that cannot be split into words and returns EXIT_USAGE. */
int session_misread(const struct session *session, const struct words_error *error);

/* Reports a failure of the client itself and returns EXIT_LOCAL. */
int session_local_failure(const char *what, int reason);

/* Whether a person is there to answer. */
bool session_has_person(const struct session *session);
/* Asks the person: the line typed, without its newline, valid until the next question; NULL where
 * none is. */
enum session_answer { SESSION_FORGOTTEN, SESSION_REMEMBERED /* by the prompt's history */ };
const char *session_ask(struct session *session, const char *question, enum session_answer answer,
                        size_t *size);

/* Says that a key is missing, and which: at a terminal as the answer, for the only key without its
 * name; else on standard error. */
void session_not_found(const struct session *session, struct kv_slice key);

/* The bytes of a message field, and a field from bytes (not copied). */
struct kv_slice session_bytes(ProtobufCBinaryData field);
ProtobufCBinaryData session_field(struct kv_slice bytes);

#endif
