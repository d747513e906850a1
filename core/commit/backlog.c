#include "core/commit/backlog.h"

#include "core/commit/decide.h"

/* What committing an operation takes, in bytes to be written: its own, and a microsecond or two, in
 * which a disk writes a thousand. */
#define OPERATION_COST ((size_t)1000)
/* Up to here a submission is small. */
#define SMALL_COST ((size_t)64 * 1024)
/* What a batch takes of large ones, but for a single larger operation, or one that is not divided:
 * some milliseconds. */
#define BATCH_COST ((size_t)4 * 1024 * 1024)

static size_t cost_of(const struct kv_operation *operation)
{
   if (operation->kind == KV_OPERATION_DELETE_RANGE)
      return BATCH_COST; /* of a step, see steps.h */
   size_t value = 0;
   if (operation->kind == KV_OPERATION_SET)
      value = operation->value.size;
   else if (operation->kind == KV_OPERATION_SET_EXPIRY)
      value = (size_t)operation->number;
   return OPERATION_COST + operation->key.size + value;
}

static bool is_small(const struct kv_submission *submission)
{
   size_t cost = 0;
   for (size_t i = 0; i < submission->count && cost <= SMALL_COST; i++)
      cost += cost_of(&submission->operations[i]);
   return cost <= SMALL_COST;
}

/* Gives the submission its part of a batch that has taken `taken` of large ones; false when it has
 * no space for any of it. An empty batch takes whatever comes first. */
static bool take_part(struct kv_submission *submission, size_t *taken)
{
   size_t end = submission->committed, total = *taken;
   for (; end < submission->count; end++) {
      size_t cost = cost_of(&submission->operations[end]);
      if (total > 0 && !submission->compound && total + cost > BATCH_COST)
         break;
      total += cost;
   }
   bool fits = *taken == 0 || total <= BATCH_COST;
   if (end == submission->committed || !fits)
      return false;
   submission->batch_end = end;
   *taken = total;
   return true;
}

static struct kv_submission **end_of(struct kv_submission **list)
{
   while (*list)
      list = &(*list)->next;
   return list;
}

void kv_backlog_separate(struct kv_backlog *backlog, struct kv_submission *batch)
{
   *end_of(&backlog->single) = batch;
}

bool kv_backlog_is_empty(const struct kv_backlog *backlog)
{
   return !backlog->large.first && !backlog->single && !backlog->arrived;
}

/* The next one that is a batch of its own. */
static struct kv_submission *take_single(struct kv_backlog *backlog)
{
   struct kv_submission *taken = backlog->single;
   backlog->single = taken->next;
   taken->next = NULL;
   return taken;
}

struct kv_submission *kv_backlog_next(struct kv_backlog *backlog, struct kv_submission *list)
{
   struct kv_submissions batch = {0};
   struct kv_submission *next;
   *end_of(&backlog->arrived) = list;
   if (backlog->single)
      return take_single(backlog);
   list = backlog->arrived;
   backlog->arrived = NULL;
   for (struct kv_submission *each = list; each; each = next) {
      next = each->next;
      each->committed = 0;
      each->batch_end = each->count;
      kv_submissions_append(is_small(each) ? &batch : &backlog->large, each);
   }
   size_t taken = 0;
   struct kv_submission *first;
   while ((first = backlog->large.first) && take_part(first, &taken)) {
      backlog->large.first = first->next;
      if (!first->next)
         backlog->large.last = NULL;
      kv_submissions_append(&batch, first);
      if (first->batch_end < first->count)
         break;
   }
   return batch.first;
}

/* What its last part has made of a submission; false: it is complete. */
static bool go_on(struct kv_submission *submission)
{
   if (submission->count != 1 || submission->operations[0].kind != KV_OPERATION_DELETE_RANGE) {
      submission->committed = submission->batch_end;
      return submission->committed < submission->count;
   }
   struct kv_operation *range = &submission->operations[0];
   range->number += submission->step_count;
   bool given_up =
       submission->unfinished && submission->cancelled && submission->cancelled(submission);
   if (given_up)
      kv_operation_refuse(range, KV_CANCELLED, NULL);
   if (!submission->unfinished || given_up) {
      submission->committed = 1;
      return false;
   }
   range->key = submission->next_key;
   submission->unfinished = false;
   return true;
}

struct kv_submission *kv_backlog_settle(struct kv_backlog *backlog, struct kv_submission *batch)
{
   struct kv_submissions complete = {0}, rest = {0}, ranges = {0};
   struct kv_submission *next;
   for (struct kv_submission *each = batch; each; each = next) {
      next = each->next;
      if (!go_on(each))
         kv_submissions_append(&complete, each);
      else
         kv_submissions_append(each->committed > 0 ? &rest : &ranges, each);
   }
   /* The last of the batch is the first in the next one; a range lets others go first. */
   kv_submissions_move(&rest, &backlog->large);
   kv_submissions_move(&rest, &ranges);
   backlog->large = rest;
   return complete.first;
}
