#include "core/host/sync_timing.h"

#include "core/support/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct kv_sync_timing {
   kvs_syncs extension; /* first: its function gets back from it to the whole */
   atomic_bool known;
   pthread_mutex_t lock; /* for what follows */
   uint64_t written, durable;
   uint64_t waiting_since_ns; /* monotonic; 0: nothing waits */
   struct kv_hook_figures syncs;
};

static void synced(const kvs_syncs *extension, uint64_t sequence, uint64_t ns)
{
   struct kv_sync_timing *timing = (struct kv_sync_timing *)extension;
   uint64_t now_ns = kv_clock_monotonic_ns();
   pthread_mutex_lock(&timing->lock);
   kv_hook_figures_count(&timing->syncs, ns);
   if (sequence > timing->durable)
      timing->durable = sequence;
   /* What has come since then was not there when the sync began. */
   if (timing->written <= timing->durable)
      timing->waiting_since_ns = 0;
   else
      timing->waiting_since_ns = now_ns > ns ? now_ns - ns : now_ns;
   pthread_mutex_unlock(&timing->lock);
}

struct kv_sync_timing *kv_sync_timing_create(void)
{
   struct kv_sync_timing *timing = calloc(1, sizeof *timing);
   if (!timing)
      return NULL;
   timing->extension = (kvs_syncs){.size = sizeof timing->extension, .synced = synced};
   pthread_mutex_init(&timing->lock, NULL);
   return timing;
}

void kv_sync_timing_destroy(struct kv_sync_timing *timing)
{
   pthread_mutex_destroy(&timing->lock);
   free(timing);
}

const kvs_syncs *kv_sync_timing_extension(struct kv_sync_timing *timing)
{
   atomic_store(&timing->known, true);
   return &timing->extension;
}

void kv_sync_timing_written(struct kv_sync_timing *timing, uint64_t sequence)
{
   if (!atomic_load_explicit(&timing->known, memory_order_relaxed))
      return;
   pthread_mutex_lock(&timing->lock);
   timing->written = sequence;
   if (sequence > timing->durable && timing->waiting_since_ns == 0)
      timing->waiting_since_ns = kv_clock_monotonic_ns();
   pthread_mutex_unlock(&timing->lock);
}

uint64_t kv_sync_timing_durable(struct kv_sync_timing *timing)
{
   if (!atomic_load_explicit(&timing->known, memory_order_relaxed))
      return 0;
   pthread_mutex_lock(&timing->lock);
   uint64_t durable = timing->durable;
   pthread_mutex_unlock(&timing->lock);
   return durable;
}

void kv_sync_timing_read(struct kv_sync_timing *timing, struct kv_sync_figures *figures)
{
   pthread_mutex_lock(&timing->lock);
   uint64_t since_ns = timing->waiting_since_ns, now_ns = kv_clock_monotonic_ns();
   *figures = (struct kv_sync_figures){
       .known = atomic_load(&timing->known),
       .syncs = timing->syncs,
       .lag_ns = since_ns > 0 && now_ns > since_ns ? now_ns - since_ns : 0};
   pthread_mutex_unlock(&timing->lock);
}
