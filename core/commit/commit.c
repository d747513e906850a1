#include "core/commit/commit.h"

#include "core/commit/backlog.h"
#include "core/commit/completer.h"
#include "core/commit/internal.h"
#include "core/support/cache_line.h"
#include "core/support/invariant.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A submitter waits its turn to commit for itself: first at once, for as long as a few writes take,
 * then asleep, for as long as some batches take. From another thread than the one that handles the
 * call's connection an answer costs more, as gRPC makes the two wait for each other. */
#define OWN_TURN_TRIES 100
#define OWN_TURN_WAIT_NS 1000000

/* What a worker has added in its turn. Its own until flushed. */
struct turn {
   _Alignas(KV_CACHE_LINE) struct kv_submission *first;
   struct kv_submission *last;
};

struct kv_commit {
   struct kv_store *store;
   struct kv_commit_options options;
   struct turn *turns; /* one a worker */
   pthread_t thread;
   struct kv_completer *completer; /* the commit thread's */

   /* Shared. Submitters push in front; the committer takes the whole list. Who pushes onto the
    * empty list sees to its being committed, so a busy pipeline costs its callers no wake-up. */
   _Atomic(struct kv_submission *) waiting;
   atomic_bool more;   /* `backlog` holds some */
   atomic_bool prompt; /* no plug-in of `targets` waits in on_write */
   atomic_bool stopping;
   sem_t work;
   atomic_bool pause_wanted; /* by the control thread */
   sem_t paused, resumed;

   /* Held by who commits a batch: the committer. Guards the following. */
   pthread_mutex_t committer;
   struct kv_reader *reader;
   struct kv_targets targets;
   struct kv_effects effects;
   struct kv_backlog backlog;
};

/* ---- Batches ---- */

static enum kv_code evaluate_all(struct kv_commit *commit, struct kv_submission *batch,
                                 struct kv_transaction *transaction, struct kv_status *status)
{
   kv_effects_reset(&commit->effects, kv_version_sequence(kv_reader_pin(commit->reader)));
   kv_reader_unpin(commit->reader);
   for (; batch; batch = batch->next)
      if (!kv_evaluate(batch, transaction, commit->options.memory_max, &commit->effects))
         return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                        "the server is out of memory; nothing was changed");
   return KV_OK;
}

/* The plug-in has no room for a batch. One of several may be too large for what is left: it must
 * not keep the others, least of all deletes, from being committed. True when they are tried anew.
 */
static bool try_apart(struct kv_commit *commit, struct kv_submission *batch,
                      const struct kv_status *status)
{
   if (!batch->next) {
      kv_targets_refused(&commit->targets, status, commit->effects.count);
      return false;
   }
   for (struct kv_submission *each = batch; each; each = each->next)
      kv_evaluate_again(each);
   kv_backlog_part(&commit->backlog, batch);
   return true;
}

/* *apart: nothing was done, and each of the batch will be a batch of its own. */
static enum kv_code commit_batch(struct kv_commit *commit, struct kv_submission *batch, bool *apart,
                                 struct kv_status *status)
{
   *apart = false;
   if (kv_targets_check(&commit->targets, status) != KV_OK)
      return status->code;
   struct kv_transaction *transaction = kv_store_begin(commit->store);
   if (!transaction)
      return kv_fail(status, KV_RESOURCE_EXHAUSTED,
                     "the server is out of memory; nothing was changed");

   enum kv_code code = evaluate_all(commit, batch, transaction, status);
   if (code == KV_OK && commit->effects.count > 0) {
      code = kv_targets_write(&commit->targets, &commit->effects, status);
      *apart = code == KV_RESOURCE_EXHAUSTED && try_apart(commit, batch, status);
   }
   if (code == KV_OK && commit->effects.count > 0)
      kv_transaction_publish(transaction, commit->effects.last_sequence);
   else
      kv_transaction_abort(transaction);
   return code;
}

/* ---- The thread ---- */

/* Puts a list in front of another one, in reverse. */
static struct kv_submission *turn_over(struct kv_submission *list, struct kv_submission *onto)
{
   while (list) {
      struct kv_submission *next = list->next;
      list->next = onto;
      onto = list;
      list = next;
   }
   return onto;
}

/* The caller is the committer and ceases to be, with what is done of what was waiting and of `last`
 * (may be NULL) in *batch, in the order in which it was submitted, committed or refused as *status
 * says. It is to tell the callers, and to reclaim what the batch has replaced: the next committer
 * need wait for neither. */
static enum kv_code commit_taken(struct kv_commit *commit, struct kv_submission *last,
                                 struct kv_submission **batch, struct kv_status *status)
{
   struct kv_backlog *backlog = &commit->backlog;
   *batch = kv_backlog_next(backlog, turn_over(atomic_exchange(&commit->waiting, NULL), last));
   bool apart = false;
   enum kv_code code = *batch ? commit_batch(commit, *batch, &apart, status) : KV_OK;
   if (apart) {
      *batch = NULL;
      code = KV_OK;
   }
   if (code == KV_OK)
      *batch = kv_backlog_settle(backlog, *batch);
   atomic_store(&commit->more, !kv_backlog_is_empty(backlog));
   pthread_mutex_unlock(&commit->committer);
   for (struct kv_submission *each = code == KV_OK ? NULL : *batch; each; each = each->next)
      kv_drop_prepared(each);
   return code;
}

/* Submitters leave their work to the one that they find committing, so the caller has to come back
 * when true is returned. */
static bool is_awaited(struct kv_commit *commit)
{
   /* A write, if only of the same value: a submitter that pushes after it has seen the unlock. */
   struct kv_submission *none = NULL;
   return !atomic_compare_exchange_strong(&commit->waiting, &none, NULL);
}

static void wait_for(sem_t *semaphore)
{
   while (sem_wait(semaphore) != 0)
      KV_INVARIANT(errno == EINTR);
}

/* Lets the control thread in between two batches, when it wants to. The caller is the committer. */
static void pause_if_wanted(struct kv_commit *commit)
{
   if (!atomic_exchange(&commit->pause_wanted, false))
      return;
   sem_post(&commit->paused);
   wait_for(&commit->resumed);
}

/* A clock that is set back meanwhile lengthens the wait, at most until the mutex is free. */
static bool lock_soon(pthread_mutex_t *mutex)
{
   for (unsigned tries = OWN_TURN_TRIES; tries > 0; tries--) {
      if (pthread_mutex_trylock(mutex) == 0)
         return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
   }
   struct timespec until;
   clock_gettime(CLOCK_REALTIME, &until);
   until.tv_nsec += OWN_TURN_WAIT_NS;
   until.tv_sec += until.tv_nsec / 1000000000;
   until.tv_nsec %= 1000000000;
   return pthread_mutex_timedlock(mutex, &until) == 0;
}

/* Whether the caller has become the committer, where submitters may: no plug-in waits. */
static bool become_committer(struct kv_commit *commit, bool waits)
{
   if (!atomic_load(&commit->prompt))
      return false;
   if (waits ? !lock_soon(&commit->committer) : pthread_mutex_trylock(&commit->committer) != 0)
      return false;
   if (atomic_load(&commit->prompt))
      return true;
   pthread_mutex_unlock(&commit->committer);
   return false;
}

/* Whoever commits sees what waits; where that can be the commit thread alone, it is woken. */
static void leave_to_others(struct kv_commit *commit)
{
   if (!atomic_load(&commit->prompt))
      sem_post(&commit->work);
}

/* The caller is the committer: commits what waits and `last` (may be NULL), then what has come
 * meanwhile. What a batch has no room for is left to the commit thread. */
static void commit_here(struct kv_commit *commit, struct kv_submission *last)
{
   do {
      struct kv_submission *batch;
      struct kv_status status;
      enum kv_code code = commit_taken(commit, last, &batch, &status);
      last = NULL;
      kv_complete(batch, code == KV_OK ? NULL : &status);
      kv_store_reclaim(commit->store);
      if (atomic_load(&commit->more)) {
         sem_post(&commit->work);
         return;
      }
      if (!is_awaited(commit))
         return;
   } while (become_committer(commit, false));
   leave_to_others(commit);
}

/* One turn of the commit thread; true when there is more to do. While it has more, another thread
 * tells the callers: the disk need not wait for that. */
static bool commit_on_thread(struct kv_commit *commit)
{
   struct kv_submission *batch;
   struct kv_status failure;
   enum kv_code code = commit_taken(commit, NULL, &batch, &failure);
   const struct kv_status *status = code == KV_OK ? NULL : &failure;
   bool given = batch && atomic_load(&commit->waiting) &&
                kv_completer_give(commit->completer, batch, status);
   if (!given)
      kv_complete(batch, status);
   kv_store_reclaim(commit->store);
   return given || atomic_load(&commit->more) || is_awaited(commit);
}

static void *run(void *argument)
{
   struct kv_commit *commit = argument;
   for (;;) {
      pthread_mutex_lock(&commit->committer);
      pause_if_wanted(commit);
      if (commit_on_thread(commit))
         continue;
      if (atomic_load(&commit->stopping))
         return NULL;
      wait_for(&commit->work);
   }
}

/* ---- Interface ---- */

static void release(struct kv_commit *commit)
{
   if (commit->completer)
      kv_completer_destroy(commit->completer);
   if (commit->reader)
      kv_reader_destroy(commit->reader);
   free(commit->turns);
   kv_effects_deinit(&commit->effects);
   kv_targets_deinit(&commit->targets);
   pthread_mutex_destroy(&commit->committer);
   sem_destroy(&commit->work);
   sem_destroy(&commit->paused);
   sem_destroy(&commit->resumed);
   free(commit);
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
   commit->store = store;
   commit->options = *options;
   commit->reader = kv_reader_create(store);
   pthread_mutex_init(&commit->committer, NULL);
   kv_targets_init(&commit->targets, store);
   sem_init(&commit->work, 0, 0);
   sem_init(&commit->paused, 0, 0);
   sem_init(&commit->resumed, 0, 0);
   commit->completer = kv_completer_create(status);
   if (!commit->completer)
      goto out;
   commit->turns = aligned_alloc(KV_CACHE_LINE, options->workers * sizeof *commit->turns);
   if (commit->turns)
      memset(commit->turns, 0, options->workers * sizeof *commit->turns);
   int error = commit->reader && commit->turns ? pthread_create(&commit->thread, NULL, run, commit)
                                               : ENOMEM;
   if (error == 0)
      return commit;
   kv_fail_errno(status, error, "cannot start the commit thread");
out:
   release(commit);
   return NULL;
}

void kv_commit_destroy(struct kv_commit *commit)
{
   atomic_store(&commit->stopping, true);
   sem_post(&commit->work);
   pthread_join(commit->thread, NULL);
   release(commit);
}

static void submit(struct kv_commit *commit, struct kv_submission *list)
{
   if (become_committer(commit, true)) {
      commit_here(commit, list);
      return;
   }
   struct kv_submission *newest = turn_over(list, NULL);
   struct kv_submission *waiting = atomic_load_explicit(&commit->waiting, memory_order_relaxed);
   do
      list->next = waiting;
   while (!atomic_compare_exchange_weak(&commit->waiting, &waiting, newest));
   if (waiting)
      return;
   if (become_committer(commit, false))
      commit_here(commit, NULL);
   else
      leave_to_others(commit);
}

void kv_commit_add(struct kv_commit *commit, unsigned worker, struct kv_submission *submission)
{
   struct turn *turn = &commit->turns[worker];
   submission->next = NULL;
   if (turn->last)
      turn->last->next = submission;
   else
      turn->first = submission;
   turn->last = submission;
   kv_prepare(submission);
}

void kv_commit_flush(struct kv_commit *commit, unsigned worker)
{
   struct turn *turn = &commit->turns[worker];
   struct kv_submission *list = turn->first;
   turn->first = turn->last = NULL;
   if (list)
      submit(commit, list);
}

/* ---- For targets.c ---- */

struct kv_targets *kv_commit_targets(struct kv_commit *commit)
{
   return &commit->targets;
}

struct kv_targets *kv_commit_pause(struct kv_commit *commit)
{
   atomic_store(&commit->pause_wanted, true);
   sem_post(&commit->work);
   wait_for(&commit->paused);
   return &commit->targets;
}

void kv_commit_resume(struct kv_commit *commit)
{
   atomic_store(&commit->prompt, kv_targets_are_prompt(&commit->targets));
   sem_post(&commit->resumed);
}
