/*
 * What the files of the rpc module share.
 *
 * A request waits in a slot (slot.c): a small object posted for one method on one worker's queue.
 * When it arrives, its gRPC call moves into a pooled kv_call and the slot is posted again, so the
 * number of calls in flight does not depend on how many slots there are. Every gRPC event of a call
 * comes back on the queue of its worker; pool, slots and handlers therefore need no lock.
 *
 * Each worker has a gRPC server of its own. A server with several queues reads a connection on
 * whichever thread is free and answers its calls on another, and the two wait for each other.
 */
#ifndef KV_RPC_GRPC_INTERNAL_H
#define KV_RPC_GRPC_INTERNAL_H

#include "core/rpc/charge.h"
#include "core/rpc/rpc.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

#include <pthread.h>
#include <stdatomic.h>

/* The tag of everything that is put into a queue. */
struct kv_rpc_event {
   void (*handle)(void *owner, bool ok);
   void *owner;
};

/* gRPC's queues order what is done before an event is put in and after it is taken out. The thread
 * sanitizer does not see that, as it does not see into gRPC: these two tell it. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
static inline void kv_rpc_handed_over(struct kv_rpc_event *event)
{
   __tsan_release(event);
}
static inline void kv_rpc_taken_over(struct kv_rpc_event *event)
{
   __tsan_acquire(event);
}
#else
static inline void kv_rpc_handed_over(struct kv_rpc_event *event)
{
   (void)event;
}
static inline void kv_rpc_taken_over(struct kv_rpc_event *event)
{
   (void)event;
}
#endif

/* The turn of one worker (turn.c). */
struct kv_turn {
   unsigned events;              /* handled in it */
   bool unanswered;              /* a handler has left a call without an answer */
   struct kv_call *first, *last; /* slow calls that wait to be begun, or to go on */
   uint64_t given;               /* slow calls that have been */
   bool blocked;                 /* none of them may be now */
};

struct kv_rpc_worker {
   struct kv_rpc *rpc;
   grpc_server *server;
   grpc_completion_queue *queue;
   void **registered; /* gRPC's handle of each method */
   struct kv_rpc_slot *slots;
   struct kv_connection **connections; /* by number; worker's thread only (connections.c) */
   size_t connection_count;
   struct kv_call *pool; /* closed calls to be used again; worker's thread only */
   unsigned pool_size;
   struct kv_call *newest; /* of the open ones; worker's thread only (stall.c) */
   gpr_timespec look_at;   /* the next time to look at them */
   unsigned looks;
   size_t pending;      /* posted slots and open calls; the thread ends when there are none */
   atomic_size_t calls; /* open ones; written by the worker's thread */
   atomic_uint waits;   /* for an event; odd: in one just now. Written by the worker's thread */
   struct kv_turn turn; /* worker's thread only */
   unsigned index;
   bool running; /* `thread` is valid */
   pthread_t thread;
};

/* A connection, as far as gRPC shows it: worker's thread only, but for `share`. */
struct kv_connection {
   struct kv_share *share;
   int fd;         /* gRPC's; to ask about alone */
   unsigned look;  /* the last one */
   unsigned still; /* looks in a row at which it had not moved */
   uint64_t given; /* turn.given when a slow call of it was begun or went on */
   uint64_t taken; /* by the client, in bytes, when it moved the last time */
};

/* What a look at an open call has found; worker's thread only (stall.c). */
struct kv_progress {
   unsigned sent, sent_before; /* replies that have left; at the last look */
   unsigned still;             /* looks in a row at which the same one had not */
   bool ended;                 /* gRPC has been told to end the call */
};

struct kv_rpc {
   grpc_completion_queue *shutdown_queue;
   struct kv_rpc_method *methods;
   size_t method_count;
   size_t receive_message_max;
   const char *const *private_paths; /* or NULL */
   void (*turn_end)(void *context, unsigned worker);
   void *context;
   struct kv_account *account;
   size_t memory_max;
   int64_t reader_timeout_ms;
   grpc_metadata encodings; /* that requests may have, as the client is told */
   struct kv_acceptor *acceptor;
   struct kv_monopoly *monopoly;
   grpc_server_credentials *credentials; /* none: of each connection */
   unsigned next_worker;                 /* that gets a connection; acceptor's thread only */
   bool stopped;
   atomic_bool stopping; /* nothing is begun any more */
   atomic_bool refused;  /* a call since then */
   pthread_mutex_t lock; /* of the condition: a worker has no open calls while stopping */
   pthread_cond_t quiet;
   unsigned worker_count;
   struct kv_rpc_worker workers[];
};

struct kv_call {
   struct kv_rpc_worker *worker;
   const struct kv_rpc_method *method; /* NULL: an unknown one */
   grpc_call *grpc;
   struct kv_call *next; /* in the pool, or among the slow ones that wait */
   void (*resume)(struct kv_call *call);
   bool begun;                                         /* a slow one that is to go on */
   void (*go_on)(void *service, struct kv_call *call); /* the handler's, after kv_call_yield */

   grpc_byte_buffer *payload;    /* the request as it came, or NULL */
   void *joined;                 /* the request in one piece where it came in several or packed */
   struct kv_inflater *inflater; /* of a request that is being unpacked, or NULL */
   grpc_slice message;           /* the reply being made */
   size_t inserted_at;           /* where in it the last piece was inserted */
   grpc_byte_buffer *sending; /* the reply's pieces before that, then all of it; kept for the next
                                 call */
   int close_cancelled;       /* written by gRPC: what RECV_CLOSE found */
   int64_t deadline_ms;       /* by the monotonic clock; INT64_MAX: none */
   bool lists_encodings;      /* the status is to name those that are known */

   struct kv_connection *connection; /* worker's thread only */
   struct kv_charge charge;
   bool large;                    /* its request is; to be set before it waits for its turn */
   size_t kept;                   /* bytes of old versions in it; worker's thread only */
   struct kv_call *older, *newer; /* open ones of the worker */
   struct kv_progress progress;
   atomic_bool awaits_reader; /* gRPC has a reply, or a status, that the client is to read */

   /* Unary calls that are watched: RECV_CLOSE is a batch of its own then. */
   bool watched;
   unsigned batches_left; /* before it may be released; worker's thread only */
   atomic_bool cancelled;

   struct kv_rpc_event closing; /* unary: everything; streams: RECV_CLOSE */
   struct kv_rpc_event sent, ended, read;

   /* Streams only. */
   pthread_mutex_t lock; /* for the fields up to `status_text`: handlers may send from any thread */
   unsigned batches;     /* in flight in gRPC */
   bool metadata_sent;
   bool send_in_flight;
   bool over;         /* finished, failed, or the client is gone: nothing more is sent or read */
   bool status_waits; /* `status_code` goes out when the send in flight is done */
   enum kv_code status_code;
   grpc_slice status_text;
   bool given_to_handler; /* worker's thread only */
   void *state;           /* the handler's */

   struct kv_arena arena; /* last: its first block is large and seldom touched whole */
};

/* slot.c */
enum kv_code kv_rpc_slots_create(struct kv_rpc_worker *worker, struct kv_status *status);
void kv_rpc_slots_post(struct kv_rpc_worker *worker);
void kv_rpc_slots_destroy(struct kv_rpc_worker *worker);

/* call.c; all on the worker's thread. */
/* A call from the pool; takes over `grpc` and `payload`. Or NULL, with `status`, when memory is out
 * or the connection holds too much already. */
struct kv_call *kv_call_create(struct kv_rpc_worker *worker, const struct kv_rpc_method *method,
                               grpc_call *grpc, grpc_byte_buffer *payload,
                               struct kv_status *status);
/* Ends gRPC's part and gives the call back to the pool. */
void kv_call_release(struct kv_call *call);
void kv_call_pool_destroy(struct kv_rpc_worker *worker);
void kv_call_drop_request(struct kv_call *call);
/* The op that sends the message made. */
grpc_op kv_call_send_op(struct kv_call *call);
/* The message has been sent: lets go of its memory. */
void kv_call_sent(struct kv_call *call);
/* The op that ends the call. */
grpc_op kv_call_status_op(struct kv_call *call, enum kv_code code, grpc_slice *text);
/* Whether the call may be handed to its handler; else, why not: the server is being stopped, the
 * client has gone, or the deadline has passed. */
enum kv_code kv_call_may_begin(struct kv_call *call, struct kv_status *status);
bool kv_call_deadline_passed(const struct kv_call *call);

/* stream.c */
void kv_stream_open(struct kv_call *call, bool slow);
void kv_stream_end(struct kv_call *call, enum kv_code code, const char *text);

/* request.c; on the worker's thread. */
/* A large call is to be begun; false when there is no memory to work on it yet. */
bool kv_call_begin_work(struct kv_call *call);
/* The payload in one piece, unpacked; unary: if not *ready, ask again. RESOURCE_EXHAUSTED or
 * INTERNAL when that can not be. There must be a payload. */
enum kv_code kv_call_join_request(struct kv_call *call, bool *ready, struct kv_slice *request,
                                  struct kv_status *status);

/* What a call in flight takes, here and in gRPC, with a small request and reply: 1,000 more of them
 * on a connection have the process grow by 14 MB. */
#define KV_CALL_COST ((size_t)14 * 1024)

/* connections.c; on the acceptor's thread: gives a new connection to the next worker. */
void kv_connection_accept(void *rpc, int fd);
/* On the worker's thread. */
/* The connection that a call came on; NULL when memory is out. */
struct kv_connection *kv_connection_of(struct kv_rpc_worker *worker, grpc_call *call);
/* At how many looks in a row, this one included, the client had taken nothing that counts. */
unsigned kv_connection_still(struct kv_connection *connection, unsigned look);
void kv_connections_destroy(struct kv_rpc_worker *worker);

/* stall.c; on the worker's thread. */
/* At the end of each turn: looks at the open calls if it is time to. */
void kv_stall_look(struct kv_rpc_worker *worker);
void kv_stall_call_opened(struct kv_call *call);
void kv_stall_call_closed(struct kv_call *call);

/* turn.c; on the worker's thread. */
/* After each event; ends the turn when it is long, or when there is nothing to wait for. */
void kv_turn_event(struct kv_rpc_worker *worker);
/* Nothing more has arrived. */
void kv_turn_end(struct kv_rpc_worker *worker);
/* Whether the end of the turn has something to do, so that it must not wait for an event. */
bool kv_turn_is_open(const struct kv_rpc_worker *worker);
/* Before what may take long within a turn: does what its end would do for the calls so far. */
void kv_turn_answer(struct kv_rpc_worker *worker);
/* After a handler of the call has run. */
void kv_turn_handled(struct kv_call *call);
/* Has resume(call) called when the slow calls before it have been. */
void kv_turn_await(struct kv_call *call, void (*resume)(struct kv_call *call));
/* The same for one that has been begun and is to go on before any other. */
void kv_turn_go_on(struct kv_call *call, void (*resume)(struct kv_call *call));

/* Hands operations to gRPC. Only a bug of this module makes it refuse them. */
void kv_call_start(struct kv_call *call, const grpc_op *ops, size_t count,
                   struct kv_rpc_event *event);

#endif
