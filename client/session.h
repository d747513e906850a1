/*
 * What a command works with: the connection, how to answer, and calls that take and give protobuf
 * messages. Failures are told on standard error here, once, so that a command only returns the
 * code.
 *
 * One thread. Prints answers on standard output, everything else on standard error.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/connection.h"

#include <protobuf-c/protobuf-c.h>

/* What a command returns and the program exits with. */
enum exit_code {
   EXIT_DONE = 0,
   EXIT_NOT_FOUND = 1,
   EXIT_USAGE = 2,
   EXIT_LOCAL = 3,      /* this side failed: memory, input, output */
   EXIT_DIFFERENT = 4,  /* a shadow run failed, or gave back other data */
   EXIT_GRPC_BASE = 64, /* + the gRPC status code */
};

#define SESSION_TIMEOUT_MS 30000

struct session {
   struct connection *connection;
   bool terminal;      /* a person reads standard output */
   bool no_newline;    /* `get` adds none */
   int64_t timeout_ms; /* for every call, 0: none; negative: as each command sees fit */
   size_t line;        /* of a list of commands, for messages; 0: no list */
   bool ended;         /* by the `exit` command */
};

/* Calls that answer at once have a deadline; those that may write or send the whole store have none
 * unless the user set one. */
enum session_pace { SESSION_QUICK, SESSION_SLOW };

struct session_request {
   const char *method; /* "Get" */
   enum session_pace pace;
   const ProtobufCMessage *message;
   const ProtobufCMessageDescriptor *answer;
};

typedef void session_answer_fn(void *context, const ProtobufCMessage *answer);

/* Makes a call and hands over each message of the answer. Tells nobody of a failure. */
enum kv_code session_stream(struct session *session, const struct session_request *request,
                            session_answer_fn *on_answer, void *context, struct kv_status *status);

/* Makes a unary call. EXIT_DONE: the caller frees *answer with protobuf_c_message_free_unpacked;
 * else the failure has been told and *answer is NULL. */
int session_call(struct session *session, const struct session_request *request,
                 ProtobufCMessage **answer);

/* Tells of a failed call and returns its exit code; EXIT_DONE for KV_OK. */
int session_report(const struct session *session, enum kv_code code,
                   const struct kv_status *status);

/* Tells of a wrong use (printf style) and returns EXIT_USAGE. */
int session_misuse(const struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says that a key is missing: to a person as the answer, else on standard error. */
void session_not_found(const struct session *session, struct kv_bytes key);

/* The bytes of a message field, and a field from bytes (not copied). */
struct kv_bytes session_bytes(ProtobufCBinaryData field);
ProtobufCBinaryData session_field(struct kv_bytes bytes);

#endif
