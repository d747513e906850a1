#include "core/service/internal.h"

/* A worker whose backlog holds that much submits it before it looks for more: together they cost
 * hardly less, and the first one has waited. */
#define SUBMISSIONS_MAX 16
#define OPERATIONS_MAX 200

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

static void submit_backlog(void *context, unsigned worker)
{
   struct kv_service *service = context;
   struct kv_service_thread *thread = &service->threads[worker];
   struct kv_submission *first = thread->first;
   if (!first)
      return;
   thread->first = thread->last = NULL;
   thread->submissions = thread->operations = 0;
   kv_commit_submit(service->config.commit, first);
}

void kv_service_submit(struct kv_service *service, struct kv_call *call,
                       struct kv_submission *submission)
{
   unsigned worker = kv_call_worker(call);
   struct kv_service_thread *thread = &service->threads[worker];
   size_t entries = size_of_entries(submission);
   if (entries > ENTRIES_SIZE_MIN && !kv_call_take(call, entries)) {
      kv_message_out_of_memory(call);
      return;
   }
   submission->next = NULL;
   if (thread->last)
      thread->last->next = submission;
   else
      thread->first = submission;
   thread->last = submission;
   thread->submissions++;
   thread->operations += submission->count;
   if (thread->submissions >= SUBMISSIONS_MAX || thread->operations >= OPERATIONS_MAX)
      submit_backlog(service, worker);
   else
      kv_call_defer(call, submit_backlog);
}
