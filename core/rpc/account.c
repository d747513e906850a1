#include "core/rpc/account.h"

#include "core/support/cache_line.h"
#include "core/support/invariant.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The parts of the account for small holders alone, and for work and single calls. */
#define RESERVED_PART 8
#define WORK_PART 4
/* And for what connections themselves hold, at most. */
#define STANDING_PART 2
/* Up to which part of the account one holds little: a client with a hundred calls in flight, or a
 * reply of 2 MiB, of the default account. */
#define SMALL_PART 256
/* And up to which part of what is free: many that hold little leave some to the next one. */
#define SMALL_FREE_PART 64

struct kv_account {
   size_t max;
   atomic_size_t users;    /* the owner, and each share */
   atomic_size_t standing; /* what connections themselves hold; rarely changes */
   _Alignas(KV_CACHE_LINE) atomic_size_t held;
   atomic_size_t work;  /* reserved */
   atomic_uint awaited; /* how many wait */
};

struct kv_share {
   struct kv_account *account;
   /* One more than the bytes held, as long as the share is open: whoever brings it to 0 frees it.
    */
   _Alignas(KV_CACHE_LINE) atomic_size_t held;
};

struct kv_account *kv_account_create(size_t max)
{
   struct kv_account *account = aligned_alloc(KV_CACHE_LINE, sizeof *account);
   if (account) {
      account->max = max;
      atomic_init(&account->standing, 0);
      atomic_init(&account->held, 0);
      atomic_init(&account->work, 0);
      atomic_init(&account->awaited, 0);
      atomic_init(&account->users, 1);
   }
   return account;
}

void kv_account_close(struct kv_account *account)
{
   if (atomic_fetch_sub(&account->users, 1) == 1)
      free(account);
}

static size_t standing(const struct kv_account *account)
{
   return atomic_load_explicit(&account->standing, memory_order_relaxed);
}

static size_t held_by_calls(const struct kv_account *account)
{
   return atomic_load_explicit(&account->held, memory_order_relaxed);
}

size_t kv_account_held(const struct kv_account *account)
{
   return held_by_calls(account) + standing(account);
}

bool kv_account_stand(struct kv_account *account, size_t size)
{
   size_t before = atomic_load(&account->standing), most = account->max / STANDING_PART;
   do {
      if (size > most || before > most - size)
         return false;
   } while (!atomic_compare_exchange_weak(&account->standing, &before, before + size));
   return true;
}

void kv_account_leave(struct kv_account *account, size_t size)
{
   atomic_fetch_sub_explicit(&account->standing, size, memory_order_relaxed);
}

size_t kv_account_shares(const struct kv_account *account)
{
   return atomic_load_explicit(&account->users, memory_order_relaxed) - 1;
}

bool kv_account_begin_work(struct kv_account *account, size_t size)
{
   size_t work = atomic_load(&account->work);
   do {
      if (work > account->max / WORK_PART)
         return false;
   } while (!atomic_compare_exchange_weak(&account->work, &work, work + size));
   return true;
}

void kv_account_end_work(struct kv_account *account, size_t size)
{
   atomic_fetch_sub_explicit(&account->work, size, memory_order_relaxed);
}

void kv_account_begin_to_wait(struct kv_account *account)
{
   atomic_fetch_add_explicit(&account->awaited, 1, memory_order_relaxed);
}

void kv_account_end_to_wait(struct kv_account *account)
{
   atomic_fetch_sub_explicit(&account->awaited, 1, memory_order_relaxed);
}

bool kv_account_is_awaited(const struct kv_account *account)
{
   return atomic_load_explicit(&account->awaited, memory_order_relaxed) > 0;
}

struct kv_share *kv_share_open(struct kv_account *account)
{
   struct kv_share *share = aligned_alloc(KV_CACHE_LINE, sizeof *share);
   if (share) {
      share->account = account;
      atomic_init(&share->held, 1);
      atomic_fetch_add(&account->users, 1);
   }
   return share;
}

/* Takes off what `held` has; frees the share when nothing is left. */
static void take_off(struct kv_share *share, size_t size)
{
   struct kv_account *account = share->account;
   size_t before = atomic_fetch_sub_explicit(&share->held, size, memory_order_acq_rel);
   KV_INVARIANT(before >= size);
   if (before == size) {
      free(share);
      kv_account_close(account);
   }
}

void kv_share_close(struct kv_share *share)
{
   take_off(share, 1);
}

size_t kv_share_held(const struct kv_share *share)
{
   return atomic_load_explicit(&share->held, memory_order_relaxed) - 1;
}

bool kv_share_is_nearly_alone(const struct kv_share *share)
{
   size_t held = kv_share_held(share), all = held_by_calls(share->account);
   return all <= held || all - held <= share->account->max / RESERVED_PART;
}

void kv_share_add(struct kv_share *share, size_t size)
{
   atomic_fetch_add_explicit(&share->account->held, size, memory_order_relaxed);
   atomic_fetch_add_explicit(&share->held, size, memory_order_relaxed);
}

void kv_share_give(struct kv_share *share, size_t size)
{
   atomic_fetch_sub_explicit(&share->account->held, size, memory_order_relaxed);
   take_off(share, size);
}

/* All counts are those with the bytes added. */
static bool is_allowed(size_t max, enum kv_claim claim, size_t all, size_t held, size_t own)
{
   if (all <= own)
      return true;
   if (all > max)
      return false;
   if (held <= max / SMALL_PART && held <= (max - all) / SMALL_FREE_PART)
      return true;
   size_t general = max - max / RESERVED_PART;
   if (claim == KV_CLAIM_WORK || held <= own)
      return all <= general;
   size_t shared = general - max / WORK_PART;
   return all <= shared && held / 2 <= shared - all;
}

bool kv_share_take(struct kv_share *share, enum kv_claim claim, size_t size, size_t own)
{
   struct kv_account *account = share->account;
   const size_t max = account->max - standing(account);
   const size_t held = kv_share_held(share) + size;
   size_t all = held_by_calls(account);
   /* Nothing is added before it is allowed: others would be refused for what is refused itself. */
   do {
      if (!is_allowed(max, claim, all + size, held, own + size))
         return false;
   } while (!atomic_compare_exchange_weak_explicit(&account->held, &all, all + size,
                                                   memory_order_relaxed, memory_order_relaxed));
   atomic_fetch_add_explicit(&share->held, size, memory_order_relaxed);
   return true;
}

enum kv_code kv_share_refusal(const struct kv_share *share, struct kv_status *status)
{
   return kv_fail_reason(
       status, KV_RESOURCE_EXHAUSTED, "WIRE_MEMORY_FULL",
       "calls hold %zu of at most %zu bytes (server setting max-wire-memory), those of "
       "this connection %zu, which leaves it no space for more; have fewer or smaller "
       "calls in flight, and read their replies",
       kv_account_held(share->account), share->account->max, kv_share_held(share));
}
