/*
 * The request in one piece: as it came, joined from several pieces, or unpacked in steps.
 */
#include "core/rpc/grpc/call.h"
#include "core/rpc/grpc/grpc_log.h"
#include "core/rpc/grpc/headers.h"
#include "core/rpc/grpc/server.h"
#include "core/rpc/unpack.h"

#include <stdlib.h>
#include <string.h>

bool kv_grpc_is_packed(const grpc_byte_buffer *payload)
{
   return payload && payload->data.raw.compression != GRPC_COMPRESS_NONE;
}

static void drop_request(struct kv_grpc_call *call)
{
   kv_inflater_destroy(call->inflater); /* which reads the payload */
   call->inflater = NULL;
   if (call->payload)
      grpc_byte_buffer_destroy(call->payload);
   call->payload = NULL;
   free(call->joined);
   call->joined = NULL;
}

void kv_grpc_drop_request(struct kv_call *call)
{
   drop_request(kv_grpc_call_of(call));
}

static bool get_piece(void *context, size_t index, struct kv_slice *piece)
{
   const grpc_slice_buffer *packed = context;
   if (index == packed->count)
      return false;
   const grpc_slice *slice = &packed->slices[index];
   *piece = kv_slice(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
   return true;
}

static enum kv_code unpack(struct kv_grpc_call *call, bool *ready, struct kv_slice *request,
                           struct kv_status *status)
{
   grpc_byte_buffer *payload = call->payload;
   const struct kv_packed packed = {payload->data.raw.compression == GRPC_COMPRESS_GZIP, get_piece,
                                    &payload->data.raw.slice_buffer};
   enum kv_code code = kv_unpack(&call->base, &packed, &call->inflater, ready, request, status);
   if (code != KV_OK || !*ready)
      return code;
   drop_request(call);
   call->joined = (void *)request->data;
   return KV_OK;
}

/* The message is compressed, but gRPC knows no encoding for it: none was named, or one that it does
 * not know. Only its log says which of the two it was, and not for which call. */
static enum kv_code refuse_encoding(struct kv_grpc_call *call, struct kv_status *status)
{
   call->lists_encodings = kv_grpc_log_saw_unknown_encoding();
   return kv_unpack_refuse(call->lists_encodings, status);
}

static enum kv_code join(struct kv_grpc_call *call, struct kv_slice *request,
                         struct kv_status *status)
{
   grpc_slice_buffer *pieces = &call->payload->data.raw.slice_buffer;
   size_t size = 0;
   char *joined = malloc(pieces->length > 0 ? pieces->length : 1);
   if (!joined)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this request");
   for (size_t i = 0; i < pieces->count; i++) {
      memcpy(joined + size, GRPC_SLICE_START_PTR(pieces->slices[i]),
             GRPC_SLICE_LENGTH(pieces->slices[i]));
      size += GRPC_SLICE_LENGTH(pieces->slices[i]);
   }
   drop_request(call);
   call->joined = joined;
   *request = kv_slice(joined, size);
   return KV_OK;
}

enum kv_code kv_grpc_join_request(struct kv_call *base, bool *ready, struct kv_slice *request,
                                  struct kv_status *status)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   if (!call->payload)
      return kv_fail(status, KV_INTERNAL, "the call has no request message");
   const grpc_slice_buffer *pieces = &call->payload->data.raw.slice_buffer;
   if (kv_grpc_is_packed(call->payload))
      return unpack(call, ready, request, status);
   if (kv_grpc_is_flagged_compressed(call->grpc))
      return refuse_encoding(call, status);
   *ready = true;
   if (pieces->count != 1)
      return join(call, request, status);
   *request =
       kv_slice(GRPC_SLICE_START_PTR(pieces->slices[0]), GRPC_SLICE_LENGTH(pieces->slices[0]));
   return KV_OK;
}
