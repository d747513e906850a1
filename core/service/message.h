/*
 * Protobuf messages on calls: decoding into the call's arena, encoding straight into its reply.
 *
 * Threads: as for the call.
 */
#ifndef KV_MESSAGE_H
#define KV_MESSAGE_H

#include "core/rpc/rpc.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* The decoded request, owned by the call's arena; or NULL, and the call has been failed. Strings
 * are bytes as sent: nothing about them has been checked. */
void *kv_message_decode(struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                        struct kv_slice request);

/* The same, owned by another arena: of a stream that has many requests. NULL with `status`: the
 * call is not failed yet. */
void *kv_message_decode_into(struct kv_arena *arena, struct kv_call *call,
                             const ProtobufCMessageDescriptor *descriptor, struct kv_slice request,
                             struct kv_status *status);

/* Memory of the call's arena; or NULL, and the call has been failed. */
void *kv_message_alloc(struct kv_call *call, size_t size);

/* Encodes into the call's next message. False when memory runs out; the call is then failed. */
bool kv_message_encode(struct kv_call *call, const ProtobufCMessage *message);

/* Encodes and replies (unary). */
void kv_message_reply(struct kv_call *call, const ProtobufCMessage *message);

/* Builds a reply in a call's arena. Once memory has run out nothing more is added, and the reply
 * must not be sent. */
struct kv_builder {
   struct kv_arena *arena;
   bool exhausted;
};
/* These return NULL, or an empty field, when memory runs out. A message with its defaults: */
void *kv_build(struct kv_builder *builder, const ProtobufCMessageDescriptor *descriptor);
/* `count` of them, as a repeated field has them: */
void *kv_build_list(struct kv_builder *builder, size_t count,
                    const ProtobufCMessageDescriptor *descriptor);
/* `size` bytes, not initialized: */
void *kv_build_array(struct kv_builder *builder, size_t size);
/* A copy of a text: */
ProtobufCBinaryData kv_build_text(struct kv_builder *builder, const char *text);
/* As kv_message_encode and kv_message_reply, of what was built. */
bool kv_builder_encode(const struct kv_builder *builder, struct kv_call *call,
                       const ProtobufCMessage *message);
void kv_builder_reply(const struct kv_builder *builder, struct kv_call *call,
                      const ProtobufCMessage *message);

/* How many bytes of a name in a request an error's text shows: whole characters, for "%.*s". */
int kv_message_shown_size(ProtobufCBinaryData name);

/* Fails the call with a status; its reason goes along as a google.rpc.ErrorInfo. */
void kv_message_fail(struct kv_call *call, const struct kv_status *status);
/* The same; `value`, in decimal digits, goes along in the ErrorInfo's metadata under `name`. The
 * status has a reason. */
void kv_message_fail_numbered(struct kv_call *call, const struct kv_status *status,
                              const char *name, uint64_t value);
/* For kv_rpc_options.describe. */
size_t kv_message_describe(const struct kv_status *status, const char *shown,
                           uint8_t details[KV_RPC_DETAILS_MAX]);
/* Fails the call because memory runs out. */
void kv_message_out_of_memory(struct kv_call *call);

static inline ProtobufCBinaryData kv_message_bytes(struct kv_slice bytes)
{
   return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)bytes.data};
}

static inline ProtobufCBinaryData kv_message_text(const char *text)
{
   return kv_message_bytes(kv_slice_of(text));
}

#endif
