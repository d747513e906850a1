#include "bench/load/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PART_BITS 7
#define PARTS ((size_t)1 << PART_BITS) /* buckets a power of two */
#define BUCKETS ((size_t)(64 - PART_BITS + 1) * PARTS)

struct histogram {
   uint64_t count, maximum;
   double sum;
   uint64_t buckets[BUCKETS];
};

static size_t bucket_of(uint64_t value)
{
   if (value < PARTS)
      return value;
   unsigned shift = 63 - (unsigned)__builtin_clzll(value) - PART_BITS;
   return shift * PARTS + (size_t)(value >> shift);
}

static uint64_t end_of(size_t bucket)
{
   if (bucket < 2 * PARTS)
      return bucket;
   unsigned shift = (unsigned)(bucket / PARTS) - 1;
   uint64_t first = (uint64_t)(bucket % PARTS + PARTS) << shift;
   return first + (((uint64_t)1 << shift) - 1);
}

struct histogram *histogram_create(void)
{
   return calloc(1, sizeof(struct histogram));
}

void histogram_destroy(struct histogram *histogram)
{
   free(histogram);
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
   histogram->count++;
   histogram->sum += (double)value;
   if (value > histogram->maximum)
      histogram->maximum = value;
   histogram->buckets[bucket_of(value)]++;
}

void histogram_add(struct histogram *histogram, const struct histogram *from)
{
   histogram->count += from->count;
   histogram->sum += from->sum;
   if (from->maximum > histogram->maximum)
      histogram->maximum = from->maximum;
   for (size_t i = 0; i < BUCKETS; i++)
      histogram->buckets[i] += from->buckets[i];
}

void histogram_reset(struct histogram *histogram)
{
   memset(histogram, 0, sizeof *histogram);
}

uint64_t histogram_count(const struct histogram *histogram)
{
   return histogram->count;
}

uint64_t histogram_maximum(const struct histogram *histogram)
{
   return histogram->maximum;
}

double histogram_mean(const struct histogram *histogram)
{
   return histogram->count ? histogram->sum / (double)histogram->count : 0;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
   uint64_t wanted = (uint64_t)ceil(quantile * (double)histogram->count);
   if (wanted == 0)
      wanted = 1;
   uint64_t seen = 0;
   for (size_t i = 0; i < BUCKETS; i++) {
      seen += histogram->buckets[i];
      if (seen >= wanted)
         return end_of(i) < histogram->maximum ? end_of(i) : histogram->maximum;
   }
   return histogram->maximum;
}
