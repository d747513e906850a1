/* What commit.c and targets.c share: the targets themselves, and how to get between two batches. */
#ifndef KV_COMMIT_INTERNAL_H
#define KV_COMMIT_INTERNAL_H

#include "core/commit/effects.h"
#include "core/commit/targets.h"

#include <pthread.h>

/* A key of the server's own (store.h): its put brings a sync where there is nothing else to
 * write. */
#define KV_SYNC_MARK "\0s"

/* The committer's, or, while it is paused, the control thread's. */
struct kv_targets {
   struct kv_store *store;
   struct kv_instance *active;
   struct kv_instance *standby;
   uint32_t standby_flags;           /* KVS_WRITE_* */
   struct kv_status standby_failure; /* KV_OK: it has taken every batch */
   struct kv_commit_observer observer;
   pthread_mutex_t lock;       /* to change, or to read on any other thread, what follows */
   struct kv_status read_only; /* KV_OK: writes are accepted */
};

void kv_targets_init(struct kv_targets *targets, struct kv_store *store);
void kv_targets_deinit(struct kv_targets *targets);
/* Whether a batch can be committed. */
enum kv_code kv_targets_check(const struct kv_targets *targets, struct kv_status *status);
/* The most durable that a batch can be. */
enum kv_durability kv_targets_offer(const struct kv_targets *targets);
/* Gives a batch to the instances, to be on stable storage if `synced`; KV_OK: it may be
 * acknowledged. */
enum kv_code kv_targets_write(struct kv_targets *targets, const struct kv_effects *effects,
                              bool synced, struct kv_status *status);
/* How durable everything up to `sequence` is, which the active instance has taken; `synced`: it was
 * told to sync that. */
enum kv_durability kv_targets_reached(const struct kv_targets *targets, uint64_t sequence,
                                      bool synced);
/* Tells the observer of a batch that has been published. */
void kv_targets_published(const struct kv_targets *targets, const struct kv_effects *effects);
/* Reports a batch that the active instance had no space for. */
void kv_targets_refused(const struct kv_targets *targets, const struct kv_status *status,
                        size_t changes);
/* Whether no instance waits in on_write. */
bool kv_targets_are_prompt(const struct kv_targets *targets);

struct kv_targets *kv_commit_targets(struct kv_commit *commit);
/* Returns between two batches; no further one begins before kv_commit_resume. Control thread. */
struct kv_targets *kv_commit_pause(struct kv_commit *commit);
void kv_commit_resume(struct kv_commit *commit);

#endif
