#include "core/notify.h"

#include "core/support/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#define SHOW_EVERY_US 1000000

enum phase { LOADING, READY, STOPPING, ENDED };

struct kv_notify {
   struct kv_notify_owner owner;
   uint64_t watchdog_us; /* 0: none */
   pthread_t thread;
   bool running;

   pthread_mutex_t lock; /* for what follows */
   pthread_cond_t changed;
   enum phase phase;
   bool probing;
};

/* Nobody is helped by an error about a message that the manager did not get. */
static void show_load(const struct kv_notify *notify)
{
   int percent = notify->owner.percent(notify->owner.context);
   if (percent >= 0)
      (void)sd_notifyf(0, "STATUS=Loading the data: %d %%", percent);
   else
      (void)sd_notify(0, "STATUS=Loading the data");
}

/* With the lock, which it lets go of meanwhile, so that a probe that hangs delays no other step
 * than kv_notify_stopping. */
static void feed(struct kv_notify *notify)
{
   if (notify->watchdog_us == 0)
      return;
   if (notify->phase == READY) {
      notify->probing = true;
      pthread_mutex_unlock(&notify->lock);
      notify->owner.probe(notify->owner.context);
      pthread_mutex_lock(&notify->lock);
      notify->probing = false;
      pthread_cond_broadcast(&notify->changed);
   }
   (void)sd_notify(0, "WATCHDOG=1");
}

/* With the lock; returns when the phase changes, too. */
static void await(struct kv_notify *notify, enum phase phase, uint64_t pause_ms)
{
   uint64_t until_ms = kv_clock_monotonic_ms() + pause_ms;
   while (notify->phase == phase && kv_clock_wait(&notify->changed, &notify->lock, until_ms))
      ;
}

static void *run(void *argument)
{
   struct kv_notify *notify = argument;
   pthread_mutex_lock(&notify->lock);
   while (notify->phase != ENDED) {
      uint64_t pause_us = notify->watchdog_us / 2;
      enum phase phase = notify->phase;
      if (phase == LOADING)
         show_load(notify);
      feed(notify);
      if (phase == LOADING && (pause_us == 0 || pause_us > SHOW_EVERY_US))
         pause_us = SHOW_EVERY_US;
      if (pause_us > 0)
         await(notify, phase, pause_us / 1000);
      else
         while (notify->phase == phase)
            pthread_cond_wait(&notify->changed, &notify->lock);
   }
   pthread_mutex_unlock(&notify->lock);
   return NULL;
}

bool kv_notify_is_managed(void)
{
   return getenv("NOTIFY_SOCKET") != NULL;
}

struct kv_notify *kv_notify_create(const struct kv_notify_owner *owner, struct kv_status *status)
{
   struct kv_notify *notify = calloc(1, sizeof *notify);
   if (!notify) {
      kv_fail(status, KV_RESOURCE_EXHAUSTED, "out of memory to notify the service manager");
      return NULL;
   }
   notify->owner = *owner;
   if (sd_watchdog_enabled(0, &notify->watchdog_us) <= 0)
      notify->watchdog_us = 0;
   pthread_mutex_init(&notify->lock, NULL);
   kv_clock_init_condition(&notify->changed);
   if (!kv_notify_is_managed())
      return notify;
   int error = pthread_create(&notify->thread, NULL, run, notify);
   notify->running = error == 0;
   if (notify->running)
      return notify;
   kv_fail_errno(status, error, "cannot start the thread that notifies the service manager");
   kv_notify_destroy(notify);
   return NULL;
}

static void enter(struct kv_notify *notify, enum phase phase)
{
   pthread_mutex_lock(&notify->lock);
   notify->phase = phase;
   pthread_cond_broadcast(&notify->changed);
   while (notify->probing)
      pthread_cond_wait(&notify->changed, &notify->lock);
   pthread_mutex_unlock(&notify->lock);
}

void kv_notify_ready(struct kv_notify *notify)
{
   enter(notify, READY);
   (void)sd_notify(0, "READY=1\nSTATUS=Serving");
}

void kv_notify_reloading(void)
{
   (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading files again",
                    kv_clock_monotonic_ns() / 1000);
}

void kv_notify_stopping(struct kv_notify *notify)
{
   (void)sd_notify(0, "STOPPING=1\nSTATUS=Finishing the calls in flight");
   enter(notify, STOPPING);
}

void kv_notify_destroy(struct kv_notify *notify)
{
   enter(notify, ENDED);
   if (notify->running)
      pthread_join(notify->thread, NULL);
   pthread_cond_destroy(&notify->changed);
   pthread_mutex_destroy(&notify->lock);
   free(notify);
}

enum kv_code kv_notify_sockets(unsigned *count, struct kv_status *status)
{
   int found = sd_listen_fds(1);
   if (found < 0)
      return kv_fail_errno(status, -found,
                           "cannot take the sockets of the service manager (LISTEN_FDS)");
   *count = (unsigned)found;
   return KV_OK;
}
