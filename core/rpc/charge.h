/*
 * What one call holds in the account (account.h), from its arrival to its end: what any call costs,
 * its request in every form, what its handler allocates, its reply. Once a call has taken effect
 * nothing that its reply takes is refused, since a call that fails must not have changed anything.
 *
 * A large reply is made of pieces, each of which counts until the last of its bytes has left. An
 * engine may let go of a piece on any thread, also after the call or the server was destroyed.
 *
 * Threads: one at a time for a call; on any, kv_piece_end, kv_charge_carried_out and
 * kv_charge_is_carried_out.
 */
#ifndef KV_RPC_CHARGE_H
#define KV_RPC_CHARGE_H

#include "core/rpc/account.h"

#include <stdatomic.h>

struct kv_outbound;
struct kv_piece;

/* Its fields are for charge.c. */
struct kv_charge {
   struct kv_account *account;
   struct kv_share *share;       /* the connection's */
   size_t held;                  /* bytes of it, but those of the reply */
   size_t request;               /* of `held`: for the request in whatever form */
   size_t reserve;               /* of `held`: for what will be taken */
   bool reserves;                /* what the request held is for that, too, when it is forgotten */
   size_t reply;                 /* bytes of the reply, where they are not in `outbound` */
   struct kv_outbound *outbound; /* the reply, where it is large; else NULL */
   size_t work;                  /* bytes reserved to work on a large request; 0: none */
   bool refused;                 /* the account had no space left for this call */
   atomic_bool carried_out;
};

/* Charges a call that arrives with `cost`, which any call takes, and `request` bytes. False with
 * `status`: it is refused, and nothing is charged. */
bool kv_charge_begin(struct kv_charge *charge, struct kv_account *account, struct kv_share *share,
                     size_t cost, size_t request, struct kv_status *status);
/* Counts `size` bytes more. Returns false when they must not be allocated. `charge` is a
 * struct kv_charge. */
bool kv_charge_take(void *charge, size_t size);
/* The same for the request, as it is unpacked. */
bool kv_charge_take_request(void *charge, size_t size);
/* The same for a request of which as much again is held, until the call's end, for what its handler
 * takes: so that it is not refused after all that has arrived. */
bool kv_charge_take_request_and_reserve(struct kv_charge *charge, size_t size);
/* So many bytes of the request are not held any more. */
void kv_charge_give_request(struct kv_charge *charge, size_t size);
/* The request is not needed any more. */
void kv_charge_forget_request(struct kv_charge *charge);
/* Nothing but `left` bytes and the reply is left to the call. */
void kv_charge_end(struct kv_charge *charge, size_t left);

/* Reserves what working on a large request may take, of which the size is known only when it has
 * been unpacked; false when there is no memory for it yet. */
bool kv_charge_begin_work(struct kv_charge *charge, size_t request);
void kv_charge_unpacked(struct kv_charge *charge, size_t request);
/* Whether it holds much more than any call does. */
bool kv_charge_is_large(const struct kv_charge *charge, size_t cost);

/* A small reply, until it is dropped. */
bool kv_charge_reply(struct kv_charge *charge, size_t size);
/* A piece of a large one, or NULL: `size` bytes to be filled in, which end with the piece. */
struct kv_piece *kv_charge_allocate(struct kv_charge *charge, size_t size, uint8_t **data);
/* The same of bytes that stay where they are: release(owner) follows, on any thread, when the piece
 * ends; not after a failure. */
struct kv_piece *kv_charge_refer(struct kv_charge *charge, size_t size,
                                 void (*release)(void *owner), void *owner);
/* `piece` is a struct kv_piece. */
void kv_piece_end(void *piece);
/* Takes back kv_charge_refer: nothing is released. */
void kv_piece_undo(struct kv_piece *piece);
/* Bytes of all pieces made so far, whether they have left or not. */
size_t kv_charge_outbound(const struct kv_charge *charge);
/* The call needs its reply no more; pieces end by themselves. */
void kv_charge_drop_reply(struct kv_charge *charge);

void kv_charge_carried_out(struct kv_charge *charge);
bool kv_charge_is_carried_out(const struct kv_charge *charge);
/* Why memory was refused: RESOURCE_EXHAUSTED, or INTERNAL when the call has taken effect. */
enum kv_code kv_charge_exhausted(const struct kv_charge *charge, struct kv_status *status);

#endif
