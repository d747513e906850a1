#include "core/rpc/grpc/call.h"

#include "core/rpc/metadata.h"
#include "core/support/invariant.h"

#include <string.h>

/* With most calls there is just the client's name. */
static bool holds_metadata(const grpc_metadata_array *headers)
{
   for (size_t i = 0; i < headers->count; i++) {
      grpc_slice name = headers->metadata[i].key;
      if (kv_metadata_is_name(kv_slice(GRPC_SLICE_START_PTR(name), GRPC_SLICE_LENGTH(name))))
         return true;
   }
   return false;
}

void kv_grpc_keep_headers(struct kv_grpc_call *call, grpc_metadata_array *headers)
{
   if (holds_metadata(headers))
      call->received = *headers; /* their bytes are the gRPC call's */
   else
      grpc_metadata_array_destroy(headers);
}

size_t kv_grpc_metadata(struct kv_call *base, const char *name, struct kv_slice *value)
{
   size_t count = 0;
   const grpc_metadata_array *headers = &kv_grpc_call_of(base)->received;
   for (size_t i = 0; i < headers->count; i++) {
      const grpc_metadata *header = &headers->metadata[i];
      if (grpc_slice_str_cmp(header->key, name) != 0)
         continue;
      if (count++ == 0)
         *value = kv_slice(GRPC_SLICE_START_PTR(header->value), GRPC_SLICE_LENGTH(header->value));
   }
   return count;
}

static bool make_space(struct kv_grpc_metadata *metadata, struct kv_arena *arena)
{
   if (metadata->count < metadata->space)
      return true;
   size_t space = 2 * metadata->space + 4;
   grpc_metadata *items = kv_arena_alloc(arena, space * sizeof *items);
   if (!items)
      return false;
   if (metadata->count > 0)
      memcpy(items, metadata->items, metadata->count * sizeof *items);
   metadata->items = items;
   metadata->space = space;
   return true;
}

static bool add(struct kv_grpc_call *call, enum kv_rpc_metadata where, const char *name,
                struct kv_slice value)
{
   struct kv_grpc_metadata *metadata = &call->metadata[where];
   if (!make_space(metadata, &call->base.arena))
      return false;
   /* gRPC may keep the value for longer than the call lives, but copies the name. */
   metadata->items[metadata->count++] =
       (grpc_metadata){.key = grpc_slice_from_static_string(name),
                       .value = grpc_slice_from_copied_buffer(value.data, value.size)};
   return true;
}

bool kv_grpc_add_metadata(struct kv_call *base, enum kv_rpc_metadata where, const char *name,
                          struct kv_slice value)
{
   struct kv_grpc_call *call = kv_grpc_call_of(base);
   if (!base->method || kv_call_is_unary(base))
      return add(call, where, name, value);
   pthread_mutex_lock(&call->stream_lock);
   KV_INVARIANT(call->stream.over || where == KV_RPC_TRAILING || !call->stream.metadata_sent);
   bool added = call->stream.over || add(call, where, name, value);
   pthread_mutex_unlock(&call->stream_lock);
   return added;
}

static void drop(struct kv_grpc_metadata *metadata)
{
   for (size_t i = 0; i < metadata->count; i++)
      grpc_slice_unref(metadata->items[i].value);
   *metadata = (struct kv_grpc_metadata){0};
}

void kv_grpc_drop_metadata(struct kv_grpc_call *call)
{
   if (call->received.metadata) {
      grpc_metadata_array_destroy(&call->received);
      grpc_metadata_array_init(&call->received);
   }
   drop(&call->metadata[KV_RPC_INITIAL]);
   drop(&call->metadata[KV_RPC_TRAILING]);
}
