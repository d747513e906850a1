/*
 * What a call holds in the account, from its arrival to its end. Its reply is counted where it is
 * made (call.c) and, if large, by itself (outbound.h); all else here.
 */
#include "core/rpc/grpc/internal.h"

/* What working on a large request takes: so many times its size, where it is made of the smallest
 * parts; but the parts are limited (service/message.c), and of the rest there are three copies: as
 * it came, decoded, and what is stored. */
#define WORK_TIMES 40
#define WORK_COPIES 3
#define WORK_PARTS ((size_t)64 * 1024 * 1024)

bool kv_charge_new(struct kv_share *share, size_t request, struct kv_status *status)
{
   if (kv_share_take(share, KV_CLAIM_SHARE, KV_CALL_COST + request, 0))
      return true;
   kv_share_refusal(share, status);
   return false;
}

size_t kv_charge_own(const struct kv_call *call)
{
   return atomic_load(&call->carried_out) ? KV_OWN_ALL : call->charged + call->reply_charged;
}

void kv_call_carried_out(struct kv_call *call)
{
   atomic_store(&call->carried_out, true);
}

/* While a large call has its turn, what it takes is for work. */
bool kv_call_charge(void *context, size_t size)
{
   struct kv_call *call = context;
   size_t own = kv_charge_own(call) + (call->outbound ? kv_outbound_size(call->outbound) : 0);
   bool works = call->work > 0;
   if (!kv_share_take(call->share, works ? KV_CLAIM_WORK : KV_CLAIM_SHARE, size, own)) {
      call->refused = true;
      return false;
   }
   call->charged += size;
   return true;
}

bool kv_call_take(struct kv_call *call, size_t size)
{
   return kv_call_charge(call, size);
}

static size_t work_on(size_t request)
{
   size_t most = WORK_COPIES * request + WORK_PARTS;
   return request < most / WORK_TIMES ? WORK_TIMES * request : most;
}

bool kv_charge_begin_work(struct kv_call *call)
{
   const struct kv_rpc *rpc = call->worker->rpc;
   bool packed = call->payload->data.raw.compression != GRPC_COMPRESS_NONE;
   size_t work =
       work_on(packed ? rpc->receive_message_max : grpc_byte_buffer_length(call->payload));
   if (!kv_account_begin_work(rpc->account, work))
      return false;
   call->work = work;
   return true;
}

void kv_charge_unpacked(struct kv_call *call, size_t size)
{
   size_t work = work_on(size);
   if (call->work <= work)
      return;
   kv_account_end_work(call->worker->rpc->account, call->work - work);
   call->work = work;
}

void kv_charge_request(struct kv_call *call, size_t size)
{
   call->request_charged += size;
}

void kv_charge_end(struct kv_call *call, size_t left)
{
   if (call->work > 0)
      kv_account_end_work(call->worker->rpc->account, call->work);
   call->work = 0;
   call->request_charged = 0;
   kv_share_give(call->share, call->charged - left);
   call->charged = left;
}

void kv_call_forget_request(struct kv_call *call)
{
   kv_call_drop_request(call);
   kv_share_give(call->share, call->request_charged);
   call->charged -= call->request_charged;
   call->request_charged = 0;
}

void kv_call_exhausted(const struct kv_call *call, struct kv_status *status)
{
   if (atomic_load(&call->carried_out))
      kv_fail(status, KV_INTERNAL,
              "the call has taken effect, but the server is out of memory for its reply");
   else if (call->refused)
      kv_share_refusal(call->share, status);
   else
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
}
