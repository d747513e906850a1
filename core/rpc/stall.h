/*
 * Clients that stand still. Four times a second each worker looks at its open calls: one whose
 * client reads nothing of the reply, or sends nothing of a request that it has begun, is ended
 * after a time. Where something else moves on its connection it gets longer, by the reply's size.
 * When the account is short of memory, calls that stand still are ended at once, those of the
 * connection that holds the most first.
 *
 * Deadlines that no client enforces are found here, too: a client that does has reset the call long
 * before.
 *
 * Threads: the worker's.
 */
#ifndef KV_RPC_STALL_H
#define KV_RPC_STALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct kv_call;
struct kv_rpc_worker;

/* The open calls of a worker. */
struct kv_open_calls {
   LIST_HEAD(, kv_call) calls; /* the newest first */
   int64_t look_at;            /* the next time to look at them, by the monotonic clock in ms */
   unsigned looks;
};

/* An open call among them, and what looks have found. */
struct kv_progress {
   LIST_ENTRY(kv_call) others;
   size_t kept;        /* bytes of old versions in its share */
   unsigned sent;      /* replies that have left */
   unsigned received;  /* parts of the request that have arrived, if the engine counts them */
   unsigned before;    /* the sum of the two at the last look */
   unsigned still;     /* looks in a row at which it was the same */
   bool awaits_sender; /* the client is to send the rest of its request */
   bool ended;         /* the engine has been told to end the call */
   atomic_bool awaits_reader; /* a reply, or a status, has been sent that the client is to read */
};

/* At the end of each turn: looks at the open calls if it is time to. */
void kv_stall_look(struct kv_rpc_worker *worker);
void kv_stall_call_opened(struct kv_call *call);
void kv_stall_call_closed(struct kv_call *call);

#endif
