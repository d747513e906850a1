/*
 * Completes a batch beside the next one: answering takes the processor, syncing waits for the disk,
 * and neither needs the other.
 *
 * Its thread takes one batch at a time; a committer that finds it busy completes its batch itself,
 * so that no queue builds up.
 */
#ifndef KV_COMPLETER_H
#define KV_COMPLETER_H

#include "core/commit/commit.h"

#include <stdbool.h>

/* Calls `done` of each submission of a list, in order, which gives it back to its owner. */
void kv_complete(struct kv_submission *batch, const struct kv_status *status);

struct kv_completer;

/* Starts the thread. NULL with `status`. */
struct kv_completer *kv_completer_create(struct kv_status *status);
/* Completes what it was given, then ends the thread. */
void kv_completer_destroy(struct kv_completer *completer);

/* Has the thread complete the list; `status`, which may be NULL, is copied. Returns false when the
 * thread is busy; then the list is still the caller's. One caller at a time. */
bool kv_completer_give(struct kv_completer *completer, struct kv_submission *batch,
                       const struct kv_status *status);

#endif
