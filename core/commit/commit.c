/*
 * The queue of what has been flushed, and its committer: the one thread at a time that commits.
 *
 *        +--------+   a worker flushes, and no instance waits   +---------+
 *        |        | ------------------------------------------> | WORKER  | -- one batch --+
 *        |        |                                             +---------+                |
 *        |        |   anything is queued or left over           +---------+                |
 *        | NOBODY | ------------------------------------------> | THREAD  | -- one batch --+
 *        |        |                                             +---------+                |
 *        |        |   kv_commit_pause, before the others        +---------+                |
 *        |        | ------------------------------------------> | CONTROL | -- resume -----+
 *        +--------+                                             +---------+                |
 *             ^                                                                            |
 *             +----------------------------------------------------------------------------+
 *
 * A committer takes all that is queued. Where no instance waits a worker commits for itself, and
 * waits while another worker does: to leave it to the thread takes two switches of threads, and an
 * answer costs more from another thread than from the one that has the connection (on engine grpc,
 * without that wait, 0.91 of the calls a second and 1.09 of the processor time a call, for Set on 8
 * connections of 16 calls). What a worker finds the others doing it leaves to the thread.
 */
#include "core/commit/commit.h"

#include "core/commit/backlog.h"
#include "core/commit/completer.h"
#include "core/commit/pipeline.h"
#include "core/support/cache_line.h"
#include "core/support/clock.h"
#include "core/support/invariant.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How many of the keys whose time has come a batch deletes: about two milliseconds of work for the
 * thread; a worker has others waiting. */
#define EXPIRE_BY_THREAD 1000
#define EXPIRE_BY_WORKER 100
/* Between two batches that delete such keys alone: a log is given no more of them than a disk
 * writes beside its syncs, 30 MiB a second, and a processor is left to the calls. */
#define EXPIRE_REST_MS 1
/* How long they wait for others to be deleted with, each time being a batch that a disk may have to
 * sync; and how long after a failure. */
#define EXPIRE_PAUSE_MS 100
#define EXPIRE_RETRY_MS 1000
/* The longest wait for a key's time to come: the clock that it goes by may be set. */
#define EXPIRE_LOOK_MS 1000

enum committer { NOBODY, WORKER, THREAD, CONTROL };

/* What a worker has added in its turn. */
struct turn {
   _Alignas(KV_CACHE_LINE) struct kv_submissions added;
   uint64_t count; /* of them */
};

struct kv_commit {
   struct turn *turns; /* one a worker, its own */
   pthread_t thread;
   struct kv_completer *completer; /* the commit thread's */

   /* The committer's. */
   struct kv_pipeline pipeline;
   struct kv_backlog backlog;

   pthread_mutex_t lock; /* for the following */
   pthread_cond_t idle;  /* nobody commits: the control thread and workers wait for that */
   pthread_cond_t work;  /* the thread waits for it */
   enum committer committer;
   struct kv_submissions queue; /* flushed, not taken yet */
   uint64_t queued;             /* how many those are */
   bool leftover;               /* the backlog holds some */
   bool prompt;                 /* no instance waits in on_write */
   int64_t expires_first;       /* as the pipeline's */
   uint64_t expire_after_ms;    /* not before that; monotonic */
   uint64_t batches;            /* that committers are done with */
   unsigned waiting;            /* workers that wait for another one to have committed */
   bool pause_wanted, stopping;
   bool expires; /* until kv_commit_stop_expiring */
};

static bool has_work(const struct kv_commit *commit)
{
   return commit->committer == NOBODY && !commit->pause_wanted &&
          (commit->leftover || commit->queue.first);
}

/* Whether keys may have to be deleted because their time has come. */
static bool expiry_is_due(const struct kv_commit *commit)
{
   return commit->expires && commit->expires_first != INT64_MAX &&
          commit->expires_first <= kv_clock_unix_ms() &&
          commit->expire_after_ms <= kv_clock_monotonic_ms();
}

/* With the lock held. A worker that waits takes the work itself. */
static void offer_work(struct kv_commit *commit)
{
   if (has_work(commit) && commit->waiting == 0)
      pthread_cond_signal(&commit->work);
}

static void cease(struct kv_commit *commit)
{
   commit->committer = NOBODY;
   commit->batches++;
   pthread_cond_broadcast(&commit->idle);
   offer_work(commit);
}

/* Commits one batch of `taken` and of what is left over. Returns those that are complete, in the
 * order in which they were flushed: committed, or refused as *status says. */
static struct kv_submission *commit_taken(struct kv_commit *commit, struct kv_submission *taken,
                                          size_t expire, struct kv_status *status)
{
   bool separate;
   struct kv_submission *batch = kv_backlog_next(&commit->backlog, taken);
   status->code = kv_pipeline_commit(&commit->pipeline, batch, expire, &separate, status);
   if (status->code == KV_OK)
      return kv_backlog_settle(&commit->backlog, batch);
   if (separate) {
      kv_backlog_separate(&commit->backlog, batch);
      return NULL;
   }
   for (struct kv_submission *each = batch; each; each = each->next)
      kv_drop_prepared(each);
   return batch;
}

/* With the lock held: when to look again for keys whose time has come, after a batch that was to
 * delete so many. */
static void note_expiry(struct kv_commit *commit, size_t expire, bool failed)
{
   if (commit->pipeline.expires_first < commit->expires_first)
      pthread_cond_signal(&commit->work); /* the thread waits for a later time, or for none */
   commit->expires_first = commit->pipeline.expires_first;
   if (expire == 0)
      return;
   const uint64_t now_ms = kv_clock_monotonic_ms();
   if (failed)
      commit->expire_after_ms = now_ms + EXPIRE_RETRY_MS;
   else if (commit->expires_first > kv_clock_unix_ms())
      commit->expire_after_ms = now_ms + EXPIRE_PAUSE_MS;
   else
      commit->expire_after_ms = now_ms + EXPIRE_REST_MS;
}

/* With the lock held, but for the time that it takes: commits a batch as `committer`, which the
 * caller is no longer when it completes the submissions and reclaims what they have replaced. While
 * the thread has more to do, the completer does the former: the disk need not wait for that. The
 * caller has looked whether expiry is due: the clock may be set back before a second look. */
static void commit_batch(struct kv_commit *commit, enum committer committer, bool expiry_due)
{
   struct kv_submission *taken = commit->queue.first;
   struct kv_status status;
   const size_t most = committer == THREAD ? EXPIRE_BY_THREAD : EXPIRE_BY_WORKER;
   const size_t expire = expiry_due ? most : 0;
   KV_INVARIANT(commit->committer == NOBODY && (has_work(commit) || expire > 0));
   commit->committer = committer;
   commit->queue = (struct kv_submissions){0};
   commit->queued = 0;
   pthread_mutex_unlock(&commit->lock);

   struct kv_submission *batch = commit_taken(commit, taken, expire, &status);
   const struct kv_status *failure = status.code == KV_OK ? NULL : &status;
   bool leftover = !kv_backlog_is_empty(&commit->backlog);

   pthread_mutex_lock(&commit->lock);
   commit->leftover = leftover;
   note_expiry(commit, expire, failure);
   cease(commit);
   bool beside = committer == THREAD && has_work(commit) && batch;
   pthread_mutex_unlock(&commit->lock);

   if (!beside || !kv_completer_give(commit->completer, batch, failure))
      kv_complete(batch, failure);
   kv_store_reclaim(commit->pipeline.store);
   pthread_mutex_lock(&commit->lock);
}

/* With the lock held: waits for work, for the next key's time, or for a clock that was set. Where a
 * worker commits just then it deletes some of those keys itself. */
static void await_work(struct kv_commit *commit)
{
   if (!commit->expires || commit->expires_first == INT64_MAX) {
      pthread_cond_wait(&commit->work, &commit->lock);
      return;
   }
   const int64_t left = commit->expires_first - kv_clock_unix_ms();
   const uint64_t now_ms = kv_clock_monotonic_ms();
   uint64_t until_ms = now_ms + EXPIRE_LOOK_MS;
   if (left < EXPIRE_LOOK_MS)
      until_ms = now_ms + (left > 0 ? (uint64_t)left : 1);
   if (until_ms < commit->expire_after_ms)
      until_ms = commit->expire_after_ms;
   kv_clock_wait(&commit->work, &commit->lock, until_ms);
}

static void *run(void *argument)
{
   struct kv_commit *commit = argument;
   pthread_mutex_lock(&commit->lock);
   for (;;) {
      bool is_free = commit->committer == NOBODY && !commit->pause_wanted;
      const bool expiry_due = expiry_is_due(commit);
      if (has_work(commit) || (is_free && !commit->stopping && expiry_due))
         commit_batch(commit, THREAD, expiry_due);
      else if (commit->stopping)
         break;
      else
         await_work(commit);
   }
   pthread_mutex_unlock(&commit->lock);
   return NULL;
}

/* ---- Workers ---- */

void kv_commit_add(struct kv_commit *commit, unsigned worker, struct kv_submission *submission)
{
   kv_submissions_append(&commit->turns[worker].added, submission);
   commit->turns[worker].count++;
   kv_prepare(submission);
}

/* Waits, with the lock held, for the batch that another worker commits, and for no other: who
 * commits the next one has taken all that was queued by then. */
static void await_worker(struct kv_commit *commit)
{
   uint64_t batches = commit->batches;
   commit->waiting++;
   while (commit->committer == WORKER && commit->batches == batches)
      pthread_cond_wait(&commit->idle, &commit->lock);
   commit->waiting--;
}

void kv_commit_flush(struct kv_commit *commit, unsigned worker)
{
   struct turn *turn = &commit->turns[worker];
   if (!turn->added.first)
      return;
   pthread_mutex_lock(&commit->lock);
   kv_submissions_move(&commit->queue, &turn->added);
   commit->queued += turn->count;
   turn->count = 0;
   await_worker(commit);
   if (commit->prompt && has_work(commit))
      commit_batch(commit, WORKER, expiry_is_due(commit));
   else
      offer_work(commit);
   pthread_mutex_unlock(&commit->lock);
}

void kv_commit_reserve_with(struct kv_commit *commit,
                            uint64_t (*reserve)(void *context, uint64_t sequence), void *context)
{
   commit->pipeline.reserve = reserve;
   commit->pipeline.reserve_context = context;
}

void kv_commit_stop_expiring(struct kv_commit *commit)
{
   pthread_mutex_lock(&commit->lock);
   commit->expires = false;
   const uint64_t batches = commit->batches;
   while (commit->committer != NOBODY && commit->batches == batches)
      pthread_cond_wait(&commit->idle, &commit->lock);
   pthread_mutex_unlock(&commit->lock);
}

void kv_commit_keep_previous(struct kv_commit *commit, bool keep)
{
   atomic_store_explicit(&commit->pipeline.keep_replaced, keep, memory_order_relaxed);
}

void kv_commit_read_statistics(struct kv_commit *commit, struct kv_commit_statistics *statistics)
{
   kv_pipeline_read_figures(&commit->pipeline, statistics);
   pthread_mutex_lock(&commit->lock);
   statistics->queued = commit->queued;
   pthread_mutex_unlock(&commit->lock);
}

/* ---- For targets.c ---- */

struct kv_targets *kv_commit_targets(struct kv_commit *commit)
{
   return &commit->pipeline.targets;
}

struct kv_targets *kv_commit_pause(struct kv_commit *commit)
{
   pthread_mutex_lock(&commit->lock);
   commit->pause_wanted = true;
   while (commit->committer != NOBODY)
      pthread_cond_wait(&commit->idle, &commit->lock);
   commit->pause_wanted = false;
   commit->committer = CONTROL;
   pthread_mutex_unlock(&commit->lock);
   return &commit->pipeline.targets;
}

void kv_commit_resume(struct kv_commit *commit)
{
   kv_pipeline_look(&commit->pipeline);
   pthread_mutex_lock(&commit->lock);
   commit->prompt = kv_targets_are_prompt(&commit->pipeline.targets);
   commit->expires_first = commit->pipeline.expires_first;
   pthread_cond_signal(&commit->work); /* the thread may wait for a later time, or for none */
   cease(commit);
   pthread_mutex_unlock(&commit->lock);
}

/* ---- Life ---- */

static void release(struct kv_commit *commit)
{
   if (commit->completer)
      kv_completer_destroy(commit->completer);
   kv_pipeline_deinit(&commit->pipeline);
   pthread_mutex_destroy(&commit->lock);
   pthread_cond_destroy(&commit->idle);
   pthread_cond_destroy(&commit->work);
   free(commit->turns);
   free(commit);
}

static struct turn *create_turns(unsigned workers)
{
   struct turn *turns = aligned_alloc(KV_CACHE_LINE, workers * sizeof *turns);
   if (turns)
      memset(turns, 0, workers * sizeof *turns);
   return turns;
}

struct kv_commit *kv_commit_create(struct kv_store *store, const struct kv_commit_options *options,
                                   struct kv_status *status)
{
   KV_INVARIANT(options->workers > 0);
   struct kv_commit *commit = calloc(1, sizeof *commit);
   if (!commit) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the commit pipeline");
      return NULL;
   }
   pthread_mutex_init(&commit->lock, NULL);
   pthread_cond_init(&commit->idle, NULL);
   kv_clock_init_condition(&commit->work);
   commit->expires_first = INT64_MAX;
   commit->prompt = true; /* there is no instance */
   commit->expires = true;
   commit->turns = create_turns(options->workers);
   const struct kv_data_limit limit = {options->memory_max, options->key_cost};
   bool ready = kv_pipeline_init(&commit->pipeline, store, limit) && commit->turns;
   commit->completer = kv_completer_create(status);
   if (!commit->completer)
      goto out;
   int error = ready ? pthread_create(&commit->thread, NULL, run, commit) : ENOMEM;
   if (error == 0)
      return commit;
   kv_fail_errno(status, error, "cannot start the commit thread");
out:
   release(commit);
   return NULL;
}

void kv_commit_destroy(struct kv_commit *commit)
{
   pthread_mutex_lock(&commit->lock);
   commit->stopping = true;
   pthread_cond_signal(&commit->work);
   pthread_mutex_unlock(&commit->lock);
   pthread_join(commit->thread, NULL);
   release(commit);
}
