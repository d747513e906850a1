/*
 * The account of the memory that connections hold: calls in flight, their requests in every form,
 * what they wait for, replies that have not been read, old versions of the data that their scans
 * keep. All together have one limit; each connection has a share.
 *
 * How much one connection may hold is not fixed: it is twice what is still free. A lone connection
 * gets two thirds of what is shared. N that want all they can get have 2 / (2N + 1) each, and half
 * of that stays free for the next one (the dynamic thresholds of Choudhury and Hahne, "Dynamic
 * queue length thresholds for shared-memory packet switches", 1998). A fourth of the account is not
 * shared like this: it is for work on large requests, and for connections with a single call. An
 * eighth is for connections that hold hardly anything, each a small part of what is still free.
 * A lone call may be larger than the account.
 *
 * What an open connection holds without any call (TLS) is the account's, not its share's: it leaves
 * so much less to the calls of all.
 *
 * An engine may free replies on threads of its own, also after the server was destroyed: account
 * and shares live until the last byte has been given back.
 *
 * Threads: any.
 */
#ifndef KV_RPC_ACCOUNT_H
#define KV_RPC_ACCOUNT_H

#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_account;
struct kv_share;

/* As `own` of kv_share_take: bytes that must not be refused. */
#define KV_OWN_ALL (SIZE_MAX / 2)

/* NULL when memory runs out. */
struct kv_account *kv_account_create(size_t max);
/* The owner's part: shares may live on. */
void kv_account_close(struct kv_account *account);
/* Counts what a connection holds for as long as it is open. False when all connections would hold
 * more than half of the account: this one must not be opened. */
bool kv_account_stand(struct kv_account *account, size_t size);
void kv_account_leave(struct kv_account *account, size_t size);
/* Bytes that all connections and shares hold. */
size_t kv_account_held(const struct kv_account *account);
/* Those that are open, or still hold bytes. */
size_t kv_account_shares(const struct kv_account *account);
/* Reserves so much for work on a large request. False while more than the part of the account that
 * is for work is reserved already; so a request that needs much need not wait for all others. */
bool kv_account_begin_work(struct kv_account *account, size_t size);
void kv_account_end_work(struct kv_account *account, size_t size);

/* A request begins, and ceases, to wait for memory. */
void kv_account_begin_to_wait(struct kv_account *account);
void kv_account_end_to_wait(struct kv_account *account);
bool kv_account_is_awaited(const struct kv_account *account);

/* What bytes are for. */
enum kv_claim {
   KV_CLAIM_SHARE, /* a call, a reply */
   KV_CLAIM_WORK,  /* working on a large request */
};

/* A share that holds nothing; NULL when memory runs out. */
struct kv_share *kv_share_open(struct kv_account *account);
void kv_share_close(struct kv_share *share);
/* Counts bytes that are about to be allocated; returns false when they must not be. `own`: what the
 * share holds for the same call already. */
bool kv_share_take(struct kv_share *share, enum kv_claim claim, size_t size, size_t own);
/* Counts bytes that are allocated already. */
void kv_share_add(struct kv_share *share, size_t size);
void kv_share_give(struct kv_share *share, size_t size);
size_t kv_share_held(const struct kv_share *share);
/* Whether all others together hold little. */
bool kv_share_is_nearly_alone(const struct kv_share *share);
/* RESOURCE_EXHAUSTED: why kv_share_take has refused. */
enum kv_code kv_share_refusal(const struct kv_share *share, struct kv_status *status);

#endif
