/*
 * Compounds: operations that happen all at once or not at all, on conditions, and are remembered if
 * asked. All of it is decided, against the working version and what the compound itself would have
 * changed by then, before anything is changed: so one that fails leaves no trace in a batch that
 * others share.
 *
 * Threads: the committer alone.
 */
#ifndef KV_COMPOUND_H
#define KV_COMPOUND_H

#include "core/commit/evaluate.h"

/* The largest answer that is remembered, in bytes. */
#define KV_REMEMBERED_ANSWER_MAX ((size_t)64 * 1024)

/* Whether the submission is a compound that is remembered, by a version and Unix time: it repeats
 * one that was carried out, or is another one with the same id and refused. Then it has its
 * results. */
bool kv_compound_is_remembered(const struct kv_version *version, int64_t now_ms,
                               struct kv_submission *submission);
/* Of one that is not remembered. False as kv_evaluate. */
bool kv_compound_evaluate(const struct kv_evaluation *evaluation, struct kv_submission *submission);

#endif
