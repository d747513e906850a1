/*
 * The account of the memory that connections hold: calls in flight, their requests in every form,
 * what they wait for, replies that have not been read, old versions of the data that their scans
 * keep. It has one limit for all together, and each connection a share.
 *
 * How much one connection may hold is not fixed: twice as much as is still free. One alone gets two
 * thirds of what is for sharing, N that want all they can get 2 / (2N + 1) each, and half of that
 * stays free for whoever comes next (the dynamic thresholds of Choudhury and Hahne, "Dynamic queue
 * length thresholds for shared-memory packet switches", 1998). A fourth of the account is not
 * shared so, but for working on large requests whose turn it is, and for connections that have a
 * single call; an eighth is for those alone that hold hardly anything. A call that is alone may be
 * larger than the account.
 *
 * An engine may free replies on threads of its own, also after the server was destroyed: account and
 * shares live until the last byte has been given back.
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

/* NULL when memory is out. */
struct kv_account *kv_account_create(size_t max);
/* Its owner needs it no more. */
void kv_account_close(struct kv_account *account);
/* Bytes that all shares hold. */
size_t kv_account_held(const struct kv_account *account);
/* Reserves so much of the account for work on a large request. False while more than the part of it
 * that is for work is reserved already: one that needs much does not wait for all others to end. */
bool kv_account_begin_work(struct kv_account *account, size_t size);
void kv_account_end_work(struct kv_account *account, size_t size);

/* What bytes are for. */
enum kv_claim {
   KV_CLAIM_SHARE, /* a call, a reply */
   KV_CLAIM_WORK,  /* working on a large request */
};

/* A share that holds nothing; NULL when memory is out. */
struct kv_share *kv_share_open(struct kv_account *account);
void kv_share_close(struct kv_share *share);
/* Counts bytes that are about to be allocated, or says that they must not be. `own`: what the share
 * holds for the same call already. */
bool kv_share_take(struct kv_share *share, enum kv_claim claim, size_t size, size_t own);
/* Counts bytes that are there already. */
void kv_share_add(struct kv_share *share, size_t size);
void kv_share_give(struct kv_share *share, size_t size);
size_t kv_share_held(const struct kv_share *share);
/* Why kv_share_take has refused; RESOURCE_EXHAUSTED. */
enum kv_code kv_share_refusal(const struct kv_share *share, struct kv_status *status);

#endif
