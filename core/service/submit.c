#include "core/service/internal.h"

/* What the commit pipeline makes of a submission before it is its turn: entries of the store. */
#define ENTRY_OVERHEAD 64
/* Up to here that is in what any call is charged with. */
#define ENTRIES_SIZE_MIN 4096

static size_t size_of_entries(const struct kv_submission *submission)
{
   size_t size = 0;
   for (size_t i = 0; i < submission->count; i++) {
      const struct kv_operation *operation = &submission->operations[i];
      if (operation->kind == KV_OPERATION_SET)
         size += ENTRY_OVERHEAD + operation->key.size + operation->value.size;
   }
   return size;
}

void kv_service_submit(struct kv_service *service, struct kv_call *call,
                       struct kv_submission *submission)
{
   size_t entries = size_of_entries(submission);
   if (entries > ENTRIES_SIZE_MIN && !kv_call_take(call, entries))
      kv_message_out_of_memory(call);
   else
      kv_commit_add(service->config.commit, kv_call_worker(call), submission);
}

void kv_service_turn_end(void *context, unsigned worker)
{
   const struct kv_service *service = context;
   kv_commit_flush(service->config.commit, worker);
}
