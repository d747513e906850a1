#include "core/rpc/charge.h"

#include <stdlib.h>

/* What working on a large request takes: so many times its size, where it is made of the smallest
 * parts; but the parts are limited (service/message.c), and of the rest there are three copies: as
 * it came, decoded, and what is stored. */
#define WORK_TIMES 40
#define WORK_COPIES 3
#define WORK_PARTS ((size_t)64 * 1024 * 1024)
/* Beside as much as the request: for what is around the value. */
#define RESERVE_OVERHEAD ((size_t)16 * 1024)
/* Replies up to here are in what a call costs anyway. */
#define SMALL_REPLY_SIZE ((size_t)1024)

/* A large reply, kept by its call and by each piece. */
struct kv_outbound {
   struct kv_share *share;
   size_t size;
   atomic_size_t users;
};

struct kv_piece {
   struct kv_outbound *outbound;
   size_t size;
   void (*release)(void *owner); /* NULL: the bytes are in `data` */
   void *owner;
   uint8_t data[];
};

bool kv_charge_begin(struct kv_charge *charge, struct kv_account *account, struct kv_share *share,
                     size_t cost, size_t request, struct kv_status *status)
{
   if (!kv_share_take(share, KV_CLAIM_SHARE, cost + request, 0)) {
      kv_share_refusal(share, status);
      return false;
   }
   *charge = (struct kv_charge){
       .account = account, .share = share, .held = cost + request, .request = request};
   return true;
}

/* What the share holds for the call beside `outbound`; KV_OWN_ALL when nothing more may be refused.
 */
static size_t own(const struct kv_charge *charge)
{
   return kv_charge_is_carried_out(charge) ? KV_OWN_ALL : charge->held + charge->reply;
}

bool kv_charge_take(void *context, size_t size)
{
   struct kv_charge *charge = context;
   enum kv_claim claim = charge->work > 0 ? KV_CLAIM_WORK : KV_CLAIM_SHARE;
   size_t reserved = size < charge->reserve ? size : charge->reserve;
   size_t more = size - reserved;
   if (more > 0 &&
       !kv_share_take(charge->share, claim, more, own(charge) + kv_charge_outbound(charge))) {
      charge->refused = true;
      return false;
   }
   charge->reserve -= reserved;
   charge->held += more;
   return true;
}

bool kv_charge_take_request(void *context, size_t size)
{
   struct kv_charge *charge = context;
   if (!kv_charge_take(charge, size))
      return false;
   charge->request += size;
   return true;
}

bool kv_charge_take_request_and_reserve(struct kv_charge *charge, size_t size)
{
   size_t reserve = size + RESERVE_OVERHEAD;
   charge->reserve = 0;
   if (kv_share_is_nearly_alone(charge->share)) { /* it would wait for ever where it is large */
      kv_share_add(charge->share, size + reserve);
      charge->held += size + reserve;
   } else if (!kv_charge_take(charge, size + reserve)) {
      return false;
   }
   charge->request += size;
   charge->reserve = reserve;
   charge->reserves = true;
   return true;
}

void kv_charge_give_request(struct kv_charge *charge, size_t size)
{
   kv_share_give(charge->share, size);
   charge->held -= size;
   charge->request -= size;
}

void kv_charge_forget_request(struct kv_charge *charge)
{
   if (charge->reserves) {
      charge->reserve += charge->request;
      charge->request = 0;
   } else {
      kv_charge_give_request(charge, charge->request);
   }
}

void kv_charge_end(struct kv_charge *charge, size_t left)
{
   if (charge->work > 0)
      kv_account_end_work(charge->account, charge->work);
   charge->work = 0;
   charge->request = 0;
   charge->reserve = 0;
   kv_share_give(charge->share, charge->held - left);
   charge->held = left;
}

/* ---- Large requests ---- */

static size_t work_on(size_t request)
{
   size_t most = WORK_COPIES * request + WORK_PARTS;
   return request < most / WORK_TIMES ? WORK_TIMES * request : most;
}

bool kv_charge_begin_work(struct kv_charge *charge, size_t request)
{
   size_t work = work_on(request);
   if (!kv_account_begin_work(charge->account, work))
      return false;
   charge->work = work;
   return true;
}

void kv_charge_unpacked(struct kv_charge *charge, size_t request)
{
   size_t work = work_on(request);
   if (charge->work <= work)
      return;
   kv_account_end_work(charge->account, charge->work - work);
   charge->work = work;
}

bool kv_charge_is_large(const struct kv_charge *charge, size_t cost)
{
   return charge->held >= 2 * cost || charge->work > 0;
}

/* ---- The reply ---- */

bool kv_charge_reply(struct kv_charge *charge, size_t size)
{
   if (size <= SMALL_REPLY_SIZE)
      return true;
   if (!kv_share_take(charge->share, KV_CLAIM_SHARE, size, own(charge))) {
      charge->refused = true;
      return false;
   }
   charge->reply = size;
   return true;
}

static bool make_outbound(struct kv_charge *charge)
{
   if (charge->outbound)
      return true;
   struct kv_outbound *outbound = malloc(sizeof *outbound);
   if (!outbound)
      return false;
   outbound->share = charge->share;
   outbound->size = 0;
   atomic_init(&outbound->users, 1);
   kv_share_add(charge->share, sizeof *outbound); /* which keeps the share */
   charge->outbound = outbound;
   return true;
}

static void close_outbound(struct kv_outbound *outbound)
{
   if (atomic_fetch_sub(&outbound->users, 1) != 1)
      return;
   kv_share_give(outbound->share, sizeof *outbound);
   free(outbound);
}

/* Counts `size` bytes; `inside` of them lie in the piece itself. */
static struct kv_piece *begin_piece(struct kv_charge *charge, size_t size, size_t inside)
{
   if (!make_outbound(charge))
      return NULL;
   struct kv_outbound *outbound = charge->outbound;
   if (!kv_share_take(charge->share, KV_CLAIM_SHARE, size,
                      own(charge) + outbound->size + sizeof *outbound)) {
      charge->refused = true;
      return NULL;
   }
   struct kv_piece *piece = malloc(sizeof *piece + inside);
   if (!piece) {
      kv_share_give(charge->share, size);
      return NULL;
   }
   outbound->size += size;
   atomic_fetch_add(&outbound->users, 1);
   *piece = (struct kv_piece){.outbound = outbound, .size = size};
   return piece;
}

struct kv_piece *kv_charge_allocate(struct kv_charge *charge, size_t size, uint8_t **data)
{
   struct kv_piece *piece = begin_piece(charge, size, size);
   if (piece)
      *data = piece->data;
   return piece;
}

struct kv_piece *kv_charge_refer(struct kv_charge *charge, size_t size,
                                 void (*release)(void *owner), void *owner)
{
   struct kv_piece *piece = begin_piece(charge, size, 0);
   if (piece) {
      piece->release = release;
      piece->owner = owner;
   }
   return piece;
}

void kv_piece_end(void *memory)
{
   struct kv_piece *piece = memory;
   struct kv_outbound *outbound = piece->outbound;
   if (piece->release)
      piece->release(piece->owner);
   kv_share_give(outbound->share, piece->size);
   free(piece);
   close_outbound(outbound);
}

void kv_piece_undo(struct kv_piece *piece)
{
   piece->release = NULL;
   kv_piece_end(piece);
}

size_t kv_charge_outbound(const struct kv_charge *charge)
{
   return charge->outbound ? charge->outbound->size : 0;
}

void kv_charge_drop_reply(struct kv_charge *charge)
{
   if (charge->outbound)
      close_outbound(charge->outbound);
   charge->outbound = NULL;
   if (charge->reply > 0)
      kv_share_give(charge->share, charge->reply);
   charge->reply = 0;
}

/* ---- What has taken effect ---- */

void kv_charge_carried_out(struct kv_charge *charge)
{
   atomic_store(&charge->carried_out, true);
}

bool kv_charge_is_carried_out(const struct kv_charge *charge)
{
   return atomic_load(&charge->carried_out);
}

enum kv_code kv_charge_exhausted(const struct kv_charge *charge, struct kv_status *status)
{
   if (kv_charge_is_carried_out(charge))
      return kv_fail(status, KV_INTERNAL,
                     "the call has taken effect, but the server is out of memory for its reply");
   if (charge->refused)
      return kv_share_refusal(charge->share, status);
   return kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
}
