#include "core/observe/hot.h"

#include "core/support/cache_line.h"
#include "core/support/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define COUNTERS 64u
#define SLICES 6u
#define SLICE_MS 10000u

struct counter {
   uint64_t hash;
   uint64_t count, error;
   size_t size; /* 0: unused */
   uint8_t prefix[KV_HOT_PREFIX_MAX];
};

struct sketch {
   uint64_t slice; /* of time */
   uint64_t samples;
   struct counter counters[COUNTERS];
};

struct cell {
   /* Calls until the next that is looked at. Threads that share a cell may lose a step: it is a
    * sample. */
   _Alignas(KV_CACHE_LINE) atomic_uint left;
   pthread_mutex_t lock; /* for what follows */
   uint64_t random;
   struct sketch sketches[SLICES];
};

struct kv_hot {
   unsigned threads;
   struct cell cells[];
};

struct kv_hot *kv_hot_create(unsigned threads)
{
   size_t size = sizeof(struct kv_hot) + threads * sizeof(struct cell);
   struct kv_hot *hot = aligned_alloc(KV_CACHE_LINE, size);
   if (!hot)
      return NULL;
   memset(hot, 0, size);
   hot->threads = threads;
   for (unsigned i = 0; i < threads; i++) {
      hot->cells[i].random = i + 1;
      atomic_init(&hot->cells[i].left, KV_HOT_INTERVAL);
      pthread_mutex_init(&hot->cells[i].lock, NULL);
   }
   return hot;
}

void kv_hot_destroy(struct kv_hot *hot)
{
   for (unsigned i = 0; i < hot->threads; i++)
      pthread_mutex_destroy(&hot->cells[i].lock);
   free(hot);
}

/* ---- Counting ---- */

static struct kv_slice prefix_of(struct kv_slice key)
{
   const char *bytes = key.data;
   size_t size = key.size < KV_HOT_PREFIX_MAX ? key.size : KV_HOT_PREFIX_MAX;
   for (size_t i = size; i > 0; i--)
      if (bytes[i - 1] == ':' || bytes[i - 1] == '/' || bytes[i - 1] == '.')
         return kv_slice(bytes, i);
   return kv_slice(bytes, size);
}

static uint64_t hash_of(struct kv_slice bytes)
{
   uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
   for (size_t i = 0; i < bytes.size; i++)
      hash = (hash ^ ((const uint8_t *)bytes.data)[i]) * UINT64_C(0x100000001b3);
   return hash;
}

static bool is_of(const struct counter *counter, uint64_t hash, struct kv_slice prefix)
{
   return counter->hash == hash && counter->size == prefix.size &&
          memcmp(counter->prefix, prefix.data, prefix.size) == 0;
}

static void count(struct sketch *sketch, struct kv_slice prefix)
{
   uint64_t hash = hash_of(prefix);
   struct counter *least = &sketch->counters[0];
   sketch->samples++;
   for (size_t i = 0; i < COUNTERS; i++) {
      struct counter *counter = &sketch->counters[i];
      if (is_of(counter, hash, prefix)) {
         counter->count++;
         return;
      }
      if (counter->count < least->count)
         least = counter;
   }
   least->error = least->count++;
   least->hash = hash;
   least->size = prefix.size;
   memcpy(least->prefix, prefix.data, prefix.size);
}

void kv_hot_sample(struct kv_hot *hot, unsigned thread, struct kv_slice key, uint64_t now_ms)
{
   struct cell *cell = &hot->cells[thread];
   uint64_t slice = now_ms / SLICE_MS;
   struct sketch *sketch = &cell->sketches[slice % SLICES];
   pthread_mutex_lock(&cell->lock);
   if (sketch->slice != slice)
      *sketch = (struct sketch){.slice = slice};
   count(sketch, prefix_of(key));
   pthread_mutex_unlock(&cell->lock);
}

/* From 1 to twice the interval less one: the interval on average. Xorshift, Marsaglia 2003. */
static unsigned next_distance(struct cell *cell)
{
   pthread_mutex_lock(&cell->lock);
   cell->random ^= cell->random << 13;
   cell->random ^= cell->random >> 7;
   cell->random ^= cell->random << 17;
   unsigned distance = 1 + (unsigned)(cell->random % (2 * KV_HOT_INTERVAL - 1));
   pthread_mutex_unlock(&cell->lock);
   return distance;
}

void kv_hot_count(struct kv_hot *hot, unsigned thread, struct kv_slice key)
{
   struct cell *cell = &hot->cells[thread];
   unsigned left = atomic_load_explicit(&cell->left, memory_order_relaxed);
   if (left > 1) {
      atomic_store_explicit(&cell->left, left - 1, memory_order_relaxed);
      return;
   }
   atomic_store_explicit(&cell->left, next_distance(cell), memory_order_relaxed);
   kv_hot_sample(hot, thread, key, kv_clock_monotonic_ms());
}

/* ---- Listing ---- */

static int by_prefix(const void *left, const void *right)
{
   const struct kv_hot_prefix *a = left, *b = right;
   return kv_slice_compare(kv_slice(a->prefix, a->size), kv_slice(b->prefix, b->size));
}

static int by_samples(const void *left, const void *right)
{
   const struct kv_hot_prefix *a = left, *b = right;
   if (a->samples != b->samples)
      return a->samples < b->samples ? 1 : -1;
   return by_prefix(left, right);
}

/* Appends what a thread has of the last minute. */
static size_t collect(struct cell *cell, uint64_t slice, struct kv_hot_prefix *found,
                      uint64_t *samples)
{
   size_t count = 0;
   pthread_mutex_lock(&cell->lock);
   for (size_t i = 0; i < SLICES; i++) {
      const struct sketch *sketch = &cell->sketches[i];
      if (sketch->slice + SLICES <= slice)
         continue;
      *samples += sketch->samples;
      for (size_t j = 0; j < COUNTERS; j++) {
         const struct counter *counter = &sketch->counters[j];
         if (counter->count == counter->error)
            continue;
         found[count] = (struct kv_hot_prefix){.size = counter->size,
                                               .samples = counter->count - counter->error};
         memcpy(found[count++].prefix, counter->prefix, counter->size);
      }
   }
   pthread_mutex_unlock(&cell->lock);
   return count;
}

/* Adds up those of the same prefix; returns how many are left. */
static size_t merge(struct kv_hot_prefix *found, size_t count)
{
   size_t kept = 0;
   qsort(found, count, sizeof *found, by_prefix);
   for (size_t i = 0; i < count; i++) {
      if (kept > 0 && by_prefix(&found[kept - 1], &found[i]) == 0)
         found[kept - 1].samples += found[i].samples;
      else
         found[kept++] = found[i];
   }
   return kept;
}

size_t kv_hot_list(struct kv_hot *hot, uint64_t now_ms, size_t max, struct kv_hot_prefix **prefixes,
                   uint64_t *samples)
{
   *samples = 0;
   *prefixes = malloc(hot->threads * SLICES * COUNTERS * sizeof **prefixes);
   if (!*prefixes)
      return 0;
   size_t count = 0;
   for (unsigned i = 0; i < hot->threads; i++)
      count += collect(&hot->cells[i], now_ms / SLICE_MS, *prefixes + count, samples);
   count = merge(*prefixes, count);
   if (count > 0)
      qsort(*prefixes, count, sizeof **prefixes, by_samples);
   return count < max ? count : max;
}
