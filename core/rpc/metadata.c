#include "core/rpc/metadata.h"

#include "core/rpc/call.h"
#include "core/rpc/engine.h"
#include "core/support/invariant.h"

/* Most names differ in their first byte; each header of each call is compared with many. */
static bool is(struct kv_slice name, const char *text)
{
   return name.size > 0 && *(const char *)name.data == text[0] &&
          kv_slice_compare(name, kv_slice_of(text)) == 0;
}

static bool is_among(struct kv_slice name, const char *const *texts, size_t count)
{
   for (size_t i = 0; i < count; i++)
      if (is(name, texts[i]))
         return true;
   return false;
}

bool kv_metadata_is_of_http1(struct kv_slice name)
{
   static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                       "transfer-encoding", "upgrade"};
   return is_among(name, names, sizeof names / sizeof names[0]);
}

bool kv_metadata_is_name(struct kv_slice name)
{
   /* What nearly every call has comes first. */
   static const char *const of_http[] = {"user-agent", "content-type", "te",     "content-length",
                                         "date",       "host",         "trailer"};
   return name.size > 0 && !is_among(name, of_http, sizeof of_http / sizeof of_http[0]) &&
          !kv_slice_begins_with(name, kv_slice_of(":")) &&
          !kv_slice_begins_with(name, kv_slice_of("grpc-")) && !kv_metadata_is_of_http1(name);
}

bool kv_metadata_is_binary(struct kv_slice name)
{
   const size_t size = sizeof "-bin" - 1;
   return name.size > size &&
          is(kv_slice((const char *)name.data + name.size - size, size), "-bin");
}

bool kv_metadata_is_name_byte(uint8_t byte)
{
   return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
          byte == '_' || byte == '.';
}

size_t kv_call_metadata(struct kv_call *call, const char *name, struct kv_slice *value)
{
   return kv_metadata_is_name(kv_slice_of(name)) ? call->engine->metadata(call, name, value) : 0;
}

static bool is_sendable(const char *name, struct kv_slice value)
{
   const char *bytes = value.data;
   if (!kv_metadata_is_name(kv_slice_of(name)) && !is(kv_slice_of(name), KV_RPC_STATUS_DETAILS))
      return false;
   for (size_t i = 0; name[i] != '\0'; i++)
      if (!kv_metadata_is_name_byte((uint8_t)name[i]))
         return false;
   bool binary = kv_metadata_is_binary(kv_slice_of(name));
   for (size_t i = 0; !binary && i < value.size; i++)
      if (bytes[i] < ' ' || bytes[i] > '~')
         return false;
   return true;
}

bool kv_call_add_metadata(struct kv_call *call, enum kv_rpc_metadata where, const char *name,
                          struct kv_slice value)
{
   KV_INVARIANT(is_sendable(name, value));
   call->keeps_arena = true;
   name = kv_arena_copy(&call->arena, name, strlen(name) + 1);
   const void *bytes = name ? kv_arena_copy(&call->arena, value.data, value.size) : NULL;
   return bytes && call->engine->add_metadata(call, where, name, kv_slice(bytes, value.size));
}
