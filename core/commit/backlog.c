#include "core/commit/backlog.h"

/* Up to here a submission is small. */
#define SMALL_OPERATIONS 64
#define SMALL_BYTES ((size_t)64 * 1024)
/* What a batch takes of large ones, but for a single larger operation, or an atomic submission. At
 * a microsecond or two an operation a batch lasts some milliseconds, and so does writing the bytes.
 */
#define BATCH_OPERATIONS 4096
#define BATCH_BYTES ((size_t)4 * 1024 * 1024)

static size_t bytes_of(const struct kv_operation *operation)
{
   return operation->key.size + (operation->kind == KV_OPERATION_SET ? operation->value.size : 0);
}

static bool is_small(const struct kv_submission *submission)
{
   size_t bytes = 0;
   if (submission->count > SMALL_OPERATIONS)
      return false;
   for (size_t i = 0; i < submission->count && bytes <= SMALL_BYTES; i++)
      bytes += bytes_of(&submission->operations[i]);
   return bytes <= SMALL_BYTES;
}

/* A list that is appended to. */
struct list {
   struct kv_submission *first, *last;
};

static void append(struct list *list, struct kv_submission *submission)
{
   submission->next = NULL;
   if (list->last)
      list->last->next = submission;
   else
      list->first = submission;
   list->last = submission;
}

static void put_last(struct kv_backlog *backlog, struct kv_submission *submission)
{
   struct list list = {backlog->first, backlog->last};
   append(&list, submission);
   backlog->first = list.first;
   backlog->last = list.last;
}

/* What is left of a batch. */
struct room {
   size_t operations, bytes;
   bool untouched;
};

/* Gives the submission its part of the batch; false when there is no room for any of it. */
static bool take_part(struct kv_submission *submission, struct room *room)
{
   size_t end = submission->committed, bytes = 0;
   const size_t most = submission->atomic ? submission->count : end + room->operations;
   for (; end < submission->count && end < most; end++) {
      size_t more = bytes_of(&submission->operations[end]);
      bool first = room->untouched && end == submission->committed;
      if (!first && !submission->atomic && bytes + more > room->bytes)
         break;
      bytes += more;
   }
   size_t operations = end - submission->committed;
   bool fits = operations <= room->operations && bytes <= room->bytes;
   if (operations == 0 || (!fits && !room->untouched))
      return false;
   submission->batch_end = end;
   room->operations -= operations < room->operations ? operations : room->operations;
   room->bytes -= bytes < room->bytes ? bytes : room->bytes;
   room->untouched = false;
   return true;
}

static struct kv_submission **end_of(struct kv_submission **list)
{
   while (*list)
      list = &(*list)->next;
   return list;
}

void kv_backlog_part(struct kv_backlog *backlog, struct kv_submission *batch)
{
   *end_of(&backlog->apart) = batch;
}

bool kv_backlog_is_empty(const struct kv_backlog *backlog)
{
   return !backlog->first && !backlog->apart && !backlog->arrived;
}

/* The next one that is a batch of its own. */
static struct kv_submission *take_apart(struct kv_backlog *backlog)
{
   struct kv_submission *taken = backlog->apart;
   backlog->apart = taken->next;
   taken->next = NULL;
   return taken;
}

struct kv_submission *kv_backlog_next(struct kv_backlog *backlog, struct kv_submission *list)
{
   struct list batch = {0};
   struct kv_submission *next;
   *end_of(&backlog->arrived) = list;
   if (backlog->apart)
      return take_apart(backlog);
   list = backlog->arrived;
   backlog->arrived = NULL;
   for (struct kv_submission *each = list; each; each = next) {
      next = each->next;
      each->committed = 0;
      each->batch_end = each->count;
      if (is_small(each))
         append(&batch, each);
      else
         put_last(backlog, each);
   }
   struct room room = {BATCH_OPERATIONS, BATCH_BYTES, true};
   while (backlog->first && take_part(backlog->first, &room)) {
      struct kv_submission *taken = backlog->first;
      backlog->first = taken->next;
      if (!backlog->first)
         backlog->last = NULL;
      append(&batch, taken);
      if (taken->batch_end < taken->count)
         break;
   }
   return batch.first;
}

struct kv_submission *kv_backlog_settle(struct kv_backlog *backlog, struct kv_submission *batch)
{
   struct list complete = {0};
   struct kv_submission *next;
   for (struct kv_submission *each = batch; each; each = next) {
      next = each->next;
      each->committed = each->batch_end;
      if (each->committed == each->count) {
         append(&complete, each);
         continue;
      }
      each->next = backlog->first; /* the last of the batch: first in the next one */
      backlog->first = each;
      if (!backlog->last)
         backlog->last = each;
   }
   return complete.first;
}
