#include "storage/pace.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/* How often it looks whether somebody waits. */
#define NAP_MAX_NS ((uint64_t)20 * 1000000)
/* How much of a delay may be made up for. */
#define RUSH_MAX_NS ((uint64_t)50 * 1000000)

#define NS_PER_S 1000000000u

static uint64_t now_ns(void)
{
   struct timespec now;
   clock_gettime(CLOCK_MONOTONIC, &now);
   return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool is_awaited(const kvs_host *host)
{
   return host->size >= offsetof(kvs_host, awaited) + sizeof host->awaited && host->awaited &&
          host->awaited(host);
}

void storage_pace_begin(struct storage_pace *pace, const kvs_host *host, const kvs_tick *tick,
                        uint64_t rate)
{
   *pace = (struct storage_pace){.host = host, .begin_ns = now_ns()};
   if (tick->reason == KVS_TICK_PERIODIC)
      pace->rate = rate;
}

void storage_pace_keep(struct storage_pace *pace, uint64_t done)
{
   if (pace->rate == 0)
      return;
   const uint64_t needed_ns = (uint64_t)((double)done * NS_PER_S / (double)pace->rate);
   for (;;) {
      const uint64_t now = now_ns(), due_ns = pace->begin_ns + needed_ns;
      if (now >= due_ns) {
         if (now - due_ns > RUSH_MAX_NS)
            pace->begin_ns += now - due_ns - RUSH_MAX_NS;
         return;
      }
      if (is_awaited(pace->host)) {
         pace->rate = 0;
         return;
      }
      const uint64_t nap_ns = due_ns - now < NAP_MAX_NS ? due_ns - now : NAP_MAX_NS;
      const struct timespec nap = {.tv_nsec = (long)nap_ns};
      nanosleep(&nap, NULL); /* woken early, it looks again */
   }
}
