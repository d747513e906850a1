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
 * for the control thread, but once in millions of changes where it commits by itself and sequences
 * have to be reserved (kv_commit_reserve_with). Where no instance waits in on_write
 * (KVS_PLUGIN_PROMPT) kv_commit_flush commits by itself, after the batch in memory that another
 * worker may be committing just then.
 *
 * `done`: that worker's in kv_commit_flush, or one of the pipeline. It must not block.
 *
 * Keys whose time has come are deleted by the thread of the pipeline, a bounded number in each
 * batch, as records like all others. An operation sees them as missing, whether they are deleted
 * yet or not, by the clock at the beginning of its batch.
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

enum kv_operation_kind {
   KV_OPERATION_SET,
   KV_OPERATION_DELETE,
   KV_OPERATION_GET,
   KV_OPERATION_INCREMENT,
   KV_OPERATION_SET_EXPIRY,
   /* Deletes all keys from `key` on and below `value` (empty: no end), in parts of which each is a
    * batch. Alone in its submission, which is no compound. */
   KV_OPERATION_DELETE_RANGE,
};

/* What must hold for an operation to be carried out. */
enum kv_condition_kind {
   KV_CONDITION_NONE,
   KV_CONDITION_EXISTS,
   KV_CONDITION_MISSING,
   KV_CONDITION_VERSION, /* the key has that version; 0: it is missing */
   KV_CONDITION_VALUE,   /* the key is there and has that value */
};

struct kv_condition {
   enum kv_condition_kind kind;
   uint64_t version;
   struct kv_slice value;
};

/* When what is written expires. */
enum kv_expiry_kind { KV_EXPIRY_NEVER, KV_EXPIRY_KEEP, KV_EXPIRY_AT };

struct kv_expiry {
   enum kv_expiry_kind kind;
   int64_t at_ms; /* Unix time */
};

/* What few operations ask for. */
struct kv_terms {
   struct kv_condition condition;
   struct kv_expiry expiry;
   int64_t delta, initial; /* INCREMENT */
   bool return_previous;   /* SET, DELETE */
   bool omit_value;        /* GET: its size is the result, as `number` */
};

/* An entry as it was before an operation; in the submission's arena. */
struct kv_previous {
   struct kv_slice value;
   uint64_t version;
   int64_t expires_at; /* Unix ms; 0: never */
};

/* Why an operation, or a compound, was refused; reasons for programs (docs/errors.md). */
#define KV_REASON_MEMORY_FULL "MEMORY_FULL"                       /* RESOURCE_EXHAUSTED */
#define KV_REASON_ANSWER_TOO_LARGE "ANSWER_TOO_LARGE"             /* RESOURCE_EXHAUSTED */
#define KV_REASON_REQUEST_TOO_LARGE "REQUEST_TOO_LARGE"           /* RESOURCE_EXHAUSTED */
#define KV_REASON_CONDITION_NOT_MET "CONDITION_NOT_MET"           /* FAILED_PRECONDITION */
#define KV_REASON_NOT_AN_INTEGER "NOT_AN_INTEGER"                 /* FAILED_PRECONDITION */
#define KV_REASON_INTEGER_OVERFLOW "INTEGER_OVERFLOW"             /* FAILED_PRECONDITION */
#define KV_REASON_KEY_NOT_FOUND "KEY_NOT_FOUND"                   /* NOT_FOUND */
#define KV_REASON_DURABILITY_NOT_OFFERED "DURABILITY_NOT_OFFERED" /* FAILED_PRECONDITION */
#define KV_REASON_REQUEST_ID_REUSED "REQUEST_ID_REUSED"           /* INVALID_ARGUMENT */

struct kv_operation {
   enum kv_operation_kind kind;
   enum kv_code code;     /* the result: KV_OK, or why this operation alone was refused */
   const char *reason;    /* then: KV_REASON_* */
   struct kv_slice key;   /* already validated */
   struct kv_slice value; /* SET: what to store. GET: the result, in the submission's arena */
   const struct kv_terms *terms; /* NULL: none */
   bool found;                   /* the result: the key was there; of a GET, is */
   /* The result. GET: of the entry. A write: of its change, 0 when it made none. Where a condition
    * was not met: the key's as it stands, 0 when it is missing. */
   uint64_t version;
   int64_t expires_at; /* GET, the result: Unix ms; 0: never */
   /* The result: the sum; DELETE_RANGE: keys deleted so far. SET_EXPIRY, beforehand: how large the
    * value is, about, which is written again. */
   int64_t number;
   const struct kv_previous *previous; /* the result, where asked for; NULL: it was missing */
   struct kv_entry *entry;             /* private to the pipeline */
};

/* How durable a write is; each includes those before it. */
enum kv_durability {
   KV_DURABILITY_DEFAULT, /* what the active instance does */
   KV_DURABILITY_MEMORY,
   KV_DURABILITY_WRITTEN, /* survives the process */
   KV_DURABILITY_SYNCED,  /* survives the machine's power */
};

struct kv_requirement {
   struct kv_slice key;
   struct kv_condition condition; /* of a kind */
};

/* By the entry of its key, NULL: there is none, and Unix time. Any thread that holds the entry. */
bool kv_requirement_holds(const struct kv_requirement *requirement, const struct kv_entry *entry,
                          int64_t now_ms);

struct kv_submission;

/* A request that is remembered with its answer, so that its repetition gets the same. */
struct kv_remembered {
   struct kv_slice key;    /* a hidden one (store.h) that stands for caller and id */
   struct kv_slice digest; /* of method and request: another one with the same id is refused */
   int64_t expires_at;     /* until when; Unix ms */
   /* Encodes the answer into the submission's arena, from its results, all but the durability that
    * is reached. data is NULL when memory runs out. Committer. */
   struct kv_slice (*encode)(const struct kv_submission *submission);
};

/* Operations that happen all at once or not at all, and what decides it: if every comparison holds,
 * those before `otherwise` are carried out, else those from there on. One that fails makes the
 * whole fail. */
struct kv_compound {
   const struct kv_requirement *comparisons;
   size_t comparison_count;
   size_t otherwise;                    /* the submission's count: there are none */
   const struct kv_remembered *request; /* NULL: it is not remembered */
   /* The result. */
   enum kv_code code; /* KV_OK, or why nothing has happened */
   const char *reason;
   size_t failed;  /* the operation that is to blame; SIZE_MAX: none of them alone */
   bool succeeded; /* the comparisons held */
   /* Of the last change; of the state where nothing was changed; of a repetition: of what was
    * remembered with the first. */
   uint64_t version;
   bool repeated;          /* it was carried out before, and `answer` was encoded then */
   struct kv_slice answer; /* in the submission's arena */
};

/* The keys of the first of them, as many as are looked up side by side (kv_version_prefetch).
 * Returns how many. Any thread. */
size_t kv_operations_keys(const struct kv_operation *operations, size_t count,
                          struct kv_slice keys[KV_PREFETCH_KEYS_MAX]);

/* A group of operations. A compound, or a small one (backlog.h), is evaluated, logged and published
 * together; another one in parts, in their order, with other submissions in between. The submitter
 * owns it and all it points to, and keeps both until `done` has been called. */
struct kv_submission {
   struct kv_operation *operations;
   size_t count;
   struct kv_compound *compound; /* all or nothing; NULL: each operation for itself */
   /* What is asked for; what the active instance does not offer is refused: every operation, or
    * the compound, with KV_REASON_DURABILITY_NOT_OFFERED. A repetition is not. */
   enum kv_durability durability;
   enum kv_durability reached; /* the result: at least */
   /* For results, for what SET_EXPIRY and INCREMENT store, and for a compound; NULL: of none. */
   struct kv_arena *arena;
   size_t result_max; /* limit on the sum of the values got, of previous ones, and of those that
                       * SET_EXPIRY writes again, in bytes. One that would exceed it is refused with
                       * RESOURCE_EXHAUSTED */
   /* Called exactly once. `status` is NULL when the submission was committed; then each operation
    * has its own result. Otherwise only the first `committed` of them have; nothing of the others
    * happened. A compound that is `repeated` has its answer in either case: it was carried out
    * before, whatever the state is now. */
   void (*done)(struct kv_submission *submission, const struct kv_status *status);
   size_t committed;         /* operations of it that have been committed */
   size_t batch_end;         /* private to the pipeline: where its part of the batch ends */
   size_t result_before;     /* private: result_max before its part of the batch */
   bool unfinished;          /* private: its DELETE_RANGE may have more, from next_key on */
   struct kv_slice next_key; /* private */
   int64_t step_count;       /* private: keys deleted by the last step */
   /* May be NULL. Asked between the parts of a DELETE_RANGE: whether the rest is no longer wanted;
    * then it is complete, with KV_CANCELLED for the operation. Any thread. */
   bool (*cancelled)(const struct kv_submission *submission);
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
   uint64_t expired;   /* of these: keys of clients, deleted as their time had come */
   uint64_t buckets[KV_BATCH_BUCKETS];
   uint64_t queued; /* submissions that wait to be taken, now */
};

/* Starts the thread. Until there is an active plug-in (targets.h) submissions are refused as
 * UNAVAILABLE. NULL with `status`. */
struct kv_commit *kv_commit_create(struct kv_store *store, const struct kv_commit_options *options,
                                   struct kv_status *status);
/* Commits what has been submitted, then ends the thread. No submission may follow. */
void kv_commit_destroy(struct kv_commit *commit);

/* Before changes get sequences above the last one that `reserve` has returned it is called by the
 * committer with the highest of them, and returns up to which one they may. Before there is an
 * active plug-in. */
void kv_commit_reserve_with(struct kv_commit *commit,
                            uint64_t (*reserve)(void *context, uint64_t sequence), void *context);

/* Puts a submission behind those that the worker has added in this turn. */
void kv_commit_add(struct kv_commit *commit, unsigned worker, struct kv_submission *submission);
/* Submits what the worker has added, at the end of its turn. It is committed together and in this
 * order; large ones (backlog.h) after the others, and in several batches where one is not enough.
 */
void kv_commit_flush(struct kv_commit *commit, unsigned worker);

/* No key is deleted any more because its time has come; reads go on passing over those. Returns
 * when no batch deletes one. */
void kv_commit_stop_expiring(struct kv_commit *commit);

/* Whether the values that changes replace are given to the observer (targets.h). Any thread; holds
 * from one of the next batches on. */
void kv_commit_keep_previous(struct kv_commit *commit, bool keep);

/* While batches are committed, the figures may be of different moments. Any thread. */
void kv_commit_read_statistics(struct kv_commit *commit, struct kv_commit_statistics *statistics);

#endif
