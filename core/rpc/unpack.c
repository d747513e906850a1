#include "core/rpc/unpack.h"

#include "core/rpc/call.h"
#include "core/rpc/server.h"

/* Unpacked at a time: a few milliseconds. */
#define STEP_SIZE ((size_t)2 * 1024 * 1024)
/* Requests of streams are not unpacked in steps, and never large. */
#define STREAM_REQUEST_MAX ((size_t)1024 * 1024)

static enum kv_code begin(struct kv_call *call, const struct kv_packed *packed,
                          struct kv_inflater **inflater, struct kv_status *status)
{
   size_t max = call->worker->rpc->options.receive_message_max;
   if (!kv_call_is_unary(call) && max > STREAM_REQUEST_MAX)
      max = STREAM_REQUEST_MAX;
   const struct kv_inflater_config config = {
       .gzip = packed->gzip,
       .piece = packed->piece,
       .context = packed->context,
       .size_max = max,
       .admit = kv_charge_take_request,
       .admit_context = &call->charge,
   };
   return kv_inflater_create(&config, inflater, status);
}

enum kv_code kv_unpack(struct kv_call *call, const struct kv_packed *packed,
                       struct kv_inflater **inflater, bool *ready, struct kv_slice *unpacked,
                       struct kv_status *status)
{
   size_t size, step = kv_call_is_unary(call) ? STEP_SIZE : SIZE_MAX;
   enum kv_code code = *inflater ? KV_OK : begin(call, packed, inflater, status);
   if (code == KV_OK)
      code = kv_inflater_run(*inflater, step, ready, status);
   if (code != KV_OK && call->charge.refused)
      kv_call_exhausted(call, status);
   if (code != KV_OK || !*ready)
      return code;
   const char *data = kv_inflater_take(*inflater, &size);
   kv_charge_unpacked(&call->charge, size);
   *unpacked = kv_slice(data, size);
   return KV_OK;
}

enum kv_code kv_unpack_refuse(bool is_named, struct kv_status *status)
{
   if (!is_named)
      return kv_fail(status, KV_INTERNAL,
                     "the request is flagged as compressed, but no grpc-encoding says how");
   return kv_fail(status, KV_UNIMPLEMENTED,
                  "the request is compressed in a way that this server does not support; it "
                  "supports deflate and gzip");
}
