/* Keys: all keys that the store holds, from one consistent view. */
#include "core/service/internal.h"
#include "core/service/walk.h"

/* A gRPC message cannot be larger than its 32-bit length; stay clear of signed 32 bits. */
#define REPLY_SIZE_MAX ((size_t)INT32_MAX - 1024)

enum { KEYS_RESPONSE_KEYS = 1 }; /* its field number */

/* Two walks over one view: the first measures the reply, the second writes it. */
struct keys {
   struct kv_walk walk;
   size_t size; /* of the reply: measured so far, then all */
   bool writing;
   struct kv_writer writer;
};

static void refuse_size(struct kv_call *call)
{
   struct kv_status status;
   kv_fail_reason(&status, KV_RESOURCE_EXHAUSTED, KV_REASON_ANSWER_TOO_LARGE,
                  "the keys do not fit into one message; use kvstore.v1.KeyValueService/Scan, "
                  "which sends them in parts");
   kv_message_fail(call, &status);
}

/* Returns false at the end of the walk. */
static bool walk_keys(struct keys *keys)
{
   enum kv_walk_found found;
   const struct kv_entry *entry;
   kv_walk_rest(&keys->walk);
   while ((found = kv_walk_next(&keys->walk, &entry)) == KV_WALK_ENTRY)
      if (keys->writing)
         kv_writer_bytes(&keys->writer, KEYS_RESPONSE_KEYS, kv_entry_key(entry));
      else
         keys->size += kv_field_size(kv_entry_key(entry).size);
   return found != KV_WALK_END;
}

static void continue_keys(void *context, struct kv_call *call)
{
   (void)context;
   struct keys *keys = *kv_call_state(call);
   struct kv_walk walk = keys->walk; /* outlives the call */
   if (kv_call_is_cancelled(call)) {
      kv_walk_end(&walk);
      kv_call_fail(call, KV_CANCELLED, "the call has been cancelled");
   } else if (walk_keys(keys)) {
      kv_call_yield(call, continue_keys);
   } else if (keys->writing) {
      kv_walk_end(&keys->walk);
      kv_call_reply(call);
   } else if (keys->size > REPLY_SIZE_MAX) {
      kv_walk_end(&keys->walk);
      refuse_size(call);
   } else if (kv_writer_begin(&keys->writer, call, keys->size, 0)) {
      keys->writing = true;
      kv_walk_rewind(&keys->walk);
      kv_call_yield(call, continue_keys);
   } else {
      kv_walk_end(&walk);
   }
}

void kv_service_keys(void *context, struct kv_call *call, struct kv_slice request)
{
   struct kv_service *service = context;
   if (!kv_service_request(service, call, &kvstore__keys_request__descriptor, request))
      return;
   struct keys *keys = kv_message_alloc(call, sizeof *keys);
   if (!keys)
      return;
   *keys = (struct keys){0};
   const struct kv_key_range all = {.start = KV_KEY_FIRST};
   if (!kv_walk_begin(&keys->walk, service->config.store, &all, false)) {
      kv_message_out_of_memory(call);
      return;
   }
   *kv_call_state(call) = keys;
   continue_keys(service, call);
}
