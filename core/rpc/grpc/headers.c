#include "core/rpc/grpc/headers.h"

#include "core/rpc/call.h"
#include "core/rpc/limits.h"
#include "core/rpc/metadata.h"

#include <stdint.h>

#define NAME_SHOWN_MAX ((size_t)64)

/* gRPC exports this for its own tests only: it is in no header, and has a C++ name. Weak, so that
 * the server also runs on a gRPC without it. */
#define FLAG_COMPRESSED 0x80000000u
__attribute__((weak)) uint32_t
message_flags(grpc_call *call) __asm__("_Z37grpc_call_test_only_get_message_flagsP9grpc_call");

bool kv_grpc_is_flagged_compressed(grpc_call *call)
{
   return message_flags && (message_flags(call) & FLAG_COMPRESSED) != 0;
}

static enum kv_code refuse_name(grpc_slice name, const char *reason, struct kv_status *status)
{
   char shown[NAME_SHOWN_MAX + 1];
   size_t size = GRPC_SLICE_LENGTH(name);
   size = size < NAME_SHOWN_MAX ? size : NAME_SHOWN_MAX;
   for (size_t i = 0; i < size; i++) {
      uint8_t byte = GRPC_SLICE_START_PTR(name)[i];
      shown[i] = byte > ' ' && byte < 0x7f ? (char)byte : '?';
   }
   shown[size] = '\0';
   return kv_fail(status, KV_INTERNAL, "the header \"%s\" %s", shown, reason);
}

static enum kv_code check_name(grpc_slice name, struct kv_status *status)
{
   size_t size = GRPC_SLICE_LENGTH(name);
   if (size == 0)
      return kv_fail(status, KV_INTERNAL, "a header has no name");
   for (size_t i = 0; i < size; i++)
      if (!kv_metadata_is_name_byte(GRPC_SLICE_START_PTR(name)[i]))
         return refuse_name(name, "has characters other than a-z, 0-9, \"-\", \"_\" and \".\"",
                            status);
   if (kv_metadata_is_of_http1(kv_slice(GRPC_SLICE_START_PTR(name), size)))
      return refuse_name(name, "is not allowed in HTTP/2", status);
   return KV_OK;
}

enum kv_code kv_grpc_check_headers(const grpc_metadata_array *headers, struct kv_status *status)
{
   size_t size = 0;
   for (size_t i = 0; i < headers->count; i++) {
      const grpc_metadata *header = &headers->metadata[i];
      size += GRPC_SLICE_LENGTH(header->key) + GRPC_SLICE_LENGTH(header->value);
      if (check_name(header->key, status) != KV_OK)
         return status->code;
   }
   return size <= KV_RPC_METADATA_MAX ? KV_OK : kv_call_refuse_metadata(size, status);
}
