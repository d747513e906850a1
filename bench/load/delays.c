#include "bench/load/delays.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* Neighbouring versions are in different parts, so that threads seldom meet. */
#define PARTS 64
#define PART_CHANGES (((size_t)1 << 20) / PARTS)

struct change {
   uint64_t version;
   uint64_t acknowledged_ns; /* 0: not yet */
   uint64_t arrived;         /* events before that */
};

struct part {
   pthread_mutex_t lock;
   uint64_t early; /* events that came before their acknowledgement */
   struct latencies *latencies;
   struct change changes[PART_CHANGES];
};

struct delays {
   struct part parts[PARTS];
   struct latencies *all;
   atomic_uint_least64_t last;
};

struct delays *delays_create(void)
{
   struct delays *delays = calloc(1, sizeof *delays);
   if (!delays)
      return NULL;
   delays->all = latencies_create();
   bool good = delays->all != NULL;
   for (size_t i = 0; i < PARTS; i++) {
      pthread_mutex_init(&delays->parts[i].lock, NULL);
      delays->parts[i].latencies = latencies_create();
      good = good && delays->parts[i].latencies;
   }
   if (good)
      return delays;
   delays_destroy(delays);
   return NULL;
}

void delays_destroy(struct delays *delays)
{
   if (!delays)
      return;
   for (size_t i = 0; i < PARTS; i++) {
      pthread_mutex_destroy(&delays->parts[i].lock);
      latencies_destroy(delays->parts[i].latencies);
   }
   latencies_destroy(delays->all);
   free(delays);
}

/* The change's place in its part, which is locked then; NULL where a later one has it. */
static struct change *place(struct part *part, uint64_t version)
{
   pthread_mutex_lock(&part->lock);
   struct change *change = &part->changes[version / PARTS % PART_CHANGES];
   if (change->version > version)
      return NULL;
   if (change->version < version)
      *change = (struct change){.version = version};
   return change;
}

static void raise_last(struct delays *delays, uint64_t version)
{
   uint64_t last = atomic_load(&delays->last);
   while (version > last && !atomic_compare_exchange_weak(&delays->last, &last, version))
      ;
}

void delays_acknowledge(struct delays *delays, uint64_t version, uint64_t now_ns)
{
   raise_last(delays, version);
   struct part *part = &delays->parts[version % PARTS];
   struct change *change = place(part, version);
   if (change && change->acknowledged_ns == 0) {
      change->acknowledged_ns = now_ns;
      part->early += change->arrived;
   }
   pthread_mutex_unlock(&part->lock);
}

void delays_arrive(struct delays *delays, uint64_t version, uint64_t now_ns)
{
   struct part *part = &delays->parts[version % PARTS];
   struct change *change = place(part, version);
   if (change && change->acknowledged_ns == 0)
      change->arrived++;
   else if (change)
      latencies_record(part->latencies,
                       now_ns > change->acknowledged_ns ? now_ns - change->acknowledged_ns : 0);
   pthread_mutex_unlock(&part->lock);
}

uint64_t delays_last(struct delays *delays)
{
   return atomic_load(&delays->last);
}

const struct latencies *delays_take(struct delays *delays)
{
   latencies_reset(delays->all);
   for (size_t i = 0; i < PARTS; i++) {
      struct part *part = &delays->parts[i];
      for (; part->early > 0; part->early--)
         latencies_record(part->latencies, 0);
      latencies_add(delays->all, part->latencies);
   }
   return delays->all;
}
