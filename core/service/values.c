#include "core/service/values.h"

#include "core/store/store.h"

#include <string.h>

struct kv_values_large {
   struct kv_values_large *next;
   struct kv_slice value;
   void *kept;
};

static struct kv_values_large *take_spare(struct kv_values *values)
{
   struct kv_values_large *spare = values->spare;
   if (spare)
      values->spare = spare->next;
   return spare;
}

ProtobufCBinaryData kv_values_add(struct kv_values *values, struct kv_call *call,
                                  struct kv_slice key, struct kv_slice value)
{
   struct kv_values_large *large = NULL;
   if (value.size >= KV_VALUE_KEEP_MIN) {
      large = take_spare(values);
      if (!large)
         large = kv_arena_alloc(kv_call_arena(call), sizeof *large);
   }
   if (large) { /* else, out of memory or small, it is copied */
      *large = (struct kv_values_large){.value = value, .kept = kv_value_keep(key, value)};
      if (values->last)
         values->last->next = large;
      else
         values->first = large;
      values->last = large;
   }
   return kv_message_bytes(value);
}

/* What protobuf-c writes into: the call's message. */
struct writer {
   ProtobufCBuffer buffer; /* first: append gets from it to the whole */
   struct kv_call *call;
   uint8_t *room;
   size_t filled;
   struct kv_values_large *next;
   bool refused;
};

static void append_large(struct writer *writer)
{
   struct kv_values_large *large = writer->next;
   writer->next = large->next;
   writer->refused |= !writer->room;
   if (!writer->refused)
      writer->refused = !kv_call_insert(writer->call, writer->filled, large->value,
                                        kv_value_release, large->kept);
   if (writer->refused)
      kv_value_release(large->kept);
}

/* protobuf-c hands over the bytes of a field as they are in the message: large ones are known by
 * their place. */
static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
   struct writer *writer = (struct writer *)buffer;
   if (writer->next && writer->next->value.data == data) {
      append_large(writer);
   } else if (writer->room && size > 0) {
      memcpy(writer->room + writer->filled, data, size);
      writer->filled += size;
   }
}

bool kv_values_encode(struct kv_values *values, struct kv_call *call,
                      const ProtobufCMessage *message)
{
   if (!values->first)
      return kv_message_encode(call, message);
   size_t size = protobuf_c_message_get_packed_size(message);
   for (const struct kv_values_large *large = values->first; large; large = large->next)
      size -= large->value.size;
   struct writer writer = {.buffer = {append},
                           .call = call,
                           .room = kv_call_message(call, size),
                           .next = values->first};
   protobuf_c_message_pack_to_buffer(message, &writer.buffer);
   values->last->next = values->spare;
   *values = (struct kv_values){.spare = values->first};
   if (writer.refused)
      kv_message_out_of_memory(call);
   return !writer.refused;
}
