/*
 * The commit pipeline: one writer that turns waiting submissions into batches.
 *
 * A batch is what waits, but for large submissions, of which it takes a part only (backlog.h). For
 * each batch, in this order: evaluate every operation against a private working version of the
 * store; give the effects to the plug-in as one batch (its return is the acknowledgement); publish
 * the version; complete the submissions. So nothing is readable before it could be acknowledged, a
 * rejected batch changes nothing, and callers that wait while a batch is being made durable share
 * the next one (group commit).
 *
 * Threads, and who waits for whom
 *
 * kv_commit_add and kv_commit_flush: that of the worker that is named. It never waits for a disk or
 * for the control thread. Where no instance waits in on_write (KVS_PLUGIN_PROMPT) kv_commit_flush
 * commits by itself, after the batch in memory that another worker may be committing just then.
 *
 * `done`: that worker's in kv_commit_flush, or one of the pipeline. It must not block.
 *
 * A submission waits for the batch in flight, and while the control thread changes the instances
 * (targets.h), which may take an fsync of the ACTIVE record, or a checkpoint.
 */
#ifndef KV_COMMIT_H
#define KV_COMMIT_H

#include "core/host/instance.h"
#include "core/store/store.h"
#include "core/support/arena.h"
#include "core/support/histogram.h"
#include "core/support/slice.h"
#include "core/support/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_commit;

enum kv_operation_kind { KV_OPERATION_SET, KV_OPERATION_DELETE, KV_OPERATION_GET };

struct kv_operation {
   enum kv_operation_kind kind;
   struct kv_slice key;    /* already validated */
   struct kv_slice value;  /* SET: what to store. GET: the result, in the submission's arena */
   bool found;             /* DELETE, GET: the result: the key existed */
   enum kv_code code;      /* the result: KV_OK, or why this operation alone was refused */
   struct kv_entry *entry; /* private to the pipeline */
};

/* The keys of the first of them, as many as are looked up side by side (kv_version_prefetch).
 * Returns how many. Any thread. */
size_t kv_operations_keys(const struct kv_operation *operations, size_t count,
                          struct kv_slice keys[KV_PREFETCH_KEYS_MAX]);

/* A group of operations. One that is atomic, or small (backlog.h), is evaluated, logged and
 * published together; another one in parts, in their order, with other submissions in between. The
 * submitter owns it and all it points to, and keeps both until `done` has been called. */
struct kv_submission {
   struct kv_operation *operations;
   size_t count;
   bool atomic;            /* all or nothing */
   bool refused;           /* the result: atomic, and the memory limit has no space for all of it */
   struct kv_arena *arena; /* for results of GET */
   size_t result_max; /* limit on the sum of the values got, in bytes; 0 = no GET in it. One that
                       * would exceed it is refused with RESOURCE_EXHAUSTED */
   /* Called exactly once. `status` is NULL when the submission was committed; then each operation
    * has its own result. Otherwise only the first `committed` of them have; nothing of the others
    * happened. */
   void (*done)(struct kv_submission *submission, const struct kv_status *status);
   size_t committed;           /* operations of it that have been committed */
   size_t batch_end;           /* private to the pipeline: where its part of the batch ends */
   struct kv_submission *next; /* private to the pipeline */
};

struct kv_commit_options {
   unsigned workers;    /* threads that submit, at least one */
   uint64_t memory_max; /* limit on the sum of key and value sizes; 0 = none */
   uint64_t key_cost;   /* what each key counts in that sum beside its size */
};

/* How many changes a batch has, less one, by powers of two: the buckets end at 1, 2, 4, ...
 * changes. The last one takes all above a million. */
#define KV_BATCH_SHAPE ((struct kv_histogram_shape){0, KV_BATCH_BUCKETS})
#define KV_BATCH_BUCKETS KV_HISTOGRAM_SIZE(0, 20)

/* Counted since the start. A batch without a change is none here. */
struct kv_commit_statistics {
   uint64_t
       failed_batches; /* refused by the plug-in, or for want of memory; none while read-only */
   uint64_t changes;   /* of those that were committed */
   uint64_t buckets[KV_BATCH_BUCKETS];
   uint64_t queued; /* submissions that wait to be taken, now */
};

/* Starts the thread. Until there is an active plug-in (targets.h) submissions are refused as
 * UNAVAILABLE. NULL with `status`. */
struct kv_commit *kv_commit_create(struct kv_store *store, const struct kv_commit_options *options,
                                   struct kv_status *status);
/* Commits what has been submitted, then ends the thread. No submission may follow. */
void kv_commit_destroy(struct kv_commit *commit);

/* Puts a submission behind those that the worker has added in this turn. */
void kv_commit_add(struct kv_commit *commit, unsigned worker, struct kv_submission *submission);
/* Submits what the worker has added, at the end of its turn. It is committed together and in this
 * order; large ones (backlog.h) after the others, and in several batches where one is not enough.
 */
void kv_commit_flush(struct kv_commit *commit, unsigned worker);

/* While batches are committed, the figures may be of different moments. Any thread. */
void kv_commit_read_statistics(struct kv_commit *commit, struct kv_commit_statistics *statistics);

#endif
