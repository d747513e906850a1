#include "core/service/guesses.h"

#include "core/support/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct guess {
   uint64_t network;
   uint64_t due_ms;
   struct kv_call *call; /* NULL: answered already */
};

struct kv_guesses {
   unsigned delay_ms;
   void (*answer)(struct kv_call *call);
   pthread_t thread;
   pthread_mutex_t lock; /* of all that follows */
   pthread_cond_t changed;
   bool released, ended;
   unsigned first, calls;
   atomic_uint count;
   struct guess all[KV_GUESSES_MAX]; /* a ring: the delay is the same for all */
};

static struct guess take_first(struct kv_guesses *guesses)
{
   struct guess guess = guesses->all[guesses->first];
   guesses->first = (guesses->first + 1) % KV_GUESSES_MAX;
   guesses->calls -= guess.call != NULL;
   atomic_fetch_sub(&guesses->count, 1);
   return guess;
}

static bool is_due(const struct kv_guesses *guesses)
{
   return guesses->released || guesses->all[guesses->first].due_ms <= kv_clock_monotonic_ms();
}

static void *run(void *context)
{
   struct kv_guesses *guesses = context;
   pthread_mutex_lock(&guesses->lock);
   while (!guesses->ended || atomic_load(&guesses->count) > 0) {
      if (atomic_load(&guesses->count) == 0) {
         pthread_cond_wait(&guesses->changed, &guesses->lock);
      } else if (!is_due(guesses)) {
         kv_clock_wait(&guesses->changed, &guesses->lock, guesses->all[guesses->first].due_ms);
      } else {
         struct guess guess = take_first(guesses);
         pthread_mutex_unlock(&guesses->lock);
         if (guess.call)
            guesses->answer(guess.call);
         pthread_mutex_lock(&guesses->lock);
      }
   }
   pthread_mutex_unlock(&guesses->lock);
   return NULL;
}

struct kv_guesses *kv_guesses_create(unsigned delay_ms, void (*answer)(struct kv_call *call),
                                     struct kv_status *status)
{
   struct kv_guesses *guesses = calloc(1, sizeof *guesses);
   if (!guesses) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory for the tokens that are guessed");
      return NULL;
   }
   guesses->delay_ms = delay_ms;
   guesses->answer = answer;
   pthread_mutex_init(&guesses->lock, NULL);
   kv_clock_init_condition(&guesses->changed);
   int error = pthread_create(&guesses->thread, NULL, run, guesses);
   if (error == 0)
      return guesses;
   pthread_cond_destroy(&guesses->changed);
   pthread_mutex_destroy(&guesses->lock);
   free(guesses);
   kv_fail_errno(status, error, "cannot start a thread for late answers");
   return NULL;
}

static void release(struct kv_guesses *guesses, bool ended)
{
   pthread_mutex_lock(&guesses->lock);
   guesses->released = true;
   guesses->ended |= ended;
   pthread_cond_signal(&guesses->changed);
   pthread_mutex_unlock(&guesses->lock);
}

void kv_guesses_release(struct kv_guesses *guesses)
{
   release(guesses, false);
}

void kv_guesses_destroy(struct kv_guesses *guesses)
{
   release(guesses, true);
   pthread_join(guesses->thread, NULL);
   pthread_cond_destroy(&guesses->changed);
   pthread_mutex_destroy(&guesses->lock);
   free(guesses);
}

bool kv_guesses_are_too_many(struct kv_guesses *guesses, uint64_t network)
{
   unsigned found = 0;
   if (atomic_load(&guesses->count) < KV_GUESSES_OF_NETWORK)
      return false;
   pthread_mutex_lock(&guesses->lock);
   for (unsigned i = 0; i < atomic_load(&guesses->count); i++)
      found += guesses->all[(guesses->first + i) % KV_GUESSES_MAX].network == network;
   pthread_mutex_unlock(&guesses->lock);
   return found >= KV_GUESSES_OF_NETWORK;
}

/* With the lock held: whether the call is kept. */
static bool keep(struct kv_guesses *guesses, uint64_t network, struct kv_call *call)
{
   unsigned count = atomic_load(&guesses->count);
   bool held = call && guesses->calls < KV_GUESSES_CALLS_MAX;
   if (guesses->released || count == KV_GUESSES_MAX)
      return false;
   guesses->all[(guesses->first + count) % KV_GUESSES_MAX] =
       (struct guess){.network = network,
                      .due_ms = kv_clock_monotonic_ms() + guesses->delay_ms,
                      .call = held ? call : NULL};
   guesses->calls += held;
   atomic_store(&guesses->count, count + 1);
   if (count == 0)
      pthread_cond_signal(&guesses->changed);
   return held;
}

void kv_guesses_add(struct kv_guesses *guesses, uint64_t network, struct kv_call *call)
{
   pthread_mutex_lock(&guesses->lock);
   bool held = keep(guesses, network, call);
   pthread_mutex_unlock(&guesses->lock);
   if (call && !held)
      guesses->answer(call);
}
