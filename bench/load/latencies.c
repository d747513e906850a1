#include "bench/load/latencies.h"

#include "core/support/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PART_BITS = 7, BUCKETS = KV_HISTOGRAM_SIZE(PART_BITS, 64) };
static const struct kv_histogram_shape shape = {PART_BITS, BUCKETS};

struct latencies {
   uint64_t count, maximum;
   double sum;
   uint64_t buckets[BUCKETS];
};

struct latencies *latencies_create(void)
{
   return calloc(1, sizeof(struct latencies));
}

void latencies_destroy(struct latencies *latencies)
{
   free(latencies);
}

void latencies_record(struct latencies *latencies, uint64_t value)
{
   latencies->count++;
   latencies->sum += (double)value;
   if (value > latencies->maximum)
      latencies->maximum = value;
   latencies->buckets[kv_histogram_bucket(shape, value)]++;
}

void latencies_add(struct latencies *latencies, const struct latencies *from)
{
   latencies->count += from->count;
   latencies->sum += from->sum;
   if (from->maximum > latencies->maximum)
      latencies->maximum = from->maximum;
   for (size_t i = 0; i < BUCKETS; i++)
      latencies->buckets[i] += from->buckets[i];
}

void latencies_reset(struct latencies *latencies)
{
   memset(latencies, 0, sizeof *latencies);
}

uint64_t latencies_count(const struct latencies *latencies)
{
   return latencies->count;
}

uint64_t latencies_maximum(const struct latencies *latencies)
{
   return latencies->maximum;
}

double latencies_mean(const struct latencies *latencies)
{
   return latencies->count ? latencies->sum / (double)latencies->count : 0;
}

uint64_t latencies_quantile(const struct latencies *latencies, double quantile)
{
   uint64_t rank = (uint64_t)ceil(quantile * (double)latencies->count);
   uint64_t end = kv_histogram_at_rank(shape, latencies->buckets, rank > 0 ? rank : 1);
   return end < latencies->maximum ? end : latencies->maximum;
}
