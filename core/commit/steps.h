/*
 * Deletions without a known end, done in steps that are short enough to have others wait for one:
 * of a range, and of the keys whose time has come.
 *
 * Threads: the committer alone.
 */
#ifndef KV_STEPS_H
#define KV_STEPS_H

#include "core/commit/evaluate.h"

/* The next step of the DELETE_RANGE that is the submission's only operation: one unit. Fills in the
 * submission's step_count, and `unfinished` with next_key where the range may have more; where the
 * submission's arena has no memory for that, the operation is refused with what is left of it.
 * False as kv_evaluate. */
bool kv_delete_range_step(const struct kv_evaluation *evaluation, struct kv_submission *submission);
/* Deletes at most so many of the keys whose time has come, each a unit, and says how many. Looks
 * for them no longer than deleting so many takes: it may find fewer than there are. False as
 * kv_evaluate. */
bool kv_expire_step(const struct kv_evaluation *evaluation, size_t max, size_t *count);

#endif
