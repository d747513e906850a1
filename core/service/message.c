#include "core/service/message.h"

#include "core/service/validate.h"
#include "core/support/invariant.h"

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a decoded request may take in memory beyond its own size. It limits a message to some
 * 100,000 operations: without it, two bytes on the wire become hundreds here. */
#define DECODED_EXTRA_MAX ((size_t)32 * 1024 * 1024)

/* Of an ErrorInfo: a reason, the domain, and a number as metadata. */
#define INFO_SIZE_MAX ((size_t)256)

/* Bytes of a name that an error's text shows. */
#define SHOWN_MAX ((size_t)128)

/* The size from which a request is worth releasing early. */
#define LARGE_REQUEST_SIZE ((size_t)64 * 1024)

struct decoding {
   struct kv_arena *arena;
   size_t left;
   bool has_too_many_parts, exhausted;
};

static void *allocate(void *context, size_t size)
{
   struct decoding *decoding = context;
   if (size > decoding->left) {
      decoding->has_too_many_parts = true;
      return NULL;
   }
   void *memory = kv_arena_alloc(decoding->arena, size);
   decoding->exhausted |= !memory;
   decoding->left -= size;
   return memory;
}

/* Freed with the arena. */
static void release(void *context, void *memory)
{
   (void)context;
   (void)memory;
}

void *kv_message_decode(struct kv_call *call, const ProtobufCMessageDescriptor *descriptor,
                        struct kv_slice request)
{
   struct kv_status status;
   void *message = kv_message_decode_into(kv_call_arena(call), call, descriptor, request, &status);
   if (!message)
      kv_message_fail(call, &status);
   return message;
}

void *kv_message_decode_into(struct kv_arena *arena, struct kv_call *call,
                             const ProtobufCMessageDescriptor *descriptor, struct kv_slice request,
                             struct kv_status *status)
{
   struct decoding decoding = {.arena = arena, .left = request.size + DECODED_EXTRA_MAX};
   ProtobufCAllocator allocator = {allocate, release, &decoding};
   void *message = protobuf_c_message_unpack(descriptor, &allocator, request.size, request.data);
   if (message && request.size >= LARGE_REQUEST_SIZE)
      kv_call_forget_request(call); /* all of it has been copied */
   if (message)
      return message;
   if (decoding.has_too_many_parts)
      kv_fail_reason(
          status, KV_RESOURCE_EXHAUSTED, "TOO_MANY_PARTS",
          "the request's %zu bytes have too many parts: decoding them would take more than %zu "
          "bytes on top; send fewer at once",
          request.size, DECODED_EXTRA_MAX);
   else if (decoding.exhausted)
      kv_call_exhausted(call, status);
   else
      kv_fail_reason(status, KV_INVALID_ARGUMENT, "REQUEST_MALFORMED",
                     "the request's %zu bytes are not a valid %s message", request.size,
                     descriptor->name);
   return NULL;
}

void *kv_message_alloc(struct kv_call *call, size_t size)
{
   void *memory = kv_arena_alloc(kv_call_arena(call), size);
   if (!memory)
      kv_message_out_of_memory(call);
   return memory;
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

/* `metadata` may be NULL. */
static size_t describe(const struct kv_status *status, const char *shown,
                       Google__Rpc__MapEntry *metadata, uint8_t details[KV_RPC_DETAILS_MAX])
{
   uint8_t packed_info[INFO_SIZE_MAX];
   Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
   info.reason = kv_message_bytes(kv_slice_of(status->reason));
   info.n_metadata = metadata ? 1 : 0;
   info.metadata = &metadata;
   info.domain = kv_message_bytes(kv_slice_of("kvstore"));
   KV_INVARIANT(google__rpc__error_info__get_packed_size(&info) <= sizeof packed_info);

   Google__Protobuf__Any detail = GOOGLE__PROTOBUF__ANY__INIT, *only = &detail;
   detail.type_url = "type.googleapis.com/google.rpc.ErrorInfo";
   detail.value =
       kv_message_bytes(kv_slice(packed_info, google__rpc__error_info__pack(&info, packed_info)));
   Google__Rpc__Status message = GOOGLE__RPC__STATUS__INIT;
   message.code = (int32_t)status->code;
   message.message = kv_message_bytes(kv_slice(shown, kv_validate_text(kv_slice_of(shown))));
   message.n_details = 1;
   message.details = &only;
   KV_INVARIANT(google__rpc__status__get_packed_size(&message) <= KV_RPC_DETAILS_MAX);
   return google__rpc__status__pack(&message, details);
}

size_t kv_message_describe(const struct kv_status *status, const char *shown,
                           uint8_t details[KV_RPC_DETAILS_MAX])
{
   return describe(status, shown, NULL, details);
}

/* Where there is no memory for it the client has code and text all the same. */
static void add_reason(struct kv_call *call, const struct kv_status *status,
                       Google__Rpc__MapEntry *metadata)
{
   char shown[KV_STATUS_TEXT_SIZE];
   uint8_t details[KV_RPC_DETAILS_MAX];
   kv_call_shown(call, status->text, shown);
   const size_t size = describe(status, shown, metadata, details);
   kv_call_add_metadata(call, KV_RPC_TRAILING, KV_RPC_STATUS_DETAILS, kv_slice(details, size));
}

void kv_message_fail(struct kv_call *call, const struct kv_status *status)
{
   if (status->reason)
      add_reason(call, status, NULL);
   kv_call_fail(call, status->code, status->text);
}

void kv_message_fail_numbered(struct kv_call *call, const struct kv_status *status,
                              const char *name, uint64_t value)
{
   char digits[24];
   snprintf(digits, sizeof digits, "%" PRIu64, value);
   Google__Rpc__MapEntry metadata = GOOGLE__RPC__MAP_ENTRY__INIT;
   metadata.key = kv_message_text(name);
   metadata.value = kv_message_text(digits);
   add_reason(call, status, &metadata);
   kv_call_fail(call, status->code, status->text);
}

void kv_message_out_of_memory(struct kv_call *call)
{
   struct kv_status status;
   kv_call_exhausted(call, &status);
   kv_message_fail(call, &status);
}

int kv_message_shown_size(ProtobufCBinaryData name)
{
   return (int)kv_validate_text(kv_slice(name.data, name.len < SHOWN_MAX ? name.len : SHOWN_MAX));
}

/* ---- Building ---- */

void *kv_build_array(struct kv_builder *builder, size_t size)
{
   void *memory = builder->exhausted ? NULL : kv_arena_alloc(builder->arena, size);
   builder->exhausted |= !memory;
   return memory;
}

void *kv_build(struct kv_builder *builder, const ProtobufCMessageDescriptor *descriptor)
{
   void *message = kv_build_array(builder, descriptor->sizeof_message);
   if (message)
      protobuf_c_message_init(descriptor, message);
   return message;
}

void *kv_build_list(struct kv_builder *builder, size_t count,
                    const ProtobufCMessageDescriptor *descriptor)
{
   void **list = kv_build_array(builder, count * sizeof *list);
   for (size_t i = 0; i < count && !builder->exhausted; i++)
      list[i] = kv_build(builder, descriptor);
   return builder->exhausted ? NULL : list;
}

ProtobufCBinaryData kv_build_text(struct kv_builder *builder, const char *text)
{
   struct kv_slice bytes = kv_slice_of(text);
   void *copy = kv_build_array(builder, bytes.size);
   if (copy && bytes.size > 0)
      memcpy(copy, bytes.data, bytes.size);
   return kv_message_bytes(kv_slice(copy, copy ? bytes.size : 0));
}

bool kv_builder_encode(const struct kv_builder *builder, struct kv_call *call,
                       const ProtobufCMessage *message)
{
   if (!builder->exhausted)
      return kv_message_encode(call, message);
   kv_message_out_of_memory(call);
   return false;
}

void kv_builder_reply(const struct kv_builder *builder, struct kv_call *call,
                      const ProtobufCMessage *message)
{
   if (kv_builder_encode(builder, call, message))
      kv_call_reply(call);
}
