/*
 * Sees to it that no version of a key is given out twice, also where a crash loses changes that
 * somebody has seen: else a condition on a lost version could hold for something else, and a watch
 * could go on behind changes that it was never told of.
 *
 * Promises
 *  - Sequences are reserved on disk, many at a time, before changes get them.
 *  - A start whose data ends below what was reserved goes on above that. Where the record of it is
 *    damaged it leaves a gap as large as what is reserved at a time.
 *  - An orderly stop gives back those that no change got, so that the next start goes on where it
 *    was.
 *
 * Threads: one at a time. The committer reserves; begin and end when there is none.
 */
#ifndef KV_VERSIONS_H
#define KV_VERSIONS_H

#include "core/datadir/data_directory.h"
#include "core/store/store.h"

struct kv_versions {
   struct kv_data_directory *directory;
   struct kv_versions_record record;
   bool failing; /* and the log has said so */
};

/* Which sequences the data has that was loaded at `loaded`. Each is the one before or above it;
 * only changes between `known` and `first` may have been made and lost. */
struct kv_versions_start {
   uint64_t loaded;
   uint64_t known; /* the same data had it at an earlier start */
   uint64_t first; /* it has this from now on */
};

/* Fills in `known` and `first`, and reserves some. Fails when it cannot. */
enum kv_code kv_versions_begin(struct kv_versions *versions, struct kv_data_directory *directory,
                               struct kv_versions_start *start, struct kv_status *status);
/* Before changes up to `sequence` are made (kv_commit_reserve_with), or other data is published
 * at it: up to which one they may be made without another call. Where the disk fails that is
 * logged, and writes go on. */
uint64_t kv_versions_reserve(void *versions, uint64_t sequence);
/* The active mode has kept what it keeps of the store, and no change will be made any more. */
enum kv_code kv_versions_end(struct kv_versions *versions, struct kv_store *store,
                             struct kv_status *status);

#endif
