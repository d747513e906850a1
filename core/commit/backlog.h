/*
 * Which of the waiting submissions are committed next. Small ones are at once; of the large ones,
 * first come first served, as many operations as a batch may take of them: so a small write waits
 * for a part of them at most, however much waits. A submission that is not atomic is committed in
 * several batches where it does not fit into one. What was refused together is tried one by one.
 *
 * Threads: the committer alone.
 */
#ifndef KV_BACKLOG_H
#define KV_BACKLOG_H

#include "core/commit/commit.h"

/* A list in its order; zeroed: empty. */
struct kv_submissions {
   struct kv_submission *first, *last;
};

static inline void kv_submissions_append(struct kv_submissions *list,
                                         struct kv_submission *submission)
{
   submission->next = NULL;
   if (list->last)
      list->last->next = submission;
   else
      list->first = submission;
   list->last = submission;
}

/* Moves all that `from` holds behind what `to` does. */
static inline void kv_submissions_move(struct kv_submissions *to, struct kv_submissions *from)
{
   if (to->last)
      to->last->next = from->first;
   else
      to->first = from->first;
   if (from->last)
      to->last = from->last;
   *from = (struct kv_submissions){0};
}

struct kv_backlog {               /* zeroed: nothing waits */
   struct kv_submissions large;   /* the first may have been committed in part */
   struct kv_submission *apart;   /* each a batch of its own, before all others */
   struct kv_submission *arrived; /* since there is such a one; in their order */
};

/* Takes over a list and returns what is to be committed next, of it and of what has waited before;
 * NULL: nothing is. Each has its part in the batch: from `committed` to `batch_end`. */
struct kv_submission *kv_backlog_next(struct kv_backlog *backlog, struct kv_submission *list);
/* Has each of a batch that was refused be a batch of its own. */
void kv_backlog_part(struct kv_backlog *backlog, struct kv_submission *batch);
bool kv_backlog_is_empty(const struct kv_backlog *backlog);
/* Those of a batch that has been committed that are complete now; the rest waits again. */
struct kv_submission *kv_backlog_settle(struct kv_backlog *backlog, struct kv_submission *batch);

#endif
