/*
 * The audit: a line in the log for each call that needs an admin, when it is answered.
 *
 *    audit: user=NAME peer=ADDRESS method=/PACKAGE.SERVICE/METHOD arguments=... outcome=CODE
 *
 * `user` is "-" where there is no users file, or it is nobody; behind `peer` comes what the
 * connection proves by itself: uid=NUMBER, certificate=NAME. Arguments are the fields of the
 * request that are set. Of options only the names are told, of data only the size.
 *
 * A call that was refused for who makes it has no arguments, and a supply of lines of its own:
 * those who may do nothing cannot keep the lines of others out of the log (log_limit.h).
 *
 * Threads: any.
 */
#ifndef KV_AUDIT_H
#define KV_AUDIT_H

#include "core/rpc/rpc.h"

#include <protobuf-c/protobuf-c.h>

/* Notes for observers who makes the call ("": nobody in particular), and of what needs an admin
 * what it asks for. In handlers. Where memory runs out, less is noted. */
void kv_audit_note(struct kv_call *call, const char *user, const ProtobufCMessage *request);

/* For kv_rpc_options.answered. */
void kv_audit_answered(const struct kv_rpc_answer *answer);

#endif
