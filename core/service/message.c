#include "core/service/message.h"

/* protobuf-c does not tell a lack of memory from a malformed message. */
struct source {
   struct kv_arena *arena;
   bool exhausted;
};

static void *allocate(void *context, size_t size)
{
   struct source *source = context;
   void *memory = kv_arena_alloc(source->arena, size);
   source->exhausted |= !memory;
   return memory;
}

/* Released with the arena. */
static void release(void *context, void *memory)
{
   (void)context;
   (void)memory;
}

void *kv_message_decode(struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                        struct kv_bytes request)
{
   struct source source = {.arena = kv_call_arena(call)};
   ProtobufCAllocator allocator = {allocate, release, &source};
   void *message = protobuf_c_message_unpack(descriptor, &allocator, request.size, request.data);
   if (!message && source.exhausted) {
      kv_message_out_of_memory(call);
   } else if (!message) {
      struct kv_status status;
      kv_fail(&status, KV_INVALID_ARGUMENT, "the request's %zu bytes are no valid %s message",
              request.size, descriptor->name);
      kv_message_fail(call, &status);
   }
   return message;
}

bool kv_message_encode(struct kv_call *call, const ProtobufCMessage *message)
{
   size_t size = protobuf_c_message_get_packed_size(message);
   uint8_t *buffer = kv_call_message(call, size);
   if (!buffer) {
      kv_message_out_of_memory(call);
      return false;
   }
   protobuf_c_message_pack(message, buffer);
   return true;
}

void kv_message_reply(struct kv_call *call, const ProtobufCMessage *message)
{
   if (kv_message_encode(call, message))
      kv_call_reply(call);
}

void kv_message_fail(struct kv_call *call, const struct kv_status *status)
{
   kv_call_fail(call, status->code, status->text);
}

void kv_message_out_of_memory(struct kv_call *call)
{
   kv_call_fail(call, KV_RESOURCE_EXHAUSTED, "the server is out of memory for this call");
}
