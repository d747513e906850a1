/*
 * Stands in for the rpc module: calls without a wire. A call is made from a method of a table and
 * request bytes, run to its end, and looked at.
 *
 * It holds the handlers to the promises of core/rpc/rpc.h: one answer, no message after the end, no
 * send before the last one has left.
 *
 * Threads: fake_call_run on one thread; the functions of a call on any, as rpc.h says.
 */
#ifndef FUZZ_FAKE_RPC_H
#define FUZZ_FAKE_RPC_H

#include "core/rpc/rpc.h"

#define FAKE_MESSAGES_MAX 64

struct fake_answer {
   bool ended; /* false: the stream was left open by the handler, and the client went away */
   enum kv_code code;
   char text[KV_STATUS_TEXT_SIZE + 1];
   struct kv_slice messages[FAKE_MESSAGES_MAX]; /* those beyond are counted, not kept */
   size_t count;
};

/* Runs one call to its end. A stream's client sends nothing more and reads everything. Release the
 * answer with fake_answer_deinit. */
void fake_call_run(const struct kv_rpc_method *method, struct kv_slice request,
                   struct fake_answer *answer);
/* The same for a stream whose client goes away while message number `count` is on its way. */
void fake_call_cut(const struct kv_rpc_method *method, struct kv_slice request, size_t count,
                   struct fake_answer *answer);

/* A stream step by step, of which many may be open. fake_call_sent lets the message leave that is
 * on its way; false when there is none. fake_call_end is the end of the call, whatever came. */
struct kv_call *fake_call_begin(const struct kv_rpc_method *method, struct kv_slice request,
                                struct fake_answer *answer);
bool fake_call_sent(struct kv_call *call);
void fake_call_end(struct kv_call *call);

void fake_answer_deinit(struct fake_answer *answer);

#endif
