/*
 * Stands in for core/rpc: calls without a wire. A call is made from a method of a table and request
 * bytes, run to its end, and inspected.
 *
 * It enforces the promises of core/rpc/rpc.h on the handlers: one reply, no message after the end,
 * no send before the last one has left. A broken promise ends the process. What is begun until
 * the test waits for an answer is one turn of worker 0.
 *
 * Threads: the functions here on one thread; those of a call on any, as rpc.h says.
 */
#ifndef TESTS_FAKE_RPC_H
#define TESTS_FAKE_RPC_H

#include "core/rpc/rpc.h"

#define FAKE_MESSAGES_MAX 64

struct fake_answer {
   bool ended; /* false: the stream was left open by the handler, and the client went away */
   enum kv_code code;
   char text[KV_STATUS_TEXT_SIZE + 1];
   void *details; /* of the status, as they go on the wire; NULL: none */
   size_t details_size;
   struct kv_slice messages[FAKE_MESSAGES_MAX]; /* those beyond are counted, not kept */
   size_t count;
};

/* As in kv_rpc_options. */
void fake_rpc_set_turn_end(void (*turn_end)(void *context, unsigned worker), void *context);

/* How often a call's account grants memory before it refuses everything. A call that has been
 * carried out is refused nothing. */
struct fake_account {
   size_t grants;
   bool carried_out;
};
/* The call's functions ask it; those of the arena only where the test sees to that. */
bool fake_account_grant(struct fake_account *account);

/* How the client behaves. Zeroed: it waits for everything, and its account has no limit. */
struct fake_client {
   size_t leaves_at;             /* a stream's client goes away during this message; 0: it stays */
   bool impatient;               /* cancels a watched call once that has been begun */
   unsigned cancels_at_yield;    /* cancels a slow call when it yields for the nth time; 0: never */
   struct fake_account *account; /* NULL: no limit */
};

/* Runs one call to its end. A stream's client sends nothing more and reads everything. `client` may
 * be NULL. Release the answer with fake_answer_deinit. */
void fake_call_run(const struct kv_rpc_method *method, struct kv_slice request,
                   const struct fake_client *client, struct fake_answer *answer);

/* A call step by step, of which many may be open. fake_call_sent lets the message leave that is
 * being sent; false when there is none. fake_call_wait ends the turn and returns when a unary call
 * has been answered, or a stream has ended; fake_call_is_answered does neither.
 * fake_call_await_message returns when a stream has sent so many messages. fake_call_end is the end
 * of the call, whatever came. */
struct kv_call *fake_call_begin(const struct kv_rpc_method *method, struct kv_slice request,
                                const struct fake_client *client, struct fake_answer *answer);
bool fake_call_sent(struct kv_call *call);
/* Bidi: once the handler wants it, the next request, or the end of the client's side; false when
 * the call has ended instead. */
bool fake_call_next(struct kv_call *call, struct kv_slice request);
bool fake_call_half_close(struct kv_call *call);
void fake_call_await_message(struct kv_call *call, size_t count);
void fake_call_cancel(struct kv_call *call);
void fake_call_wait(struct kv_call *call);
bool fake_call_is_answered(struct kv_call *call);
void fake_call_end(struct kv_call *call);

void fake_answer_deinit(struct fake_answer *answer);

#endif
