/*
 * Which of the waiting submissions are committed next. A batch has all small ones, and of the large
 * ones, first come first served, as much as it may take: so a small write waits for one part of
 * them at most, however much waits. A submission that is no compound is committed in several
 * batches where it does not fit into one. Submissions that were refused together are tried one by
 * one.
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
   struct kv_submission *single;  /* each a batch of its own, before all others */
   struct kv_submission *arrived; /* while there is such a one; in their order */
};

/* Takes over a list and returns the next batch, of it and of what has waited before; NULL when
 * nothing waits. Each submission's part in the batch is from `committed` to `batch_end`. */
struct kv_submission *kv_backlog_next(struct kv_backlog *backlog, struct kv_submission *list);
/* Makes each submission of a batch that was refused a batch of its own. */
void kv_backlog_separate(struct kv_backlog *backlog, struct kv_submission *batch);
bool kv_backlog_is_empty(const struct kv_backlog *backlog);
/* Of a batch that has been committed, returns the submissions that are complete; what is left of
 * the others waits again. */
struct kv_submission *kv_backlog_settle(struct kv_backlog *backlog, struct kv_submission *batch);

#endif
