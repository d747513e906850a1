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

/* Copies a text into the arena, as a field has it. False when memory is out: the field is empty. */
bool kv_message_copy_text(struct kv_arena *arena, const char *text, ProtobufCBinaryData *field);

/* Encodes into the call's next message. False when memory is out; the call is then failed. */
bool kv_message_encode(struct kv_call *call, const ProtobufCMessage *message);

/* Encodes and replies (unary). */
void kv_message_reply(struct kv_call *call, const ProtobufCMessage *message);

/* Fails the call with a status. */
void kv_message_fail(struct kv_call *call, const struct kv_status *status);
/* Why the call has no memory (kv_call_exhausted); returns the code. */
enum kv_code kv_message_exhausted(const struct kv_call *call, struct kv_status *status);
/* Fails the call because memory is out. */
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
