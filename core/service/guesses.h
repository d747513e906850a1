/*
 * Slows down who guesses tokens. What a call with an unknown token is told it is told late, and of
 * one network only so many guesses may wait for that: further tokens from there are not even looked
 * at. So a network learns of at most KV_GUESSES_OF_NETWORK tokens in each delay.
 *
 * Nobody else waits: the answers are given by a thread of its own, no worker is held up, and a peer
 * whose token is known gets in at once, also from the network of one who guesses one by one.
 *
 * What is kept is bounded over all networks. Beyond that answers come at once, and guesses are not
 * counted: it is better to serve than to slow down.
 *
 * Threads: any.
 */
#ifndef KV_GUESSES_H
#define KV_GUESSES_H

#include "core/rpc/rpc.h"

#define KV_GUESSES_OF_NETWORK 16u
/* Of all: guesses that are remembered, and calls among them that wait for their answer. */
#define KV_GUESSES_MAX 4096u
#define KV_GUESSES_CALLS_MAX 512u

struct kv_guesses;

/* `answer` ends a call that was held for `delay_ms`. NULL with `status`. */
struct kv_guesses *kv_guesses_create(unsigned delay_ms, void (*answer)(struct kv_call *call),
                                     struct kv_status *status);
/* Has all answered soon, and from now on at once: the server is being stopped. */
void kv_guesses_release(struct kv_guesses *guesses);
/* Answers what is held; nothing may be added meanwhile. */
void kv_guesses_destroy(struct kv_guesses *guesses);

/* Whether tokens from that network are not to be looked at now (kv_call_network). Costs next to
 * nothing while nobody guesses. */
bool kv_guesses_are_too_many(struct kv_guesses *guesses, uint64_t network);
/* An unknown token from there. The call, a unary one, is answered later, or has been by now;
 * NULL: the caller has answered it. */
void kv_guesses_add(struct kv_guesses *guesses, uint64_t network, struct kv_call *call);

#endif
